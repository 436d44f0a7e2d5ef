"""What this machine computes fast.

A processor that has no instructions for bfloat16 emulates it: the demo's network then trains at an eighth of the rate
of float32. Known from the processor's flags, not measured, so that a busy moment does not decide what a training is.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import resource
from collections.abc import Iterator
from pathlib import Path

from vision.errors import DactylError

_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
_ISAS_WITHOUT = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
_BFLOAT16_CAPABILITY = (8, 0)  # of CUDA: Ampere


def fast_bfloat16(device: str = "cpu") -> bool:
    """Whether networks run faster in bfloat16 than in float32 on a device (torch's name: ``cpu``, ``cuda:0``).

    The variables by which torch and oneDNN are kept from instructions (``ATEN_CPU_CAPABILITY``, ``ONEDNN_MAX_CPU_ISA``)
    count as if the processor did not have them. Devices that are neither an x86 processor nor a CUDA GPU: False.
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


@functools.cache
def processor_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Names of the instruction sets that Linux finds in an x86 processor; empty on other machines."""
    return frozenset(_processor_line("flags", path).split())


def processor_name(path: Path = Path("/proc/cpuinfo")) -> str:
    """Model of the processor, in its maker's words; the architecture where Linux knows no more."""
    return _processor_line("model name", path) or platform.processor() or platform.machine() or "unknown processor"


def _processor_line(key: str, path: Path) -> str:
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def usable_cores(process: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """How many cores this process may keep busy: of its affinity, and of its control groups' quota of time.

    A container that was given two cores' time still sees all of its host's, and a thread for each of them would spend
    that time on waiting for the others.

    Args:
        process, groups: where Linux tells the process's group, and the groups' limits (control groups version 2).
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
        pass  # no control groups, or of another kind: only affinity tells
    return cores


def memory_limit_gb() -> float | None:
    """The limit on this process's address space (``ulimit -v``, which batch systems set) in GB; None without one."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit / 1e9


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside, and as many as before after it.

    For thousands of tiny matrices, of which more threads gain nothing on idle cores and wait for each other on busy
    ones, where two took 30 times as long as one; and for what must be the same to the last bit, which can depend on it.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def torch_device(device: str) -> str:
    """``cpu`` or ``cuda``, of what was asked for: auto takes a GPU if there is one.

    Raises:
        DactylError: there is none.
    """
    import torch

    gpu = torch.cuda.is_available()
    if device == "cuda" and not gpu:
        raise DactylError("device: cuda was asked for, but torch finds no GPU; use cpu or auto")
    return "cuda" if gpu and device != "cpu" else "cpu"
