"""Simulated recordings like a laboratory's, on which tracking and live estimation are measured.

The shipped policy turns the object; every ``--steps`` MuJoCo steps of 8 ms three cameras take an image. Each sequence
has its own appearance and displaced cameras, drawn as for training and the same in all its frames: a network's errors
from the appearance then persist, as in a laboratory. Images are by Filament, in the layout of docs/recording.md, with
the object's pose and velocities (truth.npz) and the true cameras (calibration.json).

    python -m benchmarks.sequences --output data/sequences-80 --steps 10
    python -m benchmarks.sequences --output data/sequences-32 --steps 4
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.configurations import render_config
from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.appearance.sample import Sample
from datagen.policy import TRAINED, create_policy
from datagen.render import create_renderer
from datagen.sim.complete import complete_scene
from datagen.sim.environment import SUBSTEPS, Environment
from datagen.sim.scene import PHYSICS_TIMESTEP
from datagen.variation import generator
from vision.geometry.cameras import Cameras
from vision.geometry.rotations import matrix_from_quaternion
from vision.rigs.calibration import save_calibration
from vision.rigs.rig import Camera, Rig
from vision.scene.scene import Scene

_OPTIONS = render_config("filament-fast").render


@dataclass
class Watched:
    """A batch of simulations that is recorded after every ``steps`` MuJoCo steps, whoever steps it.

    Attributes:
        batch: the environment's own batch.
        frames: recorded qpos and qvel, (N, ...) each.
    """

    batch: Any
    steps: int
    frames: list[tuple[np.ndarray, np.ndarray]]
    taken: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.batch, name)

    def step(self, worlds: np.ndarray, nstep: int, stage: int) -> None:
        for _ in range(nstep):
            self.batch.step(worlds, nstep=1, stage=stage)
            self.taken += 1
            if self.taken % self.steps == 0:
                self.frames.append((self.batch.qpos.copy(), self.batch.qvel.copy()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=SUBSTEPS, help="MuJoCo steps of 8 ms from frame to frame")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--sequences", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scene", default="block")
    parser.add_argument("--renderer", default="filament")
    arguments = parser.parse_args()
    scene = complete_scene(arguments.scene)
    motions = simulate(scene, arguments.sequences, arguments.frames, arguments.steps, arguments.seed)
    with create_renderer(arguments.renderer, scene, _OPTIONS) as renderer:
        for number, motion in enumerate(motions):
            folder = arguments.output / f"{number:02d}"
            if (folder / "truth.npz").exists():
                continue
            look = draw_appearance(AppearanceConfig(), scene, renderer.materials, arguments.seed, number)
            poses = zip(motion["joint_position"], motion["position"], motion["quaternion"], strict=True)
            samples = [Sample(number, *pose, look) for pose in poses]
            images = (renderer.render([sample])[0] for sample in samples)
            write_recording(folder, scene, motion["time_s"], images, look.cameras)
            with (folder / "truth.npz").open("wb") as file:
                np.savez(file, allow_pickle=False, **motion)
            print(f"{folder}: {len(samples)} triplets", flush=True)


def simulate(scene: Scene, count: int, frames: int, steps: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield ``count`` motions of ``frames`` frames without drops: time (F,), joints, pose and velocities in the world's
    axes (F, ...)."""
    made, episode = 0, 0
    while made < count:
        environment = Environment(scene, seed, 1, 1)
        policy = create_policy(TRAINED, environment.scene, 1)
        environment.reset([0], [episode])
        policy.reset([0], [generator(seed, episode, "policy")])
        watched = Watched(environment.batch, steps, [])
        environment.batch = watched
        dropped = False
        while len(watched.frames) < frames and not dropped:
            outcome = environment.step(policy.act(environment.sense()))
            dropped = bool(outcome.ended[0])
        episode += 1
        if not dropped:
            made += 1
            yield _motion(environment, watched.frames[:frames], steps)


def _motion(environment: Environment, frames: list[tuple[np.ndarray, np.ndarray]], steps: int) -> dict[str, np.ndarray]:
    qpos, qvel = (np.stack([frame[part][0] for frame in frames]) for part in (0, 1))
    place, dof = environment.scene.object_qpos, environment.scene.object_dof
    quaternion = qpos[:, place + 3 : place + 7]
    quaternion = quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)
    turn = matrix_from_quaternion(quaternion)
    return {
        "time_s": steps * PHYSICS_TIMESTEP * np.arange(1, len(frames) + 1),
        "joint_position": qpos[:, environment.scene.hand_qpos],
        "position": qpos[:, place : place + 3],
        "quaternion": quaternion,
        "velocity": qvel[:, dof : dof + 3],
        "angular_velocity": np.einsum("nij,nj->ni", turn, qvel[:, dof + 3 : dof + 6]),  # MuJoCo's is in the body's axes
    }


def write_recording(
    folder: Path, scene: Scene, times: np.ndarray, images: Iterator[np.ndarray], cameras: Cameras
) -> None:
    """Write images (C, H, W, 3) with their tables, and the calibration of their cameras."""
    names = scene.rig.names
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, pictures in enumerate(images):
        for name, picture in zip(names, pictures, strict=True):
            Image.fromarray(picture).save(folder / name / f"{number:04d}.png")
    for name in names:
        with (folder / f"{name}.csv").open("w", newline="") as file:
            rows = [[f"{time:.6f}", f"{name}/{number:04d}.png"] for number, time in enumerate(times)]
            csv.writer(file).writerows([["time_s", "file"], *rows])
    true = zip(scene.rig.cameras, cameras.intrinsics, cameras.extrinsics, strict=True)
    rig = Rig(cameras=tuple(Camera(camera.name, camera.width, camera.height, K, T) for camera, K, T in true))
    save_calibration(folder / "calibration.json", rig)


if __name__ == "__main__":
    main()
