"""Description of the hardware and software of a measurement, without the machine's name."""

from __future__ import annotations

import os
import platform

from vision.machine.hardware import processor_name
from vision.machine.versions import package_versions


def describe() -> str:
    """Return processor, cores, load and package versions, in one paragraph for the head of a recorded result."""
    installed = package_versions(("mujoco", "numpy", "torch"))
    versions = ", ".join(f"{name} {version}" for name, version in installed.items())
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]  # above zero, other work used some of the cores
    return f"{processor_name()}, {cores} cores, load {load:.1f}, Python {platform.python_version()}, {versions}"
