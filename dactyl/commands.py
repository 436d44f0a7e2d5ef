"""Every command of ``dactyl``, by its name of one word or two; none is imported before it runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vision.machine.extras import require
from vision.machine.processes import collection_paused


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        target: module and name of the function that runs it with its arguments.
        summary: what it does, in a line of the help.
        extras: extras of pyproject.toml that it always needs; it may need others for some of its options.
        resumes: whether it continues what an interrupted run of it began.
    """

    target: str
    summary: str
    extras: tuple[str, ...] = ()
    resumes: bool = False

    def load(self) -> Callable[[Sequence[str]], None]:
        """Import the command's stage, and return the function that runs the command.

        Raises:
            DactylError: an extra that the command always needs is missing.
        """
        require(self.extras)
        module, function = self.target.split(":")
        with collection_paused():
            main: Callable[[Sequence[str]], None] = getattr(importlib.import_module(module), function)
        return main


COMMANDS = {
    "scene check": Command("datagen.cli:main_scene_check", "check a scene file, in words and an image", ("sim",)),
    "states": Command("datagen.cli:main_states", "collect hand-and-object states in MuJoCo", ("sim",), resumes=True),
    "coverage": Command(
        "datagen.cli:main_coverage", "report how evenly states cover orientations and positions", ("lab",)
    ),
    "policy train": Command(
        "datagen.policy.cli:main_train", "train a policy that turns the object", ("sim", "train"), resumes=True
    ),
    "policy evaluate": Command("datagen.policy.cli:main_evaluate", "play the paper's trials of a policy", ("sim",)),
    "render": Command(
        "datagen.cli:main_render", "render randomised image triplets of collected states", ("sim",), resumes=True
    ),
    "info": Command("datagen.cli:main_info", "print what a dataset holds: counts, renderer, distributions"),
    "inspect": Command(
        "dactyl.inspection:main_inspect", "look at a dataset: contact sheet, page to browse samples", ("lab",)
    ),
    "check": Command("datagen.cli:main_check", "check a dataset: hashes, labels, images, samples rendered again"),
    "doctor": Command("datagen.cli:main_doctor", "try every renderer on a known scene; name what is missing", ("sim",)),
    "export bop": Command(
        "datagen.export.cli:main_bop", "export a dataset in the format of the BOP benchmark", ("sim",)
    ),
    "train": Command("train.cli:main_train", "train a pose estimator on a dataset", ("train",), resumes=True),
    "estimate": Command("eval.estimation.cli:main_estimate", "estimate poses in images: recordings, files, datasets"),
    "evaluate": Command(
        "eval.cli:main_evaluate", "measure a network's rotation and position errors", ("lab",), resumes=True
    ),
    "report": Command("eval.cli:main_report", "make pages of evaluations: HTML, Markdown, CSV, JSON", ("lab",)),
    "compare": Command(
        "eval.report.compare:main_compare", "compare two evaluations: differences and their confidence", ("lab",)
    ),
    "closed-loop": Command(
        "eval.closed_loop.cli:main_closed_loop",
        "play trials of a policy that sees through an estimator",
        ("sim",),
        resumes=True,
    ),
    "package-model": Command(
        "eval.report.card:main_package_model", "turn a checkpoint into shipped weights with a model card", ("lab",)
    ),
    "export-model": Command("eval.export_model:main_export_model", "export a network to ONNX or torch.export"),
    "calibrate": Command(
        "eval.laboratory.cli:main_calibrate",
        "calibrate cameras from a ChArUco board, or from the hand at work (--from)",
        ("lab",),
    ),
    "import-recording": Command(
        "eval.laboratory.cli:main_import_recording", "turn a lab's recording into a test set", ("sim",)
    ),
    "unity export-scene": Command(
        "datagen.unity.cli:main_export_scene", "write a scene pack: what Unity shows of a scene", ("sim",)
    ),
    "unity check": Command(
        "datagen.unity.cli:main_check", "start a Unity player, and see whether its images can be trusted", ("sim",)
    ),
    "demo": Command(
        "dactyl.demo:main_demo",
        "run every stage at a small size: from nothing to the error table",
        ("sim", "train"),
        resumes=True,
    ),
}
