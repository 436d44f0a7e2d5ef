import csv
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from msgspec import structs

from tests.scenes import scene
from tests.synthetic import make_dataset
from train.checkpoints import SafeCheckpointIO
from train.cli import main_train, parse, train
from train.data import TripletDataModule
from train.image_augmentation import ImageAugment, ImageAugmentConfig
from train.module import OptimizerConfig, PoseTask
from train.progress import held_out_errors
from vision.camera_effects import CameraEffectsConfig
from vision.distributions import Uniform, UniformInt
from vision.errors import DactylError
from vision.estimator import PoseEstimator
from vision.geometry.cameras import Cameras
from vision.geometry.rotations import geodesic_distance, matrix_from_quaternion
from vision.networks.backbones import BackboneConfig
from vision.networks.losses import LossConfig
from vision.networks.model_config import ModelConfig
from vision.rigs.rig import Rig
from vision.storage.datasets import TripletDataset
from vision.storage.folders import read_reservation

FAST = [
    *("--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu", "--threads", "1"),
    *("--optimizer.name", "adamw", "--optimizer.schedule", "cosine", "--optimizer.learning_rate", "3e-3"),
]
SMALL = ["--model.backbone.name", "pyramid", "--model.backbone.width", "8", "--model.backbone.blocks", "1"]
GEOMETRIC = ["--model.head", "geometric", *SMALL, "--model.window", '{"size": 32, "locator_width": 8}']


def arguments(data: Path, output: Path, *more: str) -> list[str]:
    return ["--data.train", str(data), "--output", str(output), *FAST, *more]


@pytest.mark.parametrize(
    ("head", "batches"),
    [
        (["--model.head", "regression"], 160),
        (
            [
                "--model.head",
                "geometric",
                "--model.backbone.name",
                "pyramid",
                "--model.backbone.width",
                "16",
                "--model.backbone.blocks",
                "1",
                "--model.window",
                '{"size": 64, "locator_size": 64, "locator_width": 16}',
                "--loss.surface",
                "1",
            ],
            220,
        ),
    ],
    ids=["regression", "geometric"],
)
def test_one_batch_is_learnt_to_a_degree_and_a_millimetre(head: list[str], batches: int, tmp_path: Path) -> None:
    """Through the real command, the machine's precision and channels-last included, and back through the estimator."""
    size = 64 if "regression" in head else 96
    data = make_dataset(tmp_path / "data", 4, image_size=size)
    still = ["--augment.contrast", "[1, 1]", "--augment.noise", "0", "--augment.window_shift", "0.01"]
    still += [f"--augment.{what}=0" for what in ("window_zoom", "window_roll_deg")]
    still += [f"--augment.{what}=0" for what in ("scene_shift", "scene_zoom", "scene_roll_deg")]
    steps = ["--trainer.max_steps", str(batches), "--data.cache", "true"]
    main_train(
        arguments(data, tmp_path / "run", "--data.val", str(data), "--data.batch_size", "4", *head, *still, *steps)
    )

    samples = [TripletDataset(data)[number] for number in range(4)]
    images, position, quaternion, k, t = (
        np.stack([sample[key] for sample in samples])
        for key in ("images", "object_position", "object_quaternion", "camera_intrinsics", "camera_extrinsics")
    )
    found = PoseEstimator.from_checkpoint(tmp_path / "run" / "best.ckpt").predict(images, Cameras(k, t))
    turn = geodesic_distance(matrix_from_quaternion(found["quaternion"]), matrix_from_quaternion(quaternion))
    assert np.rad2deg(turn).max() < 1.0
    assert 1e3 * np.linalg.norm(found["position"] - position, axis=-1).max() < 1.0


