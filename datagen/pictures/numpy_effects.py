"""Camera effects on rendered images, as stored values, for test sets that look like images of real cameras.

``vision.camera_effects`` says what the values mean; ``train.torch_effects`` applies the same ones to batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.variation import generator
from vision.camera_effects import CameraEffects, CameraEffectsConfig, disc_kernels, line_kernels, squared_distance
from vision.color import linear_from_srgb, srgb_from_linear
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.rigs.rig import Rig

_LIGHT = linear_from_srgb(np.arange(256) / 255).astype(np.float32)


def draw_effects(config: CameraEffectsConfig, cameras: int, seed: int, index: int) -> tuple[CameraEffects, ...]:
    """Draw the effects on each camera's image of sample ``index`` of the dataset with ``seed``; empty for none."""
    if not config.any or generator(seed, index, "effects").random() >= config.probability:
        return ()
    return tuple(config.draw(generator(seed, index, f"effects/{camera}"), 1)[0] for camera in range(cameras))


def apply_effects(images: NDArray[np.uint8], effects: Sequence[CameraEffects], rig: Rig) -> NDArray[np.uint8]:
    """Apply effects to the images (C, H, W, 3) of a rig's cameras; without effects, return the same array.

    Raises:
        DactylError: there are effects, but not one for each camera.
    """
    if not effects:
        return images
    if len(effects) != len(rig):
        raise DactylError(f"effects on {len(effects)} images, there are {len(rig)} cameras; make the dataset again")
    own = rig.without_padding(images)
    return rig.padded(
        [
            photograph(image, one, unit_noise(one, *image.shape[:2]) if one.noisy else None)
            for image, one in zip(own, effects, strict=True)
        ]
    )


def photograph(image: NDArray[np.uint8], effects: CameraEffects, noise: FloatArray | None) -> NDArray[np.uint8]:
    """Return an image (H, W, 3), RGB, sRGB-encoded, as a camera with these effects delivers it.

    Args:
        noise: (H, W, 3), of variance 1, as of :func:`unit_noise`; None for no noise.
    """
    height, width = image.shape[:2]
    light: NDArray[Any] = _LIGHT[image]
    if effects.defocus:
        light = _convolved(light, disc_kernels(np.array([effects.defocus * width])))
    if effects.motion:
        light = _convolved(light, line_kernels(np.array([effects.motion * width]), np.array([effects.motion_angle])))
    light = light * effects.gains * (1 - effects.vignette * squared_distance(height, width))[..., None]
    if noise is not None:
        light = light + noise * np.sqrt(effects.shot_noise**2 * np.maximum(light, 0) + effects.read_noise**2)
    levels = srgb_from_linear(np.clip(light, 0.0, 1.0)) ** np.exp2(effects.gamma)
    taken: NDArray[np.uint8] = np.rint(255 * levels).astype(np.uint8)
    if effects.jpeg_quality:
        import cv2  # late: most images do not need it

        _, file = cv2.imencode(".jpg", taken[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, effects.jpeg_quality])
        taken = np.array(cv2.imdecode(file, cv2.IMREAD_COLOR))[..., ::-1]
    return taken


def unit_noise(effects: CameraEffects, height: int, width: int) -> FloatArray:
    """Return Gaussian noise (H, W, 3) of variance 1, partly coloured, from the effects' own seed."""
    rng = np.random.Generator(np.random.Philox(key=effects.noise_seed))
    grey = rng.standard_normal((height, width, 1))
    blots = rng.standard_normal((-(-height // 2), -(-width // 2), 3))
    blots = blots.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.asarray(np.sqrt(1 - effects.chroma) * grey + np.sqrt(effects.chroma) * blots)


def _convolved(light: NDArray[Any], kernels: FloatArray) -> NDArray[Any]:
    import cv2

    return np.asarray(cv2.filter2D(light, -1, kernels[0].astype(np.float32), borderType=cv2.BORDER_REPLICATE))
