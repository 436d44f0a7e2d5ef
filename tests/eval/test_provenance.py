"""What a record says of the software that made it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from eval.scoring import provenance


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
