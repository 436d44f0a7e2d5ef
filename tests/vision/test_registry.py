"""Parts of other packages, whose code may fail in any way."""

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
