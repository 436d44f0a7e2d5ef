"""A look at a player's pictures before they are trusted.

Mirrored, upside-down or wrongly encoded pictures would train a network without a complaint. So every player first shows
a scene of which each pixel is known: boards of coloured patches, one in front of each camera, whose images have the
sizes that are to be drawn and principal points off their middle. It goes through all that a real scene goes through:
scene pack, poses, cameras, materials, textures, lights, shadows, colour encoding, tiles.

Two samples are in even white light. In the third one directional light faces the boards, and nothing else shines: its
intensity must count in proportion. In the fourth a spot light for each board shines from the left, and a slab that no
camera sees keeps it from one patch. In the fifth, in even light again, every patch shows a picture of four colours. In
the sixth the boards are gone, and solids of clutter take the patches' place. In the others all light comes from
surroundings that have another colour in every direction, are seen around the patches, and in the place of one of them;
the cameras look towards one side of the world after the other.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from datagen.pictures.surroundings import directions
from datagen.unity import records, wire
from datagen.unity.environment import EnvironmentPicture
from datagen.unity.scene_pack import PackBody, PackMaterial, Part, ScenePack
from vision.scene.objects import linear_from_srgb, srgb_from_linear

# What a camera sees at 1 m: left, right, bottom, top. Off the middle, and the same for images of any shape, so that
# pixels are no squares unless the images are.
_BORDERS = np.array([-0.30, 0.42, -0.34, 0.38])
_SPACING = 100.0  # metres between the boards: no camera sees another's
# Rectangles in front of a camera, in units of half the picture: left, right, bottom, top. Unlike any of their mirror
# images.
_PATCHES = ((-0.8, -0.2, 0.2, 0.8), (0.1, 0.9, 0.3, 0.7), (-0.7, -0.1, -0.9, -0.3), (0.3, 0.6, -0.8, -0.2))
_COLORS = np.array([(0.9, 0.1, 0.1), (0.1, 0.7, 0.2), (0.2, 0.2, 0.8), (0.5, 0.5, 0.5), (0.9, 0.7, 0.1)])  # sRGB
_BACKGROUND = (0.3, 0.35, 0.3)
EVEN, LIT, SHADED, TEXTURED, CLUTTERED, SURROUNDED = slice(0, 2), 2, 3, 4, 5, slice(6, 12)
"""Samples of the batch: in even light, in a directional one, with a shadow, with a texture, of clutter, in
surroundings."""
SAMPLES = 12
_INTENSITY = 0.5  # of the directional light; its square root and its square would be far off
# Unity's Standard shader, rough and not metallic: what it reflects diffusely, and up to twice this as highlight.
_DIFFUSE, _HIGHLIGHT = 0.96, 0.005
_SHADED_PATCH = 1
# In a camera's frame: x right, y up, z backwards, metres. Half-way between light and patch, the slab is outside the
# picture, and its shadow is larger than the patch by 3 cm on each side.
_SPOT = np.array([-1.0, 0.18, 0.0])
_SLAB_SIZE, _SLAB_CENTRE = np.array([0.174, 0.102, 0.001]), np.array([-0.38, 0.19, -0.5])
_ASIDE = np.array([5.0, 0.0, 0.0])  # where the slab is in the other samples
_WHITE = 0.9  # sRGB, of the patches with the shadow
_HIDDEN_PATCH = 3
# Radiance towards each direction of the world, linear: 1 + its products with these rows, of red, green and blue.
_SLOPES = np.array([(0.8, -0.3, 0.3), (-0.2, 0.7, 0.5), (0.3, 0.4, -0.8)])
_RADIANCE = 0.4  # of the surroundings' 1
_DARK, _BRIGHT = 30, 80  # levels: at most in the shadow, at least outside it
# Unity's Standard shader keeps 4 % of the light for reflections; that and rounding stay within this many levels, while
# a missing or doubled gamma moves a mid grey by 60.
_TOLERANCE = 12
_EDGE = 1.5  # pixels; anti-aliasing may do as it likes there
_BLUR = 3.0  # pixels; the same for the filtering of textures
_MAX_WRONG = 0.005  # share of pixels that may be off: specks along seams

Images = Sequence[np.ndarray]
"""Of each camera, (B, H, W, 3)."""


def _four_colors() -> bytes:
    """The PNG file of a picture of the first four colours: upper left, upper right, lower left, lower right."""
    levels = np.rint(255 * _COLORS[:4]).astype(np.uint8).reshape(2, 2, 3)
    file = io.BytesIO()
    Image.fromarray(levels.repeat(64, axis=0).repeat(64, axis=1)).save(file, "PNG")
    return file.getvalue()


def _surroundings() -> bytes:
    return EnvironmentPicture.of((1 + directions(64) @ _SLOPES.T).astype(np.float32)).encode()


@cache
def pictures() -> dict[int, bytes]:
    """What a player needs besides the pack, by hash: the four colours, the surroundings."""
    return {wire.content_hash(content): content for content in (_four_colors(), _surroundings())}


def probe_pack(cameras: int) -> ScenePack:
    """A board of four patches for each camera, and a slab that can throw a shadow on it."""
    parts = []
    for camera in range(cameras):
        for patch, rectangle in enumerate(_PATCHES):
            parts.append(_box(f"patch{camera}.{patch}", camera, camera * len(_PATCHES) + patch, *_slab(rectangle)))
    slab_material = len(parts)
    parts += [_box(f"slab{c}", cameras + c, slab_material, _SLAB_SIZE, _SLAB_CENTRE) for c in range(cameras)]
    return ScenePack(
        bodies=tuple(PackBody(f"{kind}{camera}") for kind in ("board", "slab") for camera in range(cameras)),
        textures=(),
        materials=(*(PackMaterial(part.name) for part in parts[:slab_material]), PackMaterial("slab")),
        parts=tuple(parts),
    )


def _slab(rectangle: tuple[float, float, float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Size and centre of a patch, metres: its front is 1 m before the camera, which looks along its own -z."""
    low, high = _BORDERS[[0, 0, 2, 2]], _BORDERS[[1, 1, 3, 3]]
    left, right, bottom, top = low + (np.array(rectangle) + 1) / 2 * (high - low)
    size = np.array([right - left, top - bottom, 0.001])
    return size, np.array([(left + right) / 2, (bottom + top) / 2, -1 - size[2] / 2])


