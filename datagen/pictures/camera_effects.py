"""Effects of a real camera on its images, as stored values, for test sets that look like images of real cameras.

Trainings apply the same effects on their device, drawn again for each batch (``train.camera_model``). In order: the
lens blurs, motion smears, the lens darkens the corners and gains scale, the sensor adds noise and clips, the tone curve
encodes, JPEG compresses. Everything up to the clipping acts on linear light, not on pixel levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.variation import generator
from vision.bounds import fraction
from vision.color import linear_from_srgb, srgb_from_linear
from vision.distributions import Uniform, UniformInt
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.scene.rig import Rig

_ZERO = Uniform(0.0, 0.0)
_LIGHT = linear_from_srgb(np.arange(256) / 255).astype(np.float32)
_LARGEST_BLUR = 0.1  # of the image's width


@dataclass(frozen=True)
class CameraEffectsConfig:
    """Ranges of camera effects, one draw for each image. The defaults change nothing.

    Attributes:
        probability: probability that a sample's images go through the camera.
        defocus: radius of the disc that a point becomes, as a fraction of the image's width.
        motion: path of a point while the shutter is open, as a fraction of the image's width; in any direction.
        vignette: fraction of the light that is lost in the corners.
        exposure: change of exposure, in stops (factors of two).
        white_balance: change of the gains of red and of blue, in stops.
        shot_noise: standard deviation at white, as a fraction of white; the variance grows with the light.
        read_noise: standard deviation that every pixel has, as a fraction of white.
        chroma: fraction of the noise's variance that is coloured, in blots of two by two pixels.
        gamma: levels from 0 to 1 are raised to the power of 2 to this.
        jpeg_quality: 1 to 100; 0 for no compression.
    """

    probability: float = 0.0
    defocus: Uniform = _ZERO
    motion: Uniform = _ZERO
    vignette: Uniform = _ZERO
    exposure: Uniform = _ZERO
    white_balance: Uniform = _ZERO
    shot_noise: Uniform = _ZERO
    read_noise: Uniform = _ZERO
    chroma: Uniform = Uniform(0.5, 0.5)
    gamma: Uniform = _ZERO
    jpeg_quality: UniformInt = UniformInt(0, 0)

    def __post_init__(self) -> None:
        fraction(self, "probability")
        most = {"defocus": _LARGEST_BLUR, "motion": _LARGEST_BLUR, "jpeg_quality": 100}
        for name in ("defocus", "motion", "vignette", "shot_noise", "read_noise", "chroma", "jpeg_quality"):
            found = getattr(self, name)
            if not 0 <= found.low <= found.high <= most.get(name, 1):
                raise ValueError(f"{name}: must lie in [0, {most.get(name, 1)}], got {found.low} to {found.high}")
        for name in ("exposure", "white_balance", "gamma"):
            found = getattr(self, name)
            if not -8 <= found.low <= found.high <= 8:
                raise ValueError(f"{name}: must lie in [-8, 8], got {found.low} to {found.high}")

    @property
    def any(self) -> bool:
        """Whether some sample may have camera effects."""
        return self.probability > 0


@dataclass(frozen=True)
class CameraEffects:
    """Effects of a camera on one image, as stored in a sample. :class:`CameraEffectsConfig` gives units and the rest.

    Attributes:
        motion_angle: angle of the path to the image's x axis, radians.
        red, blue: changes of the gains of red and blue, in stops.
        noise_seed: seed of the noise.
    """

    defocus: float
    motion: float
    motion_angle: float
    vignette: float
    exposure: float
    red: float
    blue: float
    shot_noise: float
    read_noise: float
    chroma: float
    gamma: float
    jpeg_quality: int
    noise_seed: int

    @classmethod
    def from_json(cls, values: Any) -> CameraEffects:
        """Restore effects; raise KeyError, TypeError or ValueError if the values are not valid."""
        whole = ("jpeg_quality", "noise_seed")
        found = {one.name: (int if one.name in whole else float)(values[one.name]) for one in fields(cls)}
        blur = max(abs(found["defocus"]), abs(found["motion"]))
        if not np.isfinite(list(found.values())).all() or blur > _LARGEST_BLUR or not 0 <= found["jpeg_quality"] <= 100:
            raise ValueError(f"camera_effects: {found}")
        return cls(**found)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return values from which ``from_json`` restores the same effects bit by bit."""
        return asdict(self)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Apply the effects to an image (H, W, 3), RGB, sRGB-encoded."""
        width = image.shape[1]
        light: NDArray[Any] = _LIGHT[image]
        if self.defocus:
            light = _convolved(light, disc_kernel(self.defocus * width))
        if self.motion:
            light = _convolved(light, line_kernel(self.motion * width, self.motion_angle))
        gains = np.exp2(self.exposure + np.array([self.red, 0.0, self.blue]))
        light = light * gains * (1 - self.vignette * _square_of_distance(*image.shape[:2]))[..., None]
        if self.shot_noise or self.read_noise:
            light = light + self._noise(light)
        levels = srgb_from_linear(np.clip(light, 0.0, 1.0)) ** np.exp2(self.gamma)
        taken: NDArray[np.uint8] = np.rint(255 * levels).astype(np.uint8)
        if self.jpeg_quality:
            import cv2  # late: most images do not need it

            _, file = cv2.imencode(".jpg", taken[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])
            taken = np.array(cv2.imdecode(file, cv2.IMREAD_COLOR))[..., ::-1]
        return taken

    def _noise(self, light: NDArray[Any]) -> FloatArray:
        """Draw Gaussian noise (H, W, 3) with the variance of shot noise and read-out."""
        rng = np.random.Generator(np.random.Philox(key=self.noise_seed))
        height, width = light.shape[:2]
        grey = rng.standard_normal((height, width, 1))
        blots = rng.standard_normal((-(-height // 2), -(-width // 2), 3))
        blots = blots.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
        unit = np.sqrt(1 - self.chroma) * grey + np.sqrt(self.chroma) * blots
        return np.asarray(unit * np.sqrt(self.shot_noise**2 * np.maximum(light, 0) + self.read_noise**2))


def draw_effects(config: CameraEffectsConfig, cameras: int, seed: int, index: int) -> tuple[CameraEffects, ...]:
    """Draw the effects on each camera's image of sample ``index`` of the dataset with ``seed``; empty for none."""
    if not config.any or generator(seed, index, "effects").random() >= config.probability:
        return ()
    drawn = []
    for camera in range(cameras):
        rng = generator(seed, index, f"effects/{camera}")
        ranges = ("defocus", "motion", "vignette", "exposure", "shot_noise", "read_noise", "chroma", "gamma")
        values = {name: float(getattr(config, name)(rng)) for name in ranges}
        red, blue = (float(value) for value in config.white_balance(rng, 2))
        angle, quality = float(rng.uniform(0, np.pi)), config.jpeg_quality(rng)
        drawn.append(
            CameraEffects(
                **values,
                motion_angle=angle,
                red=red,
                blue=blue,
                jpeg_quality=quality,
                noise_seed=int(rng.integers(2**62)),
            )
        )
    return tuple(drawn)