class RecordSteps(Callback):
    """The network after each batch."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, *_: Any) -> None:
        self.seen.append({name: tensor.clone() for name, tensor in task.model.state_dict().items()})


class StopBefore(Callback):
    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx == self.batch:
            raise RuntimeError("killed")


def weights(folder: Path, name: str = "last.ckpt") -> dict[str, Any]:
    return torch.load(folder / name, weights_only=True)


def test_a_training_stopped_anywhere_ends_with_the_same_weights(tiny: Path, tmp_path: Path) -> None:
    steps = [
        "--trainer.max_steps",
        "7",
        "--trainer.val_check_interval",
        "3",
        "--save_every",
        "2",
        "--data.batch_size",
        "3",
    ]
    more = [*GEOMETRIC, *steps, "--data.val_fraction", "0.4"]
    main_train(arguments(tiny, tmp_path / "whole", *more))
    whole = weights(tmp_path / "whole")
    assert whole["global_step"] == 7

    run = tmp_path / "pieces"
    for batch in (1, 3, 3, 4, 6):  # before a save, after one, after a validation, twice at one place
        config, options = parse(arguments(tiny, run, *more))
        data = TripletDataModule(config.data, config.seed)
        with pytest.raises(RuntimeError, match="killed"):
            train(config, {**options, "callbacks": [StopBefore(batch)]}, data)
    main_train(arguments(tiny, run, *more))
    pieces = weights(run)
    assert pieces["global_step"] == 7
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, pieces["state_dict"][name]), name
    for ours, theirs in zip(whole["optimizer_states"], pieces["optimizer_states"], strict=True):
        for number, state in ours["state"].items():
            assert torch.equal(state["exp_avg"], theirs["state"][number]["exp_avg"])
    assert weights(tmp_path / "whole", "best.ckpt")["global_step"] == weights(run, "best.ckpt")["global_step"]
    assert _validated(run) == _validated(tmp_path / "whole") == [3, 6]


class EndAfter(Callback):
    """As ``trainer.max_time`` does."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.fit_loop.total_batch_idx == self.batch


def test_accumulated_gradients_are_in_no_checkpoint(tiny: Path, tmp_path: Path) -> None:
    """Found: a validation in the middle of a step left a last.ckpt that was refused, and so did an early end."""
    steps = ["--trainer.max_steps", "4", "--trainer.accumulate_grad_batches", "3", "--trainer.val_check_interval", "4"]
    more = [*SMALL, *steps, "--data.batch_size", "3", "--data.val_fraction", "0.4", "--log.pictures", "0"]
    main_train(arguments(tiny, tmp_path / "whole", *more))

    run = tmp_path / "pieces"
    config, options = parse(arguments(tiny, run, *more))
    with pytest.raises(RuntimeError, match="killed"):
        train(config, {**options, "callbacks": [StopBefore(5)]}, TripletDataModule(config.data, config.seed))
    assert weights(run)["global_step"] == 1
    train(config, {**options, "callbacks": [EndAfter(7)]}, TripletDataModule(config.data, config.seed))
    assert weights(run)["global_step"] == 2
    main_train(arguments(tiny, run, *more))
    whole, pieces = weights(tmp_path / "whole"), weights(run)
    assert whole["global_step"] == pieces["global_step"] == 4
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, pieces["state_dict"][name]), name


