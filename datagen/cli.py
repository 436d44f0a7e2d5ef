"""``dactyl states``, ``dactyl render`` and ``dactyl inspect``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from vision.config import parse


def main_states(argv: Sequence[str]) -> None:
    """Collect hand-and-object states in MuJoCo.

    A policy moves the object in the hand; every state that is finite, not dropped and without a physics warning is
    kept in Parquet files. The same seed gives the same bytes with any number of threads; a killed run resumes.

    examples:
      dactyl states --config configs/states/explore.yaml --output data/states
      dactyl states --output data/states-test --count 5000 --seed 1     states for a test set: a seed of their own
      dactyl states --object prism --output data/states-prism --count 100000
    """
    from datagen.states import StatesConfig, collect

    config = parse(StatesConfig, argv, "dactyl states", main_states.__doc__ or "")
    states = collect(config)
    Console().print(f"{config.output}: {len(states):,} states of the {states.object} by policy {states.policy}")


def main_render(argv: Sequence[str]) -> None:
    """Render randomised image triplets of collected states into a sharded dataset.

    Shards are WebDataset tars; a manifest written last commits them. A killed run resumes, a larger --count extends, a
    finished dataset is reused. The same configuration gives the same bytes with any number of workers.

    examples:
      dactyl render --config configs/render/filament.yaml --states data/states --output data/train --count 100000
      dactyl render --config configs/render/classic.yaml --states data/states-test --output data/classic-test
      dactyl render ... --appearance.light_total_intensity.high 10 --workers 8
      dactyl render ... --only 4711             that sample alone, byte for byte, into <output>/only
    """
    from datagen.config import RenderConfig
    from datagen.generate import generate, render_one

    config = parse(RenderConfig, argv, "dactyl render", main_render.__doc__ or "")
    if config.only is not None:
        Console().print(f"sample {config.only}: {render_one(config, config.only)}")
        return
    dataset = generate(config)
    devices = ", ".join(f"{info['name']} on {info['device']}" for info in dataset.manifest["renderers"])
    Console().print(
        f"{config.output}: {len(dataset):,} triplets in {len(dataset.shards)} shards, rendered by {devices}"
    )


def main_inspect(argv: Sequence[str]) -> None:
    """Look at a dataset: what it holds, and a contact sheet with the object's wireframe drawn over.

    examples:
      dactyl inspect --dataset data/train
      dactyl inspect --dataset data/train --samples 24 --wireframe false --output sheet.png
    """
    from datagen.inspection import InspectConfig, inspect

    inspect(parse(InspectConfig, argv, "dactyl inspect", main_inspect.__doc__ or ""))
