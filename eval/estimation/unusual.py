"""Detection of images unlike those that a network was trained on, from the network's own output.

A network predicts its error in pixels at each keypoint, and the keypoints of all cameras deviate from one pose by some
pixels more. Both together, in the cameras' geometric mean (``vision.solvers.views.ViewAgreement.spread``), have a
median over the held-out triplets of the training. Images whose spread is more than five times that are unusual: either
nothing in them is recognised, or the cameras contradict each other.

docs/evaluation.md states how often this happens on unchanged test sets and on images that were degraded on purpose.
A single image without contrast among good ones would pass, so each image's contrast is checked, too.
"""

from __future__ import annotations

import numpy as np

from vision.solvers.views import UNUSUAL

_LEAST_CONTRAST = 2.0  # standard deviation of levels of 255: lower for a covered lens or a camera that sends one colour


def contrast(images: np.ndarray) -> np.ndarray:
    """Compute the largest of the channels' standard deviations (...), levels of 255, of images (..., H, W, 3) uint8."""
    return np.asarray(images.std(axis=(-3, -2), dtype=np.float32).max(axis=-1), np.float64)


def recognised(keypoint_scale: np.ndarray, usual_spread: float) -> np.ndarray:
    """Compute the fraction (...) of keypoints whose expected error is at most :data:`UNUSUAL` times the usual one.

    ``keypoint_scale`` holds the expected errors (..., K), ``usual_spread`` the usual one, both in pixels.
    """
    return np.asarray((keypoint_scale <= UNUSUAL * usual_spread).mean(axis=-1), np.float64)


def reasons(
    contrasts: np.ndarray, names: tuple[str, ...], spread: float | None, usual_spread: float | None
) -> tuple[str, ...]:
    """Return why a triplet's images are unusual, in words; an empty tuple if they are not.

    Args:
        contrasts: (C,) contrasts of its images.
        names: names of its cameras.
        spread: spread of its keypoints, pixels; None if the network does not provide it.
        usual_spread: usual spread of the network, pixels.
    """
    found = [f"{name}: blank" for name, each in zip(names, contrasts, strict=True) if each < _LEAST_CONTRAST]
    if spread is not None and usual_spread is not None and not spread <= UNUSUAL * usual_spread:
        found.append(f"keypoints scatter {spread / usual_spread:.0f} times as much as usual")
    return tuple(found)
