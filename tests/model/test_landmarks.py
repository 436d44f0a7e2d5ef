from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from scipy.spatial.transform import Rotation

from tests.scenes import scene
from vision.solvers.landmarks import locate_landmarks

HAND = scene().hand
assert HAND is not None
assert HAND.landmarks is not None
LANDMARKS = HAND.landmarks


def test_forearm_stays_and_the_palm_turns_about_both_hinges() -> None:
    angles = torch.tensor([[0.0, 0.0], [0.1, -0.3]], dtype=torch.float64)
    points, _ = locate_landmarks(LANDMARKS, angles)
    torch.testing.assert_close(points[0], torch.tensor(LANDMARKS.points))
    level = np.array(LANDMARKS.level)
    np.testing.assert_array_equal(points[1, level == 0], LANDMARKS.points[level == 0])
    first, second = (
        Rotation.from_rotvec(angle * axis) for angle, axis in zip((0.1, -0.3), LANDMARKS.axes, strict=True)
    )
    pivots, palm = LANDMARKS.pivots, LANDMARKS.points[level == 2]
    expected = first.apply(second.apply(palm - pivots[1]) + pivots[1] - pivots[0]) + pivots[0]
    np.testing.assert_allclose(points[1, level == 2], expected, atol=1e-12)


def test_derivative_is_that_of_the_points() -> None:
    angles = torch.tensor([[-0.2, 0.3]], dtype=torch.float64)
    _, derivative = locate_landmarks(LANDMARKS, angles)
    expected = torch.autograd.functional.jacobian(lambda a: locate_landmarks(LANDMARKS, a)[0], angles)[..., 0, :]
    torch.testing.assert_close(derivative, expected)
    assert derivative.abs().amax(dim=(0, 1, 2)).min() > 0.01


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limits": np.array([[-0.5, 0.1], [0.2, 0.2]])}, "limits: expected the lower angle first"),
        ({"limits": np.array([[0.1, -0.5], [-0.7, 0.5]])}, "limits: expected the lower angle first"),
        ({"axes": np.array([[0.0, 0.0, -2.0], [-1.0, 0.0, 0.0]])}, "axes: expected directions of length 1"),
        ({"pivots": np.zeros((1, 3))}, "pivots: expected 3 numbers for each of 2 joints"),
        ({"joints": (), "level": (0,) * len(LANDMARKS.level)}, "pivots: expected 3 numbers for each of 0 joints"),
    ],
)
def test_landmarks_that_a_scene_gets_wrong_are_refused(change: dict[str, Any], said: str) -> None:
    """Found: equal limits gave poses of NaN, and a misspelt joint a traceback within the first batch."""
    with pytest.raises(ValueError, match=said):
        replace(LANDMARKS, **change)


def test_landmarks_hang_on_joints_of_the_hand() -> None:
    with pytest.raises(ValueError, match="joint 'WRJ7' is none of the hand's"):
        replace(HAND, landmarks=replace(LANDMARKS, joints=("WRJ1", "WRJ7")))
