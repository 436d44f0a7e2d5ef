"""``dactyl estimate --live``: a tracked pose for each shot as it arrives, as JSON lines and on a page in a browser."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import IO

import numpy as np

from eval.estimation.config import EstimateConfig
from eval.estimation.estimates import Estimate, Observer
from eval.estimation.following import Follower, track_json
from eval.estimation.live_view import draw_live
from eval.estimation.own_cameras import OwnCameras
from eval.estimation.page import Page
from eval.estimation.recorder import ShotRecorder
from eval.estimation.run import json_line, refuse_lost_content, refuse_lost_pictures, refuse_lost_work
from eval.estimation.sources import open_source
from eval.estimation.streams import Arrival, CameraStream, RecordedStream, silence_opencv
from vision.errors import DactylError
from vision.published import STEP_SECONDS
from vision.tracking import NO_COVARIANCE, TrackedPose

_PACE_S = 0.75 * STEP_SECONDS  # for one estimate of a policy's step; the rest is for reading and drawing images
_TRIALS = 4  # of which the fastest counts: the first warms up, and others may be disturbed
_RATE_OVER = 30  # latest triplets, over which the shown rate is measured


@dataclass
class LiveSummary:
    """Summary of a live run.

    Attributes:
        triplets: number of triplets that were estimated.
        missed: number of triplets that were replaced while another was being estimated.
        tracking: how often the object was lost, in words.
        seconds: time from the first triplet to the last.
        latencies: times from a triplet's first image to its line, seconds.
        spreads: times between the first and the last image of a triplet, seconds.
        ends: times at which the latest triplets were estimated, seconds of ``time.monotonic``.
    """

    triplets: int = 0
    missed: int = 0
    tracking: str = ""
    seconds: float = 0.0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))
    spreads: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))
    ends: deque[float] = field(default_factory=lambda: deque(maxlen=_RATE_OVER))

    def add(self, arrival: Arrival) -> float:
        """Count a triplet whose estimate ends now, and return its latency in seconds."""
        now = time.monotonic()
        self.triplets += 1
        self.seconds += now - self.ends[-1] if self.ends else 0.0
        self.latencies.append(now - arrival.at)
        self.spreads.append(arrival.shot.spread_s)
        self.ends.append(now)
        return self.latencies[-1]

    @property
    def rate(self) -> float:
        """Current triplets per second; 0 until the second triplet."""
        return (len(self.ends) - 1) / (self.ends[-1] - self.ends[0]) if len(self.ends) > 1 else 0.0

    def skewed(self, tolerance_s: float) -> str | None:
        """Return a line for the user if the images of most triplets are further apart than ``tolerance_s`` seconds."""
        spread_s = float(np.median(self.spreads))
        if spread_s <= tolerance_s:
            return None
        return (
            f"the cameras' pictures are {1000 * spread_s:.0f} ms apart (median), more than tolerance_s allows in a "
            "recording: what moves meanwhile is where none of them saw it; trigger the cameras together"
        )

    def __str__(self) -> str:
        if self.triplets < 2:
            return f"{self.triplets} triplets"
        rate, latency = (self.triplets - 1) / self.seconds, 1000 * float(np.median(self.latencies))
        return (
            f"{self.triplets} triplets, {rate:.1f} a second, {latency:.0f} ms from pictures to pose (median), "
            f"{self.missed} missed, {self.tracking}"
        )


def run_live(config: EstimateConfig, say: Callable[[str], None]) -> LiveSummary:
    """Estimate until no more shots arrive, or the user interrupts.

    Args:
        config: configuration with ``live``.
        say: prints a line for the user.

    Raises:
        DactylError: as for stored images; or a camera cannot be opened, or gives no more images.
    """
    refuse_lost_work(config)
    observer = Observer(config)
    if observer.estimator.usual_spread is None:
        raise DactylError(NO_COVARIANCE)
    cameras = None if config.self_calibrate is None else OwnCameras(observer, config.self_calibrate)
    if config.output is None and sys.stdout.isatty():
        say("poses go to the terminal; send them to a pipe or to --output")
    if config.windows is None and (reduced := _keep_pace(observer)):
        say(reduced)
    summary, target = LiveSummary(), observer.estimator.object
    with contextlib.ExitStack() as stack:
        recorder = None if config.record is None else ShotRecorder(config.record, observer.estimator.rig.names)
        arrivals, missed = _stream(config, observer, stack)
        page = None
        if config.port is not None:
            page = Page(config.port)
            stack.callback(page.close)
            say(f"{page.url} shows the pictures with the estimate over them; Ctrl-C ends")
        try:
            first = list(itertools.islice(arrivals, 1))
            for arrival in first:
                for remark in observer.views.remarks(arrival.shot.pictures):
                    say(remark)
            # Write nothing before the first shot, so that a camera that cannot be opened neither overwrites earlier
            # poses nor leaves an empty recording.
            write = stack.enter_context(_lines_to(config))
            if recorder is not None:
                stack.enter_context(recorder)
            follow = Follower(config.tracking, None, target.symmetries)
            for arrival, estimate, pose, line in _tracked(observer, follow, itertools.chain(first, arrivals), summary):
                write(line)
                unusual, now = bool(estimate.unusual), summary.ends[-1]
                if summary.triplets == _RATE_OVER and (skewed := summary.skewed(config.tolerance_s)):
                    say(skewed)
                if cameras is not None and (found := cameras.follow(estimate.images, now, unusual)):
                    say(found)
                if recorder is not None:
                    recorder.keep(arrival.shot)
                if page is not None:
                    jpeg = draw_live(estimate, pose, target, summary.rate) if page.watched else None
                    page.show(line, jpeg)
        except KeyboardInterrupt:
            say("interrupted")
        summary.missed = missed()
    return summary


def _keep_pace(observer: Observer) -> str | None:
    """Let the network see one window of each image if it has several and those take too long on this machine; return a
    line for the user if so."""
    estimator, cameras = observer.estimator, observer.views.cameras
    if (count := estimator.windows) == 1:
        return None
    images = np.zeros((1, len(estimator.rig), estimator.rig.height, estimator.rig.width, 3), np.uint8)
    times = []
    for _ in range(_TRIALS):
        begun = time.monotonic()
        estimator.predict(images, cameras, nominal=observer.nominal)
        times.append(time.monotonic() - begun)
    if min(times) <= _PACE_S:
        return None
    estimator.use_windows(1)
    return (
        f"{count} windows of each picture take {1000 * min(times):.0f} ms here, too long for {1 / STEP_SECONDS:g} "
        f"estimates a second; the network sees one (--windows {count} keeps them, with smaller errors)"
    )


def _tracked(
    observer: Observer, follow: Follower, arrivals: Iterable[Arrival], summary: LiveSummary
) -> Iterator[tuple[Arrival, Estimate, TrackedPose | None, str]]:
    """Yield each arrival with its estimate, its tracked pose (None while the object is lost) and its JSON line.

    The arrivals are counted in ``summary``.
    """
    for arrival in arrivals:
        (estimate,) = observer([arrival.shot])
        estimate, pose = follow(estimate)
        latency_s = round(summary.add(arrival), 4)
        summary.tracking = str(follow)
        line = json_line(estimate.to_json() | {"latency_s": latency_s, "track": track_json(pose, estimate)})
        yield arrival, estimate, pose, line


def _stream(
    config: EstimateConfig, observer: Observer, stack: contextlib.ExitStack
) -> tuple[Iterator[Arrival], Callable[[], int]]:
    """Return shots as they arrive, and a function that returns how many were missed."""
    if config.pictures is not None:
        source = open_source(config, observer.estimator.scene)
        refuse_lost_pictures(config, source)
        recorded = RecordedStream(source, config.interval_s)
        return iter(partial(recorded.take, config.stall_s), None), lambda: recorded.newest.missed
    refuse_lost_content(config.output)
    sources = observer.estimator.rig.in_order(config.cameras, "cameras", "its index or URL")
    for name, camera in sources.items():
        if os.path.isfile(camera) or os.path.isdir(camera):  # noqa: PTH112, PTH113 (of a text that may name none)
            raise DactylError(
                f"cameras.{name}: {camera} is no camera: its pictures would come as fast as they are read, at other "
                "moments than the other cameras'; make pictures of videos, and name their folder with --pictures"
            )
    silence_opencv()
    cameras = CameraStream(sources)
    stack.callback(cameras.close)
    return iter(partial(cameras.take, config.stall_s), None), lambda: cameras.missed


@contextlib.contextmanager
def _lines_to(config: EstimateConfig) -> Iterator[Callable[[str], None]]:
    """Yield a function that writes and flushes one line, to standard output or to a named file or pipe."""
    with contextlib.ExitStack() as stack:
        file: IO[str] = sys.stdout
        if config.output is not None:
            try:
                config.output.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(config.output.open("w", encoding="utf-8"))
            except OSError as error:
                raise DactylError(f"{config.output}: cannot write: {error.strerror}; choose another place") from error

        def write(line: str) -> None:
            file.write(line)
            file.flush()

        yield write
