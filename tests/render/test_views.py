"""Labels of the views, against ray casting, against Filament's pictures, and in scenes whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from matplotlib.path import Path as Outline
from msgspec import structs
from scipy.spatial import ConvexHull

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.appearance.sample import Sample
from datagen.generate.view_labels import ViewLabeller, _nearness
from datagen.pictures.surroundings_pool import SurroundingsUse
from datagen.render import create_renderer
from datagen.render.base import RenderOptions, rendered_scene
from datagen.render.stage import Stage
from datagen.variation import generator
from tests.render.looks import uneven_rig
from tests.scenes import scene
from vision.geometry.cameras import Cameras, camera_matrix
from vision.geometry.rotations import FloatArray, matrix_from_quaternion
from vision.objects.lettered import BoxFile, FaceLook
from vision.rigs.rig import Rig
from vision.rigs.rig_files import CameraFile
from vision.scene.surroundings import Background
from vision.storage.shards import mask_box

OPTIONS = RenderOptions(image_size=100)
SCENE = rendered_scene(scene("block"), OPTIONS)
SIZE = SCENE.rig.width
IN_HAND = np.array([1.0, 0.87, 0.13])


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage(SCENE, OPTIONS)


@pytest.fixture(scope="module")
def views() -> ViewLabeller:
    return ViewLabeller(SCENE, OPTIONS)


def make_sample(stage: Stage, index: int, position: FloatArray = IN_HAND) -> Sample:
    """A block in the cupped hand, deep enough for fingers to hide some of it, seen by displaced cameras."""
    rng = generator(0, index, "pose")
    quaternion = rng.normal(size=4)
    hand = stage.scene.hand
    assert hand is not None
    joints = hand.start + rng.normal(0, 0.15, 24)
    look = draw_appearance(AppearanceConfig(), stage.scene.scene, stage.scene.materials, 0, index)
    place = position + rng.normal(0, 0.01, 3)
    return Sample(index, joints, place, quaternion / np.linalg.norm(quaternion), look)


def cameras(sample: Sample) -> Cameras:
    return sample.appearance.cameras


def pixel_centres(width: int, height: int) -> FloatArray:
    """In reading order, (H * W, 2)."""
    return np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1).reshape(-1, 2)


def seen_by_rays(stage: Stage, sample: Sample, camera: int) -> FloatArray:
    """Whether MuJoCo's own ray casting meets the object through each pixel's centre, (H, W)."""
    one, (K, T, *_) = stage.rig.cameras[camera], cameras(sample)
    stage.set(sample)
    centres = pixel_centres(one.width, one.height)
    rays = np.column_stack([centres, np.ones(len(centres))]) @ np.linalg.inv(K[camera]).T @ T[camera, :3, :3]
    origin = np.linalg.inv(T[camera])[:3, 3].copy()
    hit, distance = np.empty(len(rays), np.int32), np.empty(len(rays))
    arguments = (rays.ravel(), None, True, -1, hit, distance, None, len(rays), mujoco.mjMAXVAL)
    mujoco.mj_multiRay(stage.model, stage.data, origin, *arguments)
    return np.isin(hit, stage.scene.object_geoms).reshape(one.height, one.width)


def test_masks_are_what_rays_through_pixel_centres_hit(stage: Stage, views: ViewLabeller) -> None:
    """MuJoCo's own ray casting, on everything that is in the picture, letters and background included."""
    hidden = 0
    for index in range(4):
        sample = make_sample(stage, index)
        label, masks = views(sample, cameras(sample))
        for camera in range(len(stage.rig)):
            # A letter's relief may reach over an edge by a tenth of a pixel.
            assert np.count_nonzero(seen_by_rays(stage, sample, camera) != masks[camera]) <= 2, (index, camera)
            hidden += label["visibility"][camera] < 0.9
    assert hidden >= 3, "poses that test what a finger hides"


