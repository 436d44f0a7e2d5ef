"""Appearance of a sample: the rows of Table 9, drawn in Python and stored with the sample.

Image contrast and pixel noise, the table's last two rows, are applied after rendering and normalisation, in
``train.image_augmentation``.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from datagen.appearance.clutter import ClutterConfig
from datagen.appearance.sample import Appearance
from datagen.pictures.numpy_effects import draw_effects
from datagen.pictures.surroundings_pool import SURROUNDINGS, SurroundingsConfig, draw_use
from datagen.pictures.texture_pool import TEXTURES, TextureConfig, draw_textures
from datagen.sim.materials import Material
from datagen.variation import generator, unit_vector
from vision.camera_effects import CameraEffectsConfig
from vision.distributions import Uniform, UniformInt
from vision.geometry.cameras import change_field_of_view, displace
from vision.geometry.rotations import FloatArray
from vision.io.json_values import to_jsonable
from vision.objects.pose_object import Color
from vision.published import CAMERA_FOVY_DEG, CAMERA_POSITION_M, CAMERA_ROTATION_DEG
from vision.rigs.rig import Rig
from vision.scene.scene import Scene


@dataclass(frozen=True)
class AppearanceConfig:
    """Ranges of the visual randomizations, one draw for each image triplet. Defaults are Table 9's unless stated
    otherwise.

    Attributes:
        camera_position: displacement of a camera along each axis, metres.
        camera_rotation_deg: angle of a camera's rotation about a random axis, degrees.
        camera_fovy_deg: change of a camera's vertical field of view, degrees.
        robot_color: each sRGB channel of the colour of each link of the hand.
        robot_metallic: metallic fraction of each link of the hand.
        robot_glossiness: glossiness of each link of the hand; 1 - roughness.
        object_hue: shift of a face's calibrated hue, in turns.
        object_saturation: shift of a face's calibrated saturation.
        object_value: shift of a face's calibrated value (the V of HSV).
        object_metallic: metallic fraction of each face and letter.
        object_glossiness: glossiness of each face and letter.
        letter_value: grey level of each white letter (ORRB).
        background_color: each sRGB channel of the background (the paper randomises it without giving a range).
        background_metallic: metallic fraction of the background (as the robot's).
        background_glossiness: glossiness of the background (as the robot's).
        lights: number of lights.
        light_distance: distance of a light from the hand, metres (ORRB's range); its direction is uniform on the upper
            half-sphere.
        light_relative_intensity: intensity of each light relative to the others.
        light_total_intensity: intensity of all lights together, in Unity's units.
        textures: on surfaces; needs ``render.textures``.
        clutter: objects behind, beside and in front of hand and object, and fingers from above.
        surroundings: rooms, studios, skies and images that light the scene and are seen behind it.
        camera_effects: blur, exposure, noise, JPEG and more on the rendered images; for test sets.
    """

    camera_position: Uniform = Uniform(-CAMERA_POSITION_M, CAMERA_POSITION_M)
    camera_rotation_deg: Uniform = Uniform(0.0, CAMERA_ROTATION_DEG)
    camera_fovy_deg: Uniform = Uniform(-CAMERA_FOVY_DEG, CAMERA_FOVY_DEG)
    robot_color: Uniform = Uniform(0.0, 1.0)
    robot_metallic: Uniform = Uniform(0.05, 0.25)
    robot_glossiness: Uniform = Uniform(0.0, 1.0)
    object_hue: Uniform = Uniform(-0.01, 0.01)
    object_saturation: Uniform = Uniform(-0.15, 0.15)
    object_value: Uniform = Uniform(-0.15, 0.15)
    object_metallic: Uniform = Uniform(0.05, 0.15)
    object_glossiness: Uniform = Uniform(0.05, 0.15)
    letter_value: Uniform = Uniform(0.5, 1.0)
    background_color: Uniform = Uniform(0.0, 1.0)
    background_metallic: Uniform = Uniform(0.05, 0.25)
    background_glossiness: Uniform = Uniform(0.0, 1.0)
    lights: UniformInt = UniformInt(4, 6)
    light_distance: Uniform = Uniform(1.0, 1.5)
    light_relative_intensity: Uniform = Uniform(1.0, 5.0)
    light_total_intensity: Uniform = Uniform(0.0, 15.0)
    textures: TextureConfig = field(default_factory=TextureConfig)
    clutter: ClutterConfig = field(default_factory=ClutterConfig)
    surroundings: SurroundingsConfig = field(default_factory=SurroundingsConfig)
    camera_effects: CameraEffectsConfig = field(default_factory=CameraEffectsConfig)

    def __post_init__(self) -> None:
        shares = (
            "robot_color robot_metallic robot_glossiness object_metallic object_glossiness letter_value "
            "background_color background_metallic background_glossiness"
        )
        for name in shares.split():
            variation = getattr(self, name)
            if variation.low < 0 or variation.high > 1:
                raise ValueError(f"{name}: must lie in [0, 1], got {variation.low} to {variation.high}")
        if not 1 <= self.lights.low <= self.lights.high <= 6:
            raise ValueError(f"lights: the scene has 1 to 6, got {self.lights.low} to {self.lights.high}")
        for name in ("light_distance", "light_relative_intensity"):
            if getattr(self, name).low <= 0:
                raise ValueError(f"{name}: must be positive, got {getattr(self, name).low}")
        if self.light_total_intensity.low < 0:
            raise ValueError(f"light_total_intensity: must not be negative, got {self.light_total_intensity.low}")

    def identity(self) -> dict[str, Any]:
        """Return the keys that, with the seed, determine the appearances: folders by what is in them, keys added later
        only if they are used."""
        identity: dict[str, Any] = to_jsonable(self)
        identity["textures"] = self.textures.identity()
        if not self.clutter.any:
            del identity["clutter"]
        if not self.camera_effects.any:
            del identity["camera_effects"]
        if not self.surroundings.any:
            del identity["surroundings"]
        elif self.surroundings.folder is not None:
            identity["surroundings"]["folder"] = SURROUNDINGS.folder_hash(self.surroundings.folder)
        return identity

    def folder_hashes(self) -> dict[str, str]:
        """Return hashes of the folders of pictures that are used, by their use and place."""
        folders = (("textures", TEXTURES, self.textures), ("surroundings", SURROUNDINGS, self.surroundings))
        return {
            f"{use} {one.folder}": pool.folder_hash(one.folder) for use, pool, one in folders if one.any and one.folder
        }


def draw_appearance(
    config: AppearanceConfig,
    scene: Scene,
    materials: Sequence[Material],
    seed: int,
    index: int,
    recording: int | None = None,
) -> Appearance:
    """Draw the appearance of sample ``index`` of the dataset with ``seed``; the result depends on nothing else.

    Args:
        config: ranges.
        scene: scene whose cameras are displaced and whose workspace is lit.
        materials: materials of the compiled scene.
        seed, index: key of every generator.
        recording: number used instead of ``index`` for the cameras, which all samples of a recording share.
    """
    rgb, metallic, glossiness = _materials(config, materials, seed, index)
    light_position, light_intensity = _lights(config, scene, seed, index)
    intrinsics, extrinsics = _cameras(config, scene.rig, seed, index if recording is None else recording)
    textures = draw_textures(config.textures, materials, seed, index)
    return Appearance(
        rgb,
        metallic,
        glossiness,
        light_position,
        light_intensity,
        intrinsics,
        extrinsics,
        textures,
        surroundings=draw_use(config.surroundings, seed, index),
        camera_effects=draw_effects(config.camera_effects, len(scene.rig), seed, index),
    )


def _materials(
    config: AppearanceConfig, materials: Sequence[Material], seed: int, index: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw materials with one generator each, so that their values do not depend on the scene's other materials."""
    rgb = np.empty((len(materials), 3))
    metallic, glossiness = np.empty(len(materials)), np.empty(len(materials))
    for number, material in enumerate(materials):
        rng = generator(seed, index, f"material/{material}")
        if material.part is not None:
            letter = material.group == "letter"
            rgb[number] = config.letter_value(rng) if letter else _calibrated(config, material.part.color, rng)
            metallic[number], glossiness[number] = config.object_metallic(rng), config.object_glossiness(rng)
        elif material.group == "link":
            rgb[number] = config.robot_color(rng, 3)
            metallic[number], glossiness[number] = config.robot_metallic(rng), config.robot_glossiness(rng)
        else:
            rgb[number] = config.background_color(rng, 3)
            metallic[number], glossiness[number] = config.background_metallic(rng), config.background_glossiness(rng)
    return rgb, metallic, glossiness


def _calibrated(config: AppearanceConfig, color: Color, rng: np.random.Generator) -> tuple[float, float, float]:
    """Shift the calibrated colour in hue, saturation and value, defined as in Unity's colour picker (sRGB-encoded)."""
    hue, saturation, value = colorsys.rgb_to_hsv(*color)
    hue = (hue + float(config.object_hue(rng))) % 1.0
    saturation = float(np.clip(saturation + config.object_saturation(rng), 0.0, 1.0))
    value = float(np.clip(value + config.object_value(rng), 0.0, 1.0))
    return colorsys.hsv_to_rgb(hue, saturation, value)


def _lights(config: AppearanceConfig, scene: Scene, seed: int, index: int) -> tuple[FloatArray, FloatArray]:
    """Draw positions (L, 3) on the upper half-sphere, and intensities (L,) that add up to the total."""
    count = config.lights(generator(seed, index, "light.count"))
    direction = unit_vector(generator(seed, index, "light.direction"), count)
    direction[:, 2] = np.abs(direction[:, 2])
    distance = config.light_distance(generator(seed, index, "light.distance"), count)
    relative = config.light_relative_intensity(generator(seed, index, "light.relative_intensity"), count)
    total = config.light_total_intensity(generator(seed, index, "light.total_intensity"))
    return np.asarray(scene.workspace.light_centre) + distance[:, None] * direction, total * relative / relative.sum()


def _cameras(config: AppearanceConfig, rig: Rig, seed: int, index: int) -> tuple[FloatArray, FloatArray]:
    """Draw the true cameras: K (C, 3, 3) in pixels and T (C, 4, 4), world to camera."""
    count, nominal = len(rig), rig.nominal
    shift = config.camera_position(generator(seed, index, "camera.position"), (count, 3))
    axis = unit_vector(generator(seed, index, "camera.axis"), count)
    angle = np.deg2rad(config.camera_rotation_deg(generator(seed, index, "camera.rotation"), count))
    fovy = config.camera_fovy_deg(generator(seed, index, "camera.fovy"), count)
    turn = Rotation.from_rotvec(axis * angle[:, None]).as_matrix()
    return (
        change_field_of_view(nominal.intrinsics, nominal.height, fovy),
        displace(nominal.extrinsics, turn, shift),
    )
