"""``dactyl closed-loop``."""

from __future__ import annotations

from collections.abc import Sequence

from vision.configuration.command_line import parse
from vision.machine.console import Console


def main_closed_loop(argv: Sequence[str]) -> None:
    """Play trials of a policy that sees through an estimator, and print consecutive goals next to Table 3.

    Each trial is played twice in each simulation: given the true state, and given what the estimator finds in three
    images of every step. Writes results.json, table.md, the estimator's errors over time (PNG) and the film of a trial
    (GIF) into the output folder; dactyl report includes them. The same command resumes a killed run, and more --trials
    extend a finished one.

    examples:
      dactyl closed-loop --checkpoint runs/best/best.ckpt --output runs/closed-loop
      dactyl closed-loop --policy runs/her/policy.pt --checkpoint runs/best/best.ckpt --output runs/try --trials 5
      dactyl closed-loop --checkpoint block --output runs/tracked --protocol self-calibrated --track true
      dactyl closed-loop --config configs/evaluate/closed-loop.yaml --protocol calibrated --hold_out '[unmodelled]'
    """
    from eval.closed_loop.config import ClosedLoopConfig

    config = parse(ClosedLoopConfig, argv, "dactyl closed-loop", main_closed_loop.__doc__ or "")
    from eval.closed_loop.run import closed_loop
    from eval.report.trial_table import trial_table

    console = Console()
    table = trial_table({"": closed_loop(config)})
    console.print(table, highlight=False)
    console.print(f"{config.output}: results.json, table.md, errors-*.png, film-*.gif", highlight=False)
