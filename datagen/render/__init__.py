"""Renderers, which turn samples into images behind one protocol. Their libraries load when a renderer is created."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

from datagen.render.base import EXTRAS, Renderer, RendererTraits, RenderOptions
from datagen.sim.materials import Material
from vision.errors import DactylError
from vision.io.json_values import identity_of
from vision.registry import Registry
from vision.scene.scene import Scene


class _Ours(NamedTuple):
    target: str
    traits: RendererTraits


_OURS = {
    "filament": _Ours("datagen.render.filament:FilamentRenderer", RendererTraits(draws=EXTRAS, repeatable=True)),
    "classic": _Ours("datagen.render.classic:ClassicRenderer", RendererTraits(draws=EXTRAS, repeatable=True)),
    "warp": _Ours(
        "datagen.render.warp:WarpRenderer",
        RendererTraits(
            camera_effects=False,
            reusable=True,
            repeatable=True,
            shares_gpus=True,
            machine_options=frozenset({"unity.player", "warp.worlds", "warp.device", "warp.devices"}),
        ),
    ),
    "unity": _Ours("datagen.unity.renderer:UnityRenderer", RendererTraits(draws=EXTRAS, reusable=True)),
}
RENDERERS = Registry("renderer", "dactyl.renderers", {name: ours.target for name, ours in _OURS.items()})


def traits_of(name: str) -> RendererTraits:
    """Return the traits of the named renderer. One of another package is loaded, and its class says them."""
    if name in _OURS:
        return _OURS[name].traits
    made = RENDERERS.load(name)
    said = {each.name: getattr(made, each.name) for each in fields(RendererTraits) if hasattr(made, each.name)}
    return RendererTraits(**said)


def ours_where(holds: Callable[[RendererTraits], bool]) -> str:
    """Name the renderers of this package that satisfy a predicate, for messages: ``filament or classic``."""
    return " or ".join(name for name, ours in _OURS.items() if holds(ours.traits))


def others_that_draw(extra: str) -> str:
    """Suggest, for messages, the renderers of this package that draw one of :data:`datagen.render.base.EXTRAS`."""
    return f"take {ours_where(lambda traits: extra in traits.draws)}"


def picture_options(options: RenderOptions, name: str) -> dict[str, Any]:
    """Return, as JSON, only the options that can change an image of the named renderer."""
    return identity_of(options, traits_of(name).machine_options)


def create_renderer(name: str, scene: Scene, options: RenderOptions) -> Renderer:
    """Create a renderer of a scene.

    Args:
        name: ``filament`` (physically based, Vulkan), ``classic`` (MuJoCo's OpenGL; for test sets, never trained on),
            ``warp`` (rays on a GPU, many samples at once) or ``unity`` (a Unity player, see unity_project).
        scene: scene to draw; its cameras already have the image size to render (:func:`base.rendered_scene`).
        options: how to render.

    Raises:
        DactylError: the name is unknown, a system library is missing (the message names the Debian package), or a
            renderer of another package has materials that do not say what they cover.
    """
    # Rendering scales by processes, one per core: Mesa's own threads, even a single one, cost more than they gain.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    renderer: Renderer = RENDERERS.load(name)(scene, options)
    if not all(isinstance(material, Material) for material in renderer.materials):
        renderer.close()
        raise DactylError(f"renderer {name}: its materials do not say what they cover; take them from compile_scene")
    return renderer
