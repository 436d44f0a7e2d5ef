"""Every file under ``configs`` is one that its command reads, and those that belong together agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from datagen.appearance.draw import AppearanceConfig
from datagen.generate.config import RenderConfig
from datagen.policy.her_config import HerConfig
from datagen.states.collect import StatesConfig
from eval.closed_loop.config import ClosedLoopConfig
from eval.scoring.config import EvaluateConfig
from train.cli import parse as parse_train
from vision.configuration.command_line import parse
from vision.scene.load import load_scene

CONFIGS = Path(__file__).parents[2] / "configs"
NAMES = sorted(
    str(path.relative_to(CONFIGS).with_suffix("")) for path in CONFIGS.rglob("*.yaml") if "scenes" not in path.parts
)
SCENES = sorted(path.stem for path in (CONFIGS / "scenes").glob("*.yaml"))


def reader(kind: type, *needed: str) -> Callable[[list[str]], Any]:
    return lambda argv: parse(kind, [*argv, *needed], "dactyl", "")


READERS = {
    "render": reader(RenderConfig, "--states=-", "--output=-"),
    "states": reader(StatesConfig, "--output=-"),
    "train": lambda argv: parse_train([*argv, "--data.train=-", "--data.val=-", "--output=-"]),
    "evaluate": reader(EvaluateConfig),
    "evaluate/closed-loop": reader(ClosedLoopConfig),
    "policy": reader(HerConfig, "--output=-"),
}


def read(name: str) -> Any:
    read_it = READERS.get(name) or READERS[name.partition("/")[0]]
    return read_it(["--config", str(CONFIGS / f"{name}.yaml")])


@pytest.mark.parametrize("name", NAMES)
def test_its_command_reads_it(name: str) -> None:
    read(name)


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_can_be_loaded_and_has_a_line_of_its_own(name: str) -> None:
    scene = load_scene(name)
    assert scene.name == name
    assert (CONFIGS / "scenes" / f"{name}.yaml").read_text().startswith("# ")


def test_filament_yaml_spells_out_the_defaults() -> None:
    spelt, default = read("render/filament"), READERS["render"]([])
    assert (spelt.appearance, spelt.augmentation, spelt.render) == (
        default.appearance,
        default.augmentation,
        default.render,
    )


@pytest.mark.parametrize("name", ["render/filament-test", "render/classic", "render/unity-test"])
def test_test_sets_of_all_renderers_are_of_the_same_samples(name: str) -> None:
    one, other = read("render/filament-test"), read(name)
    for key in ("count", "seed", "scene", "appearance", "augmentation", "view_labels"):
        assert getattr(one, key) == getattr(other, key), key


def test_the_lab_is_beyond_what_is_trained_on() -> None:
    """Every range and every probability of each training configuration lies in that of the laboratory."""

    def compare(inner: Any, outer: Any, name: str) -> int:
        count = 0
        for one in fields(inner):
            there, here = getattr(outer, one.name), getattr(inner, one.name)
            where = f"{name}.{one.name}"
            if hasattr(here, "low"):
                assert there.low <= here.low <= here.high <= there.high, where
                count += here != there
            elif is_dataclass(here) and one.name not in ("fingers", "camera_effects"):
                count += compare(here, there, where)
            elif isinstance(here, float) and one.name not in ("clearance", "folder_fraction"):
                assert here <= there, where
                count += here < there
        return count

    lab = read("render/lab-test")
    for name in ("filament-fast", "wide", "rich"):
        assert compare(read(f"render/{name}").appearance, lab.appearance, name) > 12
    assert (lab.count, lab.seed, lab.view_labels) == (992, 1, True)
    assert lab.appearance.camera_effects.any


def test_looks_go_from_table_9_by_the_wide_ones_to_the_far_ones() -> None:
    looks = [read(f"render/{name}").appearance for name in ("filament", "wide", "far-test")]
    table_9, wide, far = looks
    assert table_9 == AppearanceConfig()
    for field in fields(AppearanceConfig):
        if field.name in ("textures", "clutter", "surroundings", "camera_effects"):
            continue
        inner, outer = getattr(table_9, field.name), getattr(wide, field.name)
        assert outer.low <= inner.low <= inner.high <= outer.high, field.name
        if field.name.startswith(("object_", "camera_", "light_total")):
            outer, far_range = getattr(wide, field.name), getattr(far, field.name)
            assert far_range.low <= outer.low <= outer.high <= far_range.high, field.name
