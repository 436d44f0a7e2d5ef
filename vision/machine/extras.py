"""Packages that our extras install, and the error that names the extra if one is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from vision.errors import DactylError

EXTRAS = {
    "lab": ("cv2", "matplotlib", "pyarrow"),
    "sim": ("mujoco", "gymnasium", "gymnasium_robotics", "trimesh", "shapely", "mapbox_earcut", "fast_simplification"),
    "train": ("lightning", "torchmetrics", "torchvision", "tensorboard", "webdataset"),
    "export": ("onnx", "onnxscript"),
    "exr": ("OpenEXR",),
    "menagerie": ("mujoco_menagerie",),
    "meshes": ("coacd",),
    "ray": ("ray",),
    "s3": ("s3fs",),
    "unity": ("mlagents_envs", "grpc"),
    "viewer": ("rerun",),
    "warp": ("warp", "mujoco_warp"),
}
"""Import names of packages, by the extra of pyproject.toml that installs them. ``sim`` and ``train`` install ``lab``
too."""

_EXTRA_OF = {package: extra for extra, packages in EXTRAS.items() for package in packages}


def install(*extras: str) -> str:
    """Return the command that installs this package with these extras."""
    return f"pip install 'dactyl-vision[{','.join(extras)}]'"


@contextlib.contextmanager
def optional(package: str, purpose: str) -> Iterator[None]:
    """Turn a failed import inside into a one-line error that says what needs the package and how to install it.

    Args:
        package: one of ``EXTRAS``.
        purpose: what needs it, the beginning of the line.

    Raises:
        DactylError: it is not installed, or is incompatible with what is.
    """
    try:
        yield
    except ImportError as error:
        raise DactylError(_line(purpose, _EXTRA_OF[package], error)) from None


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Return the line for a command that lacks a package; None if no extra installs it."""
    extra = _EXTRA_OF.get((error.name or "").partition(".")[0])
    return None if extra is None else _line("this command", extra, error)


def require(extras: Sequence[str]) -> None:
    """Check that extras are installed, before work starts that would fail half way.

    Raises:
        DactylError: packages of these extras are not installed.
    """
    absent = {package: extra for extra in extras for package in EXTRAS[extra] if find_spec(package) is None}
    if absent:
        raise DactylError(f"packages are missing ({', '.join(absent)}): {install(*dict.fromkeys(absent.values()))}")


def _line(purpose: str, extra: str, error: ImportError) -> str:
    return f"{purpose} needs the extra {extra} ({error}): {install(extra)}"
