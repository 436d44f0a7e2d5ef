"""Policies that act in the environment: ours and other packages' by name, policies in files, and any function given as
``package.module:function``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from datagen.policy.explore import RandomExploration
from datagen.sim.interface import Observation, Policy, blank_observation
from datagen.sim.scene import SimScene
from vision.errors import DactylError
from vision.io.files import require_unchanged, sha256
from vision.machine.console import Console
from vision.registry import Registry
from vision.scene.scene import Scene

POLICIES = Registry("policy", "dactyl.policies", {RandomExploration.name: "datagen.policy.explore:RandomExploration"})
"""Functions by name that return a policy for a scene and a number of worlds."""

TRAINED = "trained"
"""Alias of the policy shipped for the scene's hand and object, or of random exploration if there is none."""

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the policies shipped with the package: ``<hand>-<object>.pt``, as ``dactyl policy train`` writes them."""


def shipped() -> dict[str, Path]:
    """Return the files of the shipped policies by name."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.pt"))}


def policy_label(source: str, scene: Scene) -> str:
    """Return the label of a policy's states: a name or entry point unchanged; for weights, file name and content hash.

    Args:
        source: as for :func:`create_policy`.
        scene: scene whose policy "trained" refers to.

    Raises:
        DactylError: there is no such policy.
    """
    source = _resolved(source, scene)
    path = shipped().get(source, Path(source))
    if path.suffix in (".pt", ".pt2") and path.is_file():
        return f"{path.stem}-{sha256(path)[:8]}"
    if source in POLICIES.names() or (":" in source and path.suffix not in (".pt", ".pt2")):
        return source
    known = ", ".join([TRAINED, *POLICIES.names(), *shipped()])
    raise DactylError(f"no policy '{source}': give one of {known}, a .pt or .pt2 file, or package.module:function")


def create_policy(source: str, scene: SimScene, worlds: int, label: str | None = None) -> Policy:
    """Create the policy of that name, file or entry point; :mod:`datagen.policy.trained` lists the kinds of files.

    Args:
        source: name, file or entry point.
        scene: scene in which it acts.
        worlds: number of worlds.
        label: its :func:`policy_label` when the command began; None for that of now.

    Raises:
        DactylError: there is none, it is for another hand or object, or has another signature, or its file was replaced
            since it had that label or while it was read.
    """
    there = policy_label(source, scene.scene)
    if label is not None:
        require_unchanged(f"policy {source}", label, there)
    found = _resolved(source, scene.scene)
    if source == TRAINED and found == RandomExploration.name:
        _say_substitute(scene.scene.name, found)
    if found in POLICIES.names() and found not in shipped():
        return tried(POLICIES.load(found), found, scene, worlds)
    from datagen.policy.trained import load  # brings torch

    policy = load(found, scene, worlds)
    require_unchanged(f"policy {source}", there, policy_label(source, scene.scene))
    return policy


@functools.cache
def _say_substitute(scene: str, found: str) -> None:
    """Print the substitution once, however many batches of worlds a command plays."""
    Console(stderr=True).print(f"no policy trained in the scene {scene} is shipped: {found} instead")


def tried(build: Callable[[SimScene, int], Any], source: str, scene: SimScene, worlds: int) -> Policy:
    """Build a policy by a user's function, and let it act once as a test.

    Raises:
        DactylError: it cannot be built, cannot act in this scene, or lacks an attribute of a policy.
    """
    observation = blank_observation(worlds, len(scene.fingertip_sites), len(scene.joint_names))
    try:
        policy: Policy = build(scene, worlds)
        missing = [part for part in ("name", "reset", "act") if not hasattr(policy, part)]
        if missing:
            raise DactylError(f"policy {source}: returned {type(policy).__name__} without {', '.join(missing)}")
        policy.reset(range(worlds), [np.random.default_rng(world) for world in range(worlds)])
        shape, expected = np.asarray(policy.act(observation), np.float64).shape, (worlds, scene.actions)
    except DactylError:
        raise
    except Exception as error:  # a user's function may raise anything
        raise DactylError(f"policy {source}: {cannot_act(observation, error)}") from error
    if shape != expected:
        raise DactylError(f"policy {source}: must return actions of shape {expected}, got {shape}")
    return policy


def cannot_act(observation: Observation, error: Exception) -> str:
    """Return the message for a policy that raised an error on an observation."""
    tips, joints = observation["fingertip_position"].shape, observation["joint_position"].shape
    return f"cannot act on an observation (fingertip_position {tips}, joint_position {joints}): {error}"


def _resolved(source: str, scene: Scene) -> str:
    if source != TRAINED:
        return source
    name = f"{scene.hand.name if scene.hand else 'no-hand'}-{scene.object.name}"
    return name if name in shipped() else RandomExploration.name
