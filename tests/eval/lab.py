"""A made-up laboratory: distorted 640x480 pictures with noise, clocks that differ, motion capture that jitters."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from tests.scenes import rig, scene
from tests.synthetic import draw_triplet
from vision.geometry.cameras import camera_matrix, to_opencv
from vision.geometry.distortion import Lens
from vision.geometry.rotations import matrix_from_quaternion, rigid_transform
from vision.rigs.calibration import save_calibration
from vision.rigs.rig import Camera, Rig

WIDTH, HEIGHT = 640, 480
DISTORTION = np.array([-0.18, 0.06, 0.002, -0.0015, 0.0])
LENS = Lens("radial-tangential", tuple(DISTORTION.tolist()))
WORLD_FROM_CAPTURE = rigid_transform(
    Rotation.from_euler("xyz", [90, 5, 30], degrees=True).as_matrix(), [0.4, -0.3, 0.2]
)
OBJECT_IN_MARKERS = [0.002, -0.004, 0.03, *np.roll(Rotation.from_euler("z", 25, degrees=True).as_quat(), 1)]
CAMERA_DELAYS = {"left": 0.0, "top": 0.003, "right": -0.002}  # seconds
JITTER_M, JITTER_DEG = 0.0002, 0.1


def object_pose(time: float) -> np.ndarray:
    """World pose (4, 4) of the object: it drifts by up to 30 mm/s and turns by up to 40 degrees/s."""
    position = [1.02, 0.87, 0.145] + 0.015 * np.sin(2.0 * time + np.array([0.0, 1.0, 2.0]))
    return rigid_transform(Rotation.from_rotvec([0.3 + 0.5 * time, 0.4 * time, 0.2]).as_matrix(), position)


def cameras() -> dict[str, Camera]:
    """Three cameras near the rig's, turned by 1.5 degrees, moved by some millimetres, with a wider view."""
    rng = np.random.default_rng(5)
    found = {}
    for camera in rig().cameras:
        turn = Rotation.from_rotvec(np.deg2rad(1.5) * rng.choice([-1, 1], 3) / np.sqrt(3)).as_matrix()
        world = rigid_transform(turn, rng.normal(0, 0.003, 3)) @ camera.extrinsics
        fovy_deg = np.rad2deg(2 * np.arctan(camera.height / 2 / camera.intrinsics[1, 1]))
        matrix = camera_matrix(fovy_deg + 4.0, WIDTH, HEIGHT)
        matrix[:2, 2] += [6.0, -3.0]
        found[camera.name] = Camera(camera.name, WIDTH, HEIGHT, matrix, world @ WORLD_FROM_CAPTURE, LENS)
    return found


def calibrated_rig() -> Rig:
    return Rig(cameras=tuple(cameras().values()))


def opencvs(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (3, 3), with pixel centres at whole numbers, and distortion for OpenCV's functions."""
    assert camera.distortion is not None
    return to_opencv(camera.intrinsics), np.array(camera.distortion.coefficients)


def photograph(camera: Camera, pose: np.ndarray, rng: np.random.Generator, noise: float = 3.0) -> np.ndarray:
    """(480, 640, 3) uint8: the object in front of grey, distorted by the lens, with sensor noise."""
    square = camera.intrinsics.copy()
    square[1, 2] += (WIDTH - HEIGHT) / 2
    world = camera.extrinsics @ np.linalg.inv(WORLD_FROM_CAPTURE)
    target = scene("block").object
    ideal = draw_triplet(
        target, pose[:3, 3], pose[:3, :3], square[None], world[None], WIDTH, np.random.default_rng(0), clutter=False
    )[0][(WIDTH - HEIGHT) // 2 :][:HEIGHT]
    return add_noise(distort(ideal, camera), rng, noise)


def distort(ideal: np.ndarray, camera: Camera) -> np.ndarray:
    """What the lens makes of a pinhole's picture."""
    u, v = np.meshgrid(np.arange(WIDTH, dtype=np.float64), np.arange(HEIGHT, dtype=np.float64))
    points = np.stack([u.ravel(), v.ravel()], axis=-1)[:, None]
    matrix, distortion = opencvs(camera)
    where = cv2.undistortPoints(points, matrix, distortion, P=matrix).reshape(HEIGHT, WIDTH, 2).astype(np.float32)
    return cv2.remap(ideal, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def add_noise(picture: np.ndarray, rng: np.random.Generator, noise: float) -> np.ndarray:
    return (picture + rng.normal(0, noise, picture.shape)).round().clip(0, 255).astype(np.uint8)


def pose_line(time: float, capture_from_body: np.ndarray, rng: np.random.Generator) -> list[object]:
    """A reading of the motion capture, with jitter."""
    turn = Rotation.from_matrix(capture_from_body[:3, :3]) * Rotation.from_rotvec(
        np.deg2rad(rng.normal(0, JITTER_DEG, 3))
    )
    position = capture_from_body[:3, 3] + rng.normal(0, JITTER_M, 3)
    return [f"{time:.6f}", *position, *np.roll(turn.as_quat(), 1)]


def write_csv(path: Path, header: str, lines: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(lines)


def make_recording(folder: Path, pictures: int = 10, rate: float = 5.0, seed: int = 0) -> Path:
    """A recording of ``pictures`` triplets at ``rate`` per second, motion capture at 100 Hz."""
    rng = np.random.default_rng(seed)
    found = cameras()
    folder.mkdir(parents=True, exist_ok=True)
    save_calibration(folder / "calibration.json", Rig(cameras=tuple(found.values())))
    for name, camera in found.items():
        (folder / name).mkdir()
        lines = []
        for number in range(pictures):
            time = 0.1 + number / rate + CAMERA_DELAYS[name] + rng.uniform(-0.001, 0.001)
            picture = photograph(camera, object_pose(time), rng)
            Image.fromarray(picture).save(folder / name / f"{number:04d}.png")
            lines.append([f"{time:.6f}", f"{name}/{number:04d}.png"])
        write_csv(folder / f"{name}.csv", "time_s,file", lines)
    markers = np.linalg.inv(rigid_transform(matrix_from_quaternion(OBJECT_IN_MARKERS[3:]), OBJECT_IN_MARKERS[:3]))
    capture_from_world = np.linalg.inv(WORLD_FROM_CAPTURE)
    times = np.arange(0, 0.2 + pictures / rate, 0.01) + 0.0003
    poses = [pose_line(time, capture_from_world @ object_pose(time) @ markers, rng) for time in times]
    write_csv(folder / "object.csv", "time_s,x,y,z,qw,qx,qy,qz", poses)
    return folder
