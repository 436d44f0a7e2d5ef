"""Triplets per second of a whole training step of the shipped networks, and the memory it takes.

The batch consists of random images on the device; reading and rendering are measured elsewhere.
"""

from __future__ import annotations

import time

import torch

from benchmarks.gpu.rows import Plan, emit, emit_error, run_part
from benchmarks.train import SIZE, Contender, load_config, made_up_batch

NAMES = ("paper", "best")
MODES = ("float32", "bfloat16", "bfloat16, torch.compile")
TINY = {
    "paper": ("--model.hidden", "8"),
    "best": (
        *("--model.backbone.width", "8", "--model.backbone.blocks", "1"),
        *("--model.window.size", "32", "--model.window.locator_size", "32"),
    ),
}
"""Networks small enough to train on a CPU."""
_WARM_UP = 2  # steps
_SECONDS = 5.0  # time for each figure


def main(plan: Plan) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for mode in MODES:  # compiling comes last, because it may take all the time
        for name in NAMES:
            what = f"{name}.yaml, {mode}"
            try:
                measure(what, name, mode, device, plan.tiny)
            except Exception as error:  # out of memory or no compiler: the other figures can still be measured
                emit_error(what, "triplets/s", error)


def measure(what: str, name: str, mode: str, device: torch.device, tiny: bool) -> None:
    config = load_config(name, *(TINY[name] if tiny else ()))
    batch_size, size = (2, 32) if tiny else (config.data.batch_size, SIZE)
    batch = {key: value.to(device) for key, value in made_up_batch(batch_size, size).items()}
    lean = mode != "float32"
    contender = Contender(config, lean, lean, device, size)
    if "compile" in mode:
        # Without a GPU only tracing is tried: the compiler would take minutes and show nothing.
        contender.task.model.compile(backend="eager" if tiny else "inductor")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    rate = contender.rate(batch, 1 if tiny else _WARM_UP)
    warm_up = time.perf_counter() - began
    if not tiny:
        rate = contender.rate(batch, max(1, round(_SECONDS * contender.rate(batch, 1) / batch_size)))
    memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    emit(what, rate, "triplets/s", batch=batch_size, warm_up_s=warm_up, memory_gib=memory)
    if memory is not None:
        emit(f"{what}, memory", memory, "GiB")


if __name__ == "__main__":
    run_part(main)
