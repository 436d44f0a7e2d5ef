"""Distance to the training distribution against a loop; groups that leave no sample out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from msgspec import structs
from scipy.spatial.transform import Rotation

from eval.scoring.samples import nearest_pose_mm, quartiles
from tests.scene.test_symmetries import SYMMETRIES
from tests.scenes import scene
from vision.geometry.poses import Pose


@pytest.mark.parametrize("name", ["block", "prism"])
def test_nearest_pose_equals_the_loop(name: str) -> None:
    target = scene(name).object
    rng = np.random.default_rng(0)
    (p, q), (training_p, training_q) = (
        (rng.normal(1, 0.02, (n, 3)), np.roll(Rotation.random(n, random_state=rng).as_quat(), 1, axis=1))
        for n in (6, 40)
    )
    training = Pose.from_quaternion(training_p, training_q)
    found = nearest_pose_mm(target, Pose.from_quaternion(p, q), training)
    for sample in range(6):
        distances = []
        for position, quaternion in zip(training_p, training_q, strict=True):
            here = Rotation.from_quat(np.roll(q[sample], -1)).apply(np.array(target.keypoints)) + p[sample]
            there = Rotation.from_quat(np.roll(quaternion, -1)).apply(np.array(target.keypoints)) + position
            distances.append(1000 * np.sqrt(((here - there) ** 2).sum(axis=1).mean()))
        assert found[sample] == pytest.approx(min(distances))
    np.testing.assert_allclose(
        nearest_pose_mm(target, Pose.from_quaternion(training_p, -training_q), training), 0, atol=1e-9
    )


@pytest.mark.parametrize("kind", SYMMETRIES)
def test_a_pose_that_looks_like_one_of_the_training_is_not_far_from_it(kind: str) -> None:
    """The distance is the least over all turns, of a body whose symmetries do not leave its frame's origin in place."""
    symmetries = structs.replace(SYMMETRIES[kind], centre=np.array([0.01, -0.02, 0.03]))
    block = scene("block").object
    target = structs.replace(block, symmetries=symmetries, points=block.points + symmetries.centre)
    rng = np.random.default_rng(0)
    training, near = Rotation.random(20, rng=rng), Rotation.from_rotvec(rng.normal(0, 0.1, (20, 3)))
    place, shift = rng.normal(1, 0.5, (20, 3)), rng.normal(0, 0.002, (20, 3))

    seen = Pose(training.as_matrix(), place)
    alike = symmetries.transforms(120 if len(symmetries.axes) == 1 else 36)
    for motion in alike[:: max(1, len(alike) // 30)]:
        turned = training * Rotation.from_matrix(motion[:3, :3])
        there = place + training.apply(motion[:3, 3])
        np.testing.assert_allclose(nearest_pose_mm(target, Pose(turned.as_matrix(), there), seen), 0, atol=1e-9)
    moved = near * training
    found = nearest_pose_mm(target, Pose(moved.as_matrix(), place + shift), seen)
    for sample in range(20):
        here = moved[sample].apply(np.array(target.points)) + (place + shift)[sample]
        points = target.points @ np.swapaxes(alike[:, :3, :3], 1, 2) + alike[:, None, :3, 3]
        there = np.array([points @ turn.T + at for turn, at in zip(training.as_matrix(), place, strict=True)])
        least = 1000 * np.sqrt(((there - here) ** 2).sum(axis=-1).mean(axis=-1).min())
        if kind == "ball":
            least = 1000 * np.linalg.norm((here - there[sample, 0]).mean(axis=0))
        assert least - 0.2 < found[sample] < least + 1e-6, "three degrees of spin are between two steps of the grid"


@given(hnp.arrays(np.float64, st.integers(1, 50), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0])))
def test_quartiles_hold_every_sample_once(values: np.ndarray) -> None:
    groups = quartiles(values, " mm")
    assert 1 <= len(groups) <= 4
    np.testing.assert_array_equal(sum(group.samples.astype(int) for group in groups), 1)
    for smaller, larger in itertools.pairwise(groups):
        assert values[smaller.samples].max() <= values[larger.samples].min()
    assert all(group.label.endswith(" mm") for group in groups)


def test_quartiles_are_of_equal_size() -> None:
    assert [int(group.samples.sum()) for group in quartiles(np.random.default_rng(0).normal(size=200), "")] == [50] * 4
