"""Figures of trials: the estimator's errors over time, and a film."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datagen.appearance.sample import Sample
from eval.closed_loop.config import ClosedLoopConfig
from eval.closed_loop.film import FilmFrame, save_film
from eval.closed_loop.trial_appearance import draw_look
from eval.closed_loop.trial_block import plain_renderer
from eval.report.charts import trial_errors
from eval.report.plots import save_figure
from eval.scoring.estimator import Estimator
from eval.scoring.metrics import MAIN, PoseErrors, pose_errors, summarise
from eval.scoring.trial_results import TRACE, EstimatesRecord, Simulation, over_time
from vision.drawing.wireframes import comparison, crop, draw_triplet
from vision.geometry.cameras import Cameras, project
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray
from vision.published import STEP_SECONDS
from vision.storage.tables import read_table

_GOAL_HEIGHT = 0.12  # m above the hand, where a film shows the object in its goal orientation
_GOAL_CAMERA = 1  # index in the rig, if it has that many: the reference rig's looks down on the object


def picture_play(
    config: ClosedLoopConfig, simulation: Simulation, estimator: Estimator, goals: Sequence[int], paths: list[Path]
) -> dict[str, Any]:
    """Draw a play's errors over time and its film, and return the entries of its record about the estimates.

    Args:
        goals: number of goals of each trial; the first trial with the most is filmed.
        paths: paths of the play's blocks.
    """
    tables = [read_table(path.with_suffix(".parquet"), TRACE)[0] for path in paths]
    columns = {key: np.concatenate([table[key] for table in tables]) for key in TRACE}
    true = Pose.from_columns(columns, "true")
    errors, told = (
        pose_errors(estimator.scene.object, true, Pose.from_columns(columns, whose), keys=MAIN)
        for whose in ("predicted", "told")
    )
    filmed = int(np.argmax(goals))
    rows = np.flatnonzero(columns["episode"] == filmed)
    single = {key: values[rows] for key, values in columns.items()}
    course = over_time(columns, errors)
    seconds = single["index"] * STEP_SECONDS
    figure = trial_errors(course, (seconds, errors.of(rows)), f"trial {filmed}")
    save_figure(figure, config.output / f"errors-{simulation}.png")
    if config.film_s:
        shown = seconds < config.film_s
        look = {key: values[shown] for key, values in single.items()}
        frames = _frames(config, simulation, estimator, look, errors.of(rows[shown]))
        save_film(config.output / f"film-{simulation}.gif", frames)
    return {
        "errors": _summary(errors),
        "told": _summary(told),
        "over_time": course,
        "filmed": filmed,
    }


def _summary(errors: PoseErrors) -> EstimatesRecord:
    summaries = {part: summarise(getattr(errors, part)) for part in ("rotation_deg", "position_mm")}
    figures = {f"{part}_{name}": value for part, one in summaries.items() for name, value in vars(one).items()}
    return EstimatesRecord(estimates=len(errors), **figures)


def _frames(
    config: ClosedLoopConfig,
    simulation: Simulation,
    estimator: Estimator,
    columns: dict[str, np.ndarray],
    errors: PoseErrors,
) -> Iterator[FilmFrame]:
    """Yield the steps (n,) of one trial, rendered again."""
    trial, goals, picture = int(columns["episode"][0]), -1, np.empty(0, np.uint8)
    with plain_renderer(estimator) as renderer:
        look = draw_look(config, simulation, estimator, renderer, [trial])
        cameras = look.true.at(0)
        true, predicted = (Pose.from_columns(columns, whose) for whose in ("true", "predicted"))

        def draw(position: FloatArray, quaternion: FloatArray) -> list[NDArray[np.uint8]]:
            joints = columns["joint_position"][row]
            drawn = renderer.render([Sample(trial, joints, position, quaternion, look.appearances[0])])[0]
            return estimator.scene.rig.without_padding(drawn)

        for row, asked in enumerate(columns["goal_quaternion"]):
            position = columns["true_position"][row]
            if row == 0 or (asked != columns["goal_quaternion"][row - 1]).any():
                goals += 1
                picture = _goal_picture(draw, position, asked, cameras)
            turn, shift = errors.rotation_deg[row], errors.position_mm[row]
            images = draw(position, columns["true_quaternion"][row])
            yield FilmFrame(
                draw_triplet(images, comparison(estimator.scene.object, true.at(row), predicted.at(row)), cameras),
                picture,
                f"trial {trial} · {columns['index'][row] * STEP_SECONDS:4.1f} s · goals reached: {goals} · "
                f"error {turn:.1f}°, {shift:.1f} mm",
            )


def _goal_picture(
    draw: Callable[[FloatArray, FloatArray], list[NDArray[np.uint8]]],
    position: FloatArray,
    quaternion: FloatArray,
    cameras: Cameras,
) -> NDArray[np.uint8]:
    """Render the object in its goal orientation, lifted out of the hand, (H, H, 3): as high as the highest image."""
    lifted = position + np.array([0.0, 0.0, _GOAL_HEIGHT])
    images = draw(lifted, quaternion)
    number = min(_GOAL_CAMERA, len(images) - 1)
    image, camera = images[number], cameras.at(number)
    centre = project(lifted[None], camera)[0]
    small, _ = crop(image, camera, centre, min(image.shape[:2]) // 2)
    height = max(len(picture) for picture in images)
    return np.asarray(Image.fromarray(small).resize((height, height), Image.Resampling.BICUBIC))
