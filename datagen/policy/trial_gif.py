"""A short GIF of a trial: the hand as it turns the object, and beside it the orientation that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.policy.recorder import Frame
from datagen.render import create_renderer
from datagen.render.base import Appearance, RenderOptions, Sample
from datagen.sim.interface import FloatArray
from datagen.variation import Uniform
from vision.drawing.gif import save_gif
from vision.geometry.cameras import camera_matrix, look_at
from vision.progress import progress
from vision.scene.rig import Camera, Rig
from vision.scene.scene import Scene

_SIZE = 320  # pixels, of the square picture
_GOAL_SIZE = 112  # of the goal's, inside it
_MARGIN = 8
_MILLISECONDS = 80  # a frame for each step: as fast as it happens
_BESIDE = np.array([0.005, 0.015, -0.035])  # m, from the object's start to where the camera looks
_EYE = np.array([-0.145, 0.275, 0.295])  # m, from there to the camera
_FIELD_OF_VIEW = 33.0  # degrees
_GOAL_HEIGHT = 0.3  # m above the palm: behind it the camera sees the ground alone
_GOAL_FIELD_OF_VIEW = 13.0
_LIGHTS = np.array([[-0.8, 0.63, 1.0], [0.8, 0.63, 1.1], [0.0, -0.77, 1.2]])  # m, from the object's start
_INTENSITIES = np.array([8.0, 5.0, 4.0])  # Unity's units


def film(path: Path, frames: Sequence[Frame], scene: Scene) -> None:
    """Render `frames` with the classic renderer into a GIF that repeats.

    Raises:
        DactylError: no OpenGL here, or `path` cannot be written.
    """
    start = np.array(scene.workspace.start)
    beside, above = start + _BESIDE, start + np.array([0, 0, _GOAL_HEIGHT])
    camera = _camera(beside + _EYE, beside, _FIELD_OF_VIEW)
    filmed = scene.with_rig(Rig(cameras=(camera,)))
    options = RenderOptions(mesh_fraction=1.0, shadows=False)
    with create_renderer("classic", filmed, options) as renderer, progress("filming", len(frames), "frames") as go:
        look = _look(filmed, renderer.materials)
        closer = _camera(above + _EYE, above, _GOAL_FIELD_OF_VIEW)
        goal_look = replace(look, camera_intrinsics=closer.intrinsics[None], camera_extrinsics=closer.extrinsics[None])
        pictures = []
        for index, frame in enumerate(frames):
            hand = Sample(index, frame.joint_position, frame.object_position, frame.object_quaternion, look)
            goal = replace(hand, object_position=above, object_quaternion=frame.goal_quaternion, appearance=goal_look)
            shown, asked = (images[0] for images in renderer.render([hand, goal]))
            pictures.append(_compose(shown, asked, frame.reached - frames[0].reached))
            go(1)
    save_gif(path, pictures, _MILLISECONDS)


def _camera(eye: FloatArray, target: FloatArray, fovy_deg: float) -> Camera:
    intrinsics = camera_matrix(fovy_deg, _SIZE, _SIZE)
    return Camera(name="film", width=_SIZE, height=_SIZE, intrinsics=intrinsics, extrinsics=look_at(eye, target))


def _look(scene: Scene, materials: Sequence[str]) -> Appearance:
    """Calibrated colours, a grey hand, even light; cameras where they should be."""
    nothing = Uniform(0.0, 0.0)
    config = AppearanceConfig(
        camera_position=nothing, camera_rotation_deg=nothing, camera_fovy_deg=nothing,
        robot_color=Uniform(0.5, 0.5), robot_metallic=Uniform(0.1, 0.1), robot_glossiness=Uniform(0.45, 0.45),
        object_hue=nothing, object_saturation=nothing, object_value=nothing, letter_value=Uniform(1.0, 1.0),
        background_color=Uniform(0.8, 0.8), background_glossiness=Uniform(0.1, 0.1),
    )  # fmt: skip
    look = draw_appearance(config, scene, materials, seed=0, index=0)
    return replace(look, light_position=scene.workspace.start + _LIGHTS, light_intensity=_INTENSITIES)


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