def test_averaged_weights_are_what_is_kept_and_go_on_to_the_same_bits(tiny: Path, tmp_path: Path) -> None:
    steps = ["--trainer.max_steps", "5", "--trainer.val_check_interval", "3", "--save_every", "1"]
    more = [*GEOMETRIC, *steps, "--data.batch_size", "3", "--data.val_fraction", "0.4", "--optimizer.ema", "0.5"]
    more += ["--log.pictures", "0", "--trainer.precision", "32-true"]  # as estimators compute
    more += ["--loss.surface", "1"]  # with which the second validation of so short a training is the better one

    def start(run: Path, callback: Callback) -> TripletDataModule:
        config, options = parse(arguments(tiny, run, *more))
        data = TripletDataModule(config.data, config.seed)
        train(config, {**options, "callbacks": [callback]}, data)
        return data

    recorded = RecordSteps()
    data = start(tmp_path / "whole", recorded)
    best, last = (weights(tmp_path / "whole", name) for name in ("best.ckpt", "last.ckpt"))
    for name in ("head.layers.weight", "tower.stem.1.running_mean"):
        expected = recorded.seen[0][name]
        for share, seen in zip([2 / 11, 3 / 12, 4 / 13, 5 / 14], recorded.seen[1:], strict=True):
            expected = expected + (1 - share) * (seen[name] - expected)
        torch.testing.assert_close(last["state_dict"][f"model.{name}"], expected)
        assert not torch.equal(expected, recorded.seen[-1][name])

    # What was validated is what an estimator reads, and its confidence lasts until the next validation.
    sources = data.sources
    samples = [sources.val_source[int(number)] for number in sources.val_numbers]
    images, quaternion, k, t = (
        np.stack([sample[key] for sample in samples])
        for key in ("images", "object_quaternion", "camera_intrinsics", "camera_extrinsics")
    )
    found = PoseEstimator.from_checkpoint(tmp_path / "whole" / "best.ckpt").predict(images, Cameras(k, t))
    turn = geodesic_distance(matrix_from_quaternion(found["quaternion"]), matrix_from_quaternion(quaternion))
    errors = [
        float(row["val/rotation_mean_deg"]) for row in _rows(tmp_path / "whole") if row.get("val/rotation_mean_deg")
    ]
    assert _validated(tmp_path / "whole") == [2, 4]
    assert errors[1] == min(errors) == pytest.approx(np.rad2deg(turn).mean(), rel=1e-4)
    assert best["global_step"] == 4
    scales = [checkpoint["state_dict"]["model.error_scale"] for checkpoint in (best, last)]
    assert torch.equal(*scales)
    assert (scales[0] != 1).all()

    for batch in (2, 3, 4):  # 2 and 4: right after a validation
        with pytest.raises(RuntimeError, match="killed"):
            start(tmp_path / "pieces", StopBefore(batch))
    start(tmp_path / "pieces", recorded)
    for name, whole in (("best.ckpt", best), ("last.ckpt", last)):
        pieces = weights(tmp_path / "pieces", name)["state_dict"]
        assert pieces.keys() == whole["state_dict"].keys()
        for key, tensor in whole["state_dict"].items():
            assert torch.equal(tensor, pieces[key]), (name, key)


def test_a_training_from_before_a_key_goes_on_with_it_at_its_default(tiny: Path, tmp_path: Path) -> None:
    command = arguments(tiny, tmp_path / "run", *GEOMETRIC, "--trainer.max_steps", "1", "--data.batch_size", "2")
    main_train(command)
    note = read_reservation(tmp_path / "run")
    assert "ema" not in note["optimizer"]
    assert "camera_input" not in note["model"]
    assert "count" not in note["model"]["window"]
    assert not {"exposure", "gamma", "camera_effects"} & note["augment"].keys()
    with pytest.raises(DactylError, match=r"optimizer\.ema: None there, 0\.9 here"):
        main_train([*command, "--optimizer.ema", "0.9"])
    with pytest.raises(DactylError, match=r"model\.window\.count: None there, 3 here"):
        main_train([*command, "--model.window.count", "3"])


def test_a_bar_shows_the_errors_that_a_model_gives() -> None:
    """Found: a KeyError after the first validation of another package's model, which gives only what it must."""
    metrics = {"val/rotation_mean_deg": torch.tensor(2.3456)}
    assert held_out_errors(metrics) == "2.35 deg"
    more = {"val/rotation_median_deg": 1.0, "val/position_mean_mm": 3.0, "val/position_median_mm": 2.0}
    assert held_out_errors(metrics | more) == "2.35 (1.00) deg, 3.00 (2.00) mm"


def test_a_regression_learns_with_and_without_its_cameras(tiny: Path, tmp_path: Path) -> None:
    """Half of the samples of a batch are told theirs; both protocols are validated."""
    steps = ["--trainer.max_steps", "2", "--data.batch_size", "8", "--model.camera_input", "true"]
    ranges = "shot_noise: {low: 0, high: 0.05}, jpeg_quality: {low: 40, high: 90}"
    camera = [f"--augment.camera_effects={{probability: 0.5, {ranges}}}"]
    main_train(arguments(tiny, tmp_path, *SMALL, *steps, *camera))
    (row,) = [row for row in _rows(tmp_path) if row.get("val/rotation_mean_deg")]
    assert row["val/nominal_rotation_mean_deg"] != row["val/rotation_mean_deg"]
    checkpoint = weights(tmp_path)
    shape = checkpoint["state_dict"]["model.head.layers.0.weight"].shape
    moments = [state["exp_avg"] for state in checkpoint["optimizer_states"][0]["state"].values()]
    (gradient,) = [moment for moment in moments if moment.shape == shape]
    assert (gradient[:, -3 * 8 :] != 0).any(dim=0).all()  # every number of every camera was heard


