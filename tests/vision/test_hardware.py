"""Whether this machine computes fast in bfloat16."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from vision.errors import DactylError
from vision.machine import hardware
from vision.machine.hardware import (
    count_or_cores,
    fast_bfloat16,
    one_thread,
    processor_flags,
    processor_name,
    torch_device,
    usable_cores,
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A processor that has bfloat16, and nothing that keeps torch from it."""
    for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hardware, "processor_flags", lambda: frozenset({"avx2", "avx512f", "avx512_bf16"}))
    return monkeypatch


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_a_processor_that_has_it_takes_bfloat16(machine: pytest.MonkeyPatch, flag: str) -> None:
    machine.setattr(hardware, "processor_flags", lambda: frozenset({"avx512f", flag}))
    assert fast_bfloat16()
    assert fast_bfloat16("cpu")


def test_one_that_would_emulate_it_takes_float32(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(hardware, "processor_flags", lambda: frozenset({"avx2", "avx512f", "avx512_vnni"}))
    assert not fast_bfloat16()


@pytest.mark.parametrize(
    ("variable", "value", "fast"),
    [
        ("ATEN_CPU_CAPABILITY", "avx2", False),
        ("ATEN_CPU_CAPABILITY", "avx512", True),
        ("ONEDNN_MAX_CPU_ISA", "AVX2", False),
        ("ONEDNN_MAX_CPU_ISA", "avx512_core", False),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", True),
        ("ONEDNN_MAX_CPU_ISA", "DEFAULT", True),
        ("DNNL_MAX_CPU_ISA", "AVX2", False),
    ],
)
def test_what_torch_is_kept_from_does_not_count(
    machine: pytest.MonkeyPatch, variable: str, value: str, fast: bool
) -> None:
    machine.setenv(variable, value)
    assert fast_bfloat16() == fast


def test_other_devices_take_float32(machine: pytest.MonkeyPatch) -> None:
    assert not fast_bfloat16("mps")


@pytest.mark.parametrize(("capability", "fast"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_goes_by_its_generation(machine: pytest.MonkeyPatch, capability: tuple[int, int], fast: bool) -> None:
    import torch

    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fast_bfloat16("cuda:0") == fast


def test_flags_are_those_of_the_first_processor(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("model name\t: X\nflags\t\t: fpu avx2 amx_bf16\n\nflags\t\t: fpu\n")
    assert processor_flags(file) == {"fpu", "avx2", "amx_bf16"}
    file.write_text("Features\t: fp asimd\n")
    processor_flags.cache_clear()
    assert not processor_flags(file)
    assert not processor_flags(tmp_path / "none")


def test_a_processor_always_has_a_name(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Xeon: 2 GHz\n\nmodel name\t: other\n")
    assert processor_name(file) == "Xeon: 2 GHz"
    assert processor_name(tmp_path / "none")
    processor_flags.cache_clear()


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({}, 8),
        ({"": "max 100000"}, 8),
        ({"pod/box": "200000 100000"}, 2),
        ({"pod": "300000 100000", "pod/box": "max 100000"}, 3),
        ({"pod": "100000 100000", "pod/box": "400000 100000"}, 1),
        ({"pod/box": "50000 100000"}, 1),
        ({"pod/box": "nonsense"}, 8),
        ({"other": "100000 100000"}, 8),
    ],
)
def test_a_quota_counts_as_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, str], cores: int
) -> None:
    """The tightest of the limits of a group and of those around it, as control groups of version 2 write them."""
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda process: set(range(8)))
    groups, process = tmp_path / "groups", tmp_path / "cgroup"
    (groups / "pod" / "box").mkdir(parents=True)
    (groups / "other").mkdir()
    process.write_text("0::/pod/box\n")
    for name, limit in limits.items():
        (groups / name / "cpu.max").write_text(limit + "\n")
    assert usable_cores(process, groups) == cores
    assert usable_cores(tmp_path / "absent", groups) == 8


def test_several_threads_may_be_limited_at_once() -> None:
    """One that entered while another was inside took that one's limit for the usual number, and left it behind."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    inside, go = threading.Barrier(2), threading.Event()

    def second() -> None:
        inside.wait(10)
        with one_thread(), one_thread():
            seen.append(torch.get_num_threads())
            inside.wait(10)
            go.wait(10)
        seen.append(torch.get_num_threads())

    seen: list[int] = []
    thread = threading.Thread(target=second)
    thread.start()
    try:
        with one_thread():
            inside.wait(10)
            inside.wait(10)
        assert torch.get_num_threads() == 3
        go.set()
        thread.join(10)
        assert seen == [1, 3]
        third = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        third.start()
        third.join(10)
        assert seen == [1, 3, 3]
    finally:
        torch.set_num_threads(before)


def test_none_takes_the_cores_or_a_part_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: 8)
    assert [count_or_cores(count) for count in (None, 0, 3)] == [8, 0, 3]
    assert [count_or_cores(None, sharers) for sharers in (2, 3, 9)] == [4, 2, 1]
    assert count_or_cores(3, 2) == 3


@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_a_device_is_there_or_refused(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert torch_device("cpu") == "cpu"
    assert torch_device("auto") == ("cuda" if gpus else "cpu")
    for least, name in enumerate(("cuda", "cuda:1"), 1):
        if gpus >= least:
            assert torch_device(name) == name
        else:
            with pytest.raises(DactylError, match=f"device: {name} was asked for, but torch finds"):
                torch_device(name)
