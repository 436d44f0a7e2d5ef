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


def made_of(states: str | None, fingerprint: str = "b") -> Any:
    config = {} if states is None else {"states": states}
    return SimpleNamespace(fingerprint=fingerprint, manifest=SimpleNamespace(config=config))


@pytest.mark.parametrize(
    ("training", "training_set", "states", "said"),
    [
        (None, None, "s", None),
        ({}, None, "s", None),
        ({"data": {"train": "a", "val": None}}, None, "s", "pictures it knows"),
        ({"data": {"train": "b", "val": "a"}}, None, "s", "pictures it knows"),
        ({"data": {"train": "a", "val": None}}, made_of("s"), "s", "pictures it knows"),
        (None, made_of("s"), "s", "poses the network knows"),
        (None, made_of("t"), "s", None),
        (None, made_of(None), None, None),
        ({"data": {"train": None, "val": None, "online": {"states": "s"}}}, None, "s", "poses the network knows"),
        ({"data": {"train": None, "val": None, "online": {"states": "t"}}}, made_of("t"), "s", None),
    ],
)
def test_a_test_set_that_was_learnt_from_is_noticed(
    training: dict[str, Any] | None, training_set: Any, states: str | None, said: str | None
) -> None:
    """Or one of the states that were: other pictures, but the same poses."""
    checkpoint = CheckpointFile("best.ckpt", "0" * 64, training)
    found = provenance.warn_of_known_samples(checkpoint, made_of(states, "a"), training_set)
    assert (said is None and found is None) or (said is not None and found is not None and said in found)
