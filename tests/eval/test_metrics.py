"""Errors against scipy and against definitions spelled out in loops."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from eval.metrics import add_mm, pose_errors, position_error_mm, rotation_error_deg, summarise
from vision.objects import OBJECTS, get_object

seeds = st.integers(0, 2**32 - 1)


def random_poses(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (count, 3) and quaternions w x y z (count, 4) of either sign."""
    rng = np.random.default_rng(seed)
    quaternions = Rotation.random(count, random_state=rng).as_quat()[:, [3, 0, 1, 2]]
    return rng.normal(0, 0.1, (count, 3)), quaternions * rng.choice([-1, 1], (count, 1))


@given(seeds, st.floats(0.0, 180.0))
def test_rotation_error_is_the_angle_that_was_turned(seed: int, angle: float) -> None:
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    start = Rotation.random(random_state=rng)
    turned = start * Rotation.from_rotvec(np.deg2rad(angle) * axis / np.linalg.norm(axis))
    pair = [np.roll(rotation.as_quat(), 1) for rotation in (start, turned)]
    assert rotation_error_deg(*pair) == pytest.approx(angle, abs=1e-5)
    assert rotation_error_deg(pair[1], pair[0]) == pytest.approx(angle, abs=1e-5), "symmetric"
    assert rotation_error_deg(pair[0], -pair[1]) == pytest.approx(angle, abs=1e-5), "q and -q are one rotation"


@given(seeds)
def test_rotation_error_equals_scipys(seed: int) -> None:
    (_, true), (_, predicted) = random_poses(seed, 7), random_poses(seed + 1, 7)
    first, second = (Rotation.from_quat(np.roll(quaternion, -1, axis=1)) for quaternion in (true, predicted))
    np.testing.assert_allclose(
        rotation_error_deg(true, predicted), np.rad2deg((first.inv() * second).magnitude()), atol=1e-5
    )


@given(seeds)
def test_position_error_is_in_millimetres(seed: int) -> None:
    (true, _), (predicted, _) = random_poses(seed, 5), random_poses(seed + 1, 5)
    expected = [1000 * math.dist(a, b) for a, b in zip(true, predicted, strict=True)]
    np.testing.assert_allclose(position_error_mm(true, predicted), expected, rtol=1e-9)


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_add_equals_the_loop_over_points(name: str) -> None:
    target = get_object(name)
    true, predicted = random_poses(1, 4), random_poses(2, 4)
    expected = []
    for sample in range(4):
        distances = []
        for point in target.keypoints:
            moved = [
                Rotation.from_quat(np.roll(quaternion[sample], -1)).apply(point) + position[sample]
                for position, quaternion in (true, predicted)
            ]
            distances.append(1000 * math.dist(*moved))
        expected.append(statistics.fmean(distances))
    np.testing.assert_allclose(add_mm(target, *true, *predicted), expected)


def test_known_values() -> None:
    """A quarter turn about z and 3-4-12 mm: by hand 90 degrees and 13 mm."""
    block = get_object("block")
    half = math.sqrt(0.5)
    errors = pose_errors(block, [[0, 0, 0]], [[1, 0, 0, 0]], [[0.003, 0.004, 0.012]], [[half, 0, 0, half]])
    assert errors.rotation_deg[0] == pytest.approx(90.0)
    assert errors.position_mm[0] == pytest.approx(13.0)
    only_turned = pose_errors(block, [[0, 0, 0]], [[1, 0, 0, 0]], [[0, 0, 0]], [[half, 0, 0, half]])
    assert only_turned.add_mm[0] == pytest.approx(57.0), "a quarter turn moves each corner to the next"
    only_moved = pose_errors(block, [[0, 0, 0]], [[1, 0, 0, 0]], [[0.003, 0.004, 0.012]], [[1, 0, 0, 0]])
    assert only_moved.add_mm[0] == pytest.approx(13.0), "without a turn, ADD is the position error"


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
