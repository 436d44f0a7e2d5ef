"""What all tests share."""

import atexit
import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings

# One process runs tests of OpenGL and of torch in any order, and triton, which torch imports late, crashes when it
# comes after Mesa (datagen.render.drivers.load_triton_first). Here it always comes first.
with contextlib.suppress(ImportError):
    importlib.import_module("triton")

# Machines that run the suite may be slow or busy: a property's time says nothing about its truth. The suite tries the
# same examples every time, so that it fails for those who broke something; the soak looks for new ones.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.register_profile("soak", deadline=None)

# A shell that runs the suite in the background has SIGINT ignored, and tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


# What tests leave in the user's cache is no later run's, and a later run finds nothing there.
if "DACTYL_CACHE" not in os.environ:
    os.environ["DACTYL_CACHE"] = tempfile.mkdtemp(prefix="dactyl-cache-")
    atexit.register(shutil.rmtree, os.environ["DACTYL_CACHE"], ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", type=float, default=0.0, metavar="SHARE", help="length of the loops in tests/faults: 1 for the whole"
    )
    parser.addoption("--install", action="store_true", help="install each extra into an empty environment: test_extras")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("soak" if config.getoption("--soak") else "suite")


# Modules that fork a training from the tests' process come first: it may not have learnt anything itself, or the fork
# misses its autograd threads. Then what takes long, so that no test process is left with it while others are done.
FIRST = (
    "tests/faults/test_training.py",
    "tests/faults/test_evaluation.py",
    "tests/e2e/",
    "tests/faults/",
    "tests/policy/",
    "tests/sim/test_states.py",
    "tests/scene/",
    "tests/train/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((number for number, name in enumerate(FIRST) if item.nodeid.startswith(name)), len(FIRST))

    items.sort(key=place)  # stable: within each, tests stay in their order


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Whatever draws from a global generator draws the same numbers in each run: not what the tests that ran before it
    in its process left, which is another thing on another machine."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    if "torch" in sys.modules:  # one that a test imports later begins with a seed of its own
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    """A test that leaves a handler behind hands it on to the forks of those after it, which then may not end."""
    before = _handlers()
    yield
    assert _handlers() == before


def _handlers() -> list[object]:
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
