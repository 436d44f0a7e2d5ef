"""Cameras found from the same images whose poses are estimated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from eval.estimation.estimates import Observer
from eval.laboratory.frame_refinement import self_calibrate_with_frame
from eval.laboratory.shots import Source
from vision.errors import DactylError
from vision.estimator import Observations
from vision.machine.progress import progress
from vision.storage.recordings import refuse_several_rigs

_FIRST = 10
"""Number of triplets after which live cameras are first found; they are found again whenever the number doubles."""
_APART_S = 0.2
"""Least time in seconds between triplets that are used: neighbours show the same grasp, and each costs time."""


class OwnCameras:
    """Gathers a network's observations of triplets, and finds the cameras from them.

    Args:
        observer: receives the found cameras.
        most: number of triplets after which the cameras are no longer updated.
    """

    def __init__(self, observer: Observer, most: int) -> None:
        if not observer.estimator.finds_cameras:
            raise DactylError(
                "self_calibrate: the network finds no landmarks of parts that do not move, which tell where its "
                "cameras are; calibrate them with a board (dactyl calibrate)"
            )
        self._observer, self._most = observer, most
        self._given, self._frame_known = observer.views.cameras, observer.views.frame_known
        self._seen: list[Observations] = []
        self._next, self._last = min(_FIRST, most), -np.inf

    def gather(self, triplets: Iterable[np.ndarray], batch_size: int = 1) -> None:
        """Observe triplets (C, H, W, 3) uint8 of the network's images, ``batch_size`` at a time."""
        self._seen.append(self._observer.estimator.observe(triplets, batch_size))

    def find(self) -> str:
        """Find the cameras that fit all gathered triplets, pass them to the observer, and return a line about them.

        Raises:
            DactylError: the triplets leave a camera undetermined, or do not agree.
        """
        seen = Observations.joined(self._seen)
        solution, motion = self_calibrate_with_frame(self._observer.estimator, seen, self._given, self._frame_known)
        self._given = self._given.in_frame(motion)
        self._observer.take_cameras(solution, motion)
        names = self._observer.estimator.rig.names
        moved = [name for name, drifted in zip(names, solution.drifted().tolist(), strict=True) if drifted]
        turned = f"; {' and '.join(moved)} turned meanwhile: fix the cameras" if moved else ""
        count, sure_deg = len(seen.corners), float(solution.direction_deviation_deg.max())
        triplets = "1 triplet" if count == 1 else f"{count} triplets"
        return f"cameras found from {triplets}, directions sure to {sure_deg:.2f} deg{turned}"

    def follow(self, images: np.ndarray, now_s: float, unusual: bool) -> str | None:
        """Use a live triplet (C, H, W, 3) uint8, unless it is unusual, too soon after the last one or not needed.

        Returns:
            A line for the user when the cameras were found or could not be found, else None.
        """
        if unusual or len(self._seen) >= self._most or now_s - self._last < _APART_S:
            return None
        self._last = now_s
        self.gather(images[None])
        if len(self._seen) < self._next:
            return None
        self._next = min(2 * self._next, self._most)
        try:
            return self.find()
        except DactylError as error:
            if len(self._seen) < self._most:
                return f"cameras not found yet: {error}"
            self._seen, self._next = [], min(_FIRST, self._most)
            return f"cameras not found: {error}; looking again"


def find_own_cameras(observer: Observer, source: Source, most: int, batch_size: int = 16) -> str:
    """Find the cameras from at most ``most`` evenly spaced shots of a source, and return a line about them.

    Args:
        batch_size: number of shots in one call of the network.

    Raises:
        DactylError: the network cannot find cameras, the shots leave one undetermined, or they do not share cameras.
    """
    cameras = OwnCameras(observer, most)
    if source.dataset is not None:
        refuse_several_rigs(source.dataset)
    numbers, shots = source.shots(most)
    with progress(f"finding the cameras of {source.name}", len(numbers), "triplets") as advance:

        def triplets() -> Iterator[np.ndarray]:
            for shot in shots:
                yield observer.views(shot.pictures, shot.where)
                advance(1)

        cameras.gather(triplets(), batch_size)
    try:
        return cameras.find()
    except DactylError as error:
        raise DactylError(f"{source.name}: {error}") from error
