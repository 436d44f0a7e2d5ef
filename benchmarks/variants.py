"""What ``compare_training`` compares: configurations of training, changes to them, and looks of the training set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """A training.

    Attributes:
        config: its configuration in ``configs/train``.
        changes: what is changed in it.
        look: a key of :data:`LOOKS`: the training set is drawn again like that. As it is when empty.
    """

    config: str
    changes: tuple[str, ...] = ()
    look: str = ""


def _range(key: str, low: float, high: float) -> tuple[str, str]:
    return f"--appearance.{key}.low={low:g}", f"--appearance.{key}.high={high:g}"


_FILAMENT = ("--config", "configs/render/filament.yaml")

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
}  # fmt: skip
"""Name: arguments of ``dactyl render``."""

_REGRESSION = ("--model.head=regression", "--model.window=null", "--model.image_size=100")
_SIX_D, _GEODESIC = "--model.rotation=six_d", "--loss.rotation=geodesic"

VARIANTS: dict[str, Variant] = {
    "paper": Variant("paper", ("--data.batch_size=16",)),
    "paper, 6-D rotation and geodesic loss": Variant("paper", ("--data.batch_size=16", _SIX_D, _GEODESIC)),
    "paper, AdamW and cosine": Variant(
        "paper",
        ("--data.batch_size=16", _SIX_D, _GEODESIC, "--optimizer.name=adamw", "--optimizer.schedule=cosine",
         "--optimizer.learning_rate=2e-3", "--optimizer.warmup=50"),
    ),
    "regression, quaternion, squared error": Variant("demo", _REGRESSION),
    "regression, quaternion, geodesic": Variant("demo", (*_REGRESSION, _GEODESIC)),
    "regression, 6-D, squared error": Variant("demo", (*_REGRESSION, _SIX_D)),
    "regression, 6-D, geodesic": Variant("demo", (*_REGRESSION, _SIX_D, _GEODESIC)),
    "regression, 6-D, geodesic, told its cameras": Variant(
        "demo", (*_REGRESSION, _SIX_D, _GEODESIC, "--model.camera_input=true")
    ),
    "demo": Variant("demo"),
    "demo, another seed": Variant("demo", ("--seed=1",)),
    "demo, whole image at 100 pixels": Variant("demo", ("--model.window=null", "--model.image_size=100")),
    "demo, no surface loss": Variant("demo", ("--loss.surface=0",)),
    "demo, no surface loss, another seed": Variant("demo", ("--loss.surface=0", "--seed=1")),
    "demo, group normalisation": Variant("demo", ("--model.backbone.norm=group",)),
    "demo, twice the width": Variant("demo", ("--model.backbone.width=64",)),
    "demo, two blocks": Variant("demo", ("--model.backbone.blocks=2",)),
    "demo, the paper's tower": Variant("demo", ("--model.backbone.name=paper",)),
    "demo, the paper's tower, finer strides": Variant(
        "demo",
        ("--model.backbone.name=paper", "--model.backbone.pool_stride=2", "--model.backbone.stage_strides=[1,1,2,1]"),
    ),
    "demo, window of 112 pixels": Variant("demo", ("--model.window.size=112",)),
    "demo, windows turned all ways": Variant("demo", ("--augment.window_roll_deg=180",)),
    "demo, tinted": Variant("demo", ("--augment.tint=0.15",)),
    "demo, exposure and tone curve": Variant("demo", ("--augment.exposure=0.5", "--augment.gamma=0.4")),
    "demo, averaged weights": Variant("demo", ("--optimizer.ema=0.99",)),
    "demo, no scene augmentation": Variant(
        "demo", ("--augment.scene_shift=0", "--augment.scene_zoom=0", "--augment.scene_roll_deg=0")
    ),
    "demo, halved rate of learning": Variant("demo", ("--optimizer.learning_rate=1e-3",)),
    "demo, constant rate of learning": Variant("demo", ("--optimizer.schedule=halve",)),
    "best": Variant("best", ("--data.batch_size=16", "--optimizer.warmup=50")),
    "demo, no shadows": Variant("demo", look="no shadows"),
    "demo, lights from afar": Variant("demo", look="far lights"),
    "demo, grey background": Variant("demo", look="grey background"),
    "demo, wider ranges": Variant("demo", look="wide"),
}  # fmt: skip
"""Name in the table, and what is trained."""
