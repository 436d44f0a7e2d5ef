"""References that disagree are refused and the mistake is named; those that cannot be checked are said to be so."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from eval.laboratory.board import Board, Corners, board_frames
from eval.laboratory.poses import inverse, transform_from_pose
from eval.laboratory.references import OpenCVIntrinsics, Placement, References, place_camera
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray, quaternion_from_matrix, rigid_transform

BOARD = Board()
MATRIX = np.array([[800.0, 0, 320], [0, 800, 240], [0, 0, 1]])
DISTORTION = np.array([-0.1, 0.02, 0.0, 0.0, 0.0])
CAPTURE_TO_CAMERA = rigid_transform(
    Rotation.from_euler("xyz", [100, 20, 40], degrees=True).as_matrix(), [0.3, -0.1, 0.8]
)

Poses = dict[str, list[float]]


def tilted(number: int) -> FloatArray:
    return Rotation.from_euler("zyx", [100 * number, 25 - 30 * number, 20 * number], degrees=True).as_matrix()


def seen_boards(
    count: int, square: float = BOARD.square, turn_of: Callable[[int], FloatArray] = tilted
) -> tuple[dict[str, Corners], Poses]:
    """Corners with a tenth of a pixel of noise, and the true poses in capture coordinates."""
    rng = np.random.default_rng(3)
    inner = np.stack(np.meshgrid(np.arange(1, 7), np.arange(1, 5)), axis=-1).reshape(-1, 2)
    found, poses = {}, {}
    for number in range(count):
        to_camera = rigid_transform(turn_of(number), [0.05 * number - 0.05, 0.04 - 0.06 * number, 0.6 + 0.1 * number])
        true = np.append(inner * square, np.zeros((24, 1)), axis=1)
        rotation, shift = cv2.Rodrigues(to_camera[:3, :3])[0], to_camera[:3, 3]
        pixels = cv2.projectPoints(true, rotation, shift, MATRIX, DISTORTION)[0][:, 0]
        believed = np.append(inner * BOARD.square, np.zeros((24, 1)), axis=1)
        found[f"{number}.png"] = Corners(believed, pixels + rng.normal(0, 0.1, pixels.shape))
        poses[f"{number}.png"] = pose_of(inverse(CAPTURE_TO_CAMERA) @ to_camera)
    return found, poses


def pose_of(transform: FloatArray) -> list[float]:
    return [*transform[:3, 3].tolist(), *quaternion_from_matrix(transform[:3, :3]).tolist()]


def place(found: dict[str, Corners], poses: Poses) -> Placement:
    return place_camera("left", found, OpenCVIntrinsics(MATRIX, DISTORTION), References(poses, BOARD, 5.0))


def test_references_that_agree_give_the_camera() -> None:
    for count in (1, 2, 3):
        placement = place(*seen_boards(count))
        apart = placement.transform @ inverse(CAPTURE_TO_CAMERA)
        assert np.linalg.norm(apart[:3, 3]) < 0.004
        assert np.rad2deg(Rotation.from_matrix(apart[:3, :3]).magnitude()) < 0.3
        assert placement.distance["0.png"] == pytest.approx(0.62, abs=0.1)
        assert len(placement.rms_mm) == len(placement.rms_px) == (count if count > 1 else 0)
        assert all(value < 1 for value in (*placement.rms_mm.values(), *placement.rms_px.values()))


def test_references_that_cannot_check_each_other_are_said_to_be() -> None:
    found, poses = seen_boards(1)
    assert place(found, poses).unchecked == "one reference cannot be checked"
    twice = place(
        {"0.png": found["0.png"], "1.png": found["0.png"]}, {"0.png": poses["0.png"], "1.png": poses["0.png"]}
    )
    assert twice.unchecked == "references 0 mm and 0 degrees apart cannot check each other"
    assert not twice.rms_mm
    apart, _ = seen_boards(2)
    with pytest.raises(DactylError, match="measure the places again"):
        place(apart, dict.fromkeys(apart, poses["0.png"]))


def from_the_middle(poses: Poses) -> Poses:
    """The poses of whoever measures the board's middle in place of its corner: 129 mm off."""
    middle = rigid_transform(np.eye(3), [*np.divide(BOARD.size, 2), 0.0])
    return {name: pose_of(transform_from_pose(pose) @ middle) for name, pose in poses.items()}