def probe_batch(sizes: Sequence[tuple[int, int]], form: records.Form, msaa: int) -> records.RenderBatch:
    """Differently coloured patches in every sample and for every camera, so that confusing them shows as well."""
    cameras = len(sizes)
    frames = np.zeros(SAMPLES, records.FRAME)
    frames["background"], frames["ambient"] = _BACKGROUND, 1.0
    frames["ambient"][[LIT, SHADED]] = frames["ambient"][SURROUNDED] = 0.0
    frames["surroundings"], frames["surroundings"][SURROUNDED], frames["radiance"] = -1, 1, _RADIANCE
    materials = np.zeros((SAMPLES, cameras * len(_PATCHES) + 1), records.MATERIAL)
    materials["color"][:, :-1] = _patch_colors(cameras).reshape(SAMPLES, -1, 3)
    materials["texture"], materials["texture_scale"], materials["visible"] = -1, 1, 1
    materials["visible"][SURROUNDED, _HIDDEN_PATCH :: len(_PATCHES)] = 0
    materials["color"][TEXTURED], materials["texture"][TEXTURED] = 1.0, 0
    views = np.zeros((SAMPLES, cameras), records.CAMERA)
    views["position"][..., 0] = _SPACING * np.arange(cameras)
    turns = _turns(cameras)
    views["quaternion"] = np.roll(turns.as_quat(), 1, axis=-1)
    views["quaternion"][EVEN.stop :] = views["quaternion"][0, 0]
    views["quaternion"][SURROUNDED] = np.roll(_sides().as_quat(), 1, axis=-1)[:, None]
    turn = turns[0]
    left, right, bottom, top = _BORDERS
    views["focal"] = np.array(sizes) / (right - left, top - bottom)
    views["centre"] = views["focal"] * (-left, top)
    views["near"], views["far"] = 0.1, 10.0
    bodies = np.zeros((SAMPLES, 2 * cameras), records.BODY)
    bodies["position"] = np.tile(views["position"], (1, 2, 1))
    bodies["quaternion"] = np.tile(views["quaternion"], (1, 2, 1))
    aside = Rotation.from_quat(np.roll(views["quaternion"], -1, axis=-1).reshape(-1, 4)).apply(_ASIDE)
    aside = aside.reshape(SAMPLES, cameras, 3)
    aside[SHADED] = 0.0
    bodies["position"][:, cameras:] += aside
    lights = np.zeros((SAMPLES, 1 + cameras), records.LIGHT)  # of type OFF
    lights["color"], lights["range"], lights["spot_deg"] = 1.0, 10.0, 90.0
    sun, spots = lights[LIT, 0], lights[SHADED, 1:]
    sun["type"], sun["intensity"], sun["direction"] = records.LightType.DIRECTIONAL, _INTENSITY, turn.apply([0, 0, -1])
    spots["type"], spots["intensity"], spots["shadow"] = records.LightType.SPOT, 2.0, 1.0
    spots["position"] = views["position"][SHADED] + turn.apply(_SPOT)
    spots["direction"] = turn.apply(np.array([0, 0, -1]) - _SPOT)
    bodies["position"][CLUTTERED] += turn.apply(10 * _ASIDE)
    solids = np.zeros((SAMPLES, cameras * len(_PATCHES)), records.SOLID)  # of shape NONE
    solids["quaternion"][..., 0] = 1.0
    boxes = solids[CLUTTERED].reshape(cameras, len(_PATCHES))
    for patch, rectangle in enumerate(_PATCHES):
        size, centre = _slab(rectangle)
        boxes["size"][:, patch], boxes["position"][:, patch] = size / 2, views["position"][0] + turn.apply(centre)
    boxes["shape"], boxes["quaternion"] = records.SolidShape.BOX, views["quaternion"][CLUTTERED, :1]
    boxes["color"] = _patch_colors(cameras)[CLUTTERED]
    return records.RenderBatch(
        views, bodies, materials, lights, solids, frames, tuple(sizes), tuple(pictures()), form, msaa
    )


