"""``dactyl evaluate`` and ``dactyl report``."""

from __future__ import annotations

from collections.abc import Sequence

from eval.evaluate import evaluate
from eval.report.table_text import print_table
from eval.report.write import SUMMARY, ReportConfig, report
from eval.scoring.config import EvaluateConfig
from vision.configuration.command_line import parse
from vision.machine.console import Console


def main_evaluate(argv: Sequence[str]) -> None:
    """Measure a checkpoint's rotation and position errors on test sets, and print them next to the paper's.

    Writes into the output folder: predictions (Parquet, one file for each test set and protocol), the table as table.md
    and table.csv, errors.png with cumulative curves, images of test triplets, and evaluation.json, from which dactyl
    report makes pages. Existing predictions of the same checkpoint and test set are reused. Others are made again, and
    the reason is printed.

    examples:
      dactyl evaluate --config configs/evaluate/demo.yaml
      dactyl evaluate --checkpoint runs/train/best.ckpt --test_sets.filament data/test-filament --output runs/evaluation
      dactyl evaluate --checkpoint block --test_sets.mine data/mine --output runs/shipped    with shipped weights
      dactyl evaluate --config configs/evaluate/demo.yaml --test_sets.real data/test-real --protocols '[nominal]'
      dactyl evaluate --config configs/evaluate/demo.yaml --test_sets.real data/test-real --calibrations.real found.json
    """
    config = parse(EvaluateConfig, argv, "dactyl evaluate", main_evaluate.__doc__ or "")
    rows = evaluate(config)
    console = Console()
    print_table(rows, console)
    console.print(f"{config.output}: table.md, table.csv, errors.png, predictions")


def main_report(argv: Sequence[str]) -> None:
    """Turn one or more evaluations into report.html, report.md, report.csv and report.json, and print a short table.

    The HTML is one file that opens from disk and loads nothing. Its tables can be sorted, and its figures show their
    values. Several evaluations are shown side by side (dactyl compare gives the significance of their differences).
    Only the folders of dactyl evaluate are needed, and of dactyl closed-loop if there are any. The short table is
    Markdown for a README, and also in summary.md.

    examples:
      dactyl report --evaluations.ours runs/evaluation --output runs/report
      dactyl report --evaluations.paper-net runs/paper/evaluation --evaluations.geometric runs/best/evaluation \\
        --output runs/report --title "Block, two heads"
      dactyl report --evaluations.ours runs/evaluation --closed_loops.her runs/closed-loop --output runs/report
    """
    config = parse(ReportConfig, argv, "dactyl report", main_report.__doc__ or "")
    report(config)
    console = Console()
    console.print((config.output / SUMMARY).read_text(encoding="utf-8"), highlight=False)
    console.print(f"{config.output}: report.html, report.md, report.csv, report.json, {SUMMARY}")
