"""Missing drivers: one line that names the missing piece and the package; never an abort in native code."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from datagen.render.drivers import require_vulkan
from vision.errors import DactylError

CREATE = """
import sys
from datagen.render import create_renderer
from datagen.render.base import RenderOptions
from tests.scenes import scene
from vision.errors import DactylError
try:
    with create_renderer(sys.argv[1], scene(image_size=32), RenderOptions(mesh_fraction=0.05)) as renderer:
        print(renderer.info.api)
except DactylError as error:
    print("refused:", error)
"""
NO_EGL = {"__EGL_VENDOR_LIBRARY_FILENAMES": "/nonexistent"}


def create(name: str, **environment: str) -> str:
    """What happens in a fresh process with these environment variables."""
    clean = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    process = subprocess.run(
        [sys.executable, "-c", CREATE, name], env=clean | environment, capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    (line,) = process.stdout.splitlines()
    return line


def test_triton_can_be_imported_after_the_classic_renderer() -> None:
    """As torch does, late and unasked; without precautions the process crashes."""
    pytest.importorskip("triton")
    code = f"import torch\n{CREATE}\nimport triton\nprint('alive')"
    run = subprocess.run([sys.executable, "-c", code, "classic"], capture_output=True, text=True, timeout=250)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "alive"


def test_no_vulkan_device() -> None:
    line = create("filament", VK_DRIVER_FILES="/nonexistent", VK_ICD_FILENAMES="/nonexistent")
    assert line.startswith("refused: the filament renderer needs Vulkan, but no Vulkan driver finds a device")
    assert "mesa-vulkan-drivers" in line


def test_too_little_address_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: under 600 MB the driver ends its process by a signal, before it could say anything."""
    monkeypatch.setattr("datagen.render.drivers.memory_limit_gb", lambda: 0.6)
    with pytest.raises(DactylError, match=r"needs 2.5 GB of address space and more, and the limit .* is 0.6 GB; raise"):
        require_vulkan()


def test_no_vulkan_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(DactylError, match=r"libvulkan\.so\.1 is not installed: apt-get install libvulkan1"):
        require_vulkan()


def test_without_egl_osmesa_steps_in() -> None:
    assert create("classic", **NO_EGL).endswith("through osmesa")


def test_no_opengl() -> None:
    line = create("classic", MUJOCO_GL="egl", **NO_EGL)
    assert line.startswith("refused: the classic renderer needs OpenGL without a screen, but EGL cannot be used here")
    assert "apt-get install libegl1 libgl1 libosmesa6" in line
