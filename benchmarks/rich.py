"""Cost of rich images: triplets of filament-fast.yaml with textures, surroundings and clutter, alone and together.

Measures whole shards except for writing them: values drawn, pools of textures and surroundings made, rendered and
encoded. All take turns, so that they meet the same load of the machine; processor time is measured, which other
processes change little.

    python -m benchmarks.rich > benchmarks/results/rich.txt
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.configurations import render_config
from benchmarks.machine import describe
from datagen.generate.config import RenderConfig
from datagen.generate.shard_task import encoded_samples
from datagen.render import create_renderer
from datagen.states.collect import StatesConfig, collect
from datagen.states.files import load_states

_CHUNK = 8  # samples of one in a row


def configurations(states: Path) -> dict[str, RenderConfig]:
    """Return the configurations that are compared, by label."""
    fast, rich = (render_config(name, states) for name in ("filament-fast", "rich"))
    looks = fast.appearance
    textured = dataclasses.replace(fast.render, textures=True)

    def with_one(name: str) -> RenderConfig:
        one = dataclasses.replace(looks, **{name: getattr(rich.appearance, name)})
        return dataclasses.replace(fast, appearance=one, render=textured if name == "textures" else fast.render)

    alone = {f"{name} alone": with_one(name) for name in ("textures", "surroundings", "clutter")}
    return {"filament-fast.yaml": fast, **alone, "rich.yaml": rich}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=128, help="triplets of each; pools are made for 128")
    count = parser.parse_args().samples
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "states"
        collect(StatesConfig(path, count=64, seed=0, worlds=8, threads=1))
        states = load_states(path)
        running, spent, device = {}, {}, ""
        for seed, (label, asked) in enumerate(configurations(path).items()):
            config = dataclasses.replace(asked, seed=seed)  # so that none reuses another's pools
            scene = config.drawn_scene()
            renderer = stack.enter_context(create_renderer(config.renderer, scene, config.render))
            running[label] = encoded_samples(config, scene, states, renderer, range(-(-count // _CHUNK) * _CHUNK + 1))
            next(running[label])  # compiles shaders
            spent[label], device = 0.0, renderer.info.device
        for _ in range(0, count, _CHUNK):
            for label, samples in running.items():
                start = time.process_time()
                for _ in range(_CHUNK):
                    next(samples)
                spent[label] += time.process_time() - start
    done = -(-count // _CHUNK) * _CHUNK
    print(describe())
    threads = os.environ["LP_NUM_THREADS"]  # as create_renderer has left it
    print(f"Filament on {device}; {done} triplets of each, by processor time, one process, LP_NUM_THREADS={threads}\n")
    print(f"{'':24} triplets/s  of filament-fast.yaml's")
    first = spent["filament-fast.yaml"]
    for label, total in spent.items():
        print(f"{label:24} {done / total:10.2f}  {first / total:.2f}")


if __name__ == "__main__":
    main()
