"""Readers of calibrations: ours, OpenCV's FileStorage, ROS's ``camera_info``, Kalibr's camchain.

ROS has two forms of ``camera_info``, and both are read: the file of its calibrator, and the message as its command line
prints it.

All of them put the centre of the first pixel at (0, 0); here it is at (0.5, 0.5). Transforms map to the camera's frame
(x right, y down, z forward), in metres.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from vision.configuration import strict_yaml
from vision.errors import DactylError
from vision.geometry.cameras import from_opencv
from vision.geometry.distortion import Lens
from vision.io.files import read_file
from vision.plain import checked_array
from vision.rigs.calibration import FORMAT, load_calibration
from vision.rigs.rig import Camera, Rig

_MOST_BYTES = 1 << 20
_LENSES = {
    "plumb_bob": "radial-tangential",
    "rational_polynomial": "radial-tangential",
    "radtan": "radial-tangential",
    "radial-tangential": "radial-tangential",
    "equidistant": "equidistant",
    "fisheye": "equidistant",
    "none": None,
    "": None,
}  # by the names of ROS, of Kalibr and our own; ROS's drivers leave an uncalibrated camera's empty
_MATRIX_KEYS = ("camera_matrix", "cameraMatrix", "K", "k")
_LENS_KEYS = ("distortion_coefficients", "distCoeffs", "dist_coeffs", "distortion_coeffs", "D", "d")
_SIZE_KEYS = (("image_width", "image_height"), ("width", "height"))


class Intrinsics(NamedTuple):
    """A camera without a pose.

    Attributes:
        width, height: pixels.
        matrix: (3, 3) K, the first pixel's centre at 0.5.
        lens: distortion; None for a pinhole.
    """

    width: int
    height: int
    matrix: np.ndarray
    lens: Lens | None


def read_intrinsics(path: Path) -> Intrinsics:
    """Read one camera from OpenCV's YAML or ROS's ``camera_info``; :class:`DactylError` names the fault."""
    content = _load(path)
    if _is_camchain(content) or content.get("format") == FORMAT:
        raise DactylError(f"{path}: holds a whole rig; give it as rig: {path.name}, in place of cameras")
    try:
        _refuse_cut(content)
        matrix = _numbers(content, key := _first(content, _MATRIX_KEYS), (3, 3))
        if not matrix.any():
            raise ValueError(f"{key}: all zeros, as drivers send for a camera that is not calibrated; calibrate it")
        distortion = _distortion(content)
        # OpenCV's sample program sets this key for a fisheye, whose four coefficients look like another lens's.
        unsaid = "fisheye" if content.get("fisheye_model") else "radial-tangential"
        model = content.get("distortion_model", unsaid)
        size = _size(content)
        return Intrinsics(*size, from_opencv(matrix), _lens(model, distortion))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise DactylError(f"{path}: no calibration of OpenCV or ROS: {_reason(error)}") from None


def read_rig(path: Path) -> Rig | None:
    """Read several cameras with their poses, from our ``calibration.json`` or Kalibr's camchain; None for another file.

    Kalibr's world is the frame of its first camera. Its cameras may have been renamed, in the order of its chain.

    Raises:
        DactylError: the file is one of these, and something in it is wrong or missing, or it describes one camera only.
    """
    content = _load(path)
    try:
        if content.get("format") == FORMAT:
            return load_calibration(path)[0]
        if _is_camchain(content):
            return Rig(cameras=tuple(_kalibrs(content)))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise DactylError(f"{path}: {_reason(error)}") from None
    if any(key in content for key in _MATRIX_KEYS):
        raise DactylError(
            f"{path}: holds one camera without its place; a scene takes it as a camera's calibration, beside "
            "position or extrinsics, dactyl estimate by --lenses"
        )
    return None


def _is_camchain(content: Mapping[str, Any]) -> bool:
    cameras = list(content.values())
    renamed = bool(cameras) and all(isinstance(each, Mapping) and "camera_model" in each for each in cameras)
    return renamed or "cam0" in content


def _kalibrs(content: Mapping[str, Any]) -> list[Camera]:
    """Return Kalibr's cameras; each transform in the file is relative to the camera before: T_cn_cnm1."""
    cameras, transform = [], np.eye(4)
    names = [f"cam{number}" for number in range(len(content))] if "cam0" in content else list(content)
    for number, name in enumerate(names):
        if name not in content:
            raise ValueError(f"{name} is missing; Kalibr's chain has cam0 to cam{len(content) - 1}")
        about = content[name]
        try:
            if number:
                transform = _numbers(about, "T_cn_cnm1", (4, 4)) @ transform
            seen = _kalibrs_lens(about)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ValueError(f"{name}: {_reason(error)}") from None
        cameras.append(_camera(name, seen, transform))
    return cameras


