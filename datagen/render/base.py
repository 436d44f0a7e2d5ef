"""Interface of every renderer: a batch of samples in, uint8 images out.

Python draws every value (``datagen.appearance.draw``) and a renderer only applies it, so every renderer can render the
same sample and labels cannot drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from datagen.appearance.sample import Sample
from datagen.render.unity_options import UnityOptions
from datagen.render.warp_options import WarpOptions
from datagen.sim.materials import Material
from vision.configuration.bounds import at_least_one, drawable_size
from vision.scene.scene import Scene

RENDERING = 3
"""Rendering version, raised whenever the same samples and options give other images. A dataset holds images of one
version.

3: reduced meshes of the hand keep their shape to a millimetre. 2: meshes of the hand down to 60 triangles, neither
background nor letters cast shadows.
"""


@dataclass(frozen=True)
class RendererInfo:
    """Renderer that drew the images: its name, software version, device and graphics interface."""

    name: str
    version: str
    device: str
    api: str


EXTRAS = frozenset({"textures", "clutter", "surroundings"})
"""Optional parts of an appearance, besides materials, lights and cameras."""


@dataclass(frozen=True)
class RendererTraits:
    """Traits of a renderer. The class of another package declares them by attributes of these names; the default holds
    for one it lacks.

    Attributes:
        draws: members of :data:`EXTRAS` that it draws; no dataset gives it others.
        camera_effects: camera effects are applied to its images; false if training takes the images as drawn.
        reusable: it is slow to start and a sample's image never depends on earlier ones, so that one renderer makes all
            shards of its process.
        repeatable: scene and options suffice to draw a dataset's samples again.
        shares_gpus: its processes share the first ``RenderOptions.warp.devices`` GPUs of a machine.
        machine_options: keys of :class:`RenderOptions` that change none of its images.
    """

    draws: frozenset[str] = frozenset()
    camera_effects: bool = True
    reusable: bool = False
    repeatable: bool = False
    shares_gpus: bool = False
    machine_options: frozenset[str] = frozenset({"unity.player", "warp"})


class Renderer(Protocol):
    """Renderer of the samples of one scene. A context manager that frees the graphics context on exit."""

    info: RendererInfo
    materials: tuple[Material, ...]
    """Materials in the order of ``Appearance``, as ``datagen.sim.scene.compile_scene`` makes them."""
    batch_size: int
    """Preferred number of samples per call."""

    def skip(self, count: int) -> None:
        """Act, before the first sample, as if ``count`` samples had been drawn.

        Does nothing if frames do not depend on earlier ones.
        """

    def render(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Render images (B, C, H, W, 3), RGB, sRGB-encoded, row 0 at the top, cameras in the scene's order.

        Each image has its camera's size, and is padded with black on the right and below to the largest.
        """

    def close(self) -> None:
        """Free the graphics context; may be called twice."""

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
    """Return the scene with its cameras as rendered: pinholes with the image size of the options."""
    longest = options.image_size or max(scene.rig.width, scene.rig.height)
    return scene.with_rig(scene.rig.resized(longest))
