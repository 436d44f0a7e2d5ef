"""``dactyl policy train`` and ``dactyl policy evaluate``."""

from __future__ import annotations

from collections.abc import Sequence

from vision.configuration.command_line import parse
from vision.machine.console import Console


def main_train(argv: Sequence[str]) -> None:
    """Train a policy with hindsight experience replay.

    Checkpoints, the log, the learning curve and policy.pt go to the output folder. The same command resumes an
    unfinished training; with a larger --steps it extends a finished one.

    examples:
      dactyl policy train --config configs/policy/her.yaml --output runs/her
      dactyl policy train --config configs/policy/her.yaml --output runs/adroit --scene adroit-box
      dactyl policy train --config configs/policy/randomized.yaml --output runs/randomized
    """
    from datagen.policy.her_config import HerConfig
    from datagen.policy.training import train

    config = parse(HerConfig, argv, "dactyl policy train", main_train.__doc__ or "")
    steps = train(config)
    Console().print(f"{config.output}: trained for {steps:,} steps; dactyl policy evaluate measures policy.pt")


def main_evaluate(argv: Sequence[str]) -> None:
    """Play the paper's trials (50 goals, 80 s for each, until a drop) and print consecutive goals next to its Table 3.

    examples:
      dactyl policy evaluate --policy runs/her/policy.pt --output runs/her/evaluation
      dactyl policy evaluate --policy runs/her/policy.pt --output runs/her/evaluation --gif runs/her/trial.gif
      dactyl policy evaluate --policy random-exploration --output runs/floor --trials 20
      dactyl policy evaluate --policy mine.pt2 --output runs/mine --randomization.backlash null
    """
    from datagen.policy.evaluate import EvaluatePolicyConfig, evaluate_policy, table
    from datagen.sim.complete import complete_scene

    config = parse(EvaluatePolicyConfig, argv, "dactyl policy evaluate", main_evaluate.__doc__ or "")
    scene = complete_scene(config.scene)  # once: someone may edit its file meanwhile
    Console().print(table(config, scene, evaluate_policy(config, scene)), highlight=False)
