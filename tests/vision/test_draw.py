"""Wireframes land where the cameras say, hidden edges are fainter, and sheets hold what they are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image
from scipy.spatial.transform import Rotation

from tests.datasets import RENDERER, make_label, write_dataset, write_manifest
from tests.scenes import rig, scene
from vision.drawing.sheets import Tile, contact_sheet, dataset_sheet, save_png
from vision.drawing.wireframes import LABEL_COLOR, Wireframe, crop, draw_triplet, draw_wireframes, visible_edges
from vision.geometry.cameras import Cameras, project
from vision.geometry.poses import Pose
from vision.geometry.rotations import rotate
from vision.objects.pose_object import PoseObject
from vision.rigs.rig import Rig
from vision.storage.datasets import TripletDataset
from vision.storage.shards import encode_sample, write_shard

POSITION = np.array([1.02, 0.87, 0.145])
CAMERAS = rig(200).nominal
K, T = CAMERAS.intrinsics, CAMERAS.extrinsics


@pytest.fixture(params=["block", "prism"])
def subject(request: pytest.FixtureRequest) -> PoseObject:
    return scene(request.param).object


def edges_in_image(subject: PoseObject, turn: Rotation, camera: int, matrix: np.ndarray) -> np.ndarray:
    ends = rotate(turn, subject.edges.reshape(-1, 3)) + POSITION
    return project(ends, Cameras(matrix, T[camera])).reshape(-1, 2, 2)


def contains(sheet: np.ndarray, image: np.ndarray) -> bool:
    """Whether a picture is somewhere in another, pixel for pixel."""
    height, width = image.shape[:2]
    rows = np.lib.stride_tricks.sliding_window_view(sheet, (1, width, 3))[..., 0, :, :].squeeze()
    places = np.argwhere((rows == image[0]).all(axis=(-1, -2)))
    return any((sheet[y : y + height, x : x + width] == image).all() for y, x in places if y + height <= len(sheet))


@pytest.mark.parametrize("seed", range(5))
def test_edges_that_are_seen_are_those_at_corners_on_the_near_side(subject: PoseObject, seed: int) -> None:
    """Independent check by rays: a point of an edge is hidden if the ray to the camera enters the solid."""
    turn = Rotation.random(random_state=seed)
    pose = Pose(turn.as_matrix(), POSITION)
    normals = turn.apply([face.normal for face in subject.faces])
    offsets = [subject.keypoints[face.corners[0]] @ np.asarray(face.normal) for face in subject.faces]
    for camera in range(3):
        eye = -T[camera, :3, :3].T @ T[camera, :3, 3]
        seen = visible_edges(subject, pose, CAMERAS.at(camera))
        for ends, answer in zip(subject.edges, seen, strict=True):
            middle = turn.apply(ends.mean(axis=0)) + POSITION
            step = middle + 1e-5 * (eye - middle) / np.linalg.norm(eye - middle)
            inside = (normals @ (step - POSITION) < np.array(offsets) - 1e-12).all()
            assert answer == (not inside)


@pytest.mark.parametrize("scale", [1, 2])
def test_lines_cover_the_projected_edges_and_nothing_else(subject: PoseObject, scale: int) -> None:
    turn = Rotation.random(random_state=3)
    frame = Wireframe(subject, Pose(turn.as_matrix(), POSITION), "white")
    for camera in range(3):
        drawn = draw_wireframes(np.zeros((200, 200, 3), np.uint8), [frame], CAMERAS.at(camera), scale)
        assert drawn.shape == (200 * scale, 200 * scale, 3)
        edges = edges_in_image(subject, turn, camera, K[camera]) * scale
        seen = visible_edges(subject, frame.pose, CAMERAS.at(camera))
        share = np.linspace(0.0, 1.0, 60)[:, None, None]
        points = share * edges[:, 0] + (1 - share) * edges[:, 1]  # (60, E, 2)
        on_edges = drawn[points[..., 1].astype(int), points[..., 0].astype(int), 0].mean(axis=0)
        assert on_edges[seen].min() > 120
        ys, xs = np.nonzero(drawn[..., 0])
        lit = np.stack([xs, ys], axis=-1) + 0.5
        distance = np.linalg.norm(lit[:, None] - points.reshape(1, -1, 2), axis=-1).min(axis=1)
        assert distance.max() < 2 * scale + 1


def test_hidden_edges_are_fainter() -> None:
    block = scene("block").object
    turn = Rotation.from_euler("xyz", [20, 30, 40], degrees=True)
    pose = Pose(turn.as_matrix(), POSITION)
    drawn = draw_wireframes(np.zeros((200, 200, 3), np.uint8), [Wireframe(block, pose)], CAMERAS.at(0), 4)
    edges = 4 * edges_in_image(block, turn, 0, K[0])
    seen = visible_edges(block, pose, CAMERAS.at(0))
    assert seen.sum() == 9, "three faces of a cube are seen, and nine edges"
    middle = edges.mean(axis=1).astype(int)
    green = drawn[middle[:, 1], middle[:, 0], 1]
    assert green[seen].min() > 200
    assert 20 < green[~seen].max() < 150


def test_later_wireframes_lie_on_top_and_the_picture_stays_elsewhere() -> None:
    block = scene("block").object
    picture = np.full((200, 200, 3), 77, np.uint8)
    below, above = (Wireframe(block, Pose(np.eye(3), POSITION), color) for color in ("red", "blue"))
    drawn = draw_wireframes(picture, [below, above], CAMERAS.at(1))
    assert (drawn[..., 2] > 200).any()
    assert not (drawn[..., 0] > 200).any()
    assert (drawn[:40] == 77).all()
    assert (picture == 77).all(), "the caller's picture is not touched"


@pytest.mark.parametrize("position", [[1.0, 0.9, 5.0], [1e9, 0.0, 0.0], [1.01696, 0.892165, 0.880369]])
def test_absurd_poses_draw_without_failing(position: list[float]) -> None:
    """Behind the camera, far outside the picture, in the camera."""
    frame = Wireframe(scene("block").object, Pose(np.eye(3), np.array(position)), axes=True)
    images = np.zeros((3, 200, 200, 3), np.uint8)
    assert np.shape(draw_triplet(images, [frame], CAMERAS, 2)) == (3, 400, 400, 3)


@pytest.mark.parametrize("centre", [(100, 90), (3, 199), (-50, 400)])
def test_a_crop_shows_the_same_points(centre: tuple[float, float]) -> None:
    image = np.arange(200 * 200 * 3, dtype=np.uint32).reshape(200, 200, 3).astype(np.uint8)
    camera = CAMERAS.at(0)
    cropped, after_it = crop(image, camera, centre, 80)
    assert cropped.shape == (80, 80, 3)
    before, after = (project(POSITION[None], each)[0] for each in (camera, after_it))
    left, top = np.rint(before - after).astype(int)
    np.testing.assert_allclose(before - after, [left, top])
    np.testing.assert_array_equal(cropped, image[top : top + 80, left : left + 80])


def test_a_sheet_holds_every_tile_and_its_caption() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (5, 3, 40, 40, 3), dtype=np.uint8)
    tiles = [Tile(images, f"number {number}") for number, images in enumerate(pictures)]
    sheet = np.asarray(contact_sheet(tiles, 2, "title", [("true", "#00ff00")], ("left", "top", "right")))
    assert all(contains(sheet, image) for images in pictures for image in images)
    assert not contains(sheet, pictures[0, 0, :, ::-1])
    bare = np.asarray(contact_sheet([Tile(pictures[0])], 2))
    assert bare.shape[0] < sheet.shape[0] / 3
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], 2)


def test_a_narrow_sheet_has_room_for_its_title_and_legend() -> None:
    """Of one small camera: the legend's lines and texts begin behind the title."""
    tile = Tile(np.zeros((1, 20, 40, 3), np.uint8), "")
    bare, legend = contact_sheet([tile], 1, "a title"), [("edges", "#ff0000"), ("keypoints", "#00ff00")]
    both = contact_sheet([tile], 1, "a title", legend)
    first = np.argwhere((np.asarray(both) == (255, 0, 0)).all(axis=-1))[:, 1].min()
    title = np.argwhere((np.asarray(bare)[:, : bare.width - 3] > 200).all(axis=-1))[:, 1].max()
    assert first > title
    assert bare.height == both.height


