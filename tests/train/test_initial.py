"""Trainings that begin from given weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.test_training import GEOMETRIC, SMALL, arguments
from train.cli import main_train
from train.initial import begin_from
from vision.errors import DactylError
from vision.network_files import checkpoint_record, read_checkpoint, read_model, weights_file
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig
from vision.scene.load import load_scene


def weights(path: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in read_checkpoint(path)["state_dict"].items() if name.startswith("model.")}


def test_a_training_goes_on_from_given_weights(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A learning rate of nearly nothing leaves what it began from."""
    few = [*GEOMETRIC, "--data.batch_size", "2", "--data.val", str(tiny), "--log.pictures", "0"]
    main_train(arguments(tiny, tmp_path / "first", *few, "--trainer.max_steps", "2"))
    first = tmp_path / "first" / "last.ckpt"
    still = ["--optimizer.learning_rate", "1e-12", "--optimizer.weight_decay", "0", "--seed", "5"]
    again = [*few, *still, "--trainer.max_steps", "1", "--init"]
    main_train(arguments(tiny, tmp_path / "second", *again, str(first)))
    assert f"begins from {first}" in capsys.readouterr().err.replace("\n", "")
    began, went_on = weights(first), weights(tmp_path / "second" / "last.ckpt")
    learned = [name for name in went_on if name.endswith(("weight", "bias"))]  # statistics of norms go on with the data
    for name in learned:
        assert torch.allclose(went_on[name], began[name], atol=1e-6), name
    with pytest.raises(DactylError, match="init"):  # other weights make another training
        main_train(arguments(tiny, tmp_path / "second", *again, "block"))


def test_layers_that_differ_begin_anew() -> None:
    """The prism has other keypoints than the block."""
    model = build_model(ModelConfig(**shipped_config()), load_scene("prism"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given = read_model(weights_file("block")).state_dict()
    said = begin_from(model, "block")
    assert "at random: head" in said
    for name, tensor in model.state_dict().items():
        same_shape = name in given and given[name].shape == tensor.shape
        if name.startswith(("tower.", "locator_tower.")):
            assert same_shape, name
            assert torch.equal(tensor, given[name]), name
        elif not same_shape:
            assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(("key", "value"), [("blocks", 1), ("norm", "group"), ("width", 32)])
def test_another_tower_is_refused(key: str, value: object) -> None:
    """One whose tensors are some of the given ones, too."""
    config = ModelConfig(**shipped_config())
    other = replace(config, backbone=replace(config.backbone, **{key: value}))
    with pytest.raises(DactylError, match=rf"init: block: its tower is another \(model\.backbone\.{key}"):
        begin_from(build_model(other, load_scene("block")), "block")


def test_what_was_measured_on_other_pictures_is_left_behind(tmp_path: Path) -> None:
    """Whatever buffers a model has for it."""
    given = read_model(weights_file("block"))
    for _, buffer in given.named_buffers(recurse=False):
        buffer.fill_(7.0)
    path = tmp_path / "measured.pt"
    torch.save(
        {**checkpoint_record(given), "state_dict": {f"model.{k}": v for k, v in given.state_dict().items()}}, path
    )
    model = build_model(given.config, given.scene)
    begin_from(model, str(path))
    measured = dict(model.named_buffers(recurse=False))
    assert "usual_spread" in measured
    for name, buffer in measured.items():
        assert not (buffer == 7.0).any(), name


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ("no-such-weights", "no-such-weights: No such file"),
        ("block", "backbone.width: 48 there, 8 here"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(init: str, words: str, tiny: Path, tmp_path: Path) -> None:
    regression = ["--model.head", "regression", *SMALL, "--trainer.max_steps", "1"]
    with pytest.raises(DactylError, match=words):
        main_train(arguments(tiny, tmp_path / "run", "--data.val", str(tiny), *regression, "--init", init))


def shipped_config() -> dict[str, object]:
    return dict(vars(read_model(weights_file("block")).config))
