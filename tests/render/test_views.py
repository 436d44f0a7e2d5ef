"""Labels of the views, against ray casting, against Filament's pictures, and in scenes whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from matplotlib.path import Path as Outline
from scipy.spatial import ConvexHull

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.generate.view_labels import Views, _nearness, mask_box
from datagen.render import create_renderer
from datagen.render.base import RenderOptions, Sample
from datagen.render.stage import Stage
from datagen.sim.hand import CUPPED_POSE
from datagen.variation import generator
from vision.geometry.cameras import DACTYL_RIG, extrinsics, intrinsics
from vision.geometry.rotations import FloatArray, matrix_from_quaternion
from vision.scene.objects import get_object

OPTIONS = RenderOptions(image_size=100)
IN_HAND = np.array([1.0, 0.87, 0.13])


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage("block", OPTIONS)


@pytest.fixture(scope="module")
def views() -> Views:
    return Views("block", OPTIONS)


def make_sample(stage: Stage, index: int, position: FloatArray = IN_HAND) -> Sample:
    """A block in the cupped hand, deep enough for fingers to hide some of it, seen by displaced cameras."""
    rng = generator(0, index, "pose")
    quaternion = rng.normal(size=4)
    joints = np.array([CUPPED_POSE.get(name, 0.0) for name in stage.scene.joint_names]) + rng.normal(0, 0.15, 24)
    look = draw_appearance(AppearanceConfig(), DACTYL_RIG, stage.scene.object.name, stage.scene.materials, 0, index)
    place = position + rng.normal(0, 0.01, 3)
    return Sample(index, joints, place, quaternion / np.linalg.norm(quaternion), look)


def cameras(sample: Sample, size: int) -> tuple[FloatArray, FloatArray]:
    look = sample.appearance
    return intrinsics(look.camera_fovy_deg, size, size), extrinsics(look.camera_position, look.camera_quaternion)


def test_masks_are_what_rays_through_pixel_centres_hit(stage: Stage, views: Views) -> None:
    """MuJoCo's own ray casting, on everything that is in the picture, letters and background included."""
    size, hidden = OPTIONS.image_size, 0
    centres = np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), axis=-1).reshape(-1, 2)
    for index in range(4):
        sample = make_sample(stage, index)
        K, T = cameras(sample, size)
        label, masks = views(sample, K, T)
        stage.set(sample)
        for camera in range(len(K)):
            rays = np.column_stack([centres, np.ones(len(centres))]) @ np.linalg.inv(K[camera]).T @ T[camera, :3, :3]
            origin = sample.appearance.camera_position[camera]
            hit, distance = np.empty(len(rays), np.int32), np.empty(len(rays))
            arguments = (rays.ravel(), None, True, -1, hit, distance, None, len(rays), mujoco.mjMAXVAL)
            mujoco.mj_multiRay(stage.model, stage.data, origin, *arguments)
            seen = np.isin(hit, stage.scene.object_geoms).reshape(size, size)
            # A letter's relief may reach over an edge by a tenth of a pixel.
            assert np.count_nonzero(seen != masks[camera]) <= 2, (index, camera)
            hidden += label["visibility"][camera] < 0.9
    assert hidden >= 3, "poses that test what a finger hides"


def test_masks_are_where_pictures_change_with_the_object(stage: Stage, views: Views) -> None:
    """The same sample with a white and a black block in even light: what differs most shows the block."""
    size = OPTIONS.image_size
    sample = make_sample(stage, 1)
    look = sample.appearance
    block = np.array([name.startswith(("face/", "letter/")) for name in stage.scene.materials])
    grey = {
        value: replace(
            look,
            material_rgb=np.where(block, value, 0.5)[:, None].repeat(3, axis=1),
            material_metallic=np.zeros(len(block)),
            material_glossiness=np.zeros(len(block)),
            light_intensity=np.zeros_like(look.light_intensity),
        )
        for value in (1.0, 0.0)
    }
    with create_renderer("filament", "block", OPTIONS) as renderer:
        white, black = renderer.render([replace(sample, appearance=one) for one in grey.values()]).astype(float)
    label, masks = views(sample, *cameras(sample, size))
    shown = (white - black).mean(axis=-1) > 40
    overlap = (shown & masks).sum(axis=(1, 2)) / (shown | masks).sum(axis=(1, 2))
    assert overlap.min() > 0.93, overlap  # pictures are antialiased: the outline's pixels may go either way
    assert label["visibility"].min() < 0.95


