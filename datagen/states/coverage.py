"""Coverage of collected states: orientations, positions, drops, and similarity of neighbours."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.states.files import States, load_states, read_manifest
from vision.geometry.rotations import (
    count_by_cube_rotation,
    geodesic_distance,
    matrix_from_quaternion,
)
from vision.io.files import atomic_write
from vision.io.json_values import canonical_json

_BOXES = (6, 12, 8)  # cells along a, b and c of `cell_of`
_CELLS = 576
_WIDEST_STEP = 60  # degrees, of the histogram
_STILL_DEG, _STILL_MM = 0.5, 0.5  # median movement between neighbours, below which their images hardly differ


@dataclass(frozen=True)
class CoverageConfig:
    """What to report on.

    Attributes:
        states: folder of `dactyl states`.
        output: image file; the figures go beside it as JSON. null for coverage.png in the states' folder.
    """

    states: Path
    output: Path | None = None

    def __post_init__(self) -> None:
        if self.output is not None and self.output.suffix.lower() == ".json":
            raise ValueError(f"output: expected an image, for example coverage.png, got {self.output}")


@dataclass(frozen=True, eq=False)
class Coverage:
    """Coverage figures of N states.

    Attributes:
        by_cube_rotation: number of states nearest to each of the 24 orientations with faces along the axes, (24,).
        by_cell: number of states in each of 576 cells of equal volume (:func:`cell_of`), (576,).
        position_low, position_median, position_high: 1st, 50th and 99th percentile of the object's position, m, (3,).
        steps_deg: rotation between successive states of an episode, degrees, (F,).
        steps_mm: movement between them, mm, (F,).
        dropped: fraction of the begun episodes that ended in a drop.
        episodes: number of episodes with kept states.
    """

    states: int
    by_cube_rotation: NDArray[np.int64]
    by_cell: NDArray[np.int64]
    position_low: NDArray[np.float64]
    position_median: NDArray[np.float64]
    position_high: NDArray[np.float64]
    steps_deg: NDArray[np.float64]
    steps_mm: NDArray[np.float64]
    dropped: float
    episodes: int

    def figures(self) -> dict[str, Any]:
        """Return JSON values, including the evenness of the two partitions: the fraction of cells seen, the emptiest
        and the fullest cell, and exp(entropy) over the number of cells (1 if even)."""
        return {
            "states": self.states,
            "episodes": self.episodes,
            "dropped_episodes": self.dropped,
            **{f"cube_rotations_{key}": value for key, value in _evenness(self.by_cube_rotation).items()},
            **{f"cells_{key}": value for key, value in _evenness(self.by_cell).items()},
            "position_percentiles_m": {
                "1": self.position_low.tolist(),
                "50": self.position_median.tolist(),
                "99": self.position_high.tolist(),
            },
            "between_neighbours": {
                f"{name}_percentiles": dict(zip(("10", "50", "90"), np.percentile(steps, [10, 50, 90]), strict=True))
                for name, steps in (("deg", self.steps_deg), ("mm", self.steps_mm))
                if len(steps)
            },
        }


def measure(states: States, dropped: float = 0.0) -> Coverage:
    """Compute the figures of ``states``; ``dropped`` is the fraction of begun episodes that ended in a drop."""
    orientation = states.object_quaternion
    steps_deg, steps_mm = _steps(states)
    low, median, high = np.percentile(states.object_position, [1, 50, 99], axis=0)
    episodes = len(np.unique(states.episode))
    return Coverage(
        states=len(states),
        by_cube_rotation=count_by_cube_rotation(orientation),
        by_cell=np.bincount(cell_of(orientation), minlength=_CELLS),
        position_low=low,
        position_median=median,
        position_high=high,
        steps_deg=steps_deg,
        steps_mm=steps_mm,
        dropped=dropped,
        episodes=episodes,
    )


def stillness_warning(states: States) -> str | None:
    """Return a warning if the object hardly moves between the states of an episode; None if it does."""
    steps_deg, steps_mm = _steps(states)
    if not len(steps_deg) or np.median(steps_deg) > _STILL_DEG or np.median(steps_mm) > _STILL_MM:
        return None
    return (
        f"from one state of an episode to the next the object turns {np.median(steps_deg):.2g}° and moves "
        f"{np.median(steps_mm):.2g} mm (medians), so their images are nearly the same; train a policy "
        "(dactyl policy train), raise stride, or let the object fall more often (a smaller episode_steps)"
    )


def _steps(states: States) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rotation, degrees (F,), and movement, mm (F,), between successive states of the episodes."""
    order = np.lexsort((states.step, states.episode))
    follows = states.episode[order][1:] == states.episode[order][:-1]
    before, after = order[:-1][follows], order[1:][follows]
    orientation = matrix_from_quaternion(states.object_quaternion)
    angle = geodesic_distance(orientation[before], orientation[after])
    moved = np.linalg.norm(states.object_position[after] - states.object_position[before], axis=1)
    return np.degrees(angle), 1000 * moved


