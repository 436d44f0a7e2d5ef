"""Networks and policies on disk: damage is refused in one line, or changed nothing. No altered weight passes.

``tests/model/test_estimator.py`` and ``tests/policy/test_trained.py`` hold the cases of other architectures, versions
and kinds of file.
"""

from __future__ import annotations

import copy
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datagen.policy.features import INPUTS
from datagen.policy.layout import SHADOW
from datagen.policy.network import Actor, Normaliser, load_policy, save_policy
from tests.faults.conftest import Trials
from tests.faults.harness import damaged, memory_bounded, outcome
from tests.faults.test_shards import Canary
from tests.model.test_model import model_and_cameras
from vision.network_files import checkpoint_record, read_checkpoint, read_model

Read = Callable[[Path], Any]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Lightning leaves it: a small network, its optimiser, its progress."""
    path = tmp_path_factory.mktemp("checkpoint") / "last.ckpt"
    model, _ = model_and_cameras("geometric")
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    moments = {number: {"exp_avg": torch.randn(9)} for number in range(5)}
    more = {"global_step": 7, "optimizer_states": [{"state": moments, "param_groups": [{"lr": 1e-3}]}]}
    torch.save({**checkpoint_record(model), "state_dict": state, **more}, path)
    return path


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "mine.pt"
    save_policy(path, Actor(INPUTS[:4], (16,), SHADOW), Normaliser(SHADOW.state), {"name": "mine", "object": "block"})
    return path


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit, wherever tensors are nested in it."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read_model(path).state_dict()


def policy_content(path: Path) -> tuple[Any, ...]:
    actor, normaliser, about = load_policy(path)
    return actor.state_dict(), normaliser.state_dict(), about


@pytest.mark.parametrize("read", [read_checkpoint, weights, policy_content])
def test_no_damage_passes_in_silence(
    read: Read, checkpoint: Path, policy: Path, tmp_path: Path, trials: Trials
) -> None:
    original = policy if read is policy_content else checkpoint
    whole, expected = original.read_bytes(), read(original)
    rng = np.random.default_rng(83)
    path = tmp_path / original.name
    refused = 0
    for trial in trials(15, 1000):
        what, content = damaged(whole, rng)
        path.write_bytes(content)
        with memory_bounded():
            found = outcome(lambda: read(path), path)
        refused += isinstance(found, str)
        assert isinstance(found, str) or same(expected, found), f"trial {trial}: {what} gave other weights"
    assert refused > 0.4 * (trial + 1), "what lies before or behind a zip archive is no part of it, the rest is"


@pytest.mark.parametrize("read", [weights, policy_content])
@pytest.mark.parametrize("form", ["torch", "pickle", "zip"])
def test_no_pickle_in_a_checkpoint_runs(read: Read, form: str, tmp_path: Path) -> None:
    path, content = tmp_path / "trap.pt", {"format": Canary(tmp_path / "sung"), "state_dict": Canary(tmp_path / "sung")}
    if form == "torch":
        torch.save(content, path)
    elif form == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
            archive.writestr("archive/version", "3")
    assert isinstance(outcome(lambda: read(path), path), str)
    assert not (tmp_path / "sung").exists()


def test_a_tensor_that_claims_gigabytes_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    """A view without storage behind it: a kilobyte of file, 40 GB when it is made whole."""
    content = torch.load(checkpoint, weights_only=True)
    name = next(iter(content["state_dict"]))
    content["state_dict"][name] = torch.zeros(1).expand(100_000, 100_000)
    torch.save(content, tmp_path / "large.ckpt")
    with memory_bounded():
        assert "claims more numbers" in str(outcome(lambda: weights(tmp_path / "large.ckpt"), "large.ckpt"))


def rewritten(source: Path, path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    content = torch.load(source, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


def hyper(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["hyper_parameters"].update(changes)


def scene(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    """A change of the scene, which hyper-parameters hold whole."""
    return lambda content: change(content["hyper_parameters"]["scene"])


def model(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["hyper_parameters"]["model"].update(changes)


def tensor(value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["state_dict"].update({"model.position_mean": value})


CONTENT: dict[str, Callable[[dict[str, Any]], object]] = {
    "no tensor": tensor(None),
    "a number": tensor(3),
    "integers": tensor(torch.tensor([1, 2, 3])),
    "sparse": tensor(torch.zeros(3).to_sparse()),
    "meta": tensor(torch.zeros(3, device="meta")),
    "complex": tensor(torch.zeros(3, dtype=torch.complex64)),
    "not a number": tensor(torch.tensor([0.0, torch.nan, 0.0])),
    "infinite": tensor(torch.tensor([0.0, torch.inf, 0.0])),
    "a name that is none": lambda content: content["state_dict"].update({3: torch.zeros(1)}),
    "state of text": lambda content: content.update(state_dict="x"),
    "absurd width": model(backbone={"name": "pyramid", "width": 8_000_000}),
    "a million blocks": model(backbone={"name": "pyramid", "width": 8, "blocks": 10_000_000}),
    "large, within its range": model(backbone={"name": "pyramid", "width": 1024, "blocks": 64}),
    "iterations": model(iterations=10**9),
    "iterations as text": model(iterations="128"),
    "window": model(window={"size": 10**9}),
    "negative": model(iterations=-1),
    "unknown key": model(teapot=1),
    "image size": scene(lambda scene: scene["rig"]["cameras"][0].update(width=10**6)),
    "image size of 0": scene(lambda scene: scene["rig"]["cameras"][0].update(height=0)),
    "scene by name": hyper(scene="block"),
    "object as list": scene(lambda scene: scene.update(object=["block"])),
    "rig as text": scene(lambda scene: scene.update(rig="left")),
    "rig of nothing": scene(lambda scene: scene["rig"].update(cameras=[])),
    "infinite camera": scene(lambda scene: scene["rig"]["cameras"][0]["intrinsics"][0].__setitem__(0, float("inf"))),
    "mirrored camera": scene(lambda scene: scene["rig"]["cameras"][0]["extrinsics"][0].__setitem__(0, -3.0)),
    "escape": scene(lambda scene: scene.update(name="\x1b[2J")),
    "deep": hyper(model={"a": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}),
}


@pytest.mark.parametrize("name", CONTENT)
def test_what_a_checkpoint_claims_is_one_line(name: str, checkpoint: Path, tmp_path: Path) -> None:
    path = rewritten(checkpoint, tmp_path / "case.ckpt", CONTENT[name])
    with memory_bounded():
        said = outcome(lambda: weights(path), path)
    assert isinstance(said, str), name
    assert len(said) <= 300
    assert said.isprintable()


def compressed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(160 << 20))


def many_members(path: Path) -> None:
    """Sixty times the same bytes: each member of the list points at the first one's."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data/0", bytes(4 << 20))
        (first,) = archive.filelist
        for number in range(60):
            other = copy.copy(first)
            other.filename = f"archive/data/{number + 1}"
            archive.filelist.append(other)


def long_pickle(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"]" * (30 << 20) + b".")
        archive.writestr("archive/version", "3")


def no_list(path: Path) -> None:
    path.write_bytes(b"PK\3\4" + bytes(1000) + b"PK\5\6" + bytes(4) + b"\xff\xff" * 2 + bytes(10))


@pytest.mark.parametrize("make", [compressed, many_members, long_pickle, no_list])
@pytest.mark.parametrize("read", [weights, policy_content])
def test_a_zip_bomb_is_refused(make: Callable[[Path], None], read: Read, tmp_path: Path) -> None:
    make(tmp_path / "bomb.pt")
    with memory_bounded(128):
        assert isinstance(outcome(lambda: read(tmp_path / "bomb.pt"), "bomb.pt"), str)


@pytest.mark.parametrize("read", [weights, policy_content])
def test_what_is_no_file_is_not_waited_for(read: Read, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "device.pt").symlink_to("/dev/zero")
    for name in ("pipe.pt", "device.pt"):
        assert "not a readable" in str(outcome(lambda name=name: read(tmp_path / name)))  # type: ignore[misc]
    what = "a folder, not a checkpoint" if read is weights else "not a readable"
    assert what in str(outcome(lambda: read(tmp_path)))
