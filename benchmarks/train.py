"""Training triplets per second: a whole step (augmentation, forward, backward, optimiser) of the shipped networks.

Compares float32 in torch's default memory layout, float32 in channels-last, and bfloat16 autocast in channels-last, in
turns within one run, for the paper's network and the demo's, and for the demo's with group normalisation, to show why
it has batch normalisation. The data are random bytes in memory; reading shards is not included. ``dactyl train`` is
always channels-last, and its ``trainer.precision: auto`` is the precision in the last line. To measure a processor
without AVX-512 and bfloat16, disable them:

    python -m benchmarks.train > benchmarks/results/train.txt
    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python -m benchmarks.train --steps 1
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import describe
from datagen.sim.complete import complete_scene
from train.cli import parse
from train.config import TrainConfig
from train.image_augmentation import ImageAugment
from train.module import PoseTask
from vision.machine.hardware import fast_bfloat16
from vision.scene.scene import Scene

CONFIGS = Path(__file__).parents[1] / "configs" / "train"
SIZE = 200


def sized_scene(size: int = SIZE) -> Scene:
    """Return the block's scene, with images ``size`` pixels wide."""
    scene = complete_scene("block")
    return scene.with_rig(scene.rig.resized(size))


def made_up_batch(count: int, size: int = SIZE) -> dict[str, Tensor]:
    """Make random images, ``size`` pixels wide, labelled with a block in its usual place."""
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (count, 3, size, size, 3), dtype=np.uint8))
    scene = sized_scene(size)
    assert scene.hand is not None
    k, t, *_ = scene.rig.nominal
    return {
        "images": images.permute(0, 1, 4, 2, 3),
        "object_position": torch.tensor([1.02, 0.87, 0.145]).expand(count, 3),
        "object_quaternion": torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(count, 4),
        "joint_position": torch.zeros(count, len(scene.hand.joints)),
        "camera_intrinsics": torch.tensor(k, dtype=torch.float32).expand(count, 3, 3, 3),
        "camera_extrinsics": torch.tensor(t, dtype=torch.float32).expand(count, 3, 4, 4),
    }


class Contender:
    """One network in one memory layout and precision, for images ``size`` pixels wide."""

    def __init__(
        self, config: TrainConfig, channels_last: bool, bfloat16: bool, device: torch.device, size: int = SIZE
    ) -> None:
        scene = sized_scene(size)
        task = PoseTask(config.model, scene, config.loss, config.augment, config.optimizer, config.seed).to(device)
        self.task = task.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        self.channels_last, self.bfloat16 = channels_last, bfloat16
        self.device = device
        self.optimizer = torch.optim.AdamW(task.parameters(), 1e-4)
        self.augment = ImageAugment(config.augment, torch.Generator(device).manual_seed(0))

    def rate(self, batch: dict[str, Tensor], steps: int) -> float:
        """Measure triplets per second over ``steps`` batches."""
        images = batch["images"] if self.channels_last else batch["images"].contiguous()
        began = self._now()
        for _ in range(steps):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                loss = self.task.losses({**batch, "images": images}, self.augment).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.task.update_average()
        return steps * len(images) / (self._now() - began)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16, help="triplets")
    parser.add_argument("--steps", type=int, default=3, help="batches of each run")
    parser.add_argument("--runs", type=int, default=5, help="the median is printed; one more run warms up")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)

    paper, demo = (load_config(name) for name in ("paper", "demo"))
    grouped = dataclasses.replace(demo.model.backbone, norm="group")
    configs = {
        "paper": paper,
        "demo": demo,
        "demo, group norm": dataclasses.replace(demo, model=dataclasses.replace(demo.model, backbone=grouped)),
    }
    batch = {key: value.to(device) for key, value in made_up_batch(arguments.batch).items()}
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{describe()}\non {where}")
    print(f"\ntraining triplets (3 x {SIZE} x {SIZE}) per second, batches of {arguments.batch}, ", end="")
    print(f"median of {arguments.runs} runs\n")
    print(f"{'':30}{'float32':>10}{'float32':>16}{'bfloat16':>16}")
    print(f"{'network':18}{'parameters':>12}{'':10}{'channels-last':>16}{'channels-last':>16}")
    for name, config in configs.items():
        contenders = [Contender(config, *kind, device) for kind in ((False, False), (True, False), (True, True))]
        runs = [[contender.rate(batch, arguments.steps) for contender in contenders] for _ in range(arguments.runs + 1)]
        plain, wide, short = (statistics.median(rates) for rates in zip(*runs[1:], strict=True))
        weights = sum(weight.numel() for weight in contenders[0].task.model.parameters())
        print(f"{name:18}{weights:12,}{plain:10.1f}{wide:16.1f}{short:16.1f}", flush=True)
    print(f"\ntrainer.precision auto takes {'bfloat16' if fast_bfloat16(str(device)) else 'float32'} here")


def load_config(name: str, *changes: str) -> TrainConfig:
    """Load a shipped training configuration, with some of its options changed."""
    config, _ = parse(["--config", str(CONFIGS / f"{name}.yaml"), *changes, "--data.train", "-", "--output", "-"])
    return config


if __name__ == "__main__":
    main()
