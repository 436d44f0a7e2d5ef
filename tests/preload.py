"""What forks of the tests' server have imported (tests/commands.py)."""

import contextlib
import importlib

# Before Mesa, as in conftest.py: a fork that renders has it in this order, too.
with contextlib.suppress(ImportError):
    importlib.import_module("triton")

for name in ("eval.cli", "eval.closed_loop.run", "train.cli", "vision.estimator"):
    importlib.import_module(name)
