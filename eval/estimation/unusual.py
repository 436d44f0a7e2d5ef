"""Whether pictures look unlike those that a network was trained on, by what the network itself makes of them.

A network expects to be off by so many pixels at each keypoint, and its keypoints in all cameras are off one pose by so
many more. Both together, on the cameras' geometric mean (``vision.solvers.views.Views.spread``), have a median on the
held-out triplets of the training. Pictures whose spread is five times that are unusual: either nothing in them is
recognised, or the cameras contradict each other.

docs/evaluation.md says how often that is so of test sets as they are, and of pictures that were spoilt on purpose.
A single picture without contrast among good ones would pass, so each picture's contrast is looked at, too.
"""

from __future__ import annotations

import numpy as np

from vision.solvers.views import UNUSUAL

_LEAST_CONTRAST = 2.0  # standard deviation of a picture's levels, of 255: a covered lens, a camera that sends grey


def contrast(images: np.ndarray) -> np.ndarray:
    """Standard deviation (...) of the levels of images (..., H, W, 3) uint8."""
    return np.asarray(images.std(axis=(-3, -2, -1), dtype=np.float32), np.float64)


def recognised(keypoint_scale: np.ndarray, usual_spread: float) -> np.ndarray:
    """Fraction (...) of the keypoints whose expected errors (..., K) pixels are no more than :data:`UNUSUAL` times the
    usual."""
    return np.asarray((keypoint_scale <= UNUSUAL * usual_spread).mean(axis=-1), np.float64)


def reasons(
    contrasts: np.ndarray, names: tuple[str, ...], spread: float | None, usual_spread: float | None
) -> tuple[str, ...]:
    """Why a triplet's pictures are unusual, in words; nothing where they are not.

    Args:
        contrasts: (C,) of its pictures.
        names: of its cameras.
        spread: of its keypoints, pixels; None where the network does not tell.
        usual_spread: of the network, pixels.
    """
    found = [f"{name}: blank" for name, each in zip(names, contrasts, strict=True) if each < _LEAST_CONTRAST]
    if spread is not None and usual_spread is not None and not spread <= UNUSUAL * usual_spread:
        found.append(f"keypoints scatter {spread / usual_spread:.0f} times as much as usual")
    return tuple(found)