def _turns(cameras: int) -> Rotation:
    """Of the cameras in even light. In the other samples all have the first one's, so that one directional light can
    face all boards. No axis of theirs lies along one of the world's."""
    return Rotation.from_euler("xyz", [(30 + 40 * camera, 20, -50 + 70 * camera) for camera in range(cameras)], True)


def _sides() -> Rotation:
    """Of all cameras in surroundings, (6,): towards every side of the world, along none of its axes."""
    first = _turns(1)[0]
    looks = first.apply([0, 0, -1])
    sides = []
    for step in range(3):
        cycled = Rotation.from_matrix(np.roll(np.eye(3), step, axis=0))
        signs = np.ones(3)
        signs[[(np.abs(looks).argmax() + step) % 3, (np.abs(looks).argmax() + step + 1) % 3]] = -1
        sides += [cycled * first, Rotation.from_matrix(np.diag(signs)) * cycled * first]
    return Rotation.concatenate(sides)


def _box(name: str, body: int, material: int, size: NDArray[np.float64], centre: NDArray[np.float64]) -> Part:
    """A box whose front, towards +z, shows a texture once, upright."""
    box = trimesh.creation.box(extents=size)
    positions = (np.asarray(box.triangles).reshape(-1, 3) + centre).astype(np.float32)
    normals = np.repeat(box.face_normals, 3, axis=0).astype(np.float32)
    triangles = np.arange(len(positions), dtype=np.uint32).reshape(-1, 3)
    uv = ((positions - centre) / size + 0.5)[:, :2].astype(np.float32)
    return Part(name, body, material, positions, normals, uv, triangles)


def complaint(images: NDArray[np.uint8], sizes: Sequence[tuple[int, int]]) -> str | None:
    """What is wrong with the images (B, C, H, W, 3) of a probe's batch, of which each camera's have their size; None if
    nothing is."""
    shown = [images[:, camera, :height, :width] for camera, (width, height) in enumerate(sizes)]
    looks = (_wrong_picture, _wrong_intensity, _wrong_shadow, _wrong_texture, _wrong_clutter, _wrong_surroundings)
    return next((wrong for look in looks if (wrong := look(shown))), None)


def _wrong_picture(images: Images) -> str | None:
    """Of the samples in even light."""
    even = [shown[EVEN] for shown in images]
    expected = _pictures(_patch_colors(len(images))[EVEN], images)
    if _alike(even, expected):
        return None
    suspects: dict[str, Callable[[NDArray[np.uint8]], np.ndarray]] = {
        "upside down": lambda shown: shown[:, ::-1],
        "mirrored": lambda shown: shown[:, :, ::-1],
        "turned by 180 degrees": lambda shown: shown[:, ::-1, ::-1],
        "with red and blue exchanged": lambda shown: shown[..., ::-1],
        "not sRGB-encoded (linear)": lambda shown: 255 * srgb_from_linear(shown / 255),
        "sRGB-encoded twice": lambda shown: 255 * linear_from_srgb(shown / 255),
        "of another sample": lambda shown: shown[::-1],
    }
    corrected = {name: [mend(shown) for shown in even] for name, mend in suspects.items()}
    if len({shown.shape for shown in even}) == 1:
        corrected |= {"of the camera before": [*even[1:], even[0]], "of the camera after": [even[-1], *even[:-1]]}
    for name, seen in corrected.items():
        if _alike(seen, expected):
            return f"its picture is {name}"
    return _worst(even, expected, 0)


