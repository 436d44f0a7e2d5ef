"""Configuration of a dataset of image triplets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from datagen.appearance.draw import AppearanceConfig
from datagen.appearance.pose_augmentation import PoseAugmentConfig
from datagen.generate.drawable import require_drawable
from datagen.render import RENDERERS, ours_where, picture_options, traits_of
from datagen.render.base import RENDERING, RenderOptions, rendered_scene
from datagen.sim.complete import complete_scene
from datagen.states.files import states_fingerprint, states_scene
from vision.configuration.bounds import all_cores_or_some, at_least_one, not_negative, positive
from vision.io.json_values import identity_of
from vision.io.store import Location
from vision.machine.hardware import count_or_cores
from vision.scene.load import check_scene
from vision.scene.scene import Scene, require_same

_FREE = ("output", "workers", "devices", "executor", "ray_address", "timeout_s", "only", "count")
"""Keys that do not change a shard's bytes."""


@dataclass(frozen=True)
class RenderConfig:
    """Contents of a dataset.

    Attributes:
        states: folder of states (dactyl states).
        output: folder or URL (s3://bucket/set) for the dataset; an unfinished one is resumed, a larger count extends.
        count: number of triplets.
        seed: seed of every drawn value; test sets need their own.
        shard_size: triplets per shard.
        scene: name or file of a scene with the states' hand and object, to render it with other cameras or
            surroundings; null for the scene of the states.
        renderer: filament (physically based, Vulkan), classic (MuJoCo's OpenGL), warp (rays on a GPU; the extra warp)
            or unity (a Unity player).
        workers: number of render processes; null takes all cores.
        devices: number of this machine's GPUs that draw, counted from the first; null for all (renderer warp).
        executor: local (processes of this machine) or ray (a Ray cluster, one task per shard; docs/scale.md).
        ray_address: address of the cluster, host:port, or auto for the one that this machine belongs to; null starts
            Ray on this machine.
        timeout_s: seconds without a finished sample after which a render process is assumed to hang and is replaced.
        view_labels: also label each camera's view: the object's visible fraction, mask, 2-D box and corners (7 ms per
            triplet).
        only: render only this sample again, exactly as its shard has it, into <output>/only; nothing else is touched.
        appearance: ranges of the visual randomizations (Table 9).
        augmentation: changes of the object's pose before rendering (appendix D.2).
        render: options of the renderer.
    """

    states: Path
    output: Location
    count: int = 1_000_000
    seed: int = 0
    shard_size: int = 128
    scene: str | None = None
    renderer: str = "filament"
    workers: int | None = None
    devices: int | None = None
    executor: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    timeout_s: float = 300.0
    view_labels: bool = False
    only: int | None = None
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    augmentation: PoseAugmentConfig = field(default_factory=PoseAugmentConfig)
    render: RenderOptions = field(default_factory=RenderOptions)

    def __post_init__(self) -> None:
        at_least_one(self, "count", "shard_size", "devices")
        all_cores_or_some(self, "workers")
        if self.ray_address is not None and self.executor != "ray":
            raise ValueError("ray_address: is of use only with executor ray")
        positive(self, "timeout_s")
        if self.only is not None and not 0 <= self.only < self.count:
            raise ValueError(f"only: the dataset has samples 0 to {self.count - 1}, got {self.only}")
        not_negative(self, "seed")
        if self.scene is not None:
            check_scene(self.scene)
        if self.renderer not in RENDERERS.names():
            raise ValueError(f"renderer: expected one of {', '.join(RENDERERS.names())}, got {self.renderer}")
        if self.devices is not None and not traits_of(self.renderer).shares_gpus:
            sharing = ours_where(lambda traits: traits.shares_gpus)
            raise ValueError(f"devices: is of use only with renderer {sharing}, got {self.devices}")
        require_drawable(self.appearance, self.render, self.renderer)

    @property
    def shards(self) -> int:
        return -(-self.count // self.shard_size)

    def indices(self, shard: int) -> range:
        """Return the numbers of a shard's samples; only the last shard may have fewer than ``shard_size``."""
        first = shard * self.shard_size
        return range(first, min(first + self.shard_size, self.count))

    def drawn_scene(self) -> Scene:
        """Return the scene to draw: the states' hand and object, with pinhole cameras of the configured image size.

        Raises:
            DactylError: there are no states, or the scene has another hand or object.
        """
        scene = states_scene(self.states)
        if self.scene is not None:
            asked = complete_scene(self.scene)
            # Landmarks may be derived from what the cameras see; no state depends on them.
            require_same(asked, scene, str(self.states), ("object", "hand"), free=("landmarks",))
            scene = asked
        return rendered_scene(scene, self.render)

    def processes(self, wanted: int | None, share: int = 1) -> int:
        """Return the number of render processes: the wanted, or one on each core of a share of this machine; one if the
        renderer serves no more, like the Unity editor."""
        alone = self.renderer == "unity" and self.render.unity.player.serves_one
        return 1 if alone else count_or_cores(wanted, share)

    @property
    def render_here(self) -> RenderOptions:
        """Options of a render process of this machine."""
        return replace(self.render, warp=replace(self.render.warp, devices=self.devices or self.render.warp.devices))

    def identity(self) -> dict[str, Any]:
        """Return the keys that determine a shard's bytes, without output, executor and number of shards."""
        identity = identity_of(self, _FREE)
        identity["render"] = picture_options(self.render, self.renderer)
        if self.render.displacement == "per-sample":
            del identity["render"]["recording_size"]
        identity["appearance"] = self.appearance.identity()
        if self.view_labels and self.appearance.surroundings.any:
            identity["view_labels"] = "as drawn"  # a background that was left out once hid the object
        if not self.render.textures:  # as before textures were added
            del identity["render"]["textures"]
            del identity["appearance"]["textures"]
        identity["rendering"] = RENDERING
        identity["states"] = states_fingerprint(self.states)
        identity["scene"] = self.drawn_scene().identity()
        return identity
