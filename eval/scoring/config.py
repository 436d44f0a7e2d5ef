"""Configuration of ``dactyl evaluate``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from eval.scoring.conditions import PROTOCOLS, ProtocolName
from vision.configuration.bounds import at_least_one, known_device, not_negative
from vision.io.store import Location
from vision.machine.hardware import Precision


@dataclass(frozen=True)
class EvaluateConfig:
    """Which checkpoint to evaluate, and on what.

    Attributes:
        checkpoint: checkpoint file that dactyl train wrote, or the name of shipped weights.
        test_sets: datasets (folders or URLs) by name, for example {filament: data/test-filament, real: null}; null for
            one that does not exist yet.
        output: folder for predictions, table and images.
        training_set: dataset whose labels give the best constant pose, the baseline; null omits that row.
        protocols: what the estimator knows of the cameras: nominal (the rig's, as in the paper), self-calibrated (those
            that it found from all triplets of a recording; only on sets of recordings), calibrated (each sample's true
            ones).
        calibrations: files of dactyl calibrate --from by the test set's name, each with the cameras of all of the set's
            images: the self-calibrated protocol then uses those and finds none itself.
        batch_size: number of triplets in one call of the estimator; fewer with several windows.
        device: device on which the network runs: cpu, cuda or cuda:N; auto is a GPU if there is one.
        windows: number of windows around the object, rolled against each other, in which the network sees each image;
            what it finds is averaged (test-time augmentation): errors become smaller, and its time grows with it. Null
            takes the network's own number, model.window.count.
        precision: number format of the network: bfloat16, up to twice as fast where the machine has instructions for
            it; auto, bfloat16 there and float32 elsewhere; or float32, the same errors on every machine.
        camera_subsets: also remove each camera in turn (calibrated; only if the estimator uses cameras).
        miscalibration_samples: number of samples, evenly spaced, on which the estimator is also given cameras that are
            wrong by set amounts (calibrated; as above); 0 for none.
    """

    checkpoint: Path
    test_sets: dict[str, Location | None]
    output: Path
    training_set: Location | None = None
    protocols: tuple[ProtocolName, ...] = PROTOCOLS
    batch_size: int = 32
    device: str = "auto"
    windows: int | None = None
    precision: Precision = "float32"
    camera_subsets: bool = False
    miscalibration_samples: int = 0
    calibrations: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := [name for name in self.calibrations if not self.test_sets.get(name)]:
            raise ValueError(f"calibrations: there is no test set '{unknown[0]}'")
        if self.calibrations and "self-calibrated" not in self.protocols:
            raise ValueError("calibrations: are for the protocol self-calibrated, which protocols leaves out; add it")
        if not any(self.test_sets.values()):
            raise ValueError("test_sets: name at least one, for example --test_sets.filament data/test-filament")
        for name in self.test_sets:
            if not re.fullmatch(r"[0-9a-z_-]+", name):
                raise ValueError(f"test_sets: a name has small letters, digits, - and _ only, got '{name}'")
        if clash := [name for name in self.test_sets if f"{name}-self" in self.test_sets]:
            # X under self-calibrated and X-self under calibrated would be one file.
            raise ValueError(f"test_sets: '{clash[0]}' and '{clash[0]}-self' cannot be together; rename one")
        if not self.protocols or len(set(self.protocols)) < len(self.protocols):
            raise ValueError(f"protocols: expected some of {', '.join(PROTOCOLS)}, got {list(self.protocols)}")
        at_least_one(self, "batch_size", "windows")
        known_device(self, "device")
        not_negative(self, "miscalibration_samples")
