"""Shipped weights: one line loads them, and their card says what was measured of them and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec import structs

from eval.cli import main_evaluate
from eval.report.card import main_package_model, model_card
from eval.scoring.record import Evaluation, load_evaluation
from tests.scenes import scene
from tests.synthetic import make_dataset
from vision import network_files
from vision.configuration.command_line import UsageError
from vision.errors import DactylError
from vision.estimator import PoseEstimator
from vision.geometry.cameras import Cameras
from vision.network_files import checkpoint_record
from vision.networks.backbones import BackboneConfig
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig
from vision.storage.datasets import TripletDataset

SIZE = 64


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A checkpoint that knows nothing, its evaluation, and the test set."""
    folder = tmp_path_factory.mktemp("measured")
    data = make_dataset(folder / "set", 4, image_size=SIZE)
    model = build_model(ModelConfig(backbone=BackboneConfig("pyramid", width=8)), scene("block", SIZE))
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    checkpoint = folder / "best.ckpt"
    torch.save({**checkpoint_record(model), "state_dict": state, "optimizer_states": [torch.zeros(9)]}, checkpoint)
    main_evaluate(
        [
            *("--checkpoint", str(checkpoint), "--output", str(folder / "evaluation"), "--device", "cpu"),
            *("--test_sets.classic", str(data), "--training_set", str(data), "--protocols", "[nominal]"),
        ]
    )
    return checkpoint, folder / "evaluation", data


def package(measured: tuple[Path, Path, Path], output: Path, *more: str) -> None:
    checkpoint, evaluation, _ = measured
    given = ["--checkpoint", str(checkpoint), "--evaluation", str(evaluation), "--output", str(output)]
    main_package_model([*given, *more])