def _wrong_intensity(images: Images) -> str | None:
    """Of the sample in a directional light of half the intensity of white."""
    lit = [shown[LIT, None] for shown in images]
    albedo = linear_from_srgb(_patch_colors(len(images))[LIT, None])

    def under(intensity: float) -> Images:
        return _pictures(srgb_from_linear(intensity * (_DIFFUSE * albedo + _HIGHLIGHT)), images)

    if _alike(lit, under(_INTENSITY)):
        return None
    if _alike(lit, under(float(linear_from_srgb(np.array(_INTENSITY))))):
        return (
            "its lights shine as if their intensities were sRGB-encoded: "
            "GraphicsSettings.lightsUseLinearIntensity must be on"
        )
    if _alike(lit, under(0.0)):
        return "its directional lights do not shine"
    return _worst(lit, under(_INTENSITY), LIT)


def _wrong_shadow(images: Images) -> str | None:
    """Of the sample with a shadow on one patch."""
    brightness, in_shadow, in_light = [], [], []
    for shown in images:
        patches, _, clear = _layout(shown)
        brightness.append(shown[SHADED].max(axis=-1).ravel())
        in_shadow.append((clear & (patches == _SHADED_PATCH)).ravel())
        in_light.append((clear & (patches >= 0) & (patches != _SHADED_PATCH)).ravel())
    bright, shadow, light = (np.concatenate(parts) for parts in (brightness, in_shadow, in_light))
    if _share(bright[light] < _BRIGHT) > _MAX_WRONG:
        return "its spot lights do not shine, or all lies in shadow"
    if _share(bright[shadow] > _DARK) > _MAX_WRONG:
        return "its spot lights cast no shadow"
    return None


def _wrong_texture(images: Images) -> str | None:
    """Of the sample whose patches show a picture of four colours."""
    seen = [shown[TEXTURED, None] for shown in images]

    def showing(order: Sequence[int]) -> Images:
        colors = np.broadcast_to(_COLORS[list(order)], (1, len(images), len(_PATCHES), 4, 3))
        return _pictures(colors, images)

    if _alike(seen, showing((0, 1, 2, 3)), within=True):
        return None
    for name, order in {"upside down": (2, 3, 0, 1), "mirrored": (1, 0, 3, 2), "turned": (3, 2, 1, 0)}.items():
        if _alike(seen, showing(order), within=True):
            return f"its textures are {name}"
    return "with textures " + _worst(seen, showing((0, 1, 2, 3)), TEXTURED, within=True)


def _wrong_clutter(images: Images) -> str | None:
    """Of the sample whose patches are solids of clutter."""
    seen = [shown[CLUTTERED, None] for shown in images]
    expected = _pictures(_patch_colors(len(images))[CLUTTERED, None], images)
    return None if _alike(seen, expected) else "with clutter " + _worst(seen, expected, CLUTTERED)


def _wrong_surroundings(images: Images) -> str | None:
    """Of the sample that surroundings light, and are seen in."""
    seen = [shown[SURROUNDED] for shown in images]
    # Of a radiance that is linear in the direction, a matt surface gets two thirds of the slope along its normal.
    light = _RADIANCE * (1 + 2 / 3 * (_sides().apply([0, 0, 1]) @ _SLOPES.T))
    patch = 255 * srgb_from_linear(np.clip(_DIFFUSE * light * linear_from_srgb(np.array(_WHITE)), 0, 1))
    left, right, bottom, top = _BORDERS
    expected = []
    for shown in seen:
        height, width = shown.shape[1:3]
        x = left + (np.arange(width) + 0.5) / width * (right - left)
        y = top - (np.arange(height) + 0.5) / height * (top - bottom)
        rays = np.stack([*np.meshgrid(x, y), np.full((height, width), -1.0)], axis=-1)
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        towards = np.einsum("bij,hwj->bhwi", _sides().as_matrix(), rays)
        sky = 255 * srgb_from_linear(np.clip(_RADIANCE * (1 + towards @ _SLOPES.T), 0, 1))
        patches, _, _ = _layout(shown)
        covered = (patches >= 0) & (patches != _HIDDEN_PATCH)
        expected.append(np.where(covered[..., None], patch[:, None, None], sky))
    return None if _alike(seen, expected) else "with surroundings " + _worst(seen, expected, SURROUNDED.start)


