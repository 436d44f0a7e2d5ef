"""Rigs as laboratories write them down: in a scene file, by hand."""

from __future__ import annotations

import numpy as np

from vision.geometry.cameras import camera_matrix, look_at
from vision.geometry.distortion import Lens
from vision.geometry.rotations import matrix_from_quaternion, rigid_transform
from vision.scene.plain import Plain
from vision.scene.rig import Camera, Rig

# Columns are OpenCV's camera axes (right, down, forward) in OpenGL's and MuJoCo's camera frame (right, up, backward).
_OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0])


class CameraFile(Plain, frozen=True):
    """A camera in a scene file: its lens by ``fovy_deg`` or ``fx fy cx cy``, its place by one of three ways.

    Attributes:
        name: of the camera.
        width: of its images, pixels.
        height: of its images, pixels.
        fovy_deg: vertical field of view in degrees, of square pixels and a centred image; or
        fx: focal length in pixels.
        fy: likewise; that of fx when null.
        cx: principal point in pixels, the first pixel's centre at 0.5; the image's middle when null.
        cy: likewise.
        position: centre in the world, metres; with
        quaternion: w x y z, camera to world, of a camera that looks along its -z with +y up (OpenGL's and MuJoCo's); or
        look_at: a point in the world that the image shows in its middle, upright (world's z up); or
        extrinsics: (4, 4) world to camera, OpenCV's axes, in place of position.
        distortion: of its real images.
    """

    name: str
    width: int
    height: int
    fovy_deg: float | None = None
    fx: float | None = None
    fy: float | None = None
    cx: float | None = None
    cy: float | None = None
    position: tuple[float, float, float] | None = None
    quaternion: tuple[float, float, float, float] | None = None
    look_at: tuple[float, float, float] | None = None
    extrinsics: np.ndarray | None = None
    distortion: Lens | None = None

    def build(self) -> Camera:
        """The camera; ValueError says which keys do not go together."""
        return Camera(
            name=self.name,
            width=self.width,
            height=self.height,
            intrinsics=self._intrinsics(),
            extrinsics=self._extrinsics(),
            distortion=self.distortion,
        )

    def _intrinsics(self) -> np.ndarray:
        here = f"camera {self.name}"
        if (self.fovy_deg is None) == (self.fx is None):
            raise ValueError(f"{here}: give either fovy_deg or fx")
        if self.fovy_deg is not None:
            if not 0.0 < self.fovy_deg < 180.0:
                raise ValueError(f"{here}: fovy_deg must lie between 0 and 180, got {self.fovy_deg}")
            return camera_matrix(self.fovy_deg, self.width, self.height)
        assert self.fx is not None
        fx, fy = self.fx, self.fx if self.fy is None else self.fy
        cx = self.width / 2.0 if self.cx is None else self.cx
        cy = self.height / 2.0 if self.cy is None else self.cy
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])

    def _extrinsics(self) -> np.ndarray:
        here = f"camera {self.name}"
        if (self.extrinsics is None) == (self.position is None):
            raise ValueError(f"{here}: give either extrinsics or position")
        if self.extrinsics is not None:
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


class RigFile(Plain, frozen=True):
    """A rig in a scene file."""

    cameras: tuple[CameraFile, ...]

    def build(self) -> Rig:
        """The rig."""
        return Rig(cameras=tuple(camera.build() for camera in self.cameras))
