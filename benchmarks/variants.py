"""Variants for ``compare_training``: training configurations, changes to them, and looks of the training set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Variant:
    """A variant of training.

    Attributes:
        config: name of its configuration in ``configs/train``.
        changes: arguments that change the configuration.
        look: key of :data:`LOOKS` by which the training set is rendered again; empty for the set as it is.
    """

    config: str
    changes: tuple[str, ...] = ()
    look: str = ""


def _range(key: str, low: float, high: float) -> tuple[str, str]:
    return f"--appearance.{key}.low={low:g}", f"--appearance.{key}.high={high:g}"


def _no(part: str) -> str:
    return f"--appearance.{part}.probability=0"


_FILAMENT = ("--config", "configs/render/filament.yaml")
_RICH = ("--config", "configs/render/rich.yaml")
_NO_TEXTURES = tuple(f"--appearance.textures.{surface}=0" for surface in ("links", "object", "background"))

LOOKS: dict[str, tuple[str, ...]] = {
    "no shadows": (*_FILAMENT, "--render.shadows=false"),
    "far lights": ("--config", "configs/render/filament-fast.yaml"),
    "grey background": (
        *_FILAMENT,
        *_range("background_color", 0.5, 0.5),
        *_range("background_metallic", 0.15, 0.15),
        *_range("background_glossiness", 0.5, 0.5),
    ),
    "wide": ("--config", "configs/render/wide.yaml"),
    "textures": (*_RICH, _no("surroundings"), _no("clutter")),
    "surroundings": (*_RICH, *_NO_TEXTURES, _no("clutter")),
    "clutter": (*_RICH, *_NO_TEXTURES, _no("surroundings")),
    "rich": _RICH,
}  # fmt: skip
"""Arguments of ``dactyl render`` by name."""

_REGRESSION = ("--model.head=regression", "--model.window=null", "--model.image_size=100", "--loss.surface=0")
# For images like a laboratory's: these variants assume the training set of wide.yaml.
_LAB = ("--loss.surface=0", "--augment.exposure=0.5", "--augment.gamma=0.4")
_SHIPPED = yaml.safe_load((Path(__file__).parents[1] / "configs/train/shipped.yaml").read_text())
_CAMERA = (f"--augment.camera_effects={json.dumps(_SHIPPED['augment']['camera_effects'])}",)
# It has neither of compared.yaml's other keys, which go back to their defaults.
_PAPER_TOWER = "--model.backbone.name=paper", "--model.backbone.width=32", "--model.backbone.blocks=2"
_SIX_D, _GEODESIC = "--model.rotation=six_d", "--loss.rotation=geodesic"

VARIANTS: dict[str, Variant] = {
    "paper": Variant("paper", ("--data.batch_size=16",)),
    "paper, 6-D rotation and geodesic loss": Variant("paper", ("--data.batch_size=16", _SIX_D, _GEODESIC)),
    "paper, AdamW and cosine": Variant(
        "paper",
        ("--data.batch_size=16", _SIX_D, _GEODESIC, "--optimizer.name=adamw", "--optimizer.schedule=cosine",
         "--optimizer.learning_rate=2e-3", "--optimizer.warmup=50"),
    ),
    "regression, quaternion, squared error": Variant("compared", _REGRESSION),
    "regression, quaternion, geodesic": Variant("compared", (*_REGRESSION, _GEODESIC)),
    "regression, 6-D, squared error": Variant("compared", (*_REGRESSION, _SIX_D)),
    "regression, 6-D, geodesic": Variant("compared", (*_REGRESSION, _SIX_D, _GEODESIC)),
    "regression, 6-D, geodesic, with camera input": Variant(
        "compared", (*_REGRESSION, _SIX_D, _GEODESIC, "--model.camera_input=true")
    ),
    "demo": Variant("compared"),
    "demo, another seed": Variant("compared", ("--seed=1",)),
    "demo, whole image at 100 pixels": Variant("compared", ("--model.window=null", "--model.image_size=100")),
    "demo, no surface loss": Variant("compared", ("--loss.surface=0",)),
    "demo, no surface loss, another seed": Variant("compared", ("--loss.surface=0", "--seed=1")),
    "demo, group normalisation": Variant("compared", ("--model.backbone.norm=group",)),
    "demo, twice the width": Variant("compared", ("--model.backbone.width=64",)),
    "demo, two blocks": Variant("compared", ("--model.backbone.blocks=2",)),
    "demo, the paper's tower": Variant("compared", _PAPER_TOWER),
    "demo, the paper's tower, finer strides": Variant(
        "compared",
        (*_PAPER_TOWER, "--model.backbone.pool_stride=2", "--model.backbone.stage_strides=[1,1,2,1]"),
    ),
    "demo, window of 112 pixels": Variant("compared", ("--model.window.size=112",)),
    "demo, windows rotated to all angles": Variant("compared", ("--augment.window_roll_deg=180",)),
    "demo, tinted": Variant("compared", ("--augment.tint=0.15",)),
    "demo, exposure and tone curve": Variant("compared", ("--augment.exposure=0.5", "--augment.gamma=0.4")),
    "demo, averaged weights": Variant("compared", ("--optimizer.ema=0.99",)),
    "demo, no scene augmentation": Variant(
        "compared", ("--augment.scene_shift=0", "--augment.scene_zoom=0", "--augment.scene_roll_deg=0")
    ),
    "demo, half the learning rate": Variant("compared", ("--optimizer.learning_rate=1e-3",)),
    "demo, constant learning rate": Variant("compared", ("--optimizer.schedule=halve",)),
    "best": Variant("best", ("--data.batch_size=16", "--optimizer.warmup=50")),
    "demo, no shadows": Variant("compared", look="no shadows"),
    "demo, distant lights": Variant("compared", look="far lights"),
    "demo, grey background": Variant("compared", look="grey background"),
    "demo, wider ranges": Variant("compared", look="wide"),
    "lab, nothing": Variant("compared", _LAB),
    "lab, nothing, another seed": Variant("compared", (*_LAB, "--seed=1")),
    "lab, textures": Variant("compared", _LAB, "textures"),
    "lab, surroundings": Variant("compared", _LAB, "surroundings"),
    "lab, clutter": Variant("compared", _LAB, "clutter"),
    "lab, camera": Variant("compared", (*_LAB, *_CAMERA)),
    "lab, all but camera": Variant("compared", _LAB, "rich"),
    "lab, all": Variant("compared", (*_LAB, *_CAMERA), "rich"),
    "lab, all, another seed": Variant("compared", (*_LAB, *_CAMERA, "--seed=1"), "rich"),
}  # fmt: skip
"""Variants by their name in the table."""