def _kalibrs_lens(about: Mapping[str, Any]) -> Intrinsics:
    if about["camera_model"] != "pinhole":
        raise ValueError(f"camera_model: expected pinhole, got {about['camera_model']}")
    fx, fy, cx, cy = _numbers(about, "intrinsics", (4,))
    size = tuple(_pixels(side, "resolution") for side in about["resolution"])
    if len(size) != 2:
        raise ValueError(f"resolution: expected width and height, got {len(size)} numbers")
    model = about.get("distortion_model", "none")
    lens = _lens(model, _distortion(about))
    return Intrinsics(*size, from_opencv([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), lens)


def _camera(name: str, intrinsics: Intrinsics, transform: np.ndarray) -> Camera:
    return Camera(
        name=name,
        width=intrinsics.width,
        height=intrinsics.height,
        intrinsics=intrinsics.matrix,
        extrinsics=transform,
        distortion=intrinsics.lens,
    )


def _lens(model: Any, coefficients: np.ndarray) -> Lens | None:
    if model not in _LENSES:
        raise ValueError(f"distortion model: expected one of {', '.join(filter(None, _LENSES))}, got {model!r}")
    known = _LENSES[model]
    if known is None and coefficients.any():
        raise ValueError(f"{len(coefficients.ravel())} distortion coefficients, and no distortion_model")
    if known is None or (known == "radial-tangential" and not coefficients.any()):
        return None
    return Lens(known, tuple(coefficients.ravel().tolist()))  # type: ignore[arg-type]


def _size(content: Mapping[str, Any]) -> tuple[int, int]:
    for key in ("image_size", "imageSize"):
        if key in content:
            width, height = content[key]
            return _pixels(width, key), _pixels(height, key)
    for width, height in _SIZE_KEYS:
        if width in content:
            return _pixels(content[width], width), _pixels(content[height], height)
    raise ValueError("none of image_size, image_width, width is in it")


def _refuse_cut(content: Mapping[str, Any]) -> None:
    """Raise ValueError if ROS's images are not those that K describes: binned, or a part of the sensor."""
    binning = [content.get(f"binning_{axis}") or 0 for axis in "xy"]
    part = content.get("roi") or {}
    if not isinstance(part, Mapping):
        raise ValueError(f"roi: expected keys, got {part!r}")
    whole = {side: content.get(f"image_{side}", content.get(side)) for side in ("width", "height")}
    smaller = any(part.get(side) not in (None, 0, length) for side, length in whole.items())
    if max(binning) > 1 or part.get("x_offset") or part.get("y_offset") or smaller:
        raise ValueError("pictures are binned or cut (binning_x, roi); calibrate the camera as its pictures come")


def _distortion(content: Mapping[str, Any]) -> np.ndarray:
    """Return the coefficients, none if the file has none; ValueError if it has some under an unknown key."""
    if any(key in content for key in _LENS_KEYS):
        return _numbers(content, _first(content, _LENS_KEYS), None)
    unread = [key for key, value in content.items() if "dist" in str(key).lower() and value not in ("none", "", None)]
    if unread:
        raise ValueError(f"{unread[0]} is in it, and none of {', '.join(_LENS_KEYS)}")
    return np.zeros(0)


def _numbers(content: Mapping[str, Any], key: str, shape: tuple[int, ...] | None) -> np.ndarray:
    """Return the matrix of a list, or of a mapping with rows, cols and data, as OpenCV and ROS write matrices; the nine
    numbers of ROS's message are a matrix, too."""
    value = content[key]
    try:
        if isinstance(value, Mapping):
            rows, columns, data = value["rows"], value["cols"], np.array(value["data"], np.float64)
            if [type(rows), type(columns)] != [int, int] or min(rows, columns) < 0 or rows * columns != data.size:
                raise ValueError(f"expected rows {rows} x cols {columns} numbers, got {data.size}")
            value = data.reshape(rows, columns)
        elif shape == (3, 3) and np.shape(value) == (9,):
            value = np.array(value, np.float64).reshape(3, 3)
        return checked_array(value, shape=shape)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"{key}: {_reason(error)}") from None


def _pixels(value: Any, key: str) -> int:
    if type(value) is not int:
        raise ValueError(f"{key}: expected whole pixels, got {value!r}")
    return value


def _first(content: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    for key in keys:
        if key in content:
            return key
    raise ValueError(f"none of {', '.join(keys)} is in it")


def _load(path: Path) -> Mapping[str, Any]:
    try:
        text = read_file(path, _MOST_BYTES, "calibration").decode("utf-8-sig")  # editors put a mark before it
        if path.suffix == ".json":
            content = json.loads(text)
        else:  # OpenCV's first line is not a valid YAML directive, and its matrices carry a tag
            text = re.sub(r"\A%YAML:1\.0\s*", "", text).replace("!!opencv-matrix", "")
            text = re.sub(r"\n---\s*\Z", "\n", text)  # ROS puts this after each message
            text = re.sub(r"\A(?:[ \t]*(?:#.*|%YAML.*)?\r?\n)*---[ \t]*\r?\n", "", text)  # before the document
            if text.lstrip().startswith("<"):
                raise ValueError("XML is not read; OpenCV writes YAML where the file's name ends in .yaml")
            if re.search(r"\S.*\n---\s*\n", text):
                raise ValueError("several documents; keep one camera's message (ros2 topic echo --once)")
            content = strict_yaml.load(text)
    except (ValueError, RecursionError, yaml.YAMLError, OverflowError) as error:
        raise DactylError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping):
        raise DactylError(f"{path}: expected keys with values")
    return content


def _reason(error: Exception) -> str:
    return f"key {error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
