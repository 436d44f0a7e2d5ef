"""Check of a configuration: a renderer draws all that its samples may have."""

from __future__ import annotations

from datagen.appearance.draw import AppearanceConfig
from datagen.render import others_that_draw, traits_of
from datagen.render.base import RenderOptions


def require_drawable(appearance: AppearanceConfig, render: RenderOptions, renderer: str) -> None:
    """Raise ValueError if values would be drawn that the renderer does not show."""
    traits = traits_of(renderer)
    asked = {
        "clutter": ("appearance.clutter", appearance.clutter.any),
        "surroundings": ("appearance.surroundings", appearance.surroundings.any),
        "textures": ("render.textures", render.textures),
    }
    for extra, (key, some) in asked.items():
        if some and extra not in traits.draws:
            raise ValueError(f"{key}: renderer {renderer} draws no {extra} yet; {others_that_draw(extra)}")
    if appearance.textures.any and not render.textures:
        raise ValueError("appearance.textures: draws some; set render.textures to true, or they would not be seen")
    if appearance.camera_effects.any and not traits.camera_effects:
        raise ValueError(
            f"appearance.camera_effects: renderer {renderer} has none, trainings add their own; leave them out"
        )
