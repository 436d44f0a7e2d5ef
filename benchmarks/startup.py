"""Seconds until a command begins: processor time of fresh processes with compiled byte code, the least of several.

Measures the first help line, the imports of ``dactyl info``, of a render process, of a training and of estimates, and
loading the shipped network in a script; for comparison Python, torch, torch's optimisers and Lightning alone.

    python -m benchmarks.startup > benchmarks/results/startup.txt
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from benchmarks.machine import describe

_PAUSED = "from vision.machine.processes import collection_paused\nwith collection_paused(): import "
STARTS = {
    "Python": "pass",
    "dactyl --help": "from dactyl.cli import main; main(['--help'])",
    "dactyl info": "import datagen.inspection.info, vision.storage.datasets",
    "a render process": f"{_PAUSED}datagen.generate.shard_task, datagen.render.filament",
    "torch": "import torch",
    "an optimiser of torch": "import torch; torch.optim.Adam([torch.zeros(1)])",
    "lightning": "import lightning",
    "dactyl train": "from dactyl.commands import COMMANDS; COMMANDS['train'].load()",
    "dactyl evaluate": "from dactyl.commands import COMMANDS; COMMANDS['evaluate'].load(); import vision.estimator",
    "dactyl estimate": "from dactyl.commands import COMMANDS; COMMANDS['estimate'].load(); import vision.estimator",
    "from_pretrained": "from vision.estimator import PoseEstimator; PoseEstimator.from_pretrained()",
}


def seconds(code: str) -> float:
    """Measure the processor time of a fresh process and its children."""
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="of each, in turns; one more writes byte code")
    arguments = parser.parse_args()
    took = [{name: seconds(code) for name, code in STARTS.items()} for _ in range(arguments.runs + 1)][1:]
    print(f"{describe()}\n\n{'':22}{'processor seconds, least of ' + str(arguments.runs):>32}")
    for name in STARTS:
        print(f"{name:22}{min(run[name] for run in took):32.2f}")


if __name__ == "__main__":
    main()
