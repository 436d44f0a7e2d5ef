"""A look at a player's pictures before they are trusted.

Mirrored, upside-down or wrongly encoded pictures would train a network without a complaint. So every player first shows
a scene of which each pixel is known: boards of coloured patches, one in front of each camera, in even white light. It
goes through everything that a real scene goes through: scene pack, poses, cameras, materials, colour encoding, tiles.
"""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from datagen.unity import wire
from datagen.unity.scene_pack import PackBody, PackMaterial, Part, ScenePack
from vision.scene.objects import linear_from_srgb, srgb_from_linear

_FOVY_DEG = 40.0
_SPACING = 100.0  # metres between the boards: no camera sees another's
# Rectangles in front of a camera, in units of half the picture: left, right, bottom, top. Unlike any of their mirror
# images.
_PATCHES = ((-0.8, -0.2, 0.2, 0.8), (0.1, 0.9, 0.3, 0.7), (-0.7, -0.1, -0.9, -0.3), (0.3, 0.6, -0.8, -0.2))
_COLORS = np.array([(0.9, 0.1, 0.1), (0.1, 0.7, 0.2), (0.2, 0.2, 0.8), (0.5, 0.5, 0.5), (0.9, 0.7, 0.1)])  # sRGB
_BACKGROUND = (0.3, 0.35, 0.3)
SAMPLES = 2
# Unity's Standard shader keeps 4 % of the light for reflections; that and rounding stay within this many levels, while
# a missing or doubled gamma moves a mid grey by 60.
_TOLERANCE = 12
_EDGE = 1.5  # pixels; anti-aliasing may do as it likes there
_MAX_WRONG = 0.005  # share of pixels that may be off: specks along seams


def probe_pack(cameras: int) -> ScenePack:
    """A board of four patches for each camera."""
    half = np.tan(np.radians(_FOVY_DEG / 2))
    parts = []
    for camera in range(cameras):
        for patch, (left, right, bottom, top) in enumerate(_PATCHES):
            # Slabs of a millimetre with the front one metre before the camera, which looks along its -z.
            size = np.array([(right - left) * half, (top - bottom) * half, 0.001])
            centre = np.array([(left + right) / 2 * half, (bottom + top) / 2 * half, -1.0005])
            box = trimesh.creation.box(extents=size)
            positions = (np.asarray(box.triangles).reshape(-1, 3) + centre).astype(np.float32)
            normals = np.repeat(box.face_normals, 3, axis=0).astype(np.float32)
            triangles = np.arange(len(positions), dtype=np.uint32).reshape(-1, 3)
            name, uv = f"patch{camera}.{patch}", positions[:, :2]
            parts.append(Part(name, camera, camera * len(_PATCHES) + patch, positions, normals, uv, triangles))
    return ScenePack(
        bodies=tuple(PackBody(f"board{camera}") for camera in range(cameras)),
        textures=(),
        materials=tuple(PackMaterial(part.name) for part in parts),
        parts=tuple(parts),
    )


def probe_batch(cameras: int, size: int, form: wire.Form, msaa: int) -> wire.RenderBatch:
    """Two samples with differently coloured patches, so that confused samples and cameras show as well."""
    frames = np.zeros(SAMPLES, wire.FRAME)
    frames["background"], frames["ambient"] = _BACKGROUND, 1.0
    materials = np.zeros((SAMPLES, cameras * len(_PATCHES)), wire.MATERIAL)
    materials["color"] = _patch_colors(cameras).reshape(SAMPLES, -1, 3)
    materials["texture"], materials["texture_scale"] = -1, 1
    views = np.zeros((SAMPLES, cameras), wire.CAMERA)
    views["position"][..., 0] = _SPACING * np.arange(cameras)
    # No axis of these cameras lies along one of the world's.
    turns = Rotation.from_euler("xyz", [(30 + 40 * camera, 20, -50 + 70 * camera) for camera in range(cameras)], True)
    views["quaternion"] = np.roll(turns.as_quat(), 1, axis=-1)
    views["fovy_deg"], views["near"], views["far"] = _FOVY_DEG, 0.1, 10.0
    boards = np.zeros((SAMPLES, cameras), wire.BODY)
    boards["position"], boards["quaternion"] = views["position"], views["quaternion"]
    no_lights = np.zeros((SAMPLES, 0), wire.LIGHT)
    return wire.RenderBatch(views, boards, materials, no_lights, frames, size, size, form, msaa)


def complaint(images: NDArray[np.uint8]) -> str | None:
    """What is wrong with the pictures (B, C, S, S, 3) of a probe's batch; None if nothing is."""
    expected, counts = _expected(images.shape[1], images.shape[2])
    if _alike(images, expected, counts):
        return None
    seen = images / 255
    suspects: dict[str, np.ndarray] = {
        "upside down": images[:, :, ::-1],
        "mirrored": images[:, :, :, ::-1],
        "turned by 180 degrees": images[:, :, ::-1, ::-1],
        "with red and blue exchanged": images[..., ::-1],
        "not sRGB-encoded (linear)": 255 * srgb_from_linear(seen),
        "sRGB-encoded twice": 255 * linear_from_srgb(seen),
        "of another sample": images[::-1],
        "of the camera before": np.roll(images, -1, axis=1),
        "of the camera after": np.roll(images, 1, axis=1),
    }
    for name, corrected in suspects.items():
        if _alike(corrected, expected, counts):
            return f"its picture is {name}"
    worst = np.unravel_index(np.where(counts, np.abs(images - expected).max(axis=-1), 0).argmax(), counts.shape)
    sample, camera, row, column = (int(index) for index in worst)
    return (
        f"its picture has colour {images[worst].tolist()} at row {row}, column {column} of camera {camera}, "
        f"sample {sample}, where {np.rint(expected[worst]).astype(int).tolist()} was asked for"
    )


def _patch_colors(cameras: int) -> NDArray[np.float64]:
    """(B, C, patches, 3): another order for every sample and camera."""
    order = np.arange(SAMPLES)[:, None, None] * 3 + np.arange(cameras)[:, None] + np.arange(len(_PATCHES))
    return _COLORS[order % len(_COLORS)]


def _expected(cameras: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Levels (B, C, S, S, 3), and which pixels (B, C, S, S) are clear of edges."""
    centre = np.arange(size) + 0.5
    levels = np.full((SAMPLES, cameras, size, size, 3), 255 * np.array(_BACKGROUND))
    counts = np.ones((size, size), bool)
    for patch, (left, right, bottom, top) in enumerate(_PATCHES):
        x0, x1, y0, y1 = ((1 + edge) * size / 2 for edge in (left, right, -top, -bottom))
        # Signed distance of each pixel to the rectangle, along the farther axis; negative inside.
        outside = np.maximum(
            np.maximum(x0 - centre, centre - x1)[None, :], np.maximum(y0 - centre, centre - y1)[:, None]
        )
        levels[:, :, outside < 0] = 255 * _patch_colors(cameras)[:, :, patch, None]
        counts &= np.abs(outside) > _EDGE
    return levels, np.broadcast_to(counts, levels.shape[:-1])


def _alike(images: np.ndarray, expected: NDArray[np.float64], counts: NDArray[np.bool_]) -> bool:
    wrong = np.abs(images - expected).max(axis=-1) > _TOLERANCE
    return bool(wrong[counts].mean() <= _MAX_WRONG)
