"""Made-up image triplets for tests: the object drawn as flat polygons through the three cameras, without a simulator.

The pictures have what a pose network needs (coloured, lettered faces in true perspective, displaced cameras, clutter
behind and finger-like bars in front) and nothing else. They are written as an ordinary dataset through
``vision.storage.shards``, so that every reader is exercised.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from PIL import Image, ImageDraw
from scipy.spatial.transform import Rotation

from tests.scenes import JOINTS
from tests.scenes import scene as scene_of
from vision.geometry.cameras import Cameras, change_field_of_view, displace, project
from vision.geometry.rotations import quaternion_from_rotation
from vision.io.json_values import fingerprint
from vision.objects.pose_object import Face, PoseObject
from vision.scene.scene import Scene
from vision.storage.folders import MANIFEST
from vision.storage.manifest import DatasetManifest
from vision.storage.records import write_record
from vision.storage.shards import encode_sample, write_shard

WORKSPACE = np.array([1.02, 0.87, 0.145])  # metres; where the block sits in the hand
_SUPERSAMPLING = 2


def make_dataset(
    folder: Path,
    samples: int,
    *,
    seed: int = 0,
    image_size: int = 200,
    object_name: str = "block",
    scene: Scene | None = None,
    clutter: bool = True,
    spread: float = 0.02,
    samples_per_shard: int = 256,
    samples_per_episode: int = 4,
) -> Path:
    """Write a dataset of ``samples`` triplets and return ``folder``.

    Args:
        seed: equal seeds give equal bytes.
        image_size: pixels, square; with
        object_name: of the scene, where ``scene`` is not given.
        clutter: random background, occluding bars and displaced cameras as in Table 9; else grey and nominal.
        spread: standard deviation of the object's centre around the workspace's, metres.
    """
    config = {"synthetic": True, "seed": seed, "samples": samples, "image_size": image_size, "clutter": clutter}
    mark = fingerprint(config)
    renderer = {"name": "synthetic", "version": "1", "device": "cpu", "api": "PIL"}
    scene = scene or scene_of(object_name, image_size)
    shards = []
    for number, first in enumerate(range(0, samples, samples_per_shard)):
        indices = range(first, min(first + samples_per_shard, samples))
        drawn = (_sample(index, seed, scene, clutter, spread, samples_per_episode) for index in indices)
        shards.append(write_shard(folder, number, _members(drawn, scene), mark, renderer))
    manifest = DatasetManifest(
        scene=scene.to_json(),
        seed=seed,
        config=config,
        samples=samples,
        shards=tuple(shards),
    )
    write_record(folder / MANIFEST, manifest)
    return folder


def draw_triplet(
    target: PoseObject,
    position: np.ndarray,
    rotation: np.ndarray,
    matrices: np.ndarray,
    transforms: np.ndarray,
    image_size: int,
    generator: np.random.Generator,
    clutter: bool = True,
) -> np.ndarray:
    """Images (C, image_size, image_size, 3) uint8 of the object at ``position`` (3,) metres and ``rotation`` (3, 3)
    through cameras K (C, 3, 3) and T (C, 4, 4)."""
    colors = {face.name: _jitter(np.array(face.color), generator if clutter else None) for face in target.faces}
    light = Rotation.random(random_state=generator).as_matrix()[0] if clutter else np.array([0.0, 0.0, 1.0])
    bars = _bars(position, generator) if clutter else []
    scale = _SUPERSAMPLING
    images = []
    for matrix, transform in zip(matrices, transforms, strict=True):
        canvas = Image.new("RGB", (image_size * scale, image_size * scale), (128, 128, 128))
        pen = ImageDraw.Draw(canvas)
        if clutter:
            _background(pen, canvas.width, generator)
        enlarged = np.diag([scale, scale, 1.0]) @ matrix
        eye = -transform[:3, :3].T @ transform[:3, 3]
        for face in target.faces:
            _draw_face(pen, target, face, colors[face.name], light, position, rotation, enlarged, transform, eye)
        for start, end, color in bars:
            _draw_bar(pen, start, end, color, enlarged, transform)
        images.append(np.asarray(canvas.resize((image_size, image_size), Image.Resampling.BOX)))
    return np.stack(images)


def _sample(
    index: int,
    seed: int,
    scene: Scene,
    clutter: bool,
    spread: float,
    samples_per_episode: int,
) -> tuple[dict[str, Any], np.ndarray]:
    generator = np.random.default_rng([seed, index])
    turn = Rotation.random(random_state=generator)
    position = WORKSPACE + spread * generator.standard_normal(3).clip(-2, 2)
    cameras = _displaced(scene.rig.nominal, generator) if clutter else scene.rig.nominal
    matrices, transforms = cameras.intrinsics, cameras.extrinsics
    label = {
        "index": index,
        "state_index": index,
        "episode": index // samples_per_episode,
        "augmentation": "none",
        "object_position": position,
        "object_quaternion": quaternion_from_rotation(turn),
        "joint_position": np.zeros(JOINTS),
        "camera_intrinsics": matrices,
        "camera_extrinsics": transforms,
    }
    images = draw_triplet(
        scene.object, position, turn.as_matrix(), matrices, transforms, scene.rig.width, generator, clutter
    )
    return label, images


def _members(drawn: Iterator[tuple[dict[str, Any], np.ndarray]], scene: Scene) -> Iterator[dict[str, Any]]:
    for label, images in drawn:
        yield encode_sample(label, images, scene.rig, {})


def _displaced(nominal: Cameras, generator: np.random.Generator) -> Cameras:
    """Table 9's camera displacement."""
    count = len(nominal.intrinsics)
    axis = Rotation.random(count, random_state=generator).as_matrix()[:, 0]
    turn = Rotation.from_rotvec(np.deg2rad(generator.uniform(0, 3, (count, 1))) * axis).as_matrix()
    transforms = displace(nominal.extrinsics, turn, generator.uniform(-0.0015, 0.0015, (count, 3)))
    matrices = change_field_of_view(nominal.intrinsics, nominal.height, generator.uniform(-1, 1, count))
    return nominal._replace(intrinsics=matrices, extrinsics=transforms)


