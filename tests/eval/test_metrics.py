"""Errors against scipy and against definitions spelled out in loops."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from msgspec import structs
from scipy.spatial.transform import Rotation

from eval.scoring.metrics import PoseErrors, pose_errors, summarise
from tests.scenes import rig, scene
from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.geometry.rotations import cube_rotations, rotate
from vision.objects.pose_object import PoseObject
from vision.objects.symmetries import Symmetries

CENTRE = np.array([1.0, 0.87, 0.15])
seeds = st.integers(0, 2**32 - 1)


def random_poses(seed: int, count: int) -> Pose:
    rng = np.random.default_rng(seed)
    return Pose(Rotation.random(count, random_state=rng).as_matrix(), rng.normal(0, 0.1, (count, 3)))


def pose(position: list[float], quaternion: list[float]) -> Pose:
    return Pose.from_quaternion([position], [quaternion])


@given(seeds, st.floats(0.0, 180.0))
def test_rotation_error_is_the_angle_that_was_turned(seed: int, angle: float) -> None:
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    start = Rotation.random(random_state=rng)
    turned = start * Rotation.from_rotvec(np.deg2rad(angle) * axis / np.linalg.norm(axis))
    first, second = (np.roll(rotation.as_quat(), 1) for rotation in (start, turned))
    true, predicted = np.stack([first, second, first]), np.stack([second, first, -second])
    here, there = (Pose.from_quaternion(np.zeros((3, 3)), quaternions) for quaternions in (true, predicted))
    found = pose_errors(scene("block").object, here, there).rotation_deg
    assert found == pytest.approx([angle] * 3, abs=1e-5), "symmetric, and q and -q are one rotation"


@given(seeds)
def test_rotation_error_equals_scipys(seed: int) -> None:
    true, predicted = random_poses(seed, 7), random_poses(seed + 1, 7)
    first, second = (Rotation.from_matrix(each.rotation) for each in (true, predicted))
    found = pose_errors(scene("block").object, true, predicted).rotation_deg
    np.testing.assert_allclose(found, np.rad2deg((first.inv() * second).magnitude()), atol=1e-5)


@given(seeds)
def test_position_error_is_in_millimetres(seed: int) -> None:
    true, predicted = random_poses(seed, 5), random_poses(seed + 1, 5)
    expected = [1000 * math.dist(a, b) for a, b in zip(true.position, predicted.position, strict=True)]
    found = pose_errors(scene("block").object, true, predicted).position_mm
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def moved_points(target: PoseObject, pose: Pose, sample: int) -> list[np.ndarray]:
    """The corners in the world, one by one, through scipy."""
    turn = Rotation.from_matrix(pose.rotation[sample])
    return [rotate(turn, point) + pose.position[sample] for point in target.keypoints]


def all_errors(target: PoseObject, count: int = 6) -> tuple[Pose, Pose, Cameras, PoseErrors]:
    """Random true and estimated poses, displaced cameras, and what we say of them."""
    true, predicted = random_poses(1, count), random_poses(2, count)
    true, predicted = (each._replace(position=each.position + CENTRE) for each in (true, predicted))
    rng = np.random.default_rng(3)
    matrices = np.tile(rig(200).nominal.intrinsics, (count, 1, 1, 1)) * rng.uniform(0.9, 1.1, (count, 3, 1, 1))
    matrices[..., 2, 2] = 1.0
    cameras = Cameras(matrices, np.tile(rig().nominal.extrinsics, (count, 1, 1, 1)))
    return true, predicted, cameras, pose_errors(target, true, predicted, cameras)


@pytest.mark.parametrize("name", ["block", "prism"])
def test_add_add_s_and_mssd_equal_loops_over_points(name: str) -> None:
    target = scene(name).object
    true, predicted, _, errors = all_errors(target)
    for sample in range(len(errors)):
        here, there = (moved_points(target, pose, sample) for pose in (true, predicted))
        distances = [1000 * math.dist(a, b) for a, b in zip(here, there, strict=True)]
        nearest = [min(1000 * math.dist(a, b) for b in there) for a in here]
        assert errors["add"][sample] == pytest.approx(statistics.fmean(distances))
        assert errors["add_s"][sample] == pytest.approx(statistics.fmean(nearest))
        assert errors["mssd"][sample] == pytest.approx(max(distances)), "letters leave no symmetry"


def test_mssd_over_the_corners_is_that_over_the_whole_surface() -> None:
    target = scene("prism").object
    true, predicted, _, errors = all_errors(target)
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.full(len(target.keypoints), 0.3), 3_000)  # points all over the solid
    for sample in range(len(errors)):
        here, there = (np.array(moved_points(target, pose, sample)) for pose in (true, predicted))
        assert 1000 * np.linalg.norm(weights @ (here - there), axis=1).max() <= errors["mssd"][sample] + 1e-9


@pytest.mark.parametrize("centre", [np.zeros(3), np.array([0.01, -0.02, 0.03])], ids=["centred", "off the origin"])
def test_a_cylinder_may_turn_about_its_axis_and_stand_on_either_end(centre: np.ndarray) -> None:
    """The angle between the axes is what is left, and nothing at all of a perfect estimate."""
    flip = np.stack([np.eye(3), np.diag([1.0, -1.0, -1.0])])
    symmetries = Symmetries(rotations=flip, axes=np.array([[0.0, 0.0, 1.0]]), centre=centre)
    target = structs.replace(scene("block").object, symmetries=symmetries)
    rng = np.random.default_rng(2)
    true = Rotation.random(50, random_state=1)
    tilt = Rotation.from_rotvec(np.deg2rad(7.0) * np.pad(unit(rng.normal(size=(50, 2))), ((0, 0), (0, 1))))
    about = Rotation.from_euler("z", rng.uniform(0, 360, (50, 1)), degrees=True)
    ends = Rotation.from_euler("x", 180 * rng.integers(0, 2, (50, 1)), degrees=True)
    cameras = rig(200).nominal.repeated(50)

    def errors_of(turned: Rotation) -> PoseErrors:
        """Of estimates whose rotation is another, while the point that no symmetry moves is in its place."""
        there = CENTRE + true.apply(centre) - turned.apply(centre)
        here = np.tile(CENTRE, (50, 1))
        return pose_errors(target, Pose(true.as_matrix(), here), Pose(turned.as_matrix(), there), cameras)

    errors = errors_of(true * tilt * about * ends)
    np.testing.assert_allclose(errors.rotation_deg, 7.0, atol=1e-9)
    reach = np.linalg.norm(target.points - centre, axis=1).max()
    assert errors["mssd"].max() < 1000 * reach * np.deg2rad(7.0)
    assert "face_confusion" not in errors.values, "a face is not told from another"
    perfect = errors_of(true * about * ends)
    for key in ("rotation", "position", "mssd", "mspd"):
        np.testing.assert_allclose(perfect[key], 0, atol=1e-5, err_msg=key)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("centre", [np.zeros(3), np.array([0.01, -0.02, 0.03])], ids=["centred", "off the origin"])
def test_symmetries_are_forgiven_by_mssd_and_mspd_but_not_by_add(centre: np.ndarray) -> None:
    """A block without letters: a quarter turn about one of its axes looks the same, wherever its frame's origin is."""
    block = scene("block").object
    symmetries = Symmetries(rotations=cube_rotations(), centre=centre)
    target = structs.replace(block, symmetries=symmetries, points=block.points + centre)
    rotation, position = random_poses(1, 24)
    position = position + CENTRE
    turned = rotation @ cube_rotations()
    there = position + rotation @ centre - turned @ centre
    cameras = rig(200).nominal.repeated(24)
    errors = pose_errors(target, Pose(rotation, position), Pose(turned, there), cameras)
    np.testing.assert_allclose(errors["position"], 0, atol=1e-9)
    np.testing.assert_allclose(errors["mssd"], 0, atol=1e-9)
    np.testing.assert_allclose(errors["mspd"], 0, atol=1e-9)
    np.testing.assert_allclose(errors["add_s"], 0, atol=1e-9)
    assert (errors["add"][1:] > 20).all()
    assert "face_confusion" not in errors.values, "its faces look alike"
    alone = structs.replace(block, shape_symmetries=np.eye(3)[None])
    found = pose_errors(alone, Pose(rotation, position), Pose(turned, there), cameras)
    assert "face_confusion" not in found.values, "a face fits nowhere else"


