"""Parts of other packages, whose code may fail in any way."""

from importlib.metadata import EntryPoint

import pytest

from vision import registry
from vision.errors import DactylError
from vision.registry import Registry


def _broken() -> None:
    raise KeyError("size")


@pytest.mark.parametrize("method", ["load", "build"])
def test_a_part_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    class Entry:
        name, value = "theirs", "their_package:Part"

        def load(self) -> object:
            if method == "load":
                raise RuntimeError("no license")
            return _broken

    monkeypatch.setattr(registry, "entry_points", lambda group: [Entry()])
    said = r"metric 'theirs' \(their_package:Part\) cannot be (loaded: no l|made: 'size)"
    with pytest.raises(DactylError, match=said):
        getattr(Registry("metric", "dactyl.metrics", {}), method)("theirs")


def test_a_part_of_another_type_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: a hand whose function forgot to return it was taken for a scene without a hand."""
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint("theirs", "builtins:print", group)])
    with pytest.raises(
        DactylError, match=r"hand 'theirs' \(builtins:print\) cannot be made: it returns None, expected"
    ):
        Registry("hand", "dactyl.hands", {}, str).build("theirs")


def test_installed_packages_are_read_once_and_again_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: reading the metadata of all of them took 10 ms, which each configuration of a network did three times."""
    read: list[str] = []

    def installed(group: str) -> list[EntryPoint]:
        read.append(group)
        return [EntryPoint(f"theirs{len(read)}", "their_package:Part", group)]

    monkeypatch.setattr(registry, "entry_points", installed)
    metrics = Registry("metric", "dactyl.metrics", {"ours": "vision.registry:Registry"})
    assert metrics.names() == metrics.names() == ("ours", "theirs1")
    assert metrics.load("ours") is Registry
    assert len(read) == 1
    metrics.refresh()
    assert metrics.names() == ("ours", "theirs2")
