"""What a record says of the software that made it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval.scoring import provenance
from eval.scoring.record_types import CheckpointFile


def test_the_commit_is_ours_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed within somebody's repository, the package must not record that repository's commit."""
    source = tmp_path / "site-packages" / "eval" / "scoring" / "provenance.py"
    source.parent.mkdir(parents=True)
    source.touch()
    (tmp_path / "theirs.txt").touch()
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for arguments in (("init", "-q"), ("add", "theirs.txt"), (*who, "commit", "-qm", "theirs")):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    monkeypatch.setattr(provenance, "_SOURCE", source)
    assert provenance.software().commit is None
    for arguments in (("add", "site-packages"), (*who, "commit", "-qm", "ours")):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    commit = provenance.software().commit
    assert commit is not None
    assert len(commit) == 40


@pytest.mark.parametrize(
    ("training", "learnt"),
    [
        (None, False),
        ({}, False),
        ({"data": {"train": "a", "val": None}}, True),
        ({"data": {"train": "b", "val": "a"}}, True),
    ],
)
def test_a_test_set_that_was_learnt_from_is_noticed(training: dict[str, Any] | None, learnt: bool) -> None:
    dataset: Any = SimpleNamespace(fingerprint="a")
    checkpoint = CheckpointFile("best.ckpt", "0" * 64, training)
    assert provenance.learnt_from(checkpoint, dataset) == learnt
