"""Renderers: samples in, images out, behind one protocol. A renderer's libraries load when it is created."""

from __future__ import annotations

import os

from datagen.render.base import Renderer, RenderOptions
from vision.errors import DactylError
from vision.registry import Registry
from vision.scene.scene import Scene

_OURS = {
    "filament": "datagen.render.filament:FilamentRenderer",
    "classic": "datagen.render.classic:ClassicRenderer",
    "warp": "datagen.render.warp:WarpRenderer",
    "unity": "datagen.unity.renderer:UnityRenderer",
}
RENDERERS = Registry("renderer", "dactyl.renderers", _OURS)


def drawn_by(name: str) -> frozenset[str]:
    """Which of :data:`datagen.render.base.EXTRAS` the renderer of that name draws."""
    drawn: frozenset[str] = getattr(RENDERERS.load(name), "draws", frozenset())
    return drawn


def is_reusable(name: str) -> bool:
    """Whether a renderer of that name draws all shards of its process (:class:`datagen.render.base.Renderer`)."""
    return bool(getattr(RENDERERS.load(name), "reusable", False))


def others_that_draw(extra: str) -> str:
    """A hint for messages: the renderers of this package that draw one of :data:`datagen.render.base.EXTRAS`."""
    return f"take {' or '.join(name for name in _OURS if extra in drawn_by(name))}"


def create_renderer(name: str, scene: Scene, options: RenderOptions) -> Renderer:
    """A renderer of a scene.

    Args:
        name: ``filament`` (physically based, Vulkan), ``classic`` (MuJoCo's OpenGL; for test sets, never trained on),
            ``warp`` (rays on a GPU, many samples at once) or ``unity`` (a Unity player, see unity_project).
        scene: what to draw; its cameras' images have the size that is drawn (:func:`base.rendered_scene`).
        options: how to render.

    Raises:
        DactylError: unknown name, or a system library is missing; the message names the Debian package.
    """
    # Rendering scales by processes, one for each core: Mesa's own threads, even a single one, cost more than they give.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    made = RENDERERS.load(name)
    if options.textures and "textures" not in drawn_by(name):
        raise DactylError(
            f"renderer {name}: draws no textures yet; leave render.textures out, or {others_that_draw('textures')}"
        )
    renderer: Renderer = made(scene, options)
    return renderer