def test_mspd_equals_opencvs_projection() -> None:
    cv2 = pytest.importorskip("cv2")
    target = scene("block").object
    true, predicted, (matrices, transforms, *_), errors = all_errors(target)
    for sample in range(len(errors)):
        worst = 0.0
        for K, T in zip(matrices[sample], transforms[sample], strict=True):
            turn, shift = cv2.Rodrigues(T[:3, :3])[0], T[:3, 3]
            pixels = [
                cv2.projectPoints(np.array(moved_points(target, pose, sample)), turn, shift, K, None)[0][:, 0]
                for pose in (true, predicted)
            ]
            worst = max(worst, float(np.linalg.norm(pixels[0] - pixels[1], axis=1).max()))
        assert errors["mspd"][sample] == pytest.approx(worst, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "axis", "angle", "face_confusion"),
    [
        ("block", [1, 0, 0], 44, False),
        ("block", [1, 0, 0], 46, True),
        ("block", [0, 0, 1], 134, True),
        ("block", [1, 1, 1], 59, False),
        ("block", [1, 1, 1], 61, True),
        ("prism", [0, 0, 1], 22, False),
        ("prism", [0, 0, 1], 23, True),
        ("prism", [1, 0, 0], 89, False),
        ("prism", [1, 0, 0], 91, True),
    ],
)
def test_another_face_begins_half_way_to_the_next(
    name: str, axis: list[float], angle: float, face_confusion: bool
) -> None:
    start = Rotation.random(random_state=5)
    turned = start * Rotation.from_rotvec(np.deg2rad(angle) * np.array(axis) / np.linalg.norm(axis))
    true, predicted = (Pose(rotation.as_matrix()[None], np.zeros((1, 3))) for rotation in (start, turned))
    errors = pose_errors(scene(name).object, true, predicted)
    assert errors["face_confusion"].tolist() == [face_confusion]


