"""Options of the renderer `warp`."""

from __future__ import annotations

from dataclasses import dataclass

from vision.configuration.bounds import at_least_one, known_device


@dataclass(frozen=True)
class WarpOptions:
    """How to draw with rays on a GPU, or a CPU.

    Attributes:
        rays: rays per pixel in each direction: 2 smooths outlines with four rays per pixel, 1 is four times as fast.
        worlds: samples drawn at once; null for 64 on a GPU and 4 on a CPU. This changes no image.
        device: device that draws: cpu, cuda or cuda:N; auto is a GPU if there is one. Images of different devices
            differ by rounding.
        devices: number of GPUs that render processes share, if device is auto; null for all of this machine.
    """

    rays: int = 2
    worlds: int | None = None
    device: str = "auto"
    devices: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.rays <= 4:
            raise ValueError(f"rays: must lie between 1 and 4, got {self.rays}")
        at_least_one(self, "worlds", "devices")
        known_device(self, "device")
