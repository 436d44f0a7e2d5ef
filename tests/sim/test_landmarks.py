"""The landmarks that the network knows as constants are points of the hand that is simulated."""

import mujoco
import numpy as np
import pytest
import torch

from datagen.sim.hand import PREFIX
from datagen.sim.scene import Scene, SceneConfig, build_scene
from vision.geometry.rotations import FloatArray
from vision.scene.landmarks import HAND_LANDMARKS, locate

FOREARM = 8  # points on its surface come first, then the centres of joints
JOINTS = ("WRJ1", "WRJ0", "LFJ4", "RFJ3", "MFJ3", "FFJ3", "THJ4")


@pytest.fixture(scope="module")
def scene() -> Scene:
    return build_scene(SceneConfig(purpose="render"))


def found(scene: Scene, angles: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Vertices of the forearm (V, 3) and centres of the joints (J, 3), world, with the wrist bent."""
    data = mujoco.MjData(scene.model)
    data.qpos[scene.hand_qpos[list(HAND_LANDMARKS.joints)]] = angles
    mujoco.mj_forward(scene.model, data)
    geom = scene.model.geom(f"{PREFIX}V_forearm").id
    mesh = scene.model.mesh(scene.model.geom_dataid[geom])
    vertices = scene.model.mesh_vert[mesh.vertadr[0] : mesh.vertadr[0] + mesh.vertnum[0]]
    world = vertices @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
    return world, np.array([data.joint(PREFIX + name).xanchor for name in JOINTS])


@pytest.mark.parametrize("angles", [(0.0, 0.0), (-0.4, 0.3), (0.1, -0.6)])
def test_landmarks_lie_on_the_simulated_hand(scene: Scene, angles: tuple[float, float]) -> None:
    forearm, joints = found(scene, angles)
    landmarks = locate(HAND_LANDMARKS, torch.tensor([angles], dtype=torch.float64))[0][0].numpy()
    off = np.linalg.norm(landmarks[:FOREARM, None] - forearm, axis=-1).min(axis=1)
    assert off.max() < 2e-4
    np.testing.assert_allclose(landmarks[FOREARM:], joints, atol=1e-5)


def test_hinges_are_the_wrist_of_the_simulated_hand(scene: Scene) -> None:
    names = [scene.joint_names[joint] for joint in HAND_LANDMARKS.joints]
    assert names == ["WRJ1", "WRJ0"]
    limits = np.array([scene.model.joint(PREFIX + name).range for name in names])
    np.testing.assert_allclose(HAND_LANDMARKS.limits, limits, atol=1e-3)
