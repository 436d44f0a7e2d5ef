"""Rigs as laboratories write them by hand in a scene file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np

from vision.geometry.cameras import camera_matrix, look_at
from vision.geometry.distortion import Lens
from vision.geometry.rotations import matrix_from_quaternion, rigid_transform
from vision.plain import ArrayOf, Plain, Vector3
from vision.rigs.rig import Camera, Rig
from vision.rigs.rig_readers import Intrinsics, read_intrinsics, read_rig

_NARROWEST_DEG = 1.0
# Columns are OpenCV's camera axes (right, down, forward) in OpenGL's and MuJoCo's camera frame (right, up, backward).
_OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0])


class CameraFile(Plain, frozen=True):
    """A camera in a scene file: its lens by ``fovy_deg`` or ``fx fy cx cy``, its pose in one of three ways.

    Attributes:
        name: name of the camera.
        calibration: file with its size, K and distortion, in place of these: OpenCV's YAML or ROS's ``camera_info``.
        width: of its images, pixels.
        height: of its images, pixels.
        fovy_deg: vertical field of view in degrees, for square pixels and a centred image; or
        fx: focal length in pixels.
        fy: focal length in pixels; that of fx when null.
        cx: principal point in pixels, the first pixel's centre at 0.5; the image's middle when null.
        cy: principal point, as cx.
        position: centre in the world, metres; with
        quaternion: w x y z, camera to world, of a camera that looks along its -z with +y up (OpenGL's and MuJoCo's); or
        look_at: a point in the world that the image shows at its principal point, upright (world's z up); or
        extrinsics: (4, 4) world to camera, OpenCV's axes, in place of position.
        distortion: of its real images.
    """

    name: str
    calibration: str | None = None
    width: int | None = None
    height: int | None = None
    fovy_deg: float | None = None
    fx: float | None = None
    fy: float | None = None
    cx: float | None = None
    cy: float | None = None
    position: Vector3 | None = None
    quaternion: tuple[float, float, float, float] | None = None
    look_at: Vector3 | None = None
    extrinsics: Annotated[np.ndarray, ArrayOf((4, 4))] | None = None
    distortion: Lens | None = None

    def build(self, folder: Path = Path()) -> Camera:
        """Build the camera; ValueError names keys that do not go together.

        Args:
            folder: base of the path ``calibration``: the scene file's folder.
        """
        lens = self._given() if self.calibration is None else self._read(folder / self.calibration)
        return Camera(
            name=self.name,
            width=lens.width,
            height=lens.height,
            intrinsics=lens.matrix,
            extrinsics=self._extrinsics(),
            distortion=lens.lens,
        )

    def _read(self, path: Path) -> Intrinsics:
        given = (self.width, self.height, self.fovy_deg, self.fx, self.fy, self.cx, self.cy, self.distortion)
        if any(value is not None for value in given):
            raise ValueError(f"camera {self.name}: give either calibration, or size, field of view and distortion")
        return read_intrinsics(path)

    def _given(self) -> Intrinsics:
        if self.width is None or self.height is None:
            raise ValueError(f"camera {self.name}: width and height are missing")
        return Intrinsics(self.width, self.height, self._intrinsics(self.width, self.height), self.distortion)

    def _intrinsics(self, width: int, height: int) -> np.ndarray:
        here = f"camera {self.name}"
        if (self.fovy_deg is None) == (self.fx is None):
            raise ValueError(f"{here}: give either fovy_deg or fx")
        if self.fovy_deg is not None:
            if not _NARROWEST_DEG < self.fovy_deg < 180.0:
                hint = "; is it in radians?" if 0.0 < self.fovy_deg < _NARROWEST_DEG else ""
                raise ValueError(
                    f"{here}: fovy_deg must lie between {_NARROWEST_DEG:g} and 180, got {self.fovy_deg}{hint}"
                )
            self._refuse("fovy_deg says the focal lengths and the middle", "fy", "cx", "cy")
            return camera_matrix(self.fovy_deg, width, height)
        assert self.fx is not None
        fx, fy = self.fx, self.fx if self.fy is None else self.fy
        cx = width / 2.0 if self.cx is None else self.cx
        cy = height / 2.0 if self.cy is None else self.cy
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])

    def _extrinsics(self) -> np.ndarray:
        here = f"camera {self.name}"
        if (self.extrinsics is None) == (self.position is None):
            raise ValueError(f"{here}: give either extrinsics or position")
        if self.extrinsics is not None:
            self._refuse("extrinsics say the direction", "quaternion", "look_at")
            return self.extrinsics
        if (self.quaternion is None) == (self.look_at is None):
            raise ValueError(f"{here}: with position, give either quaternion or look_at")
        position = np.array(self.position, dtype=np.float64)
        if self.look_at is not None:
            return look_at(position, self.look_at)
        assert self.quaternion is not None
        if not any(self.quaternion):
            raise ValueError(f"{here}: quaternion must not be zero")
        rotation = (matrix_from_quaternion(self.quaternion) @ _OPENGL_TO_OPENCV).T
        return rigid_transform(rotation, -rotation @ position)

    def _refuse(self, reason: str, *keys: str) -> None:
        """Raise ValueError for the first of these keys that is given."""
        for key in keys:
            if getattr(self, key) is not None:
                raise ValueError(f"camera {self.name}: {reason}; leave {key} out")


class RigFile(Plain, frozen=True):
    """A rig in a scene file: individual cameras, or a file of calibrated ones.

    Attributes:
        cameras: individual cameras; or
        file: our ``calibration.json`` or Kalibr's camchain.
        world: (4, 4) rigid transform from the scene's world to the file's, metres; null if they are the same.
    """

    cameras: tuple[CameraFile, ...] = ()
    file: str | None = None
    world: Annotated[np.ndarray, ArrayOf((4, 4))] | None = None

    def build(self, folder: Path = Path()) -> Rig:
        """Build the rig; paths are relative to ``folder``, the scene file's."""
        if bool(self.cameras) == (self.file is not None):
            raise ValueError("give either cameras or file")
        if self.file is None:
            if self.world is not None:
                raise ValueError("world goes with file")
            return Rig(cameras=tuple(camera.build(folder) for camera in self.cameras))
        rig = read_rig(folder / self.file)
        if rig is None:
            raise ValueError(f"{folder / self.file} is neither our calibration.json nor Kalibr's camchain")
        if self.world is None:
            return rig
        return rig.with_extrinsics(rig.nominal.in_frame(self.world).extrinsics)