def test_an_origin_that_parallel_places_cannot_show_is_said_to_be_unseen() -> None:
    found, poses = seen_boards(3, turn_of=lambda number: tilted(0))
    off = place(found, from_the_middle(poses))
    assert max(off.rms_mm.values()) < 1  # 129 mm off, and nothing shows
    assert off.unseen.shape == (3, 3)
    with pytest.raises(DactylError, match="in millimetres"):  # other mistakes do show
        place(found, times(1000)(poses))


def test_of_places_turned_about_one_axis_the_origin_along_it_is_unseen() -> None:
    axis = np.array([0.6, 0.0, 0.8])

    def about_the_axis(number: int) -> FloatArray:
        turned: FloatArray = tilted(0) @ Rotation.from_rotvec(np.deg2rad(25 * number) * axis).as_matrix()
        return turned

    found, poses = seen_boards(3, turn_of=about_the_axis)
    (unseen,) = place(found, poses).unseen
    assert abs(unseen @ axis) > 0.99
    with pytest.raises(DactylError, match="from where the camera sees"):
        place(found, from_the_middle(poses))
    assert not len(place(*seen_boards(3)).unseen)


def xyzw(poses: Poses) -> Poses:
    return {name: [*pose[:3], *pose[4:], pose[3]] for name, pose in poses.items()}


def exchanged(poses: Poses) -> Poses:
    return dict(zip(poses, [poses["1.png"], poses["0.png"], *list(poses.values())[2:]], strict=True))


def times(factor: float) -> Callable[[Poses], Poses]:
    return lambda poses: {name: [*(factor * x for x in pose[:3]), *pose[3:]] for name, pose in poses.items()}


def moved(poses: Poses) -> Poses:
    x, *rest = poses["1.png"]
    return poses | {"1.png": [x + 0.1, *rest]}


def inverted(poses: Poses) -> Poses:
    return {name: pose_of(inverse(transform_from_pose(pose))) for name, pose in poses.items()}


def turned_back(poses: Poses) -> Poses:
    return {name: [*pose[:4], *(-x for x in pose[4:])] for name, pose in poses.items()}


def from_the_other_corner(poses: Poses) -> Poses:
    return {name: pose_of(transform_from_pose(pose) @ board_frames(BOARD)[3]) for name, pose in poses.items()}


@pytest.mark.parametrize(
    ("count", "spoil", "text"),
    [
        (2, xyzw, "the quaternions seem to be x y z w"),
        (3, xyzw, "the quaternions seem to be x y z w"),
        (2, exchanged, "exchanged: 0.png has the pose of 1.png, 1.png has the pose of 0.png"),
        (5, exchanged, "exchanged: 0.png has the pose of 1.png, 1.png has the pose of 0.png"),
        (2, times(1000), "the positions seem to be in millimetres"),
        (3, times(100), "the positions seem to be in centimetres"),
        (2, moved, "measure the places again"),
        (3, moved, "the others agree without 1.png: measure that place again"),
        (2, inverted, "of the capture frame in the board's, expected the inverse"),
        (2, turned_back, "the rotations seem to be capture to board"),
        (2, from_the_other_corner, "the board's frame seems to be another"),
    ],
)
def test_the_likely_mistake_is_named(count: int, spoil: Callable[[Poses], Poses], text: str) -> None:
    found, poses = seen_boards(count)
    with pytest.raises(DactylError, match=r"^left: reference \d\.png: [\d.]+ mm \([\d.]+ px\) from where") as caught:
        place(found, spoil(poses))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("count", "square", "text"), [(3, 0.0265, "0.0265 m and not 0.03"), (2, 0.003, r"0\.0029\d m and not 0.03")]
)
def test_a_board_of_another_size_is_noticed_by_the_distances_between_its_places(
    count: int, square: float, text: str
) -> None:
    with pytest.raises(DactylError, match=f"board.square seems to be {text}: measure it"):
        place(*seen_boards(count, square))
