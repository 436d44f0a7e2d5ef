"""Live shots: from cameras, or from a folder at the pace at which it was recorded.

Only the newest shot is kept: one that arrives while another is being estimated replaces the one that waits, which is
counted as missed. Streams are read in daemon threads, which end with the process whatever a driver does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eval.laboratory.opencv import opencv
from eval.laboratory.shots import Shot, Source
from vision.errors import DactylError

_OPENING_S = 10.0  # timeout for the first image of a camera
_LONGEST_PACE_S = 5.0  # between recorded shots; longer pauses are cut to this


@dataclass(frozen=True)
class Arrival:
    """A shot and its time of arrival, seconds of ``time.monotonic``."""

    shot: Shot
    at: float


class NewestShot:
    """A slot for one shot: putting never blocks, taking waits for the next shot."""

    def __init__(self) -> None:
        self.missed = 0
        self._changed = threading.Condition()
        self._arrival: Arrival | None = None
        self._fault: BaseException | None = None
        self._over = False

    def put(self, shot: Shot) -> None:
        with self._changed:
            self.missed += self._arrival is not None
            self._arrival = Arrival(shot, time.monotonic())
            self._changed.notify_all()

    def finish(self, fault: BaseException | None = None) -> None:
        """Mark the end of the shots; ``fault`` is raised by :meth:`take`."""
        with self._changed:
            self._over, self._fault = True, self._fault or fault
            self._changed.notify_all()

    def take(self, timeout_s: float, who: Callable[[], str]) -> Arrival | None:
        """Take the newest shot; None after the last one.

        Raises:
            DactylError: none arrived within ``timeout_s`` seconds; ``who()`` is the message.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._arrival is not None or self._over, timeout_s):
                raise DactylError(who())
            arrival, self._arrival = self._arrival, None
            if arrival is None and self._fault is not None:
                raise self._fault
            return arrival


class RecordedStream:
    """A folder's shots, played at the pace at which they were recorded."""

    def __init__(self, source: Source, interval_s: float | None) -> None:
        self.newest = NewestShot()
        self._source, self._interval = source, interval_s
        threading.Thread(target=self._play, daemon=True).start()

    def take(self, stall_s: float) -> Arrival | None:
        return self.newest.take(
            _LONGEST_PACE_S + stall_s, lambda: f"{self._source.name}: a picture takes too long to read"
        )

    def _play(self) -> None:
        try:
            due, before = time.monotonic(), None
            for number in range(self._source.count):
                shot = self._source.read(number)
                if shot.time_s is None:
                    if self._interval is None:
                        raise DactylError(f"{self._source.name}: pictures without times; --interval_s says their pace")
                    shot = replace(shot, time_s=number * self._interval)
                assert shot.time_s is not None
                due += 0.0 if before is None else min(shot.time_s - before, _LONGEST_PACE_S)
                before = shot.time_s
                time.sleep(max(0.0, due - time.monotonic()))
                self.newest.put(shot)
            self.newest.finish()
        except Exception as error:  # raised again by take()
            self.newest.finish(error)


class CameraStream:
    """Cameras that OpenCV reads, each in its own thread; a shot is the newest image of each.

    Args:
        sources: index or URL of each camera by its name, in rig order.

    Attributes:
        missed: number of triplets whose images were all replaced by newer ones before they were taken.
    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = dict(sources)
        self._pictures: dict[str, tuple[Any, float]] = {}
        self._faults: dict[str, str] = {}
        self._fresh = threading.Condition()
        self._begun = time.monotonic()
        self._epoch = time.time() - self._begun  # read once: a clock adjustment could make times fall
        self._taken = dict.fromkeys(sources, 0.0)
        self._replaced = dict.fromkeys(sources, 0)  # images that were replaced before they were taken
        self.missed = 0
        self.open = True
        for name in sources:
            threading.Thread(target=self._watch, args=(name,), daemon=True).start()

    def take(self, stall_s: float) -> Arrival:
        """Return the newest image of each camera, once all have a new one.

        Raises:
            DactylError: a camera cannot be opened, fails, or has given no image for ``stall_s`` seconds.
        """
        with self._fresh:
            while not all(self._new(name) for name in self._sources):
                self._fresh.wait(0.05)
                self._refuse_stalled(stall_s)
            self._refuse_stalled(stall_s)
            self.missed += min(self._replaced.values())  # a single fast camera does not make a triplet missed
            self._replaced = dict.fromkeys(self._sources, 0)
            pictures = [self._pictures[name] for name in self._sources]
            self._taken = {name: at for name, (_, at) in self._pictures.items()}
        colors = [opencv().cvtColor(picture, opencv().COLOR_BGR2RGB) for picture, _ in pictures]
        times = tuple(self._epoch + at for _, at in pictures)
        mean = sum(times) / len(times)
        shot = Shot(f"{mean:.3f}", colors, [self._called(name) for name in self._sources], mean, times)
        return Arrival(shot, min(at for _, at in pictures))

    def close(self) -> None:
        self.open = False

    def _put(self, name: str, picture: Any) -> None:
        with self._fresh:
            self._replaced[name] += self._new(name)
            self._pictures[name] = picture, time.monotonic()
            self._fresh.notify_all()

    def _new(self, name: str) -> bool:
        return name in self._pictures and self._pictures[name][1] > self._taken[name]

    def _called(self, name: str) -> str:
        return f"camera '{name}' ({self._sources[name]})"

    def _refuse_stalled(self, stall_s: float) -> None:
        now = time.monotonic()
        for name in self._sources:
            if name in self._faults:
                raise DactylError(f"{self._called(name)}: {self._faults[name]}; check number or URL, and the cable")
            last, timeout = self._pictures[name][1] if name in self._pictures else self._begun, stall_s
            if name not in self._pictures:
                timeout = max(stall_s, _OPENING_S)
            if now - last > timeout:
                raise DactylError(f"{self._called(name)}: no picture for {now - last:.0f} s; check the cable")

    def _watch(self, name: str) -> None:
        cv2 = opencv()
        capture = cv2.VideoCapture(_index_or_url(self._sources[name]))
        try:
            if not capture.isOpened():
                self._faults[name] = "cannot be opened"
                return
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # otherwise drivers return old images
            while self.open:
                good, picture = capture.read()
                if not good:
                    self._faults[name] = "gives no more pictures"
                    return
                self._put(name, picture)
        except cv2.error as error:
            self._faults[name] = str(error)
        finally:
            capture.release()


def silence_opencv() -> None:
    """Keep OpenCV from writing to standard error, because we report a camera that cannot be opened in one line."""
    logging = opencv().utils.logging
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)


def _index_or_url(source: str) -> int | str:
    return int(source) if source.isascii() and source.isdecimal() else source
