import numpy as np
import torch
from scipy.spatial.transform import Rotation

from tests.scenes import scene
from vision.solvers.landmarks import locate

HAND = scene().hand
assert HAND is not None
assert HAND.landmarks is not None
LANDMARKS = HAND.landmarks


def test_forearm_stays_and_the_palm_turns_about_both_hinges() -> None:
    angles = torch.tensor([[0.0, 0.0], [0.1, -0.3]], dtype=torch.float64)
    points, _ = locate(LANDMARKS, angles)
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
    _, derivative = locate(LANDMARKS, angles)
    expected = torch.autograd.functional.jacobian(lambda a: locate(LANDMARKS, a)[0], angles)[..., 0, :]
    torch.testing.assert_close(derivative, expected)
    assert derivative.abs().amax(dim=(0, 1, 2)).min() > 0.01
