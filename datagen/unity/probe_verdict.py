"""Verdict on a player's images of the probe scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from datagen.unity.probe import (
    BACKGROUND,
    BORDERS,
    CLUTTERED,
    COLORS,
    EVEN,
    HIDDEN_PATCH,
    INTENSITY,
    LIT,
    PATCHES,
    RADIANCE,
    SHADED,
    SHADED_PATCH,
    SLOPES,
    SURROUNDED,
    TEXTURED,
    WHITE,
    patch_colors,
    side_views,
)
from vision.color import linear_from_srgb, srgb_from_linear

# Unity's Standard shader, rough and not metallic: diffuse reflectance, and half of the largest highlight.
_DIFFUSE, _HIGHLIGHT = 0.96, 0.005
_DARK, _BRIGHT = 30, 80  # levels: maximum in the shadow, minimum outside it
# Unity's Standard shader keeps 4 % of the light for reflections; that and rounding stay within this many levels, while
# a missing or doubled gamma moves a mid grey by 60.
_TOLERANCE = 12
_EDGE = 1.5  # pixels next to edges that are ignored, because of anti-aliasing
_BLUR = 3.0  # pixels next to borders inside a texture that are ignored, because of texture filtering
_MAX_WRONG = 0.005  # fraction of pixels that may be off: specks along seams

Images = Sequence[np.ndarray]
"""Images of each camera, (B, H, W, 3)."""


def complaint(images: NDArray[np.uint8], sizes: Sequence[tuple[int, int]]) -> str | None:
    """Return what is wrong with the images (B, C, H, W, 3) of a probe's batch, padded from ``sizes``; None if nothing
    is."""
    shown = [images[:, camera, :height, :width] for camera, (width, height) in enumerate(sizes)]
    looks = (_wrong_picture, _wrong_intensity, _wrong_shadow, _wrong_texture, _wrong_clutter, _wrong_surroundings)
    return next((wrong for look in looks if (wrong := look(shown))), None)


def _wrong_picture(images: Images) -> str | None:
    """Check the samples in even light."""
    even = [shown[EVEN] for shown in images]
    expected = _pictures(patch_colors(len(images))[EVEN], images)
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
    """Check the sample in a directional light of half the intensity of white."""
    lit = [shown[LIT, None] for shown in images]
    albedo = linear_from_srgb(patch_colors(len(images))[LIT, None])

    def under(intensity: float) -> Images:
        return _pictures(srgb_from_linear(intensity * (_DIFFUSE * albedo + _HIGHLIGHT)), images)

    if _alike(lit, under(INTENSITY)):
        return None
    if _alike(lit, under(float(linear_from_srgb(np.array(INTENSITY))))):
        return (
            "its lights shine as if their intensities were sRGB-encoded: "
            "GraphicsSettings.lightsUseLinearIntensity must be on"
        )
    if _alike(lit, under(0.0)):
        return "its directional lights do not shine"
    return _worst(lit, under(INTENSITY), LIT)


def _wrong_shadow(images: Images) -> str | None:
    """Check the sample with a shadow on one patch."""
    brightness, in_shadow, in_light = [], [], []
    for shown in images:
        patches, _, clear = _layout(shown)
        brightness.append(shown[SHADED].max(axis=-1).ravel())
        in_shadow.append((clear & (patches == SHADED_PATCH)).ravel())
        in_light.append((clear & (patches >= 0) & (patches != SHADED_PATCH)).ravel())
    bright, shadow, light = (np.concatenate(parts) for parts in (brightness, in_shadow, in_light))
    if _share(bright[light] < _BRIGHT) > _MAX_WRONG:
        return "its spot lights do not shine, or all lies in shadow"
    if _share(bright[shadow] > _DARK) > _MAX_WRONG:
        return "its spot lights cast no shadow"
    return None


def _wrong_texture(images: Images) -> str | None:
    """Check the sample whose patches show a picture of four colours."""
    seen = [shown[TEXTURED, None] for shown in images]

    def showing(order: Sequence[int]) -> Images:
        colors = np.broadcast_to(COLORS[list(order)], (1, len(images), len(PATCHES), 4, 3))
        return _pictures(colors, images)

    if _alike(seen, showing((0, 1, 2, 3)), within=True):
        return None
    for name, order in {"upside down": (2, 3, 0, 1), "mirrored": (1, 0, 3, 2), "turned": (3, 2, 1, 0)}.items():
        if _alike(seen, showing(order), within=True):
            return f"its textures are {name}"
    return "with textures " + _worst(seen, showing((0, 1, 2, 3)), TEXTURED, within=True)


def _wrong_clutter(images: Images) -> str | None:
    """Check the sample whose patches are solids of clutter."""
    seen = [shown[CLUTTERED, None] for shown in images]
    expected = _pictures(patch_colors(len(images))[CLUTTERED, None], images)
    return None if _alike(seen, expected) else "with clutter " + _worst(seen, expected, CLUTTERED)


def _wrong_surroundings(images: Images) -> str | None:
    """Check the samples that are lit by surroundings and show them."""
    seen = [shown[SURROUNDED] for shown in images]
    # Of a radiance that is linear in the direction, a matt surface receives two thirds of the slope along its normal.
    light = RADIANCE * (1 + 2 / 3 * (side_views().apply([0, 0, 1]) @ SLOPES.T))
    patch = 255 * srgb_from_linear(np.clip(_DIFFUSE * light * linear_from_srgb(np.array(WHITE)), 0, 1))
    left, right, bottom, top = BORDERS
    expected = []
    for shown in seen:
        height, width = shown.shape[1:3]
        x = left + (np.arange(width) + 0.5) / width * (right - left)
        y = top - (np.arange(height) + 0.5) / height * (top - bottom)
        rays = np.stack([*np.meshgrid(x, y), np.full((height, width), -1.0)], axis=-1)
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        towards = np.einsum("bij,hwj->bhwi", side_views().as_matrix(), rays)
        sky = 255 * srgb_from_linear(np.clip(RADIANCE * (1 + towards @ SLOPES.T), 0, 1))
        patches, _, _ = _layout(shown)
        covered = (patches >= 0) & (patches != HIDDEN_PATCH)
        expected.append(np.where(covered[..., None], patch[:, None, None], sky))
    return None if _alike(seen, expected) else "with surroundings " + _worst(seen, expected, SURROUNDED.start)


def _layout(image: np.ndarray, within: bool = False) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return for each pixel (H, W) of images (B, H, W, 3): the patch it shows, -1 for the background; the quarter of
    that in reading order; and whether it is clear of edges, including those between quarters if ``within``."""
    height, width = image.shape[1:3]
    column, row = np.arange(width) + 0.5, np.arange(height) + 0.5
    patches, quarters = np.full((height, width), -1), np.zeros((height, width), int)
    clear = np.ones((height, width), bool)
    for patch, (left, right, bottom, top) in enumerate(PATCHES):
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
    """Return levels, in the images' shapes, of boards with patches of these sRGB colours (B, C, patches, 3), or with
    quarters of them (..., 4, 3)."""
    if colors.ndim == 4:
        colors = colors[..., None, :].repeat(4, axis=-2)
    background = np.broadcast_to(BACKGROUND, (*colors.shape[:2], 1, 4, 3))
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
    """Return the fraction of wrong pixels; 0 if there are none, since patches of small images may be all edge."""
    return float(wrong.mean()) if wrong.size else 0.0


def _worst(images: Images, expected: Images, first_sample: int, within: bool = False) -> str:
    """Describe the pixel that is farthest off."""
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
