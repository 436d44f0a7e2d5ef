"""Start of Filament, which is part of MuJoCo 4 (``mujoco.mjrf``), on Vulkan."""

from __future__ import annotations

import importlib
import re
from typing import Any

import mujoco

from datagen.render.base import RenderOptions
from datagen.render.drivers import memory_limit_hint, require_vulkan
from datagen.render.filament_output import captured_output
from vision.errors import DactylError

_MESSAGE_OF_DEVICE = re.compile(rb"Selected physical device '(.+?)' from")


def create_context() -> tuple[Any, Any, str]:
    """Start Filament, and return the module ``mujoco.mjrf``, a graphics context, and the name of its device.

    Raises:
        DactylError: Vulkan or its driver is missing.
    """
    require_vulkan()
    importlib.import_module("mujoco.studio._studio")  # registers Filament's shaders; without it a context aborts
    from mujoco import mjrf

    with captured_output(1) as log:
        try:
            context = mjrf.Context(mjrf.ContextConfig(graphics_api=mjrf.GraphicsApi.GRAPHICS_API_VULKAN))
        except RuntimeError as error:
            raise DactylError(
                f"the filament renderer cannot start on Vulkan ({error}): see what `vulkaninfo` says of the driver"
                f"{memory_limit_hint()}"
            ) from None
        device = _MESSAGE_OF_DEVICE.search(log())
    return mjrf, context, device.group(1).decode() if device else "unknown"


def calibrated_settings(options: RenderOptions) -> mujoco.MjModel:
    """Build a model that holds only Filament's settings, which it reads from custom fields."""
    spec = mujoco.MjSpec()
    spec.add_numeric(name="filament.ao.enabled", data=[float(options.ambient_occlusion)])
    # Filament's default tone curve removes the grey from dark colours; without one a face has its calibrated colour.
    spec.add_text(name="filament.cg.tone_mapping", data="linear")
    return spec.compile()