def cell_of(orientation: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which of 576 cells of equal volume contains each quaternion of (N, 4), w x y z, as (N,).

    With w = sqrt(a) cos c, x = sqrt(a) sin c, y = sqrt(1 - a) cos b, z = sqrt(1 - a) sin b a uniform rotation has
    uniform a, b and c (Shoemake, 1992): boxes in them have equal volume. c in [0, pi) picks one of q and -q.
    """
    w, x, y, z = orientation.T
    sign = np.where((x < 0) | ((x == 0) & (w < 0)), -1.0, 1.0)
    shares = (w**2 + x**2, (np.arctan2(sign * z, sign * y) / (2 * np.pi)) % 1, np.arctan2(sign * x, sign * w) / np.pi)
    bins = [
        np.clip((share * count).astype(np.int64), 0, count - 1) for share, count in zip(shares, _BOXES, strict=True)
    ]
    box: NDArray[np.int64] = np.ravel_multi_index(bins, _BOXES)
    return box


def _evenness(counts: NDArray[np.int64]) -> dict[str, float]:
    share = counts / counts.sum()
    entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
    return {
        "seen": float((counts > 0).mean()),
        "least": float(share.min() * len(counts)),
        "most": float(share.max() * len(counts)),
        "evenness": float(np.exp(entropy) / len(counts)),
    }


def coverage(config: CoverageConfig) -> Coverage:
    """Measure the states of a folder, plot them, and write the figures beside the plot."""
    states = load_states(config.states)
    manifest = read_manifest(config.states)
    result = measure(states, manifest.rejected.dropped / manifest.begun_episodes)
    path = config.output or config.states / "coverage.png"
    atomic_write(path.with_suffix(".json"), canonical_json(result.figures()))
    atomic_write(path, _draw(states, result))
    return result


def _draw(states: States, result: Coverage) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 3.6), layout="constrained")
    cube, cells, position, steps = figure.subplots(1, 4)
    cube.bar(range(24), result.by_cube_rotation / result.states * 24)
    cube.axhline(1, color="black", linewidth=0.8)
    cube.set(
        title="orientations: nearest of 24, a quarter turn apart",
        xlabel="one of the 24",
        ylabel="states over an even share",
    )
    cells.plot(np.sort(result.by_cell)[::-1] / result.states * _CELLS)
    cells.axhline(1, color="black", linewidth=0.8)
    cells.set(title=f"orientations: {_CELLS} cells, sorted", xlabel="cell", ylabel="states over an even share")
    some = states.object_position[:: max(1, len(states) // 20_000)]
    position.hexbin(some[:, 0], some[:, 1], gridsize=40, mincnt=1, cmap="viridis")
    position.set(title="position", xlabel="x, m", ylabel="y, m", aspect="equal")
    steps.hist(np.minimum(result.steps_deg, _WIDEST_STEP), bins=np.linspace(0, _WIDEST_STEP, 61))
    steps.set(title="between neighbours of an episode", xlabel="rotation, degrees; the last bin holds the rest")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()
