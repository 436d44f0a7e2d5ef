"""Estimation of all triplets of a source, with results written as they are computed."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any

from eval.estimation.config import EstimateConfig
from eval.estimation.estimates import Estimate, Observer
from eval.estimation.following import Follower, track_json
from eval.estimation.overlays import save_overlay, save_sheet
from eval.estimation.own_cameras import find_own_cameras
from eval.estimation.sources import open_source
from eval.laboratory.shots import Source
from vision.errors import DactylError
from vision.io.files import atomic_write, refuse_other_content, refuse_unwritable
from vision.machine.progress import progress
from vision.statistics.spacing import evenly_spaced

_CONTRADICTS, _FEWEST, _LEAST_PX = 4.0, 5, 0.1  # times as far, triplets, and pixels that are no error
_BEGINS = b'{"key"'  # every file of poses


@dataclass
class EstimationSummary:
    """Summary of a run.

    Attributes:
        source: name of the source.
        triplets: number of triplets.
        tracking: how often the object was lost, in words; empty without tracking.
        unusual: keys of the triplets whose images look unlike the training images.
        disagreement: for each camera, how many times as far as expected its keypoints are from the pose, in each
            triplet; empty of a regression.
        remarks: what else the user should know.
    """

    source: str
    triplets: int = 0
    tracking: str = ""
    unusual: list[str] = field(default_factory=list)
    disagreement: dict[str, list[float]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def estimate_all(config: EstimateConfig) -> EstimationSummary:
    """Estimate the triplets of a configuration, and write lines and overlays.

    Raises:
        DactylError: images, checkpoint or calibration are missing, damaged, or do not belong together.
    """
    observer = Observer(config)
    refuse_lost_work(config)
    source = open_source(config, observer.estimator.scene)
    refuse_lost_pictures(config, source)
    summary = EstimationSummary(source.name, remarks=[*source.remarks])
    if config.self_calibrate is not None:
        summary.remarks.append(find_own_cameras(observer, source, config.self_calibrate, config.batch_size))
    if config.output is None:
        for line in _lines(config, observer, source, summary):
            sys.stdout.write(line)
            sys.stdout.flush()
        return summary

    def write(file: IO[bytes]) -> None:
        for line in _lines(config, observer, source, summary):
            file.write(line.encode())

    atomic_write(config.output, write)
    return summary


def refuse_lost_work(config: EstimateConfig) -> None:
    """Raise DactylError if the outputs cannot be written."""
    if config.output is not None:
        refuse_unwritable(config.output)
    if config.overlays is not None:
        refuse_unwritable(config.overlays, folder=not is_sheet(config.overlays))


def refuse_lost_content(output: Path | None) -> None:
    """Raise DactylError if an existing file would be replaced that holds no poses."""
    if output is not None:
        refuse_other_content(output, _BEGINS, "poses", within=len(_BEGINS))


def is_sheet(overlays: Path) -> bool:
    """Return whether overlays are drawn on one sheet, not into a folder."""
    return overlays.suffix.lower() == ".png"


def refuse_lost_pictures(config: EstimateConfig, source: Source) -> None:
    """Raise DactylError if an image, or a table or calibration of the recording, would be overwritten."""
    read = {os.path.realpath(path) for path in source.files}  # Path.resolve raises on link cycles
    overlays = config.overlays
    for key, written in (("output", config.output), ("overlays", overlays)):
        if written is not None and os.path.realpath(written) in read:
            raise DactylError(f"{key}: {written} is one of the pictures that are read; choose another file")
    refuse_lost_content(config.output)
    if overlays is not None and any(str(Path(path).parent) == os.path.realpath(overlays) for path in read):
        raise DactylError(f"overlays: {overlays} holds pictures that are read; choose another folder")


def _lines(config: EstimateConfig, observer: Observer, source: Source, summary: EstimationSummary) -> Iterator[str]:
    """Yield the JSON line of each triplet, with the tracked pose if ``track`` is set."""
    symmetries = observer.estimator.object.symmetries
    follow = Follower(config.tracking, config.interval_s, symmetries) if config.track else None
    for estimate in _estimates(config, observer, source, summary):
        if follow is None:
            yield json_line(estimate.to_json())
            continue
        timed, pose = follow(estimate)
        summary.tracking = str(follow)
        yield json_line(timed.to_json() | {"track": track_json(pose, timed)})


def json_line(value: dict[str, Any]) -> str:
    """Return a value as one line of JSON."""
    return json.dumps(value, allow_nan=False) + "\n"


def _estimates(
    config: EstimateConfig, observer: Observer, source: Source, summary: EstimationSummary
) -> Iterator[Estimate]:
    """Yield estimates in order; draw and count each."""
    numbers, shots = source.shots(config.limit)
    drawn = _Overlays(config, observer, len(numbers))
    with progress(f"estimating {source.name}", len(numbers), "triplets") as advance:
        while batch := list(itertools.islice(shots, config.batch_size)):
            if not summary.triplets:
                summary.remarks += observer.views.remarks(batch[0].pictures)
            for estimate in observer(batch):
                drawn.add(estimate)
                summary.triplets += 1
                summary.unusual += [estimate.key] if estimate.unusual else []
                for name, seen in estimate.quality.items():
                    times = seen.residual_px / max(seen.expected_px, _LEAST_PX)
                    summary.disagreement.setdefault(name, []).append(times)
                yield estimate
            advance(len(batch))
    drawn.finish(source.name)
    summary.remarks += _contradictions(summary.disagreement)


def _contradictions(disagreement: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """Yield a line for each camera whose keypoints contradict the poses in most triplets: two good cameras hide a bad
    one from what is said of each triplet."""
    for name, times in disagreement.items():
        if len(times) >= _FEWEST and (usual := median(times)) > _CONTRADICTS:
            yield (
                f"{name}: its keypoints are {usual:.0f} times as far from the poses as expected (median): are its "
                "pictures its own, and its calibration right?"
            )


class _Overlays:
    """Draws the configured overlays of a known number of estimates."""

    def __init__(self, config: EstimateConfig, observer: Observer, count: int) -> None:
        self.path, self.scene = config.overlays, observer.estimator.scene
        self.one_sheet = self.path is not None and is_sheet(self.path)
        self.chosen = set(evenly_spaced(count, config.sheet))
        self.kept: list[Estimate] = []
        self.seen = 0

    def add(self, estimate: Estimate) -> None:
        if self.path is not None and not self.one_sheet:
            save_overlay(estimate, self.scene, self.path / f"{estimate.key}.png")
        elif self.one_sheet and self.seen in self.chosen:
            self.kept.append(estimate)
        self.seen += 1

    def finish(self, title: str) -> None:
        if self.path is not None and self.one_sheet and self.kept:
            save_sheet(self.kept, self.scene, title, self.path)
