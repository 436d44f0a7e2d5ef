"""What a dataset of image triplets is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from datagen.appearance.draw import AppearanceConfig
from datagen.appearance.pose_augmentation import AugmentConfig
from datagen.render.base import RENDERING, RenderOptions
from datagen.states.collect import states_fingerprint
from vision.config import to_jsonable
from vision.scene.objects import OBJECTS
from vision.storage.store import Location


@dataclass(frozen=True)
class RenderConfig:
    """What a dataset is made of.

    Attributes:
        states: folder of states (dactyl states).
        output: folder or URL (s3://bucket/set) for the dataset; an unfinished one is resumed, a larger count extends.
        count: number of triplets.
        seed: of every drawn value; test sets need one of their own.
        shard_size: triplets in one tar.
        object: block or prism.
        renderer: filament (physically based, Vulkan), classic (MuJoCo's OpenGL) or unity (a Unity player).
        workers: render processes; null for one per core.
        executor: local (processes of this machine) or ray (a Ray cluster, one task a shard; docs/scale.md).
        ray_address: of the cluster, host:port, or auto for the one that this machine belongs to; null starts Ray here.
        patience_s: seconds without a finished sample after which a render process is taken to hang, and replaced.
        view_labels: label each camera's view too: the object's visible share, mask, 2-D box and corners
            (7 ms a triplet).
        only: render this one sample again, exactly as its shard has it, into <output>/only; nothing else is touched.
        appearance: ranges of the visual randomizations (Table 9).
        augmentation: of the object's pose before rendering (appendix D.2).
        render: options of the renderer.
    """

    states: Path
    output: Location
    count: int = 1_000_000
    seed: int = 0
    shard_size: int = 128
    object: str = "block"
    renderer: Literal["filament", "classic", "unity"] = "filament"
    workers: int | None = None
    executor: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    patience_s: float = 300.0
    view_labels: bool = False
    only: int | None = None
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    augmentation: AugmentConfig = field(default_factory=AugmentConfig)
    render: RenderOptions = field(default_factory=RenderOptions)

    def __post_init__(self) -> None:
        for name in ("count", "shard_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: must be at least 1, got {self.workers}")
        if self.ray_address is not None and self.executor != "ray":
            raise ValueError("ray_address: is of use only with executor ray")
        if not self.patience_s > 0:
            raise ValueError(f"patience_s: must be positive, got {self.patience_s}")
        if self.only is not None and not 0 <= self.only < self.count:
            raise ValueError(f"only: the dataset has samples 0 to {self.count - 1}, got {self.only}")
        if self.seed < 0:
            raise ValueError(f"seed: must not be negative, got {self.seed}")
        if self.object not in OBJECTS:
            raise ValueError(f"object: expected one of {', '.join(OBJECTS)}, got {self.object}")

    @property
    def shards(self) -> int:
        return -(-self.count // self.shard_size)

    def indices(self, shard: int) -> range:
        """The samples of a shard; only the last may have fewer than shard_size."""
        first = shard * self.shard_size
        return range(first, min(first + self.shard_size, self.count))

    def identity(self) -> dict[str, Any]:
        """The keys that decide the bytes of a shard; not where it goes, who makes it or how many there are."""
        identity = to_jsonable(self)
        for key in ("output", "workers", "executor", "ray_address", "patience_s", "only", "count"):
            del identity[key]
        del identity["render"]["unity"]["player"]
        # Not in datasets from before there were these keys, which can so be resumed.
        if not self.view_labels:
            del identity["view_labels"]
        if not self.render.environment_lights:
            del identity["render"]["environment_lights"]
        if self.render.displacement == "per-sample":
            del identity["render"]["displacement"], identity["render"]["recording_size"]
        identity["rendering"] = RENDERING
        identity["states"] = states_fingerprint(self.states)
        return identity
