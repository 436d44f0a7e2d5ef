"""Augmentation of the object's pose before rendering (paper, appendix D.2).

The states that a policy visits cover some orientations more than others. 20 % of the samples keep the collected pose,
40 % rotate the object onto itself (a cube by 90 degrees about its main axes), ignoring letters, and 40 % jitter it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from datagen.variation import generator
from vision.distributions import Normal
from vision.geometry.rotations import FloatArray, quaternion_from_rotation, rotation_from_quaternion
from vision.objects.pose_object import PoseObject


@dataclass(frozen=True)
class PoseAugmentConfig:
    """Fractions of the three kinds of samples, and the size of the jitter. The fractions are the paper's, the jitter is
    ours.

    Attributes:
        rotated: fraction of samples whose object is rotated by one of the rotations that leave its shape unchanged, so
            that it fits into the same grasp (a cube's 24, as in the reference; drawn evenly, one of them is no rotation
            at all).
        jittered: fraction of samples whose pose gets Gaussian noise; the remaining samples are as collected.
        position_jitter: standard deviation of each coordinate, metres.
        rotation_jitter: standard deviation of each component of the rotation vector, radians.
    """

    rotated: float = 0.4
    jittered: float = 0.4
    position_jitter: Normal = Normal(0.0, 0.005)
    rotation_jitter: Normal = Normal(0.0, 0.15)

    def __post_init__(self) -> None:
        if min(self.rotated, self.jittered) < 0 or self.rotated + self.jittered > 1:
            raise ValueError(
                f"rotated and jittered are shares that add up to 1 at most, got {self.rotated} and {self.jittered}"
            )


def augment_pose(
    config: PoseAugmentConfig,
    target: PoseObject,
    position: FloatArray,
    quaternion: FloatArray,
    seed: int,
    index: int,
) -> tuple[FloatArray, FloatArray, str]:
    """Return the pose to render and the kind of augmentation applied.

    Args:
        config: fractions and jitter.
        target: the object.
        position: object centre (3,), metres, world frame.
        quaternion: object to world (4,), w x y z.
        seed, index: seed of the dataset, number of the sample.

    Returns:
        Position (3,), quaternion (4,) with w >= 0, and ``none``, ``rotated`` or ``jittered``.
    """
    choice = generator(seed, index, "augmentation.kind").random()
    if choice < config.rotated:
        turns = target.shape_symmetries
        turn = turns[generator(seed, index, "augmentation.rotation").integers(len(turns))]
        before = rotation_from_quaternion(quaternion)
        centre = target.symmetries.centre  # stays in place: a rotation about the origin could move the body
        return (
            position + before.apply(centre - turn @ centre),
            quaternion_from_rotation(before * Rotation.from_matrix(turn)),
            "rotated",
        )
    if choice < config.rotated + config.jittered:
        rng = generator(seed, index, "augmentation.jitter")
        shift = config.position_jitter(rng, 3)
        turned = Rotation.from_rotvec(config.rotation_jitter(rng, 3)) * rotation_from_quaternion(quaternion)
        return position + shift, quaternion_from_rotation(turned), "jittered"
    return position, np.asarray(quaternion), "none"
