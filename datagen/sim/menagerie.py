"""Location of MuJoCo Menagerie's models: a clone, or files that its package has fetched. Nothing is downloaded here."""

from __future__ import annotations

import os
from pathlib import Path

from vision.errors import DactylError
from vision.machine.extras import install

ROOT = "MENAGERIE_ROOT"
"""Menagerie's own environment variable for the folder of a clone."""

_CLONE = "https://github.com/google-deepmind/mujoco_menagerie"


def menagerie_file(hand: str, inside: str) -> Path:
    """Return the path of a file of Menagerie, for example ``leap_hand/right_hand.xml``.

    Args:
        hand: name of the hand, for messages.

    Raises:
        DactylError: it is not on this machine; the message says how to get it.
    """
    model, _, file = inside.partition("/")
    if root := os.environ.get(ROOT):
        path = Path(root) / inside
        if not path.is_file():
            raise DactylError(f"hand {hand}: {path} is missing; {ROOT} has to name the folder of a clone of {_CLONE}")
        return path
    if (folder := _fetched(model)) is None:
        raise DactylError(
            f"hand {hand}: MuJoCo Menagerie's {model} is not on this machine: {install('menagerie')} and run "
            f"mujoco-menagerie prefetch {model}, or let {ROOT} name the folder of a clone of {_CLONE}"
        )
    path = folder / file
    if not path.is_file():
        raise DactylError(f"hand {hand}: {path} is missing; check the name")
    return path


def _fetched(model: str) -> Path | None:
    """Return the folder to which Menagerie's package has fetched a model; None without package or model."""
    try:
        import mujoco_menagerie
    except ImportError:
        return None
    try:
        robot, cache = mujoco_menagerie.get(model), mujoco_menagerie.Cache()
    except mujoco_menagerie.MenagerieError:  # no such model
        return None
    return Path(cache.model_path(robot)) if cache.is_cached(robot) else None
