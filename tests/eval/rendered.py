"""A small set drawn by the classic renderer in this process, as the shipped networks know pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from datagen.generate import dataset as generation
from datagen.generate.config import RenderConfig
from datagen.generate.dataset import generate
from datagen.generate.shard_task import ShardTask
from datagen.render.base import RenderOptions
from datagen.states.collect import StatesConfig, collect
from vision.storage.datasets import TripletDataset


def rendered_set(folder: Path, count: int, **render: object) -> TripletDataset:
    """``count`` triplets of 200 pixels, with labels of their views."""
    collect(StatesConfig(folder / "states", count=count, seed=3, worlds=4, stride=5, threads=1))

    def here(task: ShardTask, numbers: Sequence[int], *_: object, **__: object) -> Iterator[tuple[int, object]]:
        for number in numbers:
            yield number, task(number, lambda count: None)

    options = RenderOptions(shadows=False, **render)  # type: ignore[arg-type]
    config = RenderConfig(
        folder / "states", folder / "set", count, seed=1, renderer="classic", view_labels=True, render=options
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "run", here)
        generate(config)
    return TripletDataset(folder / "set")
