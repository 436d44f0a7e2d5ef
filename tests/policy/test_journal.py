from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from datagen.policy.journal import Journal, Tally
from datagen.policy.learner import means
from vision.errors import DactylError


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"steps\n1\n", b"steps,seconds\nmany,1\n"])
def test_a_log_that_is_none_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "progress.csv").write_bytes(content)
    with pytest.raises(DactylError, match=r"progress\.csv: not a log of this version"):
        Journal(tmp_path, ())


def test_rows_that_are_written_again_replace_those_of_a_killed_run(tmp_path: Path) -> None:
    killed = Journal(tmp_path, ())
    for steps in (100, 200, 300):
        killed.write(steps, steps / 10, Tally(reached=1, late=1), {})
    again = Journal(tmp_path, ())
    again.cut(100)
    again.write(200, 20.0, Tally(reached=1), {})
    assert killed._events is not None
    assert again._events is not None
    for journal in (killed, again):
        journal._events.close()
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("policy/success")
    assert [(event.step, event.value) for event in events] == [(100, 0.5), (200, 1.0)]


def test_a_figure_counts_where_it_is_known() -> None:
    """The actor's are missing from steps in which only the critics learnt, the first one, too."""
    assert means([{"loss": 1.0}, {"loss": 3.0, "logit": 5.0}]) == {"loss": 2.0, "logit": 5.0}
    assert means([]) == {}
