"""Capabilities of this machine.

A processor without bfloat16 instructions emulates them: the demo's network then trains at an eighth of the rate of
float32. They are read from the processor's flags, not measured, so that the configuration of a training does not depend
on a busy moment.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import resource
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vision.errors import DactylError

NumberFormat = Literal["float32", "bfloat16"]
Precision = Literal["auto", "float32", "bfloat16"]
"""Number format in which a trained network is asked to compute; auto is bfloat16 where that is faster."""

_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
_ISAS_WITHOUT = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
_BFLOAT16_CAPABILITY = (8, 0)  # compute capability of Ampere


def fast_bfloat16(device: str = "cpu") -> bool:
    """Return whether networks run faster in bfloat16 than in float32 on a device (torch's name: ``cpu``, ``cuda:0``).

    Instructions that torch or oneDNN are told not to use (``ATEN_CPU_CAPABILITY``, ``ONEDNN_MAX_CPU_ISA``) count as
    missing. False for devices that are neither an x86 processor nor a CUDA GPU.
    """
    kind = device.partition(":")[0]
    if kind == "cuda":
        import torch

        return torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= _BFLOAT16_CAPABILITY
    if kind != "cpu":
        return False
    capability = os.environ.get("ATEN_CPU_CAPABILITY", "").lower()
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    if capability in ("default", "avx2") or isa.upper() in _ISAS_WITHOUT:
        return False
    return bool(_BFLOAT16_FLAGS & processor_flags())


def reduces_precision(precision: Precision, device: str) -> bool:
    """Return whether a network computes in bfloat16 on a device (torch's name)."""
    return precision == "bfloat16" or (precision == "auto" and fast_bfloat16(device))


@functools.cache
def processor_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return the names of the instruction sets that Linux finds in an x86 processor; empty on other machines."""
    return frozenset(_processor_line("flags", path).split())


def processor_name(path: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's model name from its maker; the architecture if Linux has no name."""
    return _processor_line("model name", path) or platform.processor() or platform.machine() or "unknown processor"


def machine_name() -> str:
    """Return the operating system, the architecture, the processor's name and the number of cores, for records."""
    return f"{platform.system()} {platform.machine()}, {processor_name()}, {os.cpu_count()} cores"


def _processor_line(key: str, path: Path) -> str:
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def usable_cores(process: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of cores that this process may use, by its affinity and its control groups' CPU quota.

    A container with a quota of two cores still sees all of its host's; with a thread for each, the threads would spend
    that quota waiting for each other.

    Args:
        process, groups: files in which Linux gives the process's group, and the groups' limits (control groups version
            2).
    """
    cores = len(os.sched_getaffinity(0))
    try:
        _, _, place = process.read_text().strip().splitlines()[-1].partition("::")
        folder = groups / place.lstrip("/")
        for group in (folder, *folder.parents):
            limit = group / "cpu.max"
            if limit.is_file():
                quota, period = limit.read_text().split()
                if quota != "max":
                    cores = min(cores, max(1, round(int(quota) / int(period))))
            if group == groups:
                break
    except (OSError, ValueError, IndexError):
        pass  # no control groups, or another version: use the affinity
    return cores


def count_or_cores(count: int | None, sharers: int = 1) -> int:
    """Return a configured number of processes or threads; for None, one for each core that this process may use.

    Args:
        sharers: number of processes that share the cores; each gets one at least.
    """
    return max(1, usable_cores() // sharers) if count is None else count


def memory_limit_gb() -> float | None:
    """Return the limit on this process's address space (``ulimit -v``, which batch systems set) in GB; None without
    one."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit / 1e9


class _Mine(threading.local):
    depth = 0


@dataclass
class _Limits:
    """Which threads are inside :func:`one_thread`, how often (``mine.depth``), and the number outside of all."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    inside: int = 0
    usual: int = 1
    mine: _Mine = field(default_factory=_Mine)


_LIMITS = _Limits()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread inside, and restore the previous number after.

    For thousands of tiny matrices, on which more threads gain nothing on idle cores and wait for each other on busy
    ones (two took 30 times as long as one), and for results that must be the same to the last bit, which can depend on
    it. Several threads may be inside at once. (torch's number is each thread's own, but new threads take the last one
    that any has set: what a thread finds when it enters may be the limit of another.)
    """
    import torch

    with _LIMITS.lock:
        if not _LIMITS.inside:
            _LIMITS.usual = torch.get_num_threads()
        _LIMITS.inside += 1
        _LIMITS.mine.depth += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _LIMITS.lock:
            _LIMITS.inside -= 1
            _LIMITS.mine.depth -= 1
            if not _LIMITS.mine.depth:
                torch.set_num_threads(_LIMITS.usual)


def torch_device(device: str) -> str:
    """Return torch's name of a configured device: ``auto`` is a GPU if there is one, ``cuda:1`` the second GPU.

    Raises:
        DactylError: a GPU was requested that is not there.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if gpus else "cpu"
    kind, _, number = device.partition(":")
    if kind == "cuda" and int(number or 0) >= gpus:
        found = "no GPU" if not gpus else "one GPU" if gpus == 1 else f"{gpus} GPUs"
        raise DactylError(f"device: {device} was asked for, but torch finds {found}; use cpu or auto")
    return device