def test_long_captions_wrap_instead_of_running_into_the_next_tile() -> None:
    images = np.zeros((1, 100, 100, 3), np.uint8)
    short, long = (np.asarray(contact_sheet([Tile(images, text)], 1)) for text in ("a", "many words " * 6))
    assert short.shape[1] == long.shape[1]
    assert long.shape[0] > short.shape[0]
    assert (long[:, -4:] == long[0, 0]).all(), "nothing is cut at the border"


def test_smaller_pictures_are_not_padded_in_black(tmp_path: Path) -> None:
    """Found: where cameras differ in size, black beside a picture was taken for what the camera sees."""
    first, *others = rig(64).cameras
    cameras = Rig(cameras=(replace(first, width=48, height=32), *others))
    images = np.full((3, 64, 64, 3), 200, np.uint8)
    shard = write_shard(tmp_path, 0, [encode_sample(make_label(0, 64), images, cameras, {})], "test", RENDERER)
    write_manifest(tmp_path, [shard], scene=scene("block", 64).with_rig(cameras).to_json())
    dataset = TripletDataset(tmp_path)
    assert not dataset[0]["images"][0, 32:].any()
    sheet = np.asarray(dataset_sheet(dataset, [0], scale=2))
    assert not (sheet < 20).all(axis=-1).any(), "the page's background is not black"


def test_a_dataset_sheet_shows_the_labelled_pose(tmp_path: Path) -> None:
    dataset = TripletDataset(write_dataset(tmp_path / "set", (3,), image_size=64))
    plain, drawn = (np.asarray(dataset_sheet(dataset, [0, 2], wireframes=on)) for on in (False, True))
    for number in (0, 2):
        sample = dataset[number]
        frame = Wireframe(dataset.object, Pose.from_columns(sample, "object"), LABEL_COLOR, axes=True)
        overlaid = draw_triplet(sample["images"], [frame], Cameras.from_label(sample))
        for camera in range(3):
            assert contains(plain, sample["images"][camera])
            assert contains(drawn, overlaid[camera])
            assert not contains(drawn, sample["images"][camera])
    save_png(dataset_sheet(dataset, [1]), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as reopened:
        assert reopened.size[0] > 3 * 64
