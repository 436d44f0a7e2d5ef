"""Which renderers work on this machine, and on which device."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import torch

from benchmarks.gpu.rows import Plan, emit, run_part
from datagen.inspection.doctor import DoctorConfig, examine


def main(plan: Plan) -> None:
    names = DoctorConfig().renderers
    cuda = torch.cuda.is_available()
    emit("cores", len(os.sched_getaffinity(0)), "")
    emit("GPUs", torch.cuda.device_count(), torch.cuda.get_device_name() if cuda else "")
    if cuda:
        emit("GPU memory", torch.cuda.get_device_properties(0).total_memory / 2**30, "GiB")
    with ThreadPoolExecutor() as threads:
        findings = threads.map(lambda name: examine(name, 600.0 if plan.tiny else plan.seconds), names)
        for name, found in zip(names, findings, strict=True):
            if found.complaint:
                emit(f"{name} works", None, "s", error=found.complaint)
            else:
                emit(f"{name} works, on {found.device}", found.seconds, "s")


if __name__ == "__main__":
    run_part(main)
