"""Policies from files and entry points: our own weights, TorchScript and ``torch.export`` programs, Python functions.

A user's program is called with one dictionary, the nine tensors of :class:`datagen.sim.interface.Observation` (float32,
N rows, shapes, units and frames as there), and returns the actions, float32 (N, A), in [-1, 1]. It has no memory
between calls; a policy with memory is a Python entry point ``package.module:function``, called with the scene and the
number of worlds, that returns a :class:`datagen.sim.interface.Policy`.
"""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datagen.policy import cannot_act, policy_label, shipped, tried
from datagen.policy.features import goal_vector, state_vector
from datagen.policy.layout import layout_of
from datagen.policy.memory import History
from datagen.policy.network import Actor, Normaliser, load_policy_for
from datagen.policy.targets import JointTargets
from datagen.sim.interface import Observation, Policy, Worlds
from datagen.sim.scene import SimScene
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.machine.hardware import one_thread


class NetworkPolicy:
    """Policy with weights from ``dactyl policy train``."""

    def __init__(self, name: str, actor: Actor, normaliser: Normaliser, scene: SimScene, worlds: int) -> None:
        self.name = name
        self._actor, self._normaliser, self._scene = actor, normaliser, scene
        self._targets = JointTargets(scene, actor.servo)
        self._last = np.full((worlds, scene.actions), np.nan)
        self._joints = np.full((worlds, actor.layout.joints), np.nan)
        self._history = History(actor.memory.frames, worlds, actor.layout.state)

    def reset(self, worlds: Worlds, generators: Sequence[np.random.Generator]) -> None:
        self._history.forget(worlds)
        self._last[worlds] = self._joints[worlds] = np.nan  # no action yet: targets are the present joint positions

    def act(self, observation: Observation) -> FloatArray:
        joints = np.nan_to_num(observation["joint_position"])
        joints_before = np.where(np.isnan(self._joints), joints, self._joints)
        last = np.where(np.isnan(self._last), self._targets.holding(joints), self._last)
        state = np.nan_to_num(state_vector(self._scene, observation, last))
        goal = goal_vector(observation["relative_goal"])
        past, turns = self._history.recall(state, observation["object_quaternion"])
        with torch.inference_mode(), one_thread():  # so that states do not depend on the number of threads
            seen, before = (self._normaliser(torch.from_numpy(vectors)) for vectors in (state, past))
            nothing = seen[:, :0]
            target = self._actor(seen, torch.from_numpy(goal), before, torch.from_numpy(turns), nothing)
        self._last, self._joints = target.numpy().astype(np.float64), joints
        return self._targets.relative(self._last, joints, joints_before)


class ProgramPolicy:
    """Policy from a user's TorchScript or ``torch.export`` program."""

    def __init__(self, name: str, program: Callable[[dict[str, torch.Tensor]], Any]) -> None:
        self.name, self._program = name, program

    def reset(self, worlds: Worlds, generators: Sequence[np.random.Generator]) -> None:
        """Do nothing: programs have no memory."""

    def act(self, observation: Observation) -> FloatArray:
        tensors = {key: torch.from_numpy(np.asarray(value, np.float32)) for key, value in observation.items()}
        try:
            with torch.inference_mode(), one_thread():
                action = self._program(tensors)
        except Exception as error:  # a user's program may raise anything
            raise DactylError(f"policy {self.name}: {cannot_act(observation, error)}") from error
        if not isinstance(action, torch.Tensor):
            raise DactylError(f"policy {self.name}: must return a tensor, got {type(action).__name__}")
        return action.numpy().astype(np.float64)


def load(source: str, scene: SimScene, worlds: int) -> Policy:
    """Load the policy of a file (``.pt`` of ours or TorchScript, ``.pt2`` of torch.export) or an entry point.

    Raises:
        DactylError: it does not exist, cannot be read, is for another hand or object, has another signature, or is a
            teacher.
    """
    name, path = policy_label(source, scene.scene), shipped().get(source, Path(source))
    if path.suffix not in (".pt", ".pt2"):
        return tried(_entry_point(source), source, scene, worlds)
    if path.suffix == ".pt2":
        program = _read_program(path, lambda: torch.export.load(str(path)).module())
        return tried(lambda *_: ProgramPolicy(name, program), name, scene, worlds)
    if _is_torchscript(path):
        program = _read_program(path, lambda: torch.jit.load(str(path), "cpu"))
        return tried(lambda *_: ProgramPolicy(name, program), name, scene, worlds)
    actor, normaliser, _ = load_policy_for(path, layout_of(scene), scene.object.name)
    if actor.privileged:
        raise DactylError(f"{source}: a teacher, told what only a simulation knows; train a student of it to act")
    return NetworkPolicy(name, actor, normaliser, scene, worlds)


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _read_program(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:  # a damaged file may raise anything
        kind = type(error).__name__
        raise DactylError(f"{path}: not a program that this torch can read ({kind}); export it again") from error


def _entry_point(source: str) -> Callable[[SimScene, int], Any]:
    module, _, name = source.partition(":")
    try:
        build: Callable[[SimScene, int], Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DactylError(f"policy {source}: cannot be imported ({error}); give package.module:function") from error
    return build