def photographed(images: NDArray[np.uint8], effects: Sequence[CameraEffects], rig: Rig) -> NDArray[np.uint8]:
    """Apply effects to the images (C, H, W, 3) of a rig's cameras; without effects, return the same array.

    Raises:
        DactylError: there are effects, but not one for each camera.
    """
    if not effects:
        return images
    if len(effects) != len(rig):
        raise DactylError(f"effects on {len(effects)} images, there are {len(rig)} cameras; make the dataset again")
    return rig.padded([one(image) for one, image in zip(effects, rig.without_padding(images), strict=True)])


def disc_kernel(radius: float) -> FloatArray:
    """Return the image (K, K), of sum 1, of a defocused point with this radius in pixels."""
    x, y = _offsets(radius)
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0.0, 1.0)
    return np.asarray(kernel / kernel.sum())


def line_kernel(length: float, angle: float) -> FloatArray:
    """Return the image (K, K), of sum 1, of a point that moves this many pixels at this angle (rad) to the x axis."""
    x, y = _offsets(length / 2)
    along, across = np.abs(x * np.cos(angle) + y * np.sin(angle)), np.abs(y * np.cos(angle) - x * np.sin(angle))
    kernel = np.clip(length / 2 + 0.5 - along, 0.0, 1.0) * np.maximum(1.0 - across, 0.0)
    return np.asarray(kernel / kernel.sum())


def _offsets(reach: float) -> tuple[FloatArray, FloatArray]:
    """Return x and y (K, K), pixels from the centre, with room for the reach and an anti-aliased edge."""
    half = int(reach + 0.5) + 1
    x, y = np.meshgrid(np.arange(-half, half + 1.0), np.arange(-half, half + 1.0))
    return x, y


def _convolved(light: NDArray[Any], kernel: FloatArray) -> NDArray[Any]:
    import cv2

    return np.asarray(cv2.filter2D(light, -1, kernel.astype(np.float32), borderType=cv2.BORDER_REPLICATE))


def _square_of_distance(height: int, width: int) -> FloatArray:
    """Return squared distances from the image's centre, (H, W), scaled to 1 in the corners."""
    y, x = ((np.arange(size) + 0.5 - size / 2) ** 2 for size in (height, width))
    return np.asarray((y[:, None] + x) * 4 / (height**2 + width**2))
