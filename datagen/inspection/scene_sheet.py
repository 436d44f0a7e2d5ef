"""Sheet of a scene: each camera's image, with the parsed scene drawn over it, and the cameras' positions."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.appearance.sample import Sample
from datagen.inspection.scene import landmark_points
from datagen.render import create_renderer
from datagen.render.base import RenderOptions, rendered_scene
from vision.drawing.sheets import Tile, contact_sheet
from vision.drawing.wireframes import LABEL_COLOR, Wireframe, draw_wireframes
from vision.geometry.cameras import project
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray
from vision.rigs.rig import Camera
from vision.scene.scene import Scene

_KEYPOINT_COLOR = "#ff9f1a"
_LANDMARK_COLOR = "#33d6ff"
_LONGEST = 480  # pixels of the longest side of an image on the sheet


def scene_sheet(scene: Scene, renderer: str) -> Image.Image:
    """Draw a row of plain images, a row of the same with the object's edges, axes and keypoints and the hand's
    landmarks, and the cameras' frusta in the world.

    Args:
        scene: completed scene.
        renderer: ``filament`` or ``classic``.

    Raises:
        DactylError: the renderer does not work here.
    """
    drawn = rendered_scene(scene, RenderOptions(image_size=_LONGEST))
    images = drawn.rig.without_padding(_pictures(drawn, renderer))
    start = scene.workspace.start
    pose = Wireframe(scene.object, Pose(np.eye(3), np.array(start)), LABEL_COLOR, axes=True)
    marked = []
    for image, camera in zip(images, drawn.rig.cameras, strict=True):
        picture = Image.fromarray(draw_wireframes(image, [pose], camera))
        _dots(picture, camera, scene.object.keypoints + np.array(start), _KEYPOINT_COLOR)
        _dots(picture, camera, landmark_points(scene), _LANDMARK_COLOR)
        marked.append(np.asarray(picture))
    legend = [("edges", LABEL_COLOR), ("keypoints", _KEYPOINT_COLOR), ("landmarks", _LANDMARK_COLOR)]
    tiles = [Tile(images, f"{renderer}, one drawn look"), Tile(marked, "what was understood")]
    sheet = contact_sheet(tiles, 1, f"scene {scene.name}", legend, scene.rig.names)
    around = frusta(scene, 640)
    whole = Image.new("RGB", (sheet.width + around.width, max(sheet.height, around.height)), sheet.getpixel((0, 0)))
    whole.paste(sheet, (0, 0))
    whole.paste(around, (sheet.width, (whole.height - around.height) // 2))
    return whole


def _pictures(scene: Scene, renderer: str) -> np.ndarray:
    """Render images (C, H, W, 3) of the object upright at its start and the hand's initial pose, in one appearance."""
    with create_renderer(renderer, scene, RenderOptions(image_size=_LONGEST)) as drawing:
        look = draw_appearance(AppearanceConfig(), scene, drawing.materials, 0, 0)
        nominal = scene.rig.nominal
        look = replace(look, camera_intrinsics=nominal.intrinsics, camera_extrinsics=nominal.extrinsics)
        joints = scene.initial_joints
        position = np.array(scene.workspace.start)
        return np.asarray(drawing.render([Sample(0, joints, position, np.array([1.0, 0.0, 0.0, 0.0]), look)])[0])


def _dots(picture: Image.Image, camera: Camera, points: FloatArray, color: str) -> None:
    pen = ImageDraw.Draw(picture)
    radius = max(2.0, picture.width / 160)
    for x, y in project(points, camera):
        if np.isfinite((x, y)).all():
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color, outline="black")


def frusta(scene: Scene, size: int) -> Image.Image:
    """Plot object, landmarks and cameras in three dimensions, on about (size, size) pixels, depending on the labels."""
    with style.context("dark_background"):
        figure = Figure(figsize=(size / 100, size / 100), dpi=100, facecolor="#16181c")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot(projection="3d")
        axes.set_position((0.0, 0.0, 1.0, 1.0))  # labels lie outside of it
        start = np.array(scene.workspace.start)
        for edge in scene.object.edges + start:
            axes.plot(*edge.T, color=LABEL_COLOR, linewidth=0.8)
        axes.plot(*landmark_points(scene).T, ".", color=_LANDMARK_COLOR, markersize=3)
        for camera in scene.rig.cameras:
            corners = frustum_corners(camera, 0.5 * float(np.linalg.norm(camera.position - start)))
            for first, second in ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1)):
                axes.plot(*corners[[first, second]].T, color="#9aa0a6", linewidth=0.8)
            axes.text(*corners[0], camera.name)
        axes.set(xlabel="x (m)", ylabel="y (m)", zlabel="z (m)")
        axes.set_aspect("equal")
        axes.set_facecolor("#16181c")
        for side in (axes.xaxis, axes.yaxis, axes.zaxis):
            side.set_pane_color((0.0, 0.0, 0.0, 0.0))
        buffer = io.BytesIO()
        canvas.print_figure(buffer, facecolor=figure.get_facecolor(), format="png", bbox_inches="tight")
    return Image.open(buffer, formats=["PNG"]).convert("RGB")


def frustum_corners(camera: Camera, depth: float) -> FloatArray:
    """Return a camera's centre and the points seen by its image's corners (upper left, upper right, lower right, lower
    left) at a depth along its axis, (5, 3), metres, world frame."""
    pixels = np.array([[0, 0, 1], [camera.width, 0, 1], [camera.width, camera.height, 1], [0, camera.height, 1.0]])
    seen = depth * pixels @ np.linalg.inv(camera.intrinsics).T
    rotation, shift = camera.extrinsics[:3, :3], camera.extrinsics[:3, 3]
    return np.asarray((np.concatenate([np.zeros((1, 3)), seen]) - shift) @ rotation)
