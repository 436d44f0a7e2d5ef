"""``dactyl policy train`` and ``dactyl policy evaluate``."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from vision.config import UsageError, parse

if TYPE_CHECKING:
    from datagen.policy.her_config import HerConfig
    from datagen.policy.ppo_config import PpoConfig

_USAGE = """Train a policy that turns the object, or measure one.

examples:
  dactyl policy train --config configs/policy/her.yaml --output runs/her
  dactyl policy train --config configs/policy/ppo.yaml --output runs/ppo
  dactyl policy evaluate --policy runs/her/policy.pt --output runs/her/evaluation

dactyl policy train --help and dactyl policy evaluate --help list their keys."""


def main_policy(argv: Sequence[str]) -> None:
    """Train a policy that turns the object, or measure one."""
    commands = {"train": main_train, "evaluate": main_evaluate}
    if argv and argv[0] in ("-h", "--help"):
        Console().print(_USAGE, markup=False, highlight=False)
        return
    if not argv or argv[0] not in commands:
        got = f"'{argv[0]}'" if argv else "nothing"
        raise UsageError(f"dactyl policy: expected one of {', '.join(commands)}, got {got}")
    commands[argv[0]](argv[1:])


def main_train(argv: Sequence[str]) -> None:
    """Train a policy with hindsight experience replay, or with PPO: --method ppo, whose keys --method ppo --help lists.

    Checkpoints, the log, the learning curve and policy.pt go to the output folder; the same command goes on with an
    unfinished training, a larger --steps with a finished one.

    examples:
      dactyl policy train --config configs/policy/her.yaml --output runs/her
      dactyl policy train --config configs/policy/her.yaml --output runs/prism --object prism
      dactyl policy train --config configs/policy/ppo.yaml --output runs/ppo
      dactyl policy train --method ppo --output runs/ppo --executor ray --ray_address auto --workers 384 --device cuda
    """
    config: HerConfig | PpoConfig
    if _method(argv) == "ppo":
        from datagen.policy.ppo_config import PpoConfig
        from datagen.policy.ppo_training import train_ppo

        config = parse(PpoConfig, argv, "dactyl policy train", main_train.__doc__ or "")
        train_ppo(config)
    else:
        from datagen.policy.her_config import HerConfig
        from datagen.policy.training import train

        config = parse(HerConfig, argv, "dactyl policy train", main_train.__doc__ or "")
        train(config)
    Console().print(f"{config.output}: trained for {config.steps:,} steps; dactyl policy evaluate measures policy.pt")


def _method(argv: Sequence[str]) -> str:
    """Which method the arguments ask for, or the YAML file that they name."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config", action="append", default=[])
    parser.add_argument("--method")
    known, _ = parser.parse_known_args(list(argv))
    for path in [] if known.method else reversed(known.config):
        with contextlib.suppress(OSError, UnicodeDecodeError):  # parse says what is wrong with it
            if found := re.search(r"^method: *['\"]?(\w+)", Path(path).read_text(), re.MULTILINE):
                return found[1]
    return known.method or "her"


def main_evaluate(argv: Sequence[str]) -> None:
    """Play the paper's trials: 50 goals, 80 s for each, until a drop; print consecutive goals next to its Table 3.

    examples:
      dactyl policy evaluate --policy runs/her/policy.pt --output runs/her/evaluation
      dactyl policy evaluate --policy runs/her/policy.pt --output runs/her/evaluation --gif docs/images/policy.gif
      dactyl policy evaluate --policy random-exploration --output runs/floor --trials 20
      dactyl policy evaluate --policy mine.pt2 --output runs/mine --randomization.backlash null
    """
    from datagen.policy.evaluate import EvaluateConfig, evaluate, table

    config = parse(EvaluateConfig, argv, "dactyl policy evaluate", main_evaluate.__doc__ or "")
    Console().print(table(config, evaluate(config)), markup=False, highlight=False)