def test_shipped_weights_load_by_one_line_and_answer_as_the_checkpoint(
    measured: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(measured, tmp_path)
    monkeypatch.setattr(network_files, "WEIGHTS", tmp_path)
    sample = TripletDataset(measured[2])[1]
    told = sample["images"][None], Cameras.from_label(sample)
    shipped = PoseEstimator.from_pretrained("block").predict(*told)
    original = PoseEstimator.from_checkpoint(measured[0]).predict(*told)
    np.testing.assert_array_equal(shipped["quaternion"], original["quaternion"])
    np.testing.assert_array_equal(shipped["position"], original["position"])
    assert "optimizer_states" not in torch.load(tmp_path / "block.pt", weights_only=True)


def test_weights_can_have_a_name_of_their_own(
    measured: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(measured, tmp_path, "--name", "my-block")
    monkeypatch.setattr(network_files, "WEIGHTS", tmp_path)
    assert PoseEstimator.from_pretrained("my-block").object.name == "block"
    assert 'from_checkpoint("my-block.pt")' in (tmp_path / "my-block.md").read_text()


def test_a_network_too_large_to_ship_leaves_what_ships(
    measured: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "block.pt").write_bytes(b"shipped weights")
    (tmp_path / "block.md").write_text("their card")
    monkeypatch.setattr("eval.report.card.MOST_BYTES", 1000)
    with pytest.raises(DactylError, match=r"block\.pt: .* bytes, more than 1,000; ship a smaller network"):
        package(measured, tmp_path)
    assert (tmp_path / "block.pt").read_bytes() == b"shipped weights"
    assert (tmp_path / "block.md").read_text() == "their card"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("taken", ["block.pt", "block.md"])
def test_other_weights_are_replaced_only_if_asked(
    taken: str, measured: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name, a network of the shipped object bears the name of the shipped weights."""
    monkeypatch.setattr(network_files, "WEIGHTS", tmp_path)
    given = ["--checkpoint", str(measured[0]), "--evaluation", str(measured[1])]
    (tmp_path / taken).write_text("not ours")
    with pytest.raises(DactylError, match=rf"{taken}: exists; choose another --name, or replace it with --overwrite"):
        main_package_model(given)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(taken, "not ours")]
    main_package_model([*given, "--overwrite", "true"])
    assert PoseEstimator.from_pretrained("block").object.name == "block"


def test_the_same_weights_may_be_packaged_again(measured: tuple[Path, Path, Path], tmp_path: Path) -> None:
    package(measured, tmp_path)
    card = (tmp_path / "block.md").read_bytes()
    (tmp_path / "block.md").unlink()  # as after a kill between the two files
    package(measured, tmp_path)
    assert (tmp_path / "block.md").read_bytes() == card


@pytest.mark.parametrize("name", ["../block", "Block", "block.pt", "-block", "", "a b"])
def test_other_names_are_refused(name: str, measured: tuple[Path, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name must be lower-case letters and digits with hyphens between"):
        package(measured, tmp_path / "out", f"--name={name}")
    assert not (tmp_path / "out").exists()


def test_the_output_is_a_folder(measured: tuple[Path, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"out\.pt: expected a folder; name the weights with --name"):
        package(measured, tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()


def test_an_object_without_weights_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_files, "WEIGHTS", tmp_path)
    (tmp_path / "block.pt").touch()
    with pytest.raises(DactylError, match=r"no weights are shipped as 'prism' \(there are: block\)"):
        PoseEstimator.from_pretrained("prism")


def test_the_cards_figures_are_the_evaluations(measured: tuple[Path, Path, Path], tmp_path: Path) -> None:
    package(measured, tmp_path)
    card = (tmp_path / "block.md").read_text()
    ((scored,),) = (one.scored.values() for one in load_evaluation("ours", measured[1]).sets)
    turn, shift = scored.errors.rotation_deg, scored.errors.position_mm
    assert f"{turn.mean():.2f} ± {turn.std():.2f}" in card
    assert f"{shift.mean():.2f} ± {shift.std():.2f}" in card
    assert f"off by more than {np.quantile(turn, 0.9):.1f}°" in card
    assert "never tested on images of these kinds: filament, classic, unity, real" in card
    assert "No record of the training was found" in card
    assert 'PoseEstimator.from_checkpoint("block.pt")' in card, "they are in a folder of their own"
    assert "`None`" not in card
    assert TripletDataset(measured[2]).fingerprint[:12] in card


@pytest.mark.parametrize(
    ("renderers", "said"),
    [
        (("filament", "unity"), " It was trained only on synthetic images."),
        (("real", "filament"), " It was trained on recordings and synthetic images."),
        (("real",), " It was trained on recordings."),
        (None, ""),
    ],
)
def test_a_card_says_what_kind_of_images_were_learnt_from(
    renderers: tuple[str, ...] | None, said: str, measured: tuple[Path, Path, Path]
) -> None:
    made = load_evaluation("ours", measured[1])
    assert made.record.training_set is not None
    about = None
    if renderers is not None:
        about = structs.replace(made.record.training_set, renderers=tuple({"name": name} for name in renderers))
    evaluation = replace(made, record=structs.replace(made.record, training_set=about))
    card = model_card("block", "load()", "guesses", evaluation, "0" * 64, 1)
    assert f"A regression network that guesses.{said}\n" in card


def test_a_card_is_silent_on_what_its_objects_faces_cannot_show(
    measured: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a block without letters, or of a mesh, there was "0.0 % take one face for another"."""
    evaluation = load_evaluation("ours", measured[1])
    assert "% take one face for another." in model_card("block", "load()", "guesses", evaluation, "0" * 64, 1)
    alike = structs.replace(evaluation.object, shape_symmetries=np.eye(3)[None])
    monkeypatch.setattr(Evaluation, "object", alike)
    card = model_card("block", "load()", "guesses", load_evaluation("ours", measured[1]), "0" * 64, 1)
    assert "take one face" not in card
    assert "mm.\n" in card


def test_an_evaluation_of_another_checkpoint_is_refused(measured: tuple[Path, Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.ckpt"
    other.write_bytes(measured[0].read_bytes() + b"\0")
    with pytest.raises(DactylError, match=r"evaluated another checkpoint .*; run dactyl evaluate for it"):
        package((other, *measured[1:]), tmp_path / "out")
    assert not (tmp_path / "out").exists()
