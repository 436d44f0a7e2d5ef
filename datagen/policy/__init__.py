"""Policies that act in the environment, by name, file or entry point."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from datagen.policy.base import Policy
from datagen.policy.explore import RandomExploration
from datagen.sim.scene import Scene
from vision.errors import DactylError
from vision.files import sha256

POLICIES: dict[str, Callable[[Scene, int], Policy]] = {RandomExploration.name: RandomExploration}
"""Builders by name: from the scene and the number of worlds."""

WEIGHTS = Path(__file__).parent / "weights"
"""Weights that come with the package, a ``.pt`` file for each name."""


def shipped() -> dict[str, Path]:
    """Files of the shipped weights by name."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.pt"))}


def policy_label(source: str) -> str:
    """What states are labelled with: a name or entry point as it is; a file by its name and content.

    Raises:
        DactylError: there is no such policy.
    """
    path = Path(source)
    if path.suffix in (".pt", ".pt2") and path.is_file():
        return f"{path.stem}-{sha256(path)[:8]}"
    known = [*POLICIES, *shipped()]
    if source in known or (":" in source and path.suffix not in (".pt", ".pt2")):
        return source
    raise DactylError(
        f"no policy '{source}': give one of {', '.join(known)}, a .pt or .pt2 file, or package.module:function"
    )


def create_policy(source: str, scene: Scene, worlds: int) -> Policy:
    """The policy of that name, in that file, or behind that entry point; `datagen.policy.trained` says which files.

    Raises:
        DactylError: there is none, or it has another signature.
    """
    policy_label(source)
    if source in POLICIES:
        return POLICIES[source](scene, worlds)
    from datagen.policy.trained import load  # brings torch

    return load(source, scene, worlds)
