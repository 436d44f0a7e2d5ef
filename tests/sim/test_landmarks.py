"""The landmarks that the network knows as constants are points of the hand that is simulated."""

import mujoco
import numpy as np
import pytest
import torch

from datagen.sim.scene import SimScene
from tests.scenes import compiled, scene
from vision.geometry.rotations import FloatArray
from vision.solvers.landmarks import locate_landmarks

HAND = scene().hand
assert HAND is not None
assert HAND.landmarks is not None
LANDMARKS, PREFIX = HAND.landmarks, HAND.prefix
FOREARM = 8  # points on its surface come first, then the centres of joints
JOINTS = ("WRJ1", "WRJ0", "LFJ4", "RFJ3", "MFJ3", "FFJ3", "THJ4")


@pytest.fixture(scope="module")
def hand() -> SimScene:
    return compiled(mesh_fraction=1.0)


def found(hand: SimScene, angles: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Vertices of the forearm (V, 3) and centres of the joints (J, 3), world, with the wrist bent."""
    data = mujoco.MjData(hand.model)
    data.qpos[hand.hand_qpos[list(HAND.landmark_joints)]] = angles
    mujoco.mj_forward(hand.model, data)
    geom = hand.model.geom(f"{PREFIX}V_forearm").id
    mesh = hand.model.mesh(hand.model.geom_dataid[geom])
    vertices = hand.model.mesh_vert[mesh.vertadr[0] : mesh.vertadr[0] + mesh.vertnum[0]]
    world = vertices @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
    return world, np.array([data.joint(PREFIX + name).xanchor for name in JOINTS])


@pytest.mark.parametrize("angles", [(0.0, 0.0), (-0.4, 0.3), (0.1, -0.6)])
def test_landmarks_lie_on_the_simulated_hand(hand: SimScene, angles: tuple[float, float]) -> None:
    forearm, joints = found(hand, angles)
    landmarks = locate_landmarks(LANDMARKS, torch.tensor([angles], dtype=torch.float64))[0][0].numpy()
    off = np.linalg.norm(landmarks[:FOREARM, None] - forearm, axis=-1).min(axis=1)
    assert off.max() < 2e-4
    np.testing.assert_allclose(landmarks[FOREARM:], joints, atol=1e-5)


def test_hinges_are_the_wrist_of_the_simulated_hand(hand: SimScene) -> None:
    names = [hand.joint_names[joint] for joint in HAND.landmark_joints]
    assert names == list(LANDMARKS.joints) == ["WRJ1", "WRJ0"]
    limits = np.array([hand.model.joint(PREFIX + name).range for name in names])
    np.testing.assert_allclose(LANDMARKS.limits, limits, atol=1e-3)
