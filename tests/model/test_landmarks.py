import numpy as np
import torch
from scipy.spatial.transform import Rotation

from vision.scene.landmarks import HAND_LANDMARKS, locate


def test_forearm_stays_and_the_palm_turns_about_both_hinges() -> None:
    angles = torch.tensor([[0.0, 0.0], [0.1, -0.3]], dtype=torch.float64)
    points, _ = locate(HAND_LANDMARKS, angles)
    torch.testing.assert_close(points[0], torch.tensor(HAND_LANDMARKS.points))
    level = np.array(HAND_LANDMARKS.level)
    np.testing.assert_array_equal(points[1, level == 0], HAND_LANDMARKS.points[level == 0])
    first, second = (
        Rotation.from_rotvec(angle * axis) for angle, axis in zip((0.1, -0.3), HAND_LANDMARKS.axes, strict=True)
    )
    pivots, palm = HAND_LANDMARKS.pivots, HAND_LANDMARKS.points[level == 2]
    expected = first.apply(second.apply(palm - pivots[1]) + pivots[1] - pivots[0]) + pivots[0]
    np.testing.assert_allclose(points[1, level == 2], expected, atol=1e-12)


def test_derivative_is_that_of_the_points() -> None:
    angles = torch.tensor([[-0.2, 0.3]], dtype=torch.float64)
    _, derivative = locate(HAND_LANDMARKS, angles)
    expected = torch.autograd.functional.jacobian(lambda a: locate(HAND_LANDMARKS, a)[0], angles)[..., 0, :]
    torch.testing.assert_close(derivative, expected)
    assert derivative.abs().amax(dim=(0, 1, 2)).min() > 0.01
