"""Lazy import of OpenCV, and conversion of its errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType

from vision.errors import DactylError
from vision.machine.extras import optional


def opencv() -> ModuleType:
    """Import OpenCV when it is needed, because only recordings need it."""
    with optional("cv2", "work with a laboratory's cameras"):
        import cv2
    return cv2


@contextlib.contextmanager
def opencv_errors(where: str) -> Iterator[None]:
    """Turn an assertion of OpenCV into a :class:`DactylError` about ``where``."""
    try:
        yield
    except opencv().error as error:
        reason = getattr(error, "err", None) or str(error)
        raise DactylError(f"{where}: OpenCV cannot work with these numbers ({reason})") from error
