"""A short GIF of a trial: the hand as it turns the object, and beside it the orientation that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial.transform import Rotation

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.policy.recorder import Frame
from datagen.render import create_renderer
from datagen.render.base import Appearance, RenderOptions, Sample
from datagen.sim.interface import FloatArray
from datagen.variation import Uniform
from vision.drawing.gif import save_gif
from vision.geometry.cameras import DACTYL_RIG
from vision.geometry.rotations import quaternion_from_rotation
from vision.progress import progress
from vision.scene.workspace import PALM

_SIZE = 320  # pixels, of the square picture
_GOAL_SIZE = 112  # of the goal's, inside it
_MARGIN = 8
_MILLISECONDS = 80  # a frame for each step: as fast as it happens
_EYE = np.array([0.86, 1.16, 0.46])  # m, world frame
_TARGET = np.array([1.005, 0.885, 0.165])
_FIELD_OF_VIEW = 33.0  # degrees
_GOAL_HEIGHT = 0.3  # m above the palm: behind it the camera sees the ground alone
_GOAL_FIELD_OF_VIEW = 13.0
_LIGHTS = np.array([[0.2, 1.5, 1.2], [1.8, 1.5, 1.3], [1.0, 0.1, 1.4]])  # m
_INTENSITIES = np.array([8.0, 5.0, 4.0])  # Unity's units


def film(path: Path, frames: Sequence[Frame], object_name: str) -> None:
    """Render `frames` with the classic renderer into a GIF that repeats.

    Raises:
        DactylError: no OpenGL here, or `path` cannot be written.
    """
    options = RenderOptions(image_size=_SIZE, mesh_fraction=1.0, shadows=False)
    with create_renderer("classic", object_name, options) as renderer, progress("filming", len(frames), "frames") as go:
        look = _look(object_name, renderer.materials)
        above = np.add(PALM, (0, 0, _GOAL_HEIGHT))
        pictures = []
        for index, frame in enumerate(frames):
            hand = Sample(index, frame.joint_position, frame.object_position, frame.object_quaternion, look)
            goal = replace(hand, object_position=above, object_quaternion=frame.goal_quaternion)
            there = replace(goal, appearance=_seen_from(look, above + (_EYE - _TARGET), above, _GOAL_FIELD_OF_VIEW))
            shown, asked = (images[0] for images in renderer.render([hand, there]))
            pictures.append(_compose(shown, asked, frame.reached - frames[0].reached))
            go(1)
    save_gif(path, pictures, _MILLISECONDS)


def _look(object_name: str, materials: Sequence[str]) -> Appearance:
    """Calibrated colours, a grey hand, even light; the first camera looks at the hand."""
    nothing = Uniform(0.0, 0.0)
    config = AppearanceConfig(
        camera_position=nothing, camera_rotation_deg=nothing, camera_fovy_deg=nothing,
        robot_color=Uniform(0.5, 0.5), robot_metallic=Uniform(0.1, 0.1), robot_glossiness=Uniform(0.45, 0.45),
        object_hue=nothing, object_saturation=nothing, object_value=nothing, letter_value=Uniform(1.0, 1.0),
        background_color=Uniform(0.8, 0.8), background_glossiness=Uniform(0.1, 0.1),
    )  # fmt: skip
    look = draw_appearance(config, DACTYL_RIG, object_name, materials, seed=0, index=0)
    look = replace(look, light_position=_LIGHTS, light_intensity=_INTENSITIES)
    return _seen_from(look, _EYE, _TARGET, _FIELD_OF_VIEW)


def _seen_from(look: Appearance, eye: FloatArray, target: FloatArray, fovy_deg: float) -> Appearance:
    """The same with all cameras at `eye`, looking at `target` (m, world frame), the world's z upwards."""
    back = (eye - target) / np.linalg.norm(eye - target)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    turn = Rotation.from_matrix(np.column_stack([right, np.cross(back, right), back]))
    count = len(look.camera_fovy_deg)
    return replace(
        look,
        camera_position=np.tile(eye, (count, 1)),
        camera_quaternion=np.tile(quaternion_from_rotation(turn), (count, 1)),
        camera_fovy_deg=np.full(count, fovy_deg),
    )


def _compose(hand: NDArray[np.uint8], goal: NDArray[np.uint8], reached: int) -> Image.Image:
    picture = Image.fromarray(hand)
    inset = Image.fromarray(goal).resize((_GOAL_SIZE, _GOAL_SIZE), Image.Resampling.LANCZOS)
    corner = _SIZE - _GOAL_SIZE - _MARGIN
    picture.paste(inset, (corner, _MARGIN))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=15)
    draw.rectangle((corner - 1, _MARGIN - 1, corner + _GOAL_SIZE, _MARGIN + _GOAL_SIZE), outline=(40, 40, 40))
    draw.text((corner + 6, _MARGIN + 3), "goal", fill=(40, 40, 40), font=font)
    draw.text((_MARGIN, _MARGIN), f"goals reached: {reached}", fill=(40, 40, 40), font=font)
    return picture