def _validated(run: Path) -> list[int]:
    """Batches after which a run was validated, over all its starts."""
    return sorted(int(row["step"]) + 1 for row in _rows(run) if row.get("val/rotation_mean_deg"))


def _rows(run: Path) -> list[dict[str, str]]:
    return [row for log in run.glob("csv/*/metrics.csv") for row in csv.DictReader(log.open())]


def test_a_finished_training_is_reused_and_another_one_refused(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(tiny, tmp_path / "run", *GEOMETRIC, "--trainer.max_steps", "1", "--data.batch_size", "2")
    main_train(command)
    before = (tmp_path / "run" / "last.ckpt").stat().st_mtime_ns
    main_train(command)
    assert "reused" in capsys.readouterr().err
    assert (tmp_path / "run" / "last.ckpt").stat().st_mtime_ns == before
    with pytest.raises(DactylError, match=r"optimizer\.weight_decay: 0\.001 there, 0\.5 here"):
        main_train([*command, "--optimizer.weight_decay", "0.5"])


def test_a_checkpoint_of_another_version_is_refused_by_name(tiny: Path, tmp_path: Path) -> None:
    command = arguments(tiny, tmp_path / "run", *GEOMETRIC, "--trainer.max_steps", "2", "--data.batch_size", "2")
    main_train(command)
    last = tmp_path / "run" / "last.ckpt"
    old = weights(tmp_path / "run") | {"global_step": 1}
    old["state_dict"]["model.error_scale"] = torch.ones(())
    SafeCheckpointIO().save_checkpoint(old, last)
    before = last.read_bytes()
    with pytest.raises(DactylError, match=r"last\.ckpt: begun by another version .*'model\.error_scale'") as caught:
        main_train(command)
    assert "\n" not in str(caught.value)
    assert last.read_bytes() == before


def test_a_loss_that_is_not_finite_names_the_samples(tiny: Path, tmp_path: Path) -> None:
    command = arguments(tiny, tmp_path / "run", *GEOMETRIC, "--trainer.max_steps", "50", "--data.batch_size", "2")
    with pytest.raises(DactylError, match=r"loss is (nan|-?inf) at batch \d+, samples \d") as caught:
        main_train([*command, "--optimizer.learning_rate", "1e30"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (OptimizerConfig(), {0: 1.0, 19_999: 1.0, 20_000: 0.5, 39_999: 0.5, 40_000: 0.25}),
        (OptimizerConfig(schedule="cosine", warmup=10), {0: 0.1, 4: 0.5, 50_000: 0.5, 100_000: 0.0}),
    ],
)
def test_schedules(config: OptimizerConfig, expected: dict[int, float]) -> None:
    for batch, factor in expected.items():
        assert config.factor(batch, 100_000) == pytest.approx(factor, abs=1e-6)


@pytest.mark.parametrize("decay", [0.0, 1.0, -1.0])
def test_an_average_needs_a_decay_between_0_and_1(decay: float) -> None:
    with pytest.raises(ValueError, match="ema: must lie between 0 and 1"):
        OptimizerConfig(ema=decay)


def _settings(argv: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    return parse([*argv, "--data.train", "d", "--output", "o"])


@pytest.mark.parametrize("name", ["paper", "best", "demo"])
def test_configurations_that_ship_can_be_read(name: str) -> None:
    config, options = _settings(["--config", str(Path(__file__).parents[2] / "configs" / "train" / f"{name}.yaml")])
    assert options["max_steps"] > 0
    if name == "paper":  # Table 11
        assert (config.data.batch_size, options["max_steps"]) == (64, 400_000)
        optimizer = config.optimizer
        assert (optimizer.name, optimizer.learning_rate, optimizer.weight_decay) == ("adam", 5e-4, 1e-3)
        assert (optimizer.schedule, optimizer.halve_every) == ("halve", 20_000)
        assert (config.model.head, config.model.backbone.name, config.model.rotation) == (
            "regression",
            "paper",
            "quaternion",
        )
        assert (config.augment.contrast, config.augment.noise) == ((0.5, 1.5), 0.1)


def test_images_are_not_copied_where_no_camera_changes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: without effects every batch was read out and written back, 50 to 110 ms of a core for 64 triplets."""
    model = ModelConfig("geometric", BackboneConfig("pyramid", width=8, blocks=1))
    task = PoseTask(model, scene("block", 64), LossConfig(), ImageAugmentConfig(), OptimizerConfig(), 0)
    augment = ImageAugment(ImageAugmentConfig(), torch.Generator().manual_seed(0))
    images = torch.zeros((2, 3, 3, 64, 64), dtype=torch.uint8)
    taken: list[torch.Tensor] = []
    monkeypatch.setattr(task.model, "losses", lambda batch, *_: taken.append(batch["images"]))
    task.losses({"images": images}, augment)
    assert taken[0] is images
    assert images._version == 0


def test_held_out_errors_that_are_not_finite_end_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: one among them ended it by a shape error in a metric, or was left out in silence."""
    model = ModelConfig("geometric", BackboneConfig("pyramid", width=8, blocks=1))
    task = PoseTask(model, scene("block", 64), LossConfig(), ImageAugmentConfig(), OptimizerConfig(), 0)
    columns = torch.zeros(3, 2)
    monkeypatch.setattr(task.model, "validate", lambda batch: columns)
    monkeypatch.setattr(PoseTask, "trainer", SimpleNamespace(fit_loop=SimpleNamespace(total_batch_idx=7)))
    task.validation_step({"index": torch.tensor([4, 8, 15])}, 0)
    columns[1, 0] = torch.nan
    with pytest.raises(DactylError, match="errors of held-out samples 8 are not finite after batch 7: lower"):
        task.validation_step({"index": torch.tensor([4, 8, 15])}, 0)


def test_camera_effects_leave_the_padding_of_smaller_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays black, and the effects are those of each camera's own image."""
    whole = scene("block", 64)
    small = whole.rig.cameras[1]
    K = np.diag([0.75, 0.5, 1.0]) @ small.intrinsics
    small = structs.replace(small, width=48, height=32, intrinsics=K)
    rig = Rig(cameras=(whole.rig.cameras[0], small, whole.rig.cameras[2]))
    model = ModelConfig("geometric", BackboneConfig("pyramid", width=8, blocks=1))
    strong = CameraEffectsConfig(
        probability=1.0,
        defocus=Uniform(0.0, 0.03),
        vignette=Uniform(0.8, 1.0),
        read_noise=Uniform(0.0, 0.1),
        jpeg_quality=UniformInt(20, 30),
    )
    effects = ImageAugmentConfig(camera_effects=strong)
    task = PoseTask(model, whole.with_rig(rig), LossConfig(), effects, OptimizerConfig(), 0)
    images = torch.full((2, 3, 3, 64, 64), 200, dtype=torch.uint8)
    images[:, 1, :, 32:], images[:, 1, :, :, 48:] = 0, 0
    before, taken = images.clone(), []
    monkeypatch.setattr(task.model, "losses", lambda batch, *_: taken.append(batch["images"]))
    task.losses({"images": images}, ImageAugment(effects, torch.Generator().manual_seed(0)))
    assert torch.equal(images, before)
    (seen,) = taken
    assert not seen[:, 1, :, 32:].any()
    assert not seen[:, 1, :, :, 48:].any()
    own = seen[:, 1, :, :32, :48].float().mean(dim=(0, 1))
    corners = own[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.max() - corners.min() < 60
    assert corners.max() < own[12:20, 20:28].mean() - 20  # the middle of its own image is the brightest
