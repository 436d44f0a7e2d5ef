"""``dactyl unity export-scene`` and ``dactyl unity check``."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datagen.render.unity_options import PlayerOptions, UnityOptions
from vision.configuration.bounds import at_least_one, drawable_size
from vision.configuration.command_line import parse
from vision.io.files import atomic_write
from vision.machine.console import Console
from vision.scene.load import check_scene


@dataclass(frozen=True)
class ExportSceneConfig:
    """What to export.

    Attributes:
        output: file to write; Unity's menu Dactyl > Show scene pack... opens it.
        scene: name or file of the scene.
        mesh_fraction: fraction of the triangles of the hand's meshes to keep, in (0, 1].
    """

    output: Path
    scene: str = "block"
    mesh_fraction: float = 0.2

    def __post_init__(self) -> None:
        check_scene(self.scene)
        if not 0 < self.mesh_fraction <= 1:
            raise ValueError(f"mesh_fraction: must lie in (0, 1], got {self.mesh_fraction}")


def main_export_scene(argv: Sequence[str]) -> None:
    """Write a scene pack: the geometry, bodies and materials that Unity shows, from the compiled MuJoCo model.

    Rendering needs no file: it sends the same bytes to the player. The file is for a look at the scene in the editor.

    examples:
      dactyl unity export-scene --output block.pack
      dactyl unity export-scene --scene prism --mesh_fraction 1 --output prism.pack
    """
    from datagen.sim.complete import complete_scene
    from datagen.sim.scene import compile_scene
    from datagen.unity import scene_export
    from datagen.unity.wire import content_hash

    config = parse(ExportSceneConfig, argv, "dactyl unity export-scene", main_export_scene.__doc__ or "")
    scene = compile_scene(complete_scene(config.scene), "render", mesh_fraction=config.mesh_fraction)
    pack = scene_export.export_scene(scene)
    encoded = pack.encode()
    atomic_write(config.output, encoded)
    triangles = sum(len(part.triangles) for part in pack.parts)
    Console().print(
        f"{config.output}: {len(encoded):,} bytes, {len(pack.bodies)} bodies, {len(pack.materials)} materials, "
        f"{triangles:,} triangles, scene {content_hash(encoded):016x}",
    )


@dataclass(frozen=True)
class PlayerCheckConfig:
    """What to check.

    Attributes:
        player: how to run Unity.
        scene: name or file of the scene to draw; its cameras' sizes and lenses are tested.
        image_size: longest side of the images, pixels; null for the size that the scene's cameras have.
        batches: number of batches to time.
    """

    player: PlayerOptions = field(default_factory=PlayerOptions)
    scene: str = "block"
    image_size: int | None = None
    batches: int = 10

    def __post_init__(self) -> None:
        check_scene(self.scene)
        drawable_size(self, "image_size")
        at_least_one(self, "batches")


def main_check(argv: Sequence[str]) -> None:
    """Start a Unity player, see whether its images can be trusted, and time it on random samples of a scene.

    examples:
      dactyl unity check --player.executable unity_project/Build/stage.x86_64
      dactyl unity check --player.executable unity_project/Build/stage.x86_64 --player.players 4 --player.reply png
      dactyl unity check --player.executable unity_project/Build/stage.x86_64 --scene my-scene.yaml
      dactyl unity check                       waits for the Unity editor: open unity_project, press Play
    """
    import numpy as np

    from datagen.appearance.draw import AppearanceConfig, draw_appearance
    from datagen.appearance.sample import Sample
    from datagen.render.base import RenderOptions, rendered_scene
    from datagen.sim.complete import complete_scene

    config = parse(PlayerCheckConfig, argv, "dactyl unity check", main_check.__doc__ or "")
    from datagen.unity.renderer import UnityRenderer  # needs the extra unity, which --help does not

    options = RenderOptions(image_size=config.image_size, unity=UnityOptions(player=config.player))
    console = Console()
    scene = rendered_scene(complete_scene(config.scene), options)
    with UnityRenderer(scene, options) as renderer:
        for name, value in dataclasses.asdict(renderer.info).items():
            console.print(f"{name}: {value}")
        console.print("orientation, cameras, colours, textures, lights and shadows: as they should be")
        samples = [
            Sample(
                index,
                np.zeros(scene.joints),
                np.array(scene.workspace.start),
                np.array([1.0, 0.0, 0.0, 0.0]),
                draw_appearance(AppearanceConfig(), scene, renderer.materials, 0, index),
            )
            for index in range(config.player.players * config.player.batch_size)
        ]
        renderer.render(samples)  # shaders compile on first use
        start = time.perf_counter()
        for _ in range(config.batches):
            renderer.render(samples)
        rate = config.batches * len(samples) / (time.perf_counter() - start)
        console.print(f"{rate:,.0f} triplets/s: players {config.player.players}, batch_size {config.player.batch_size}")
