"""Probe scene by which a player's images are checked before they are trusted (``probe_verdict.py``).

A network would train on mirrored, upside-down or wrongly encoded images without any error. Every player therefore first
shows a scene of which each pixel is known: boards of coloured patches, one in front of each camera, whose images have
the sizes to be drawn and principal points off their centre. It uses everything that a real scene uses: scene pack,
poses, cameras, materials, textures, lights, shadows, colour encoding, tiles.

Two samples are in even white light. In the third, one directional light faces the boards, without any other light: its
effect must be proportional to its intensity. In the fourth, a spot light for each board shines from the left, and a
slab that no camera sees shades one patch. In the fifth, in even light again, every patch shows a picture of four
colours. In the sixth, the boards are gone, and solids of clutter replace the patches. In the others, all light comes
from surroundings that have another colour in every direction, and are seen around the patches and in place of one of
them; the cameras look towards one side of the world after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from datagen.pictures.surroundings import directions
from datagen.unity import records, wire
from datagen.unity.environment import EnvironmentPicture
from datagen.unity.scene_pack import PackBody, PackMaterial, PackPart, ScenePack
from vision.io.png import png_bytes

# Borders of a camera's view at 1 m: left, right, bottom, top. They are off-centre, and the same for images of any
# shape, so pixels are only square if the images are.
BORDERS = np.array([-0.30, 0.42, -0.34, 0.38])
_SPACING = 100.0  # metres between the boards: no camera sees another's
# Rectangles in front of a camera, in units of half the image: left, right, bottom, top. They differ from all their
# mirror images.
PATCHES = ((-0.8, -0.2, 0.2, 0.8), (0.1, 0.9, 0.3, 0.7), (-0.7, -0.1, -0.9, -0.3), (0.3, 0.6, -0.8, -0.2))
COLORS = np.array([(0.9, 0.1, 0.1), (0.1, 0.7, 0.2), (0.2, 0.2, 0.8), (0.5, 0.5, 0.5), (0.9, 0.7, 0.1)])  # sRGB
BACKGROUND = (0.3, 0.35, 0.3)
EVEN, LIT, SHADED, TEXTURED, CLUTTERED, SURROUNDED = slice(0, 2), 2, 3, 4, 5, slice(6, 12)
"""Samples of the batch: in even light, in directional light, with a shadow, with a texture, with clutter, in
surroundings."""
SAMPLES = 12
INTENSITY = 0.5  # of the directional light, chosen so that its square root and its square are far off
SHADED_PATCH = 1
# In a camera's frame: x right, y up, z backwards, metres. The slab is half-way between light and patch, outside the
# image, and its shadow is larger than the patch by 3 cm on each side.
_SPOT = np.array([-1.0, 0.18, 0.0])
_SLAB_SIZE, _SLAB_CENTRE = np.array([0.174, 0.102, 0.001]), np.array([-0.38, 0.19, -0.5])
_ASIDE = np.array([5.0, 0.0, 0.0])  # offset of the slab in the other samples
WHITE = 0.9  # sRGB, of the patches in the samples with a shadow or surroundings
HIDDEN_PATCH = 3
# Linear radiance from each direction of the world: 1 + its products with these rows, for red, green and blue.
SLOPES = np.array([(0.8, -0.3, 0.3), (-0.2, 0.7, 0.5), (0.3, 0.4, -0.8)])
RADIANCE = 0.4  # factor on the surroundings' radiance


def _four_colors() -> bytes:
    """Return a PNG file with the first four colours: upper left, upper right, lower left, lower right."""
    levels = np.rint(255 * COLORS[:4]).astype(np.uint8).reshape(2, 2, 3)
    return png_bytes(Image.fromarray(levels.repeat(64, axis=0).repeat(64, axis=1)))


def _surroundings() -> bytes:
    return EnvironmentPicture.of((1 + directions(64) @ SLOPES.T).astype(np.float32)).encode()


@cache
def pictures() -> dict[int, bytes]:
    """Return the pictures that a player needs besides the pack, by hash: the four colours and the surroundings."""
    return {wire.content_hash(content): content for content in (_four_colors(), _surroundings())}


def probe_pack(cameras: int) -> ScenePack:
    """Build a board of four patches for each camera, and a slab that can cast a shadow on it."""
    parts = []
    for camera in range(cameras):
        for patch, rectangle in enumerate(PATCHES):
            parts.append(_box(f"patch{camera}.{patch}", camera, camera * len(PATCHES) + patch, *_slab(rectangle)))
    slab_material = len(parts)
    parts += [_box(f"slab{c}", cameras + c, slab_material, _SLAB_SIZE, _SLAB_CENTRE) for c in range(cameras)]
    return ScenePack(
        bodies=tuple(PackBody(f"{kind}{camera}") for kind in ("board", "slab") for camera in range(cameras)),
        textures=(),
        materials=(*(PackMaterial(part.name) for part in parts[:slab_material]), PackMaterial("slab")),
        parts=tuple(parts),
    )


def _slab(rectangle: tuple[float, float, float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return size and centre of a patch, metres: its front is 1 m from the camera, which looks along its own -z."""
    low, high = BORDERS[[0, 0, 2, 2]], BORDERS[[1, 1, 3, 3]]
    left, right, bottom, top = low + (np.array(rectangle) + 1) / 2 * (high - low)
    size = np.array([right - left, top - bottom, 0.001])
    return size, np.array([(left + right) / 2, (bottom + top) / 2, -1 - size[2] / 2])


