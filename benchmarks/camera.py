"""Cost of each effect of the camera model, and JPEG compared with libjpeg and with Kornia's codec.

Milliseconds per image, by processor time on a CPU and by wall time on a GPU, the best of several runs. Each effect
includes the conversion from levels to light and back, which a combination does only once. Kornia is measured if it
is installed. Reading and transferring images is not included.

    python -m benchmarks.camera > benchmarks/results/camera.txt
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from benchmarks.machine import describe
from train.jpeg import compressed
from train.torch_effects import CameraAugment
from vision.camera_effects import CameraEffectsConfig
from vision.distributions import Uniform, UniformInt
from vision.scene.load import load_scene

SIZE = 200
EFFECTS: dict[str, dict[str, Uniform | UniformInt]] = {
    "defocus, up to 2 pixels": {"defocus": Uniform(0, 2 / SIZE)},
    "motion, up to 6 pixels": {"motion": Uniform(0, 6 / SIZE)},
    "vignette": {"vignette": Uniform(0, 0.5)},
    "exposure": {"exposure": Uniform(-1, 1)},
    "white balance": {"white_balance": Uniform(-0.3, 0.3)},
    "shot and read noise": {"shot_noise": Uniform(0, 0.05), "read_noise": Uniform(0, 0.01)},
    "gamma": {"gamma": Uniform(-0.5, 0.5)},
    "JPEG": {"jpeg_quality": UniformInt(30, 95)},
}
ALL = {key: value for ranges in EFFECTS.values() for key, value in ranges.items()}
QUALITIES = (10, 30, 50, 75, 95)


def images(count: int, rng: np.random.Generator) -> Tensor:
    """Make images with smooth colours and sharp edges, uint8 (N, 3, SIZE, SIZE)."""
    coarse = torch.from_numpy(rng.uniform(0, 255, (count, 3, 6, 6)))
    smooth = functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear")
    smooth[:, :, 60:140, 80:150] = torch.from_numpy(rng.uniform(0, 255, (count, 3, 1, 1)))
    noise = torch.from_numpy(rng.normal(0, 3, smooth.shape))
    return (smooth + noise).clamp(0, 255).to(torch.uint8)


def milliseconds(work: Callable[[], object], count: int, device: torch.device, runs: int) -> float:
    """Measure milliseconds per image; one more run warms up."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    seconds = []
    for _ in range(runs + 1):
        began = now()
        work()
        seconds.append(now() - began)
    return 1e3 * min(seconds[1:]) / count


def kornia_jpeg(batch: Tensor, quality: float) -> Tensor:
    """Compress like ``compressed``, with Kornia."""
    from kornia.enhance import jpeg_codec_differentiable

    padded = functional.pad(batch.float() / 255, (0, -SIZE % 16, 0, -SIZE % 16), mode="replicate")
    found = jpeg_codec_differentiable(padded, torch.full((len(batch),), quality, device=batch.device))
    pictures: Tensor = (255 * found[..., :SIZE, :SIZE]).round().clamp(0, 255).to(torch.uint8)
    return pictures


def distance_to_libjpeg(batch: Tensor, codec: Callable[[Tensor, float], Tensor], quality: int) -> float:
    """Compute the mean difference to libjpeg's images, in levels."""
    found = codec(batch, float(quality)).permute(0, 2, 3, 1).cpu().numpy().astype(int)
    differences = []
    for image, ours in zip(batch.permute(0, 2, 3, 1).cpu().numpy(), found, strict=True):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        differences.append(np.abs(np.asarray(Image.open(file)).astype(int) - ours).mean())
    return float(np.mean(differences))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=48, help="images, 3 a triplet")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    batch = images(arguments.batch, np.random.default_rng(0)).to(device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{describe()}\non {where}; batches of {arguments.batch} images of {SIZE} x {SIZE}\n")

    def cost(work: Callable[[], object]) -> float:
        return milliseconds(work, arguments.batch, device, arguments.runs)

    print(f"{'effect':28}{'ms an image':>12}{'ms a triplet':>14}")
    rig = load_scene("block").rig.resized(SIZE)
    triplets = batch.unflatten(0, (-1, len(rig)))
    for name, ranges in {**EFFECTS, "all of them": ALL}.items():
        config = CameraEffectsConfig(probability=1.0, **ranges)  # type: ignore[arg-type]
        camera = CameraAugment(config, torch.Generator(device).manual_seed(0))
        each = cost(lambda camera=camera: camera(triplets, rig))  # type: ignore[misc]
        print(f"{name:28}{each:12.2f}{3 * each:14.2f}", flush=True)

    codecs: dict[str, Callable[[Tensor, float], Tensor]] = {
        "ours": lambda batch, quality: compressed(batch, torch.full((len(batch),), quality, device=batch.device))
    }
    if importlib.util.find_spec("kornia"):
        codecs["kornia"] = kornia_jpeg
    print(f"\n{'JPEG alone':12}{'ms an image':>12}   mean difference to libjpeg's picture, levels, by quality")
    print(f"{'':27}{''.join(f'{quality:8}' for quality in QUALITIES)}")
    for name, codec in codecs.items():
        each = cost(lambda codec=codec: codec(batch, 50.0))  # type: ignore[misc]
        distances = "".join(f"{distance_to_libjpeg(batch, codec, quality):8.2f}" for quality in QUALITIES)
        print(f"{name:12}{each:12.2f}   {distances}", flush=True)


if __name__ == "__main__":
    main()
