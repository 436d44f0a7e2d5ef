"""A look at a player's pictures before they are trusted.

Mirrored, upside-down or wrongly encoded pictures would train a network without a complaint. So every player first shows
a scene of which each pixel is known: boards of coloured patches, one in front of each camera. It goes through all that
a real scene goes through: scene pack, poses, cameras, materials, lights, shadows, colour encoding, tiles.

Two samples are in even white light. In the third one directional light faces the boards, and nothing else shines: its
intensity must count in proportion. In the fourth a spot light for each board shines from the left, and a slab that no
camera sees keeps it from one patch.
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
EVEN, LIT, SHADED = slice(0, 2), 2, 3
"""Samples of the batch: in even light, in a directional one, with a shadow."""
SAMPLES = 4
_INTENSITY = 0.5  # of the directional light; its square root and its square would be far off
# Unity's Standard shader, rough and not metallic: what it reflects diffusely, and up to twice this as highlight.
_DIFFUSE, _HIGHLIGHT = 0.96, 0.005
_SHADED_PATCH = 1
# In a camera's frame: x right, y up, z backwards, metres. Half-way between light and patch, the slab is outside the
# picture, and its shadow is larger than the patch by 3 cm on each side.
_SPOT = np.array([-1.0, 0.18, 0.0])
_SLAB_SIZE, _SLAB_CENTRE = np.array([0.18, 0.105, 0.001]), np.array([-0.41, 0.181, -0.5])
_ASIDE = np.array([5.0, 0.0, 0.0])  # where the slab is in the other samples
_WHITE = 0.9  # sRGB, of the patches with the shadow
_DARK, _BRIGHT = 30, 80  # levels: at most in the shadow, at least outside it
# Unity's Standard shader keeps 4 % of the light for reflections; that and rounding stay within this many levels, while
# a missing or doubled gamma moves a mid grey by 60.
_TOLERANCE = 12
_EDGE = 1.5  # pixels; anti-aliasing may do as it likes there
_MAX_WRONG = 0.005  # share of pixels that may be off: specks along seams


def probe_pack(cameras: int) -> ScenePack:
    """A board of four patches for each camera, and a slab that can throw a shadow on it."""
    half = np.tan(np.radians(_FOVY_DEG / 2))
    parts = []
    for camera in range(cameras):
        for patch, (left, right, bottom, top) in enumerate(_PATCHES):
            # Slabs of a millimetre with the front one metre before the camera, which looks along its -z.
            size = np.array([(right - left) * half, (top - bottom) * half, 0.001])
            centre = np.array([(left + right) / 2 * half, (bottom + top) / 2 * half, -1.0005])
            parts.append(_box(f"patch{camera}.{patch}", camera, camera * len(_PATCHES) + patch, size, centre))
    slab_material = len(parts)
    parts += [_box(f"slab{c}", cameras + c, slab_material, _SLAB_SIZE, _SLAB_CENTRE) for c in range(cameras)]
    return ScenePack(
        bodies=tuple(PackBody(f"{kind}{camera}") for kind in ("board", "slab") for camera in range(cameras)),
        textures=(),
        materials=(*(PackMaterial(part.name) for part in parts[:slab_material]), PackMaterial("slab")),
        parts=tuple(parts),
    )


def probe_batch(cameras: int, size: int, form: wire.Form, msaa: int) -> wire.RenderBatch:
    """Differently coloured patches in every sample and for every camera, so that confusing them shows as well."""
    frames = np.zeros(SAMPLES, wire.FRAME)
    frames["background"], frames["ambient"][EVEN] = _BACKGROUND, 1.0
    materials = np.zeros((SAMPLES, cameras * len(_PATCHES) + 1), wire.MATERIAL)
    materials["color"][:, :-1] = _patch_colors(cameras).reshape(SAMPLES, -1, 3)
    materials["texture"], materials["texture_scale"] = -1, 1
    views = np.zeros((SAMPLES, cameras), wire.CAMERA)
    views["position"][..., 0] = _SPACING * np.arange(cameras)
    # No axis of these cameras lies along one of the world's. One directional light faces all boards only if they agree.
    turns = Rotation.from_euler("xyz", [(30 + 40 * camera, 20, -50 + 70 * camera) for camera in range(cameras)], True)
    views["quaternion"] = np.roll(turns.as_quat(), 1, axis=-1)
    views["quaternion"][EVEN.stop :] = views["quaternion"][0, 0]
    turn = turns[0]
    views["fovy_deg"], views["near"], views["far"] = _FOVY_DEG, 0.1, 10.0
    bodies = np.zeros((SAMPLES, 2 * cameras), wire.BODY)
    bodies["position"] = np.tile(views["position"], (1, 2, 1))
    bodies["quaternion"] = np.tile(views["quaternion"], (1, 2, 1))
    bodies["position"][:SHADED, cameras:] += turn.apply(_ASIDE)
    lights = np.zeros((SAMPLES, 1 + cameras), wire.LIGHT)  # of type OFF
    lights["color"], lights["range"], lights["spot_deg"] = 1.0, 10.0, 90.0
    sun, spots = lights[LIT, 0], lights[SHADED, 1:]
    sun["type"], sun["intensity"], sun["direction"] = wire.LightType.DIRECTIONAL, _INTENSITY, turn.apply([0, 0, -1])
    spots["type"], spots["intensity"], spots["shadow"] = wire.LightType.SPOT, 2.0, 1.0
    spots["position"] = views["position"][SHADED] + turn.apply(_SPOT)
    spots["direction"] = turn.apply(np.array([0, 0, -1]) - _SPOT)
    return wire.RenderBatch(views, bodies, materials, lights, frames, size, size, form, msaa)


def _box(name: str, body: int, material: int, size: NDArray[np.float64], centre: NDArray[np.float64]) -> Part:
    box = trimesh.creation.box(extents=size)
    positions = (np.asarray(box.triangles).reshape(-1, 3) + centre).astype(np.float32)
    normals = np.repeat(box.face_normals, 3, axis=0).astype(np.float32)
    triangles = np.arange(len(positions), dtype=np.uint32).reshape(-1, 3)
    return Part(name, body, material, positions, normals, positions[:, :2], triangles)


def complaint(images: NDArray[np.uint8]) -> str | None:
    """What is wrong with the pictures (B, C, S, S, 3) of a probe's batch; None if nothing is."""
    return _wrong_picture(images) or _wrong_intensity(images) or _wrong_shadow(images[SHADED])


