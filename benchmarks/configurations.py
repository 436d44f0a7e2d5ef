"""The configurations under ``configs`` that measurements use."""

from __future__ import annotations

from pathlib import Path

from datagen.generate.config import RenderConfig
from datagen.states.collect import StatesConfig
from vision.configuration.command_line import parse

CONFIGS = Path(__file__).parents[1] / "configs"


def render_config(name: str, states: Path | str = "-") -> RenderConfig:
    """Return ``configs/render/NAME.yaml`` for a folder of states."""
    given = ["--config", str(CONFIGS / "render" / f"{name}.yaml"), f"--states={states}", "--output=-"]
    return parse(RenderConfig, given, "dactyl render", "")


def states_config(name: str) -> StatesConfig:
    """Return ``configs/states/NAME.yaml``."""
    return parse(
        StatesConfig, ["--config", str(CONFIGS / "states" / f"{name}.yaml"), "--output=-"], "dactyl states", ""
    )