def _patch_colors(cameras: int) -> NDArray[np.float64]:
    """(B, C, patches, 3), sRGB: another order for every sample and camera; white where a shadow or surroundings are
    looked at."""
    order = np.arange(SAMPLES)[:, None, None] * 3 + np.arange(cameras)[:, None] + np.arange(len(_PATCHES))
    colors: NDArray[np.float64] = _COLORS[order % len(_COLORS)]
    colors[SHADED] = colors[SURROUNDED] = _WHITE
    return colors


def _layout(image: np.ndarray, within: bool = False) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """For each pixel (H, W) of images (B, H, W, 3): which patch it shows, -1 for the background; which quarter of that,
    in reading order; and whether it is clear of edges, those between quarters too if ``within``."""
    height, width = image.shape[1:3]
    column, row = np.arange(width) + 0.5, np.arange(height) + 0.5
    patches, quarters = np.full((height, width), -1), np.zeros((height, width), int)
    clear = np.ones((height, width), bool)
    for patch, (left, right, bottom, top) in enumerate(_PATCHES):
        x0, x1 = ((1 + edge) * width / 2 for edge in (left, right))
        y0, y1 = ((1 - edge) * height / 2 for edge in (top, bottom))
        # Signed distance of each pixel to the rectangle, along the farther axis; negative inside.
        outside = np.maximum(np.maximum(x0 - column, column - x1)[None, :], np.maximum(y0 - row, row - y1)[:, None])
        patches[outside < 0] = patch
        clear &= np.abs(outside) > _EDGE
        across, down = column - (x0 + x1) / 2, row - (y0 + y1) / 2
        quarters[outside < 0] = ((across > 0)[None, :] + 2 * (down > 0)[:, None])[outside < 0]
        if within:
            near = np.minimum(np.abs(across)[None, :], np.abs(down)[:, None]) <= _BLUR
            clear &= ~(near & (outside < 0))
    return patches, quarters, clear


def _pictures(colors: NDArray[np.float64], images: Images) -> Images:
    """Levels, of the images' shapes, of boards with patches of these sRGB colours (B, C, patches, 3), or of quarters of
    them (..., 4, 3)."""
    if colors.ndim == 4:
        colors = colors[..., None, :].repeat(4, axis=-2)
    background = np.broadcast_to(_BACKGROUND, (*colors.shape[:2], 1, 4, 3))
    levels = 255 * np.concatenate([colors, background], axis=2)
    shown = []
    for camera, image in enumerate(images):
        patches, quarters, _ = _layout(image)
        shown.append(levels[:, camera, patches, quarters])
    return shown


def _alike(images: Images, expected: Images, within: bool = False) -> bool:
    wrong = []
    for shown, levels in zip(images, expected, strict=True):
        clear = _layout(shown, within)[-1]
        wrong.append((np.abs(shown - levels).max(axis=-1)[:, clear] > _TOLERANCE).ravel())
    return _share(np.concatenate(wrong)) <= _MAX_WRONG


def _share(wrong: NDArray[np.bool_]) -> float:
    """Of the pixels; 0 of none, as small pictures have patches that are all edge."""
    return float(wrong.mean()) if wrong.size else 0.0


def _worst(images: Images, expected: Images, first_sample: int, within: bool = False) -> str:
    """The pixel that is farthest off, in words."""
    distances = []
    for shown, levels in zip(images, expected, strict=True):
        clear = _layout(shown, within)[-1]
        distances.append(np.where(clear, np.abs(shown - levels).max(axis=-1), 0))
    camera = int(np.argmax([off.max() for off in distances]))
    worst = np.unravel_index(distances[camera].argmax(), distances[camera].shape)
    sample, row, column = (int(index) for index in worst)
    asked = np.rint(expected[camera][worst]).astype(int).tolist()
    return (
        f"its picture has colour {images[camera][worst].tolist()} at row {row}, column {column} of camera {camera}, "
        f"sample {first_sample + sample}, where {asked} was asked for"
    )
