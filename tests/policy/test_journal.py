from pathlib import Path

import pytest

from datagen.policy.journal import Journal
from datagen.policy.learner import means
from vision.errors import DactylError


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"steps\n1\n", b"steps,seconds\nmany,1\n"])
def test_a_log_that_is_none_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "progress.csv").write_bytes(content)
    with pytest.raises(DactylError, match=r"progress\.csv: not a log of this version"):
        Journal(tmp_path, ())


def test_a_figure_counts_where_it_is_known() -> None:
    """The actor's are missing from steps in which only the critics learnt, the first one, too."""
    assert means([{"loss": 1.0}, {"loss": 3.0, "logit": 5.0}]) == {"loss": 2.0, "logit": 5.0}
    assert means([]) == {}