def test_masks_through_any_lens_are_what_rays_hit() -> None:
    """Cameras of different sizes: what is beyond the smaller one's image is empty, and counts for nothing."""
    drawn = SCENE.with_rig(uneven_rig(IN_HAND).resized(120))
    stage, views = Stage(drawn, OPTIONS), ViewLabeller(drawn, OPTIONS)
    shown = 0
    for index in range(4):
        sample = make_sample(stage, index)
        _, masks = views(sample, cameras(sample))
        assert masks.shape == (3, 105, 120)
        for number, camera in enumerate(drawn.rig.cameras):
            seen = seen_by_rays(stage, sample, number)
            assert np.count_nonzero(seen != masks[number, : camera.height, : camera.width]) <= 2, (index, camera.name)
            assert not masks[number, camera.height :].any()
            assert not masks[number, :, camera.width :].any()
            shown += seen.sum() > 100
    assert shown >= 6


def test_the_background_may_hide_the_object() -> None:
    """A block behind the wall of a bowl, and one that was moved into the floor."""
    bowl = Background(kind="bowl", centre=(1.0, 0.87, 0.0), floor_radius=0.1, rim_radius=0.15, rim_height=0.1)
    cameras_at = {"low": (0.4, 0.87, 0.02), "high": (0.7, 0.87, 1.0)}
    rig = Rig(
        cameras=tuple(
            CameraFile(name=name, width=100, height=100, fovy_deg=20, position=at, look_at=(1.0, 0.87, 0.03)).build()
            for name, at in cameras_at.items()
        )
    )
    drawn = structs.replace(SCENE, hand=None, background=bowl, rig=rig)
    stage, views = Stage(drawn, OPTIONS), ViewLabeller(drawn, OPTIONS)
    look = draw_appearance(AppearanceConfig(), drawn, stage.scene.materials, 0, 0)
    look = replace(look, camera_extrinsics=rig.nominal.extrinsics, camera_intrinsics=rig.nominal.intrinsics)
    for height in (0.03, 0.0):
        sample = Sample(0, np.zeros(0), np.array([1.0, 0.87, height]), np.array([1.0, 0.0, 0.0, 0.0]), look)
        label, masks = views(sample, cameras(sample))
        for camera in range(2):
            assert np.count_nonzero(seen_by_rays(stage, sample, camera) != masks[camera]) <= 2, (height, camera)
        assert label["visibility"][0] < 0.1
        assert (label["visibility"][1] > 0.99) == (height > 0)
        around = SurroundingsUse("room:0:0", "room", turn=0.0, brightness=1.0, bare=True)
        label, _ = views(replace(sample, appearance=replace(look, surroundings=around)), cameras(sample))
        np.testing.assert_array_equal(label["visibility"], 1.0)  # the background is left out, so it hides nothing


@pytest.mark.parametrize("name", ["classic", "filament"])
@pytest.mark.parametrize(("distance", "side", "fovy_deg"), [(0.05, 0.016, 40), (13.0, 1.5, 12)])
def test_an_object_just_before_a_camera_or_far_away_is_drawn_whole(
    name: str, distance: float, side: float, fovy_deg: float
) -> None:
    at = np.array([1.0, 0.87, 0.3])
    only = CameraFile(
        name="only", width=100, height=100, fovy_deg=fovy_deg, position=(1 - distance, 0.87, 0.3), look_at=tuple(at)
    )
    faces = {sign + axis: FaceLook(color=(1, 1, 1)) for sign in "+-" for axis in "xyz"}
    drawn = structs.replace(
        SCENE,
        hand=None,
        object=BoxFile(name="die", size=(side, side, side), mass=0.01, faces=faces).build(),
        background=Background(kind="none"),
        rig=Rig(cameras=(only.build(),)),
    )
    stage, (K, T, *_) = Stage(drawn, OPTIONS), drawn.rig.nominal
    look = draw_appearance(AppearanceConfig(), drawn, stage.scene.materials, 0, 0)
    look = replace(look, camera_extrinsics=T, camera_intrinsics=K)
    looks = [replace(look, material_rgb=np.full_like(look.material_rgb, level)) for level in (0, 1)]
    samples = [Sample(index, np.zeros(0), at, np.array([1.0, 0, 0, 0]), one) for index, one in enumerate(looks)]
    with create_renderer(name, drawn, OPTIONS) as renderer:
        dark, light = renderer.render(samples).astype(int)
    _, masks = ViewLabeller(drawn, OPTIONS)(samples[0], cameras(samples[0]))
    changed = np.abs(light[0] - dark[0]).max(axis=-1) > 15
    assert masks[0].sum() > 100
    assert np.count_nonzero(changed != masks[0]) < 0.1 * masks[0].sum()


