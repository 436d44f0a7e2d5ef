"""``dactyl``: dispatches to the stages and turns their errors into one line.

A stage is imported only when its command runs, so that help and mistyped commands answer at once, and a signal that
arrives while much is imported is answered as at any other time.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from vision.errors import DactylError, UsageError

COMMANDS = {
    "states": ("datagen.cli:main_states", "collect hand-and-object states in MuJoCo"),
    "coverage": ("datagen.cli:main_coverage", "report how evenly states cover orientations and positions"),
    "policy": ("datagen.policy.cli:main_policy", "train a policy that turns the object, or play the paper's trials"),
    "render": ("datagen.cli:main_render", "render randomised image triplets of them into a sharded dataset"),
    "info": ("datagen.cli:main_info", "say what a dataset holds: counts, renderer, distributions"),
    "inspect": ("datagen.cli:main_inspect", "look at a dataset: contact sheet, page to browse samples"),
    "check": ("datagen.cli:main_check", "check a dataset: hashes, labels, pictures, samples rendered again"),
    "doctor": ("datagen.cli:main_doctor", "try every renderer on a known scene; name what is missing"),
    "export": ("datagen.export.cli:main_export", "export a dataset in the format of others: BOP"),
    "train": ("train.cli:main_train", "train a pose estimator on a dataset"),
    "evaluate": ("eval.cli:main_evaluate", "report its rotation and position errors on test sets"),
    "report": ("eval.cli:main_report", "make pages of evaluations: HTML, Markdown, CSV, JSON"),
    "closed-loop": ("eval.closed_loop.cli:main_closed_loop", "play trials of a policy that sees through an estimator"),
    "package-model": (
        "eval.report.card:main_package_model",
        "turn a checkpoint into shipped weights with a model card",
    ),
    "export-model": ("eval.cli:main_export_model", "export a network to ONNX or torch.export"),
    "calibrate": ("eval.laboratory.cli:main_calibrate", "calibrate a lab's cameras from pictures of a ChArUco board"),
    "import-recording": ("eval.laboratory.cli:main_import_recording", "turn a lab's recording into a test set"),
    "unity": ("datagen.unity.cli:main_unity", "export a scene for Unity, or check a Unity player"),
    "demo": ("dactyl.demo:main_demo", "all of it, small: from nothing to the error table in 15 minutes"),
}

_USAGE = """usage: dactyl COMMAND [--config FILE] [--key value ...]

Learn an object's pose in a robot hand from three cameras, trained on synthetic images alone.

commands:
{commands}

dactyl COMMAND --help lists a command's options with examples;
dactyl COMMAND ... --print_config shows the configuration it would use.
"""


class _Terminated(BaseException):
    """SIGTERM arrived; a BaseException, so that no stage takes it for a fault of its own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status.

    0 done, 1 a fault that the user can mend, 2 wrong usage, 130 interrupted, 143 terminated.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        commands = "\n".join(f"  {name:18}{summary}" for name, (_, summary) in COMMANDS.items())
        sys.stdout.write(_USAGE.format(commands=commands))
        return 0 if arguments else 2
    name = arguments[0]
    if name not in COMMANDS:
        return _fail(f"dactyl: unknown command '{name}'; choose one of {', '.join(COMMANDS)}", 2)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        run(arguments)
        sys.stdout.flush()
    except UsageError as error:
        return _fail(str(error), 2)
    except DactylError as error:
        return _fail(f"dactyl {name}: {error}", 1)
    except KeyboardInterrupt:
        return _fail(f"dactyl {name}: interrupted; the same command resumes", 130)
    except _Terminated:
        return _fail(f"dactyl {name}: terminated; the same command resumes", 143)
    except BrokenPipeError:
        # The reader of our output went away (a pager, head); Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0


def run(arguments: Sequence[str]) -> None:
    """Run one command by its arguments; its errors are the caller's."""
    name, *rest = arguments
    module, function = COMMANDS[name][0].split(":")
    getattr(importlib.import_module(module), function)(rest)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _fail(message: str, status: int) -> int:
    sys.stderr.write(message + "\n")
    return status