def _wrong_picture(images: NDArray[np.uint8]) -> str | None:
    """Of the samples in even light."""
    even = images[EVEN]
    expected = _pictures(_patch_colors(images.shape[1])[EVEN], images.shape[2])
    if _alike(even, expected):
        return None
    seen = even / 255
    suspects: dict[str, np.ndarray] = {
        "upside down": even[:, :, ::-1],
        "mirrored": even[:, :, :, ::-1],
        "turned by 180 degrees": even[:, :, ::-1, ::-1],
        "with red and blue exchanged": even[..., ::-1],
        "not sRGB-encoded (linear)": 255 * srgb_from_linear(seen),
        "sRGB-encoded twice": 255 * linear_from_srgb(seen),
        "of another sample": even[::-1],
        "of the camera before": np.roll(even, -1, axis=1),
        "of the camera after": np.roll(even, 1, axis=1),
    }
    for name, corrected in suspects.items():
        if _alike(corrected, expected):
            return f"its picture is {name}"
    return _worst(even, expected, 0)


def _wrong_intensity(images: NDArray[np.uint8]) -> str | None:
    """Of the sample in a directional light of half the intensity of white."""
    lit, size = images[LIT, None], images.shape[2]
    albedo = linear_from_srgb(_patch_colors(images.shape[1])[LIT, None])

    def under(intensity: float) -> NDArray[np.float64]:
        return _pictures(srgb_from_linear(intensity * (_DIFFUSE * albedo + _HIGHLIGHT)), size)

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


def _wrong_shadow(images: NDArray[np.uint8]) -> str | None:
    """Of the sample (C, S, S, 3) with a shadow on one patch."""
    patches, clear = _layout(images.shape[1])
    in_shadow = clear & (patches == _SHADED_PATCH)
    in_light = clear & (patches >= 0) & (patches != _SHADED_PATCH)
    brightness = images.max(axis=-1)
    if _share(brightness[:, in_light] < _BRIGHT) > _MAX_WRONG:
        return "its spot lights do not shine, or all lies in shadow"
    if _share(brightness[:, in_shadow] > _DARK) > _MAX_WRONG:
        return "its spot lights cast no shadow"
    return None


def _patch_colors(cameras: int) -> NDArray[np.float64]:
    """(B, C, patches, 3), sRGB: another order for every sample and camera, white for the sample with a shadow."""
    order = np.arange(SAMPLES)[:, None, None] * 3 + np.arange(cameras)[:, None] + np.arange(len(_PATCHES))
    colors = _COLORS[order % len(_COLORS)]
    colors[SHADED] = _WHITE
    return colors


def _layout(size: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(S, S): which patch each pixel shows, -1 for the background; and which pixels are clear of edges."""
    centre = np.arange(size) + 0.5
    patches, clear = np.full((size, size), -1), np.ones((size, size), bool)
    for patch, (left, right, bottom, top) in enumerate(_PATCHES):
        x0, x1, y0, y1 = ((1 + edge) * size / 2 for edge in (left, right, -top, -bottom))
        # Signed distance of each pixel to the rectangle, along the farther axis; negative inside.
        outside = np.maximum(
            np.maximum(x0 - centre, centre - x1)[None, :], np.maximum(y0 - centre, centre - y1)[:, None]
        )
        patches[outside < 0] = patch
        clear &= np.abs(outside) > _EDGE
    return patches, clear


def _pictures(colors: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Levels (B, C, S, S, 3) of boards with patches of these sRGB colours (B, C, patches, 3)."""
    background = np.broadcast_to(_BACKGROUND, (*colors.shape[:2], 1, 3))
    return 255 * np.concatenate([colors, background], axis=2)[:, :, _layout(size)[0]]


def _alike(images: np.ndarray, expected: NDArray[np.float64]) -> bool:
    _, clear = _layout(images.shape[2])
    return _share(np.abs(images - expected).max(axis=-1)[:, :, clear] > _TOLERANCE) <= _MAX_WRONG


def _share(wrong: NDArray[np.bool_]) -> float:
    """Of the pixels; 0 of none, as small pictures have patches that are all edge."""
    return float(wrong.mean()) if wrong.size else 0.0


def _worst(images: NDArray[np.uint8], expected: NDArray[np.float64], first_sample: int) -> str:
    """The pixel (B, C, S, S, 3) that is farthest off, in words."""
    _, clear = _layout(images.shape[2])
    off = np.where(clear, np.abs(images - expected).max(axis=-1), 0)
    worst = np.unravel_index(off.argmax(), off.shape)
    sample, camera, row, column = (int(index) for index in worst)
    return (
        f"its picture has colour {images[worst].tolist()} at row {row}, column {column} of camera {camera}, "
        f"sample {first_sample + sample}, where {np.rint(expected[worst]).astype(int).tolist()} was asked for"
    )
