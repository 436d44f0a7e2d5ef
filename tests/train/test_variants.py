"""The variants of ``benchmarks.compare_training``: that each is a training and each look a rendering."""

from __future__ import annotations

import pytest

from benchmarks.compare_training import training
from benchmarks.variants import LOOKS, VARIANTS
from datagen.generate.config import RenderConfig
from train.cli import parse
from vision.config import parse as parse_config


def test_no_two_variants_are_the_same_training() -> None:
    seen: list[object] = []
    for name, variant in VARIANTS.items():
        trained = (parse([*training(name), "--data.train", "-", "--output", "-"]), variant.look)
        assert trained not in seen, name
        seen.append(trained)


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_differs_from_the_training_set_s(look: str) -> None:
    where = ["--states", "-", "--output", "-"]
    usual = parse_config(RenderConfig, ["--config", "configs/render/filament.yaml", *where], "dactyl render", "")
    drawn = parse_config(RenderConfig, [*LOOKS[look], *where], "dactyl render", "")
    assert (drawn.appearance, drawn.render) != (usual.appearance, usual.render)
    assert (drawn.renderer, drawn.augmentation, drawn.scene) == (usual.renderer, usual.augmentation, usual.scene)


def test_every_look_is_tried() -> None:
    assert {variant.look for variant in VARIANTS.values()} == {"", *LOOKS}
