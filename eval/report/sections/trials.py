"""The chapter of the closed loop: trials of a policy that sees through an estimator."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from eval.report.charts import trial_errors
from eval.report.page import Drawing, Listing, Paragraph, Photo, Section, Table
from eval.report.sections.parts import absent, drawing
from eval.report.trial_table import TRIAL_TITLES, trial_cells, trial_notes, trial_rows
from eval.scoring.trial_results import ClosedLoop
from vision.io.files import read_file

_MAX_FILM_BYTES = 64 << 20


def trials_section(loops: Mapping[str, ClosedLoop]) -> Section:
    """Return consecutive goals next to Table 3, the estimator's errors over a trial's time, and films."""
    title = "Closed loop"
    if not loops:
        return absent(
            title, "no trials were given; play some with dactyl closed-loop, and name its folder in closed_loops"
        )
    rows = trial_rows(loops)
    cells = [trial_cells(row) for row in rows]
    styles = ["published" if row.published else "ours" for row in rows]
    parts: list[Table | Paragraph | Drawing | Photo | Listing] = [
        Table(TRIAL_TITLES, cells, "Consecutive goals, mean ± standard deviation.", 2, styles),
        *(Paragraph(note) for note in trial_notes(loops)),
    ]
    for name, loop in loops.items():
        for play in loop.plays:
            if play.over_time is None:
                continue
            where = f"{name}, {play.simulation} simulation"
            caption = f"{where}: the estimator's errors over the time of its trials."
            parts.append(drawing(trial_errors(play.over_time), caption))
            if (film := loop.film(play.simulation)).exists():
                caption = (
                    f"{where}: the trial with the most goals, its first seconds, at its own speed; green the true "
                    "object, magenta the estimated one, right the orientation asked for."
                )
                parts.append(Photo(read_file(film, _MAX_FILM_BYTES, "film"), caption))
        played = {key: msgspec.to_builtins(getattr(loop.record, key)) for key in ("config", "checkpoint", "software")}
        parts.append(Listing(f"{name}: what was played", played))
    return Section(title, parts)
