"""Checks of the installed graphics drivers, made before native code aborts over a missing one.

Filament ends the process if Vulkan has no device, and PyOpenGL binds itself to one platform at import. Both checks
therefore call the system's libraries directly, in this process, where a failure is only a return value.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import importlib.util
import os
import sys

from vision.errors import DactylError
from vision.machine.hardware import memory_limit_gb

_VULKAN_PACKAGES = "libvulkan1 mesa-vulkan-drivers"
_OPENGL_PACKAGES = "libegl1 libgl1 libosmesa6"
_LEAST_GB = 2.5
"""Least address space with which Vulkan can start. At this limit Mesa's lavapipe finds the memory that it requests if
it has few threads; well below, it ends the process with a segmentation fault."""


def load_triton_first() -> None:
    """Import triton before Mesa's OpenGL if torch is in use.

    Mesa loads an LLVM of its own; triton, which torch imports late by itself, crashes the process if imported after it
    (seen with triton 3.9 and Mesa 22.3; the other order works). Render processes do not use torch.
    """
    if "torch" in sys.modules and importlib.util.find_spec("triton"):
        importlib.import_module("triton")


def require_vulkan() -> None:
    """Raise DactylError, naming the missing piece and its Debian package, unless Vulkan has at least one device."""
    if (limit := memory_limit_gb()) is not None and limit < _LEAST_GB:
        raise DactylError(
            f"the filament renderer needs {_LEAST_GB:g} GB of address space and more, and the limit on memory here is "
            f"{limit:.1f} GB; raise it (ulimit -v)"
        )
    try:
        vulkan = ctypes.CDLL("libvulkan.so.1")
    except OSError:
        raise DactylError(
            "the filament renderer needs Vulkan, but libvulkan.so.1 is not installed: "
            f"apt-get install {_VULKAN_PACKAGES}"
        ) from None
    structure_type = 1  # VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO; every other field of the structure may be zero
    create_info = (ctypes.c_uint64 * 8)(structure_type)
    instance, count = ctypes.c_void_p(), ctypes.c_uint32(0)
    if vulkan.vkCreateInstance(create_info, None, ctypes.byref(instance)) == 0:
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
        vulkan.vkDestroyInstance(instance, None)
    if count.value == 0:
        raise DactylError(
            "the filament renderer needs Vulkan, but no Vulkan driver finds a device: "
            f"apt-get install mesa-vulkan-drivers, and check VK_DRIVER_FILES if it is set{memory_limit_hint()}"
        )


def memory_limit_hint() -> str:
    """Return a hint at the memory limit, because drivers that run into it fail without a reason; empty without one."""
    limit = memory_limit_gb()
    return "" if limit is None else f"; or its limit on memory, {limit:.1f} GB (ulimit -v), is too low"


def choose_opengl() -> str:
    """Choose ``egl`` if EGL has a display, else ``osmesa``; MUJOCO_GL, set to one of the two, allows only that one.

    Sets MUJOCO_GL and PYOPENGL_PLATFORM to the choice, because MuJoCo and PyOpenGL read them when they first load
    OpenGL. No other code sets them.

    Raises:
        DactylError: neither is available; the message names the Debian packages.
    """
    wanted = os.environ.get("MUJOCO_GL", "").lower()
    candidates = (wanted,) if wanted in _PROBES else tuple(_PROBES)
    for platform in candidates:
        if _PROBES[platform]():
            os.environ["MUJOCO_GL"] = os.environ["PYOPENGL_PLATFORM"] = platform
            return platform
    missing = " and ".join(_NAMES[platform] for platform in candidates)
    raise DactylError(
        f"the classic renderer needs OpenGL without a screen, but {missing} cannot be used here: "
        f"apt-get install {_OPENGL_PACKAGES}"
    )


def _egl_works() -> bool:
    """Return whether EGL can open a display on a device, with a GPU or in software."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    address = egl.eglGetProcAddress
    address.restype = ctypes.c_void_p
    pointers = [address(name) for name in (b"eglQueryDevicesEXT", b"eglGetPlatformDisplayEXT")]
    if None in pointers:
        return False
    query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(pointers[0])
    get_display = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p)(pointers[1])
    devices, count = (ctypes.c_void_p * 16)(), ctypes.c_int(0)
    if not query(len(devices), devices, ctypes.byref(count)):
        return False
    platform_device = 0x313F  # EGL_PLATFORM_DEVICE_EXT
    for device in devices[: count.value]:
        display = get_display(platform_device, device, None)
        # The display is not terminated: MuJoCo may already hold it.
        if display and egl.eglInitialize(ctypes.c_void_p(display), None, None):
            return True
    return False


def _osmesa_works() -> bool:
    return ctypes.util.find_library("OSMesa") is not None


_PROBES = {"egl": _egl_works, "osmesa": _osmesa_works}
_NAMES = {"egl": "EGL", "osmesa": "OSMesa"}
