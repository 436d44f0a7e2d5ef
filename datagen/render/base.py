"""What every renderer takes and gives: a batch of samples in, uint8 images out.

Python draws every value (``datagen.appearance.draw``); a renderer only applies it, so that the same sample can be
rendered by every renderer and labels cannot drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from datagen.render.sample import Sample
from datagen.render.unity_options import UnityOptions
from datagen.render.warp_options import WarpOptions
from vision.bounds import at_least_one, drawable_size
from vision.scene.scene import Scene

RENDERING = 3
"""Raised whenever the same samples and options give other pictures: a dataset holds those of one number.

3: reduced meshes of the hand keep their shape to a millimetre. 2: meshes of the hand down to 60 triangles, neither
background nor letters cast shadows.
"""


@dataclass(frozen=True)
class RendererInfo:
    """What really rendered: the renderer's name, the version of its software, the device and the graphics interface."""

    name: str
    version: str
    device: str
    api: str


EXTRAS = frozenset({"textures", "clutter", "surroundings"})
"""What an appearance may have beside materials, lights and cameras."""


@dataclass(frozen=True)
class RendererTraits:
    """What a renderer's class says of itself, each by an attribute of that name; where it has none, the default holds.

    Attributes:
        draws: which of :data:`EXTRAS`; it is asked for no others.
        camera_effects: cameras' effects are put on its pictures; not where trainings take those just as it draws them.
        reusable: it is slow to start and draws a sample the same at any time: one makes all shards of its process.
        repeatable: scene and options are all that it takes to draw a dataset's samples again.
        shares_gpus: its processes share out the first ``RenderOptions.warp.devices`` GPUs of a machine.
        machine_options: keys of :class:`RenderOptions` that change none of its pictures.
    """

    draws: frozenset[str] = frozenset()
    camera_effects: bool = True
    reusable: bool = False
    repeatable: bool = False
    shares_gpus: bool = False
    machine_options: frozenset[str] = frozenset({"unity.player", "warp"})


class Renderer(Protocol):
    """A scene, ready to draw samples of it. A context manager: leaving it frees the graphics context."""

    info: RendererInfo
    materials: tuple[str, ...]
    """Names of the materials, in the order of ``Appearance``."""
    batch_size: int
    """Samples that it wants to be fed at once."""
    reusable: bool
    """As in :class:`RendererTraits`, the rest of which is the class's to say or to leave out."""

    def skip(self, count: int) -> None:
        """Before the first sample: as if ``count`` had been drawn. Nothing to do where frames do not depend on that."""

    def render(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Images (B, C, H, W, 3), RGB, sRGB-encoded, row 0 at the top, cameras in the scene's order and of its sizes:
        one that is smaller than the largest is padded with black right and below."""

    def close(self) -> None:
        """Free the graphics context; twice does no harm."""

    def __enter__(self) -> Renderer: ...

    def __exit__(self, *exception: object) -> None: ...


@dataclass(frozen=True)
class RenderOptions:
    """How to render; the samples say what to render.

    Attributes:
        image_size: longest side of the images, pixels; null for the size that the scene's cameras have.
        mesh_fraction: fraction of the triangles of the hand's meshes to keep, in (0, 1]; more of a mesh whose surface
            would move by more than a millimetre.
        shadows: lights cast shadows.
        shadow_lights: largest number of a sample's lights that cast shadows: those drawn first, whatever their
            brightness.
        environment_lights: draw the other lights as if they were far away, all at the cost of one (Filament).
        background_shadows: shadows also fall on the background (Filament; a fifth of the time).
        shadow_map_size: width of a light's shadow map, texels.
        ambient_occlusion: darken creases (Filament only).
        displacement: displace cameras for each sample, or once for each recording (for self-calibration).
        recording_size: consecutive samples in each recording, if displacement is per-recording.
        warp: options of the renderer warp only.
        textures: surfaces can have textures, as appearance.textures draws them (not warp).
        unity: options of the renderer unity only.
    """

    image_size: int | None = None
    mesh_fraction: float = 0.1
    shadows: bool = True
    shadow_lights: int = 6
    environment_lights: bool = False
    background_shadows: bool = True
    shadow_map_size: int = 512
    ambient_occlusion: bool = False
    displacement: Literal["per-sample", "per-recording"] = "per-sample"
    recording_size: int = 100
    warp: WarpOptions = field(default_factory=WarpOptions)
    textures: bool = False
    unity: UnityOptions = field(default_factory=UnityOptions)

    def __post_init__(self) -> None:
        drawable_size(self, "image_size")
        if not 0 < self.mesh_fraction <= 1:
            raise ValueError(f"mesh_fraction: must lie in (0, 1], got {self.mesh_fraction}")
        if not 1 <= self.shadow_lights <= 6:
            raise ValueError(
                f"shadow_lights: must lie between 1 and 6, got {self.shadow_lights}; shadows: false for none"
            )
        at_least_one(self, "recording_size")
        if not 64 <= self.shadow_map_size <= 4096:
            raise ValueError(f"shadow_map_size: must lie between 64 and 4096 texels, got {self.shadow_map_size}")


def rendered_scene(scene: Scene, options: RenderOptions) -> Scene:
    """The scene with cameras as they are drawn: pinholes, with images of the size that the options ask for."""
    longest = options.image_size or max(scene.rig.width, scene.rig.height)
    return scene.with_rig(scene.rig.resized(longest))