def probe_batch(sizes: Sequence[tuple[int, int]], form: records.Form, msaa: int) -> records.RenderBatch:
    """Build the probe's batch, with different colours in every sample and camera, so that confusing them shows too."""
    frames = np.zeros(SAMPLES, records.FRAME)
    frames["background"], frames["ambient"] = BACKGROUND, 1.0
    frames["ambient"][[LIT, SHADED]] = frames["ambient"][SURROUNDED] = 0.0
    frames["surroundings"], frames["surroundings"][SURROUNDED], frames["radiance"] = -1, 1, RADIANCE
    views = _views(sizes)
    return records.RenderBatch(
        views, _bodies(views), _materials(len(sizes)), _lights(views), _solids(views), frames, tuple(sizes),
        tuple(pictures()), form, msaa,
    )  # fmt: skip


def _views(sizes: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return records (B, C) of the cameras, each at its own board."""
    cameras = len(sizes)
    views = np.zeros((SAMPLES, cameras), records.CAMERA)
    views["position"][..., 0] = _SPACING * np.arange(cameras)
    views["quaternion"] = np.roll(_turns(cameras).as_quat(), 1, axis=-1)
    views["quaternion"][EVEN.stop :] = views["quaternion"][0, 0]
    views["quaternion"][SURROUNDED] = np.roll(side_views().as_quat(), 1, axis=-1)[:, None]
    left, right, bottom, top = BORDERS
    views["focal"] = np.array(sizes) / (right - left, top - bottom)
    views["centre"] = views["focal"] * (-left, top)
    views["near"], views["far"] = 0.1, 10.0
    return views


def _bodies(views: np.ndarray) -> np.ndarray:
    """Return records (B, 2 C): the boards, which solids replace in one sample, then the slabs."""
    cameras = views.shape[1]
    bodies = np.zeros((SAMPLES, 2 * cameras), records.BODY)
    bodies["position"] = np.tile(views["position"], (1, 2, 1))
    bodies["quaternion"] = np.tile(views["quaternion"], (1, 2, 1))
    aside = Rotation.from_quat(np.roll(views["quaternion"], -1, axis=-1).reshape(-1, 4)).apply(_ASIDE)
    aside = aside.reshape(SAMPLES, cameras, 3)
    aside[SHADED] = 0.0
    bodies["position"][:, cameras:] += aside
    bodies["position"][CLUTTERED] += _turns(1)[0].apply(10 * _ASIDE)
    return bodies


def _materials(cameras: int) -> np.ndarray:
    """Return records (B, M) of all patches, then of the slabs."""
    materials = np.zeros((SAMPLES, cameras * len(PATCHES) + 1), records.MATERIAL)
    materials["color"][:, :-1] = patch_colors(cameras).reshape(SAMPLES, -1, 3)
    materials["texture"], materials["texture_scale"], materials["visible"] = -1, 1, 1
    materials["visible"][SURROUNDED, HIDDEN_PATCH :: len(PATCHES)] = 0
    materials["color"][TEXTURED], materials["texture"][TEXTURED] = 1.0, 0
    return materials


def _lights(views: np.ndarray) -> np.ndarray:
    """Return records (B, 1 + C): a directional light, then a spot light for each board."""
    turn = _turns(1)[0]
    lights = np.zeros((SAMPLES, 1 + views.shape[1]), records.LIGHT)  # of type OFF
    lights["color"], lights["range"], lights["spot_deg"] = 1.0, 10.0, 90.0
    sun, spots = lights[LIT, 0], lights[SHADED, 1:]
    sun["type"], sun["intensity"], sun["direction"] = records.LightType.DIRECTIONAL, INTENSITY, turn.apply([0, 0, -1])
    spots["type"], spots["intensity"], spots["shadow"] = records.LightType.SPOT, 2.0, 1.0
    spots["position"] = views["position"][SHADED] + turn.apply(_SPOT)
    spots["direction"] = turn.apply(np.array([0, 0, -1]) - _SPOT)
    return lights


def _solids(views: np.ndarray) -> np.ndarray:
    """Return records (B, S) of a box in place of each patch, in one sample."""
    cameras, turn = views.shape[1], _turns(1)[0]
    solids = np.zeros((SAMPLES, cameras * len(PATCHES)), records.SOLID)  # of shape NONE
    solids["quaternion"][..., 0] = 1.0
    boxes = solids[CLUTTERED].reshape(cameras, len(PATCHES))
    for patch, rectangle in enumerate(PATCHES):
        size, centre = _slab(rectangle)
        boxes["size"][:, patch], boxes["position"][:, patch] = size / 2, views["position"][0] + turn.apply(centre)
    boxes["shape"], boxes["quaternion"] = records.SolidShape.BOX, views["quaternion"][CLUTTERED, :1]
    boxes["color"] = patch_colors(cameras)[CLUTTERED]
    return solids


def _turns(cameras: int) -> Rotation:
    """Return the rotations of the cameras in even light; none of their axes is parallel to one of the world's.

    In most other samples all have the first one's, so that one directional light can face all boards.
    """
    return Rotation.from_euler("xyz", [(30 + 40 * camera, 20, -50 + 70 * camera) for camera in range(cameras)], True)


def side_views() -> Rotation:
    """Return rotations (6,) of all cameras in surroundings: towards every side of the world, along none of its axes."""
    first = _turns(1)[0]
    looks = first.apply([0, 0, -1])
    sides = []
    for step in range(3):
        cycled = Rotation.from_matrix(np.roll(np.eye(3), step, axis=0))
        signs = np.ones(3)
        signs[[(np.abs(looks).argmax() + step) % 3, (np.abs(looks).argmax() + step + 1) % 3]] = -1
        sides += [cycled * first, Rotation.from_matrix(np.diag(signs)) * cycled * first]
    return Rotation.concatenate(sides)


def _box(name: str, body: int, material: int, size: NDArray[np.float64], centre: NDArray[np.float64]) -> PackPart:
    """Build a box whose front, towards +z, shows a texture once, upright."""
    box = trimesh.creation.box(extents=size)
    positions = (np.asarray(box.triangles).reshape(-1, 3) + centre).astype(np.float32)
    normals = np.repeat(box.face_normals, 3, axis=0).astype(np.float32)
    triangles = np.arange(len(positions), dtype=np.uint32).reshape(-1, 3)
    uv = ((positions - centre) / size + 0.5)[:, :2].astype(np.float32)
    return PackPart(name, body, material, positions, normals, uv, triangles)


def patch_colors(cameras: int) -> NDArray[np.float64]:
    """Return sRGB colours (B, C, patches, 3): another order for every sample and camera; white in the samples that test
    a shadow or surroundings."""
    order = np.arange(SAMPLES)[:, None, None] * 3 + np.arange(cameras)[:, None] + np.arange(len(PATCHES))
    colors: NDArray[np.float64] = COLORS[order % len(COLORS)]
    colors[SHADED] = colors[SURROUNDED] = WHITE
    return colors
