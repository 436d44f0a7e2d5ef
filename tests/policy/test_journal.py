from pathlib import Path

import pytest

from datagen.policy.journal import Journal
from vision.errors import DactylError


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"steps\n1\n", b"steps,seconds\nmany,1\n"])
def test_a_log_that_is_none_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "progress.csv").write_bytes(content)
    with pytest.raises(DactylError, match=r"progress\.csv: not a log of this version"):
        Journal(tmp_path, ())
