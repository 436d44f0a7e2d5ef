"""Short GIF of a trial: the hand as it turns the object, with an inset of the goal orientation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from datagen.appearance.draw import draw_appearance
from datagen.appearance.plain import PLAIN_LOOK
from datagen.appearance.sample import Appearance, Sample
from datagen.policy.recorder import RecordedStep
from datagen.render import create_renderer
from datagen.render.base import RenderOptions
from datagen.sim.materials import Material
from datagen.sim.scene import compile_scene
from vision.distributions import Uniform
from vision.drawing.gif import save_gif
from vision.geometry.cameras import camera_matrix, look_at
from vision.geometry.rotations import FloatArray
from vision.machine.progress import progress
from vision.published import STEP_SECONDS
from vision.rigs.rig import Camera, Rig
from vision.scene.scene import Scene

_SIZE = 320  # pixels, width and height of the image
_GOAL_SIZE = 112  # pixels, width and height of the goal's inset
_MARGIN = 8
_MILLISECONDS = round(1000 * STEP_SECONDS)  # one frame per step: real time
_FIELD_OF_VIEW = 33.0  # degrees
_GOAL_FIELD_OF_VIEW = 13.0
_GOAL_RADIUS = 0.6  # radius around the centre that the goal's image shows, in diameters of the object
_LIGHTS = np.array([[-0.8, 0.63, 1.0], [0.8, 0.63, 1.1], [0.0, -0.77, 1.2]])  # m, from the object's start
_INTENSITIES = np.array([8.0, 5.0, 4.0])  # Unity's units
_OPTIONS = RenderOptions(mesh_fraction=1.0, shadows=False)


def film(path: Path, frames: Sequence[RecordedStep], scene: Scene) -> None:
    """Render ``frames`` with the classic renderer into a looping GIF.

    The goal is a separate image of the object alone: anywhere in the hand's image, some hand or arm would reach into
    it.

    Raises:
        DactylError: OpenGL is not available, or ``path`` cannot be written.
    """
    start = np.array(scene.workspace.start)
    filmed = scene.with_rig(Rig(cameras=(film_camera(scene),)))
    goal_radius = _GOAL_RADIUS * scene.object.diameter
    closer = _camera(start, goal_radius, _direction(scene), _GOAL_FIELD_OF_VIEW)
    alone = msgspec.structs.replace(scene.with_rig(Rig(cameras=(closer,))), hand=None)
    pictures: list[Image.Image] = []
    with (
        create_renderer("classic", filmed, _OPTIONS) as hand,
        create_renderer("classic", alone, _OPTIONS) as goal,
        progress("filming", len(frames), "frames") as go,
    ):
        look, goal_look = _look(filmed, hand.materials), _look(alone, goal.materials)
        for index, frame in enumerate(frames):
            present = Sample(index, frame.joint_position, frame.object_position, frame.object_quaternion, look)
            wanted = Sample(index, np.zeros(0), start, frame.goal_quaternion, goal_look)
            shown, asked = hand.render([present])[0, 0], goal.render([wanted])[0, 0]
            pictures.append(_compose(shown, asked, frame.reached - frames[0].reached))
            go(1)
    save_gif(path, pictures, _MILLISECONDS)


def film_camera(scene: Scene) -> Camera:
    """Return a camera whose image contains the fingertips of the hand's initial pose and the object near them.

    It looks from the direction of one of the rig's cameras, which are known to see the object.

    Args:
        scene: completed scene with a hand.
    """
    compiled = compile_scene(scene)
    data = mujoco.MjData(compiled.model)
    data.qpos[compiled.hand_qpos] = scene.initial_joints
    mujoco.mj_kinematics(compiled.model, data)
    points = np.vstack([scene.workspace.start, data.site_xpos[compiled.fingertip_sites]])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    radius = float(np.linalg.norm(points - middle, axis=1).max()) + scene.object.diameter
    return _camera(middle, radius, _direction(scene), _FIELD_OF_VIEW)


def _direction(scene: Scene) -> FloatArray:
    """Return the unit vector (3,) from the object to the rig's camera whose elevation is closest to 45 degrees: from
    straight above, a hand has no depth; from the side, its fingers hide the object."""
    away = np.stack([camera.position for camera in scene.rig.cameras]) - scene.workspace.start
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return np.asarray(away[np.abs(away[:, 2] - np.sqrt(0.5)).argmin()])


def _camera(middle: FloatArray, radius: float, direction: FloatArray, fovy_deg: float) -> Camera:
    """Return a camera whose image is filled by a sphere around ``middle``, (3,), metres, world frame."""
    distance = radius / np.sin(np.deg2rad(fovy_deg) / 2)
    intrinsics = camera_matrix(fovy_deg, _SIZE, _SIZE)
    extrinsics = look_at(middle + distance * direction, middle)
    return Camera(name="film", width=_SIZE, height=_SIZE, intrinsics=intrinsics, extrinsics=extrinsics)


def _look(scene: Scene, materials: Sequence[Material]) -> Appearance:
    """Return the plain appearance on a light background, in even light."""
    light = replace(PLAIN_LOOK, background_color=Uniform(0.8, 0.8), background_glossiness=Uniform(0.1, 0.1))
    look = draw_appearance(light, scene, materials, seed=0, index=0)
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
    beside = (_MARGIN, _MARGIN)  # with a light rim, because the image is dark beyond the ground
    draw.text(beside, f"goals reached: {reached}", fill=(40, 40, 40), font=font, stroke_width=2, stroke_fill="white")
    return picture