def _draw_face(
    pen: ImageDraw.ImageDraw,
    target: PoseObject,
    face: Face,
    color: np.ndarray,
    light: np.ndarray,
    position: np.ndarray,
    rotation: np.ndarray,
    matrix: np.ndarray,
    transform: np.ndarray,
    eye: np.ndarray,
) -> None:
    corners = target.keypoints[list(face.corners)]
    centre = corners.mean(axis=0)
    normal = rotation @ np.array(face.normal)
    if normal @ (eye - (rotation @ centre + position)) <= 0:
        return  # seen from behind
    shade = 0.35 + 0.65 * max(0.0, float(normal @ light))
    fills = _rgb(color * shade), _rgb(np.ones(3) * (0.3 + 0.7 * shade))
    pen.polygon(_pixels(corners @ rotation.T + position, matrix, transform), fill=fills[0])
    letter = dict(zip(["+x", "-x", "+y", "-y", "+z", "-z"], "NPOEAI", strict=True)).get(face.name, "X")
    for level, outline in enumerate(_letter(letter)):
        plane = outline * 0.7 * np.ptp((corners - centre) @ np.array(face.up))
        points = centre + plane[:, :1] * np.cross(face.up, face.normal) + plane[:, 1:] * np.array(face.up)
        # Outlines come outermost first: the letter, then the hole in it.
        pen.polygon(_pixels(points @ rotation.T + position, matrix, transform), fill=fills[1 - level % 2])


@functools.cache
def _letter(letter: str) -> tuple[np.ndarray, ...]:
    """Outlines (n, 2) of a bold capital of height 1 around the origin, largest first."""
    path = TextPath((0, 0), letter, size=100, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    outlines = path.to_polygons(closed_only=True)
    low, high = np.concatenate(outlines).min(axis=0), np.concatenate(outlines).max(axis=0)
    outlines.sort(key=lambda outline: -float(np.ptp(outline, axis=0).prod()))
    return tuple((outline - (low + high) / 2) / (high - low)[1] for outline in outlines)


def _bars(position: np.ndarray, generator: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray, tuple]]:
    """Two to five finger-like segments that end beside the object."""
    bars = []
    for _ in range(generator.integers(2, 6)):
        direction = Rotation.random(random_state=generator).as_matrix()
        start = position + direction[0] * 0.045
        bars.append((start, start + 0.06 * direction[1], _rgb(generator.uniform(0, 1, 3))))
    return bars


def _draw_bar(
    pen: ImageDraw.ImageDraw,
    start: np.ndarray,
    end: np.ndarray,
    color: tuple,
    matrix: np.ndarray,
    transform: np.ndarray,
) -> None:
    (x0, y0), (x1, y1) = _pixels(np.stack([start, end]), matrix, transform)
    radius = 0.009 * matrix[0, 0] / 1.0  # a finger's, one metre away
    pen.line([(x0, y0), (x1, y1)], fill=color, width=round(2 * radius))
    for x, y in ((x0, y0), (x1, y1)):
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)


def _background(pen: ImageDraw.ImageDraw, size: int, generator: np.random.Generator) -> None:
    pen.rectangle([0, 0, size, size], fill=_rgb(generator.uniform(0, 1, 3)))
    for _ in range(12):
        centre = generator.uniform(0, size, 2)
        points = centre + generator.normal(0, size / 6, (4, 2))
        pen.polygon([tuple(point) for point in points], fill=_rgb(generator.uniform(0, 1, 3)))


def _jitter(color: np.ndarray, generator: np.random.Generator | None) -> np.ndarray:
    return color if generator is None else color * generator.uniform(0.85, 1.15) * generator.uniform(0.97, 1.03, 3)


def _pixels(points: np.ndarray, matrix: np.ndarray, transform: np.ndarray) -> list[tuple[float, float]]:
    # PIL puts the centre of the first pixel at (0, 0).
    return [(float(x) - 0.5, float(y) - 0.5) for x, y in project(points, Cameras(matrix, transform))]


def _rgb(color: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in (255 * color.clip(0, 1)).round())
    return red, green, blue