def test_an_object_in_the_open_is_its_outline(stage: Stage, views: Views) -> None:
    size = OPTIONS.image_size
    sample = make_sample(stage, 2, np.array([1.01, 0.88, 0.25]))
    label, masks = views(sample, *cameras(sample, size))
    np.testing.assert_array_equal(label["visibility"], 1.0)
    centres = np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), axis=-1).reshape(-1, 2)
    for mask, corners, box in zip(masks, label["corners_2d"], label["box_2d"], strict=True):
        outline = Outline(corners[ConvexHull(corners).vertices]).contains_points(centres).reshape(size, size)
        np.testing.assert_array_equal(mask, outline)
        assert (np.abs(box - np.concatenate([corners.min(axis=0), corners.max(axis=0)])) <= 1.0).all()


@pytest.mark.parametrize("name", ["block", "prism"])
def test_half_hidden_and_wholly_hidden(name: str) -> None:
    """A wall before one half of the camera's sight."""
    target, size = get_object(name), 80
    K, T = intrinsics([20.0], size, size), np.eye(4)[None]
    corners = target.keypoints @ matrix_from_quaternion([0.9, 0.1, 0.3, -0.2]).T + (0, 0, 0.5)
    whole = np.array([[[0, 0], [size, size]]], dtype=float)
    hull = ConvexHull(corners).simplices
    alone = _nearness(corners, hull, K, T, whole, size)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    for left, depth, share in ((0.0, 0.3, 0.5), (-1.0, 0.3, 0.0), (-1.0, 0.8, 1.0)):
        wall = np.array([(left, -1, depth), (1, -1, depth), (1, 1, depth), (left, 1, depth)])
        visible = alone > _nearness(wall, faces, K, T, whole, size)
        assert visible.sum() / (alone > 0).sum() == pytest.approx(share, abs=0.03)
        assert not visible[0, :, size // 2 :].any() or share == 1.0


def test_depth_is_perspective_and_what_is_behind_a_camera_is_left_out() -> None:
    size = 64
    K, T = intrinsics([60.0], size, size), np.eye(4)[None]
    whole = np.array([[[0, 0], [size, size]]], dtype=float)
    floor = np.array([(-9.0, 0.2, 0.5), (9.0, 0.2, 0.5), (0.0, 0.2, 40.0), (0.0, 0.2, -1.0)])
    near = _nearness(floor, np.array([[0, 1, 2], [0, 1, 3]]), K, T, whole, size)
    rows = np.arange(size // 2 + 1, size)
    expected = (rows + 0.5 - size / 2) / (K[0, 1, 1] * 0.2)  # one over the depth of a floor 0.2 m below
    drawn = near[0, rows, size // 2]
    np.testing.assert_allclose(drawn[drawn > 0], expected[drawn > 0], rtol=1e-9)
    assert (drawn > 0).sum() > 10


def test_partly_out_of_the_picture(stage: Stage, views: Views) -> None:
    """Only pixels in the picture count: an object at the border, hidden by nothing, is wholly visible."""
    sample = make_sample(stage, 3, np.array([1.01, 0.70, 0.30]))
    label, masks = views(sample, *cameras(sample, OPTIONS.image_size))
    size = OPTIONS.image_size
    cut = (label["corners_2d"].min(axis=1) < 0).any(axis=-1) | (label["corners_2d"].max(axis=1) > size).any(axis=-1)
    assert cut.any()
    assert label["box_2d"].min() >= 0
    assert label["box_2d"].max() <= size
    for mask, box, share in zip(masks, label["box_2d"], label["visibility"], strict=True):
        assert mask_box(mask) == tuple(box)
        assert share == (1.0 if mask.any() else 0.0)


def test_box_of_a_mask() -> None:
    mask = np.zeros((5, 7), dtype=bool)
    assert mask_box(mask) == (0, 0, 0, 0)
    mask[1:3, 4] = mask[2, 6] = True
    assert mask_box(mask) == (4, 1, 7, 3)
