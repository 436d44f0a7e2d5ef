"""An appearance in which nothing varies."""

from __future__ import annotations

from datagen.appearance.draw import AppearanceConfig
from vision.distributions import Uniform, UniformInt


def _always(value: float) -> Uniform:
    return Uniform(value, value)


PLAIN_LOOK = AppearanceConfig(
    camera_position=_always(0.0),
    camera_rotation_deg=_always(0.0),
    camera_fovy_deg=_always(0.0),
    robot_color=_always(0.5),
    robot_metallic=_always(0.15),
    robot_glossiness=_always(0.5),
    object_hue=_always(0.0),
    object_saturation=_always(0.0),
    object_value=_always(0.0),
    object_metallic=_always(0.1),
    object_glossiness=_always(0.1),
    letter_value=_always(1.0),
    background_color=_always(0.3),
    background_metallic=_always(0.15),
    background_glossiness=_always(0.5),
    lights=UniformInt(5, 5),
    light_distance=_always(1.25),
    light_relative_intensity=_always(1.0),
    light_total_intensity=_always(7.5),
)
"""The middle of the ranges of Table 9: a grey hand on darker grey, calibrated object colours, nominal cameras."""
