"""Renderers, which turn samples into images behind one protocol. Their libraries load when a renderer is created."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from datagen.render.base import Renderer, RendererTraits, RenderOptions
from vision.errors import DactylError
from vision.io.json_values import to_jsonable
from vision.registry import Registry
from vision.scene.scene import Scene

_OURS = {
    "filament": "datagen.render.filament:FilamentRenderer",
    "classic": "datagen.render.classic:ClassicRenderer",
    "warp": "datagen.render.warp:WarpRenderer",
    "unity": "datagen.unity.renderer:UnityRenderer",
}
RENDERERS = Registry("renderer", "dactyl.renderers", _OURS)


def traits_of(name: str) -> RendererTraits:
    """Return the traits that the class of the named renderer declares."""
    made = RENDERERS.load(name)
    said = {each.name: getattr(made, each.name) for each in fields(RendererTraits) if hasattr(made, each.name)}
    return RendererTraits(**said)


def ours_where(holds: Callable[[RendererTraits], bool]) -> str:
    """Name the renderers of this package that satisfy a predicate, for messages: ``filament or classic``."""
    return " or ".join(name for name in _OURS if holds(traits_of(name)))


def others_that_draw(extra: str) -> str:
    """Suggest, for messages, the renderers of this package that draw one of :data:`datagen.render.base.EXTRAS`."""
    return f"take {ours_where(lambda traits: extra in traits.draws)}"


def picture_options(options: RenderOptions, name: str) -> dict[str, Any]:
    """Return, as JSON, only the options that can change an image of the named renderer."""
    found: dict[str, Any] = to_jsonable(options)
    for key in traits_of(name).machine_options:
        *groups, last = key.split(".")
        del functools.reduce(operator.getitem, groups, found)[last]
    return found


def create_renderer(name: str, scene: Scene, options: RenderOptions) -> Renderer:
    """Create a renderer of a scene.

    Args:
        name: ``filament`` (physically based, Vulkan), ``classic`` (MuJoCo's OpenGL; for test sets, never trained on),
            ``warp`` (rays on a GPU, many samples at once) or ``unity`` (a Unity player, see unity_project).
        scene: scene to draw; its cameras already have the image size to render (:func:`base.rendered_scene`).
        options: how to render.

    Raises:
        DactylError: the name is unknown, or a system library is missing; the message names the Debian package.
    """
    # Rendering scales by processes, one per core: Mesa's own threads, even a single one, cost more than they gain.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    made = RENDERERS.load(name)
    if options.textures and "textures" not in traits_of(name).draws:
        raise DactylError(
            f"renderer {name}: draws no textures yet; leave render.textures out, or {others_that_draw('textures')}"
        )
    renderer: Renderer = made(scene, options)
    return renderer
