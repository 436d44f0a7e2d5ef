"""Configuration of online rendering, apart from its code: not every training loads the simulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from datagen.appearance.draw import AppearanceConfig
from datagen.appearance.pose_augmentation import PoseAugmentConfig
from datagen.generate.drawable import require_drawable
from datagen.render import RENDERERS
from datagen.render.base import RenderOptions
from vision.configuration.bounds import all_cores_or_some, at_least_one, fraction, known_device, not_negative, positive


@dataclass(frozen=True)
class OnlineConfig:
    """Triplets that are rendered while the network trains.

    Attributes:
        states: folder of states (dactyl states).
        scene: name or file of a scene with the states' hand and object; null for the scene of the states.
        fraction: fraction of each batch that is rendered online; the rest comes from the stored training set.
        seed: seed of every drawn value; it must differ from that of a stored set of the same states, or the same
            samples come again.
        chunk: consecutive triplets that one render process draws.
        workers: number of render processes for each training process; null takes all cores, shared out among the
            training processes.
        timeout_s: seconds without a finished sample after which a render process is assumed to hang and is replaced.
        renderer: filament, warp (on the training's GPU), unity or another package's; classic is for test sets.
        device: device on which warp draws: cpu, cuda or cuda:N; auto is the one that trains.
        appearance: ranges of the visual randomizations (Table 9).
        augmentation: changes of the object's pose before rendering (appendix D.2).
        render: options of the renderer.
    """

    states: Path
    scene: str | None = None
    fraction: float = 1.0
    seed: int = 1_000
    chunk: int = 64
    workers: int | None = None
    timeout_s: float = 120.0
    renderer: str = "filament"
    device: str = "auto"
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    augmentation: PoseAugmentConfig = field(default_factory=PoseAugmentConfig)
    render: RenderOptions = field(default_factory=RenderOptions)

    def __post_init__(self) -> None:
        fraction(self, "fraction")
        positive(self, "fraction", "timeout_s")
        not_negative(self, "seed")
        at_least_one(self, "chunk")
        all_cores_or_some(self, "workers")
        known_device(self, "device")
        if self.renderer not in RENDERERS.names():
            raise ValueError(f"renderer: expected one of {', '.join(RENDERERS.names())}, got {self.renderer}")
        require_drawable(self.appearance, self.render, self.renderer)