def test_a_corner_behind_a_camera_is_infinitely_far_off() -> None:
    target = scene("block").object
    true, predicted, cameras, _ = all_errors(target, 1)
    behind = predicted._replace(position=rig().cameras[0].position[None])
    assert pose_errors(target, true, behind, cameras)["mspd"] == pytest.approx(np.inf)


def test_known_values() -> None:
    """A quarter turn about z and 3-4-12 mm: by hand 90 degrees and 13 mm."""
    block = scene("block").object
    half, true = math.sqrt(0.5), pose([0, 0, 0], [1, 0, 0, 0])
    errors = pose_errors(block, true, pose([0.003, 0.004, 0.012], [half, 0, 0, half]))
    assert errors.rotation_deg[0] == pytest.approx(90.0)
    assert errors.position_mm[0] == pytest.approx(13.0)
    only_turned = pose_errors(block, true, pose([0, 0, 0], [half, 0, 0, half]))
    assert only_turned["add"][0] == pytest.approx(57.0), "a quarter turn moves each corner to the next"
    only_moved = pose_errors(block, true, pose([0.003, 0.004, 0.012], [1, 0, 0, 0]))
    assert only_moved["add"][0] == pytest.approx(13.0), "without a turn, ADD is the position error"
    assert [only_moved[f"absolute_{axis}"][0] for axis in "xyz"] == pytest.approx([3.0, 4.0, 12.0])
    assert only_moved["mssd"][0] == pytest.approx(13.0)
    assert not only_moved["within_5deg_5mm"][0]
    near = pose_errors(block, true, pose([0.003, 0, 0.003], [1, 0.04, 0, 0]))
    assert near["within_5deg_5mm"][0], "4.6 degrees and 4.2 mm"
    assert near.of(np.array([False])).rotation_deg.shape == (0,)


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(0.0, 180.0)))
def test_summary_equals_the_definitions(errors: np.ndarray) -> None:
    summary = summarise(errors)
    values = sorted(map(float, errors))
    assert summary.mean == pytest.approx(statistics.fmean(values))
    assert summary.std == pytest.approx(statistics.pstdev(values), abs=1e-6)
    assert summary.median == pytest.approx(statistics.median(values))
    place = 0.9 * (len(values) - 1)
    low, high = values[math.floor(place)], values[math.ceil(place)]
    assert summary.p90 == pytest.approx(low + (place - math.floor(place)) * (high - low))


@pytest.mark.parametrize("errors", [[], [[1.0]], 3.0])
def test_a_summary_of_nothing_is_refused(errors: object) -> None:
    with pytest.raises(ValueError, match="at least one error"):
        summarise(errors)  # type: ignore[arg-type]