def test_masks_are_where_pictures_change_with_the_object(stage: Stage, views: ViewLabeller) -> None:
    """The same sample with a white and a black block in even light: what differs most shows the block."""
    sample = make_sample(stage, 1)
    look = sample.appearance
    block = np.array([material.part is not None for material in stage.scene.materials])
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
    with create_renderer("filament", SCENE, OPTIONS) as renderer:
        white, black = renderer.render([replace(sample, appearance=one) for one in grey.values()]).astype(float)
    label, masks = views(sample, cameras(sample))
    shown = (white - black).mean(axis=-1) > 40
    overlap = (shown & masks).sum(axis=(1, 2)) / (shown | masks).sum(axis=(1, 2))
    assert overlap.min() > 0.93, overlap  # pictures are antialiased: the outline's pixels may go either way
    assert label["visibility"].min() < 0.95


def test_an_object_in_the_open_is_its_outline(stage: Stage, views: ViewLabeller) -> None:
    sample = make_sample(stage, 2, np.array([1.01, 0.88, 0.25]))
    label, masks = views(sample, cameras(sample))
    np.testing.assert_array_equal(label["visibility"], 1.0)
    centres = pixel_centres(SIZE, SIZE)
    for mask, corners, box in zip(masks, label["keypoints_2d"], label["box_2d"], strict=True):
        outline = Outline(corners[ConvexHull(corners).vertices]).contains_points(centres).reshape(SIZE, SIZE)
        np.testing.assert_array_equal(mask, outline)
        assert (np.abs(box - np.concatenate([corners.min(axis=0), corners.max(axis=0)])) <= 1.0).all()


@pytest.mark.parametrize("name", ["block", "prism"])
def test_half_hidden_and_wholly_hidden(name: str) -> None:
    """A wall before one half of the camera's sight."""
    target, size = scene(name).object, 80
    K, T = camera_matrix(20.0, size, size)[None], np.eye(4)[None]
    corners = target.keypoints @ matrix_from_quaternion([0.9, 0.1, 0.3, -0.2]).T + (0, 0, 0.5)
    whole = np.array([[[0, 0], [size, size]]], dtype=float)
    hull = ConvexHull(corners).simplices
    alone = _nearness(corners, hull, Cameras(K, T), whole, (size, size))
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    for left, depth, share in ((0.0, 0.3, 0.5), (-1.0, 0.3, 0.0), (-1.0, 0.8, 1.0)):
        wall = np.array([(left, -1, depth), (1, -1, depth), (1, 1, depth), (left, 1, depth)])
        visible = alone > _nearness(wall, faces, Cameras(K, T), whole, (size, size))
        assert visible.sum() / (alone > 0).sum() == pytest.approx(share, abs=0.03)
        assert not visible[0, :, size // 2 :].any() or share == 1.0


def test_depth_is_perspective_and_what_is_behind_a_camera_is_left_out() -> None:
    size = 64
    K, T = camera_matrix(60.0, size, size)[None], np.eye(4)[None]
    whole = np.array([[[0, 0], [size, size]]], dtype=float)
    floor = np.array([(-9.0, 0.2, 0.5), (9.0, 0.2, 0.5), (0.0, 0.2, 40.0), (0.0, 0.2, -1.0)])
    near = _nearness(floor, np.array([[0, 1, 2], [0, 1, 3]]), Cameras(K, T), whole, (size, size))
    rows = np.arange(size // 2 + 1, size)
    expected = (rows + 0.5 - size / 2) / (K[0, 1, 1] * 0.2)  # one over the depth of a floor 0.2 m below
    drawn = near[0, rows, size // 2]
    np.testing.assert_allclose(drawn[drawn > 0], expected[drawn > 0], rtol=1e-9)
    assert (drawn > 0).sum() > 10


def test_partly_out_of_the_picture(stage: Stage, views: ViewLabeller) -> None:
    """Only pixels in the picture count: an object at the border, hidden by nothing, is wholly visible."""
    sample = make_sample(stage, 3, np.array([1.01, 0.70, 0.30]))
    label, masks = views(sample, cameras(sample))
    size = SIZE
    cut = (label["keypoints_2d"].min(axis=1) < 0).any(axis=-1) | (label["keypoints_2d"].max(axis=1) > size).any(axis=-1)
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
