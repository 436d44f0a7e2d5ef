"""The closed loop: a perfect eye changes nothing, any other only what concerns the object; killed runs go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from dactyl.cli import main
from datagen.appearance.draw import draw_appearance
from datagen.policy.evaluate import play_trials
from datagen.policy.her_config import HerConfig
from datagen.sim.environment import Environment
from datagen.sim.randomization import EVERYTHING, GROUPS, NOTHING, Randomization
from datagen.sim.trials import TrialRules
from eval.closed_loop import figures, run, trial_block
from eval.closed_loop.config import ClosedLoopConfig
from eval.closed_loop.policy_view import WorldEstimates, observation_by_sight, with_differences
from eval.closed_loop.recording import with_found_cameras
from eval.closed_loop.tracked import TrackedWorlds
from eval.closed_loop.trial_appearance import TrialAppearance, draw_look
from eval.closed_loop.vision_observer import VisionObserver
from eval.scoring.metrics import PoseErrors
from eval.scoring.trial_results import RESULTS, TRACE, load_closed_loop, over_time
from tests.datasets import reseal
from tests.eval.pilot import Canvas, Eye, Pilot
from tests.scenes import rig, scene
from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.rotations import quaternion_from_rotation, rotation_from_quaternion
from vision.io.files import sha256
from vision.network_files import checkpoint_record
from vision.networks.backbones import BackboneConfig
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig
from vision.objects.symmetries import Symmetries
from vision.published import STEP_SECONDS
from vision.storage.schema import SCHEMA_VERSION
from vision.storage.tables import read_table
from vision.tracking import TrackingConfig

RULES = TrialRules(seconds=0.8)
SIZE = 48


def play(
    eye: Eye | None, trials: Sequence[int] = (0, 1, 2), randomization: Randomization = NOTHING, latency: int = 0
) -> tuple[list[int], list[str], Pilot, VisionObserver | None]:
    """Goals, endings, what the policy was told and what was seen, of a few short trials."""
    environment = Environment(scene(), 0, len(trials), 1, randomization)
    pilot, sight = Pilot(environment.scene.actions), None
    if eye is not None:
        config = ClosedLoopConfig(Path("a"), Path("b"), latency_steps=latency)
        look = draw_look(config, "plain", eye, eye.canvas, trials)  # type: ignore[arg-type]
        sight = VisionObserver(config, environment, eye, eye.canvas, look)  # type: ignore[arg-type]
    goals, endings = play_trials(environment, pilot, RULES, np.asarray(trials), lambda _: None, sight)
    return goals, list(endings), pilot, sight


@pytest.mark.parametrize("randomization", [NOTHING, replace(EVERYTHING, observation_noise=None)])
def test_a_perfect_eye_is_as_good_as_the_state(randomization: Randomization) -> None:
    """Without the tracker's noise, policies are told the same either way, to the last step of every trial."""
    by_state, by_sight = (play(eye, randomization=randomization) for eye in (None, Eye(Canvas(SIZE))))
    assert by_state[:2] == by_sight[:2]
    assert len(by_state[2].told) == len(by_sight[2].told) >= 10
    for state, sight in zip(by_state[2].told, by_sight[2].told, strict=True):
        for key in ("fingertip_position", "object_position", "object_quaternion", "relative_goal", "joint_position"):
            np.testing.assert_allclose(sight[key], state[key], atol=1e-9)  # type: ignore[literal-required]


def test_the_tracker_is_replaced_noise_and_all() -> None:
    """In the randomized simulation the policy is told the estimate, not the tracker's reading, nor their sum."""
    _, _, pilot, sight = play(Eye(Canvas(SIZE)), randomization=EVERYTHING)
    assert sight is not None
    for told, row in zip(pilot.told, sight.rows, strict=True):
        np.testing.assert_array_equal(told["object_position"][row["episode"]], row["true_position"])


def test_an_eye_that_errs_errs_in_all_that_concerns_the_object() -> None:
    _, _, pilot, sight = play(Eye(Canvas(SIZE), turn_deg=20.0, shift_mm=3.0))
    assert sight is not None
    for told, row in zip(pilot.told, sight.rows, strict=True):
        worlds = row["episode"]
        shift = 1000 * (told["object_position"][worlds] - row["true_position"])
        np.testing.assert_allclose(shift, [[3, 0, 0]] * len(worlds), atol=1e-9)
        seen, true, goal = (
            rotation_from_quaternion(quaternion)
            for quaternion in (told["object_quaternion"][worlds], row["true_quaternion"], row["goal_quaternion"])
        )
        np.testing.assert_allclose(np.rad2deg((seen * true.inv()).as_rotvec()), [[0, 0, 20]] * len(worlds), atol=1e-9)
        left = rotation_from_quaternion(told["relative_goal"][worlds])
        np.testing.assert_allclose((left * seen * goal.inv()).magnitude(), 0, atol=1e-7)


def test_velocities_are_those_of_the_estimates() -> None:
    turn = Rotation.from_rotvec([[0.0, 0.0, 0.4]])
    before = WorldEstimates(np.zeros((1, 3)), np.array([[1.0, 0, 0, 0]]), np.zeros((1, 6, 6)))
    now = WorldEstimates(np.array([[0.008, 0, 0]]), quaternion_from_rotation(turn), np.zeros((1, 6, 6)))
    sensed: Any = {
        "goal_quaternion": now.quaternion,
        "fingertip_position": "kept",
        "object_linear_velocity": "replaced",
    }
    symmetries = scene().object.symmetries
    told = observation_by_sight(sensed, with_differences(now, before, symmetries), symmetries)
    np.testing.assert_allclose(told["object_linear_velocity"], [[0.1, 0, 0]])
    np.testing.assert_allclose(told["object_angular_velocity"], [[0, 0, 5.0]])
    np.testing.assert_allclose(told["relative_goal"], [[1, 0, 0, 0]], atol=1e-12)
    assert told["fingertip_position"] == "kept"
    sensed["goal_quaternion"] = np.array([[1.0, 0, 0, 0]])
    for axes, left in ((np.zeros((0, 3)), 0.4), (np.eye(3)[2:], 0.0)):  # about z it may look the same
        symmetries = Symmetries(rotations=np.eye(3)[None], axes=axes)
        way = observation_by_sight(sensed, with_differences(now, before, symmetries), symmetries)["relative_goal"]
        assert rotation_from_quaternion(way).magnitude() == pytest.approx(left, abs=1e-7)


def test_a_look_alike_that_is_seen_is_no_velocity() -> None:
    """Half a turn about a point beside the origin, after which the object looks the same, and a small one."""
    half = np.diag([-1.0, -1.0, 1.0])
    symmetries = Symmetries(rotations=np.stack([np.eye(3), half]), centre=np.array([0.01, 0, 0]))
    before = WorldEstimates(np.zeros((1, 3)), np.array([[1.0, 0, 0, 0]]), np.zeros((1, 6, 6)))
    turn = Rotation.from_matrix(half) * Rotation.from_rotvec([[0, 0, 0.04]])
    position = np.array([[0.01, 0, 0.008]]) - turn.apply([0.01, 0, 0])
    told = with_differences(
        WorldEstimates(position, quaternion_from_rotation(turn), before.covariance), before, symmetries
    )
    np.testing.assert_allclose(told.angular_velocity, [[0, 0, 0.5]], atol=1e-9)
    np.testing.assert_allclose(told.velocity, [[0, -0.005, 0.1]], atol=2e-4)


def test_latency_delays_what_is_told_and_nothing_else() -> None:
    _, _, pilot, sight = play(Eye(Canvas(SIZE)), trials=[0], latency=2)
    assert sight is not None
    true = [row["true_position"] for row in sight.rows]
    for step, told in enumerate(pilot.told):
        np.testing.assert_array_equal(told["object_position"], true[max(step - 2, 0)])
    assert np.ptp(np.concatenate(true), axis=0).max() > 1e-5, "the object moves, or this proves nothing"


@pytest.mark.parametrize("latency", [0, 1, 2])
def test_a_tracked_object_is_told_where_it_is_by_now(latency: int) -> None:
    """At constant velocities, for which prediction makes up: single estimates are off by latency times these."""
    speed, spin, steps, going = np.array([0.1, 0.0, -0.05]), np.array([0.0, 0.5, 2.0]), 25, np.array([0, 1])
    covariance = np.tile(np.diag([1e-5] * 3 + [1e-8] * 3), (2, 1, 1))
    seen, true = [], []
    for step in range(steps):
        turn = Rotation.from_rotvec(spin * STEP_SECONDS * step) * Rotation.from_euler("x", [[0.3], [1.2]])
        true.append(turn)
        quaternion = quaternion_from_rotation(turn)
        seen.append(WorldEstimates(np.tile(speed * STEP_SECONDS * step, (2, 1)), quaternion, covariance))
    worlds = TrackedWorlds(TrackingConfig(velocity_decay_s=np.inf), 2, scene().object.symmetries)
    for step in range(steps):
        arrived = max(step - latency, 0)
        if step == 0 or step > latency:
            worlds.take(arrived, seen[arrived], going)
        told = worlds.at(step)
    np.testing.assert_allclose(told.position, seen[-1].position, atol=2e-4)
    off = rotation_from_quaternion(told.quaternion) * true[-1].inv()
    assert off.magnitude().max() < 0.01
    np.testing.assert_allclose(told.velocity, [speed] * 2, atol=5e-3)
    np.testing.assert_allclose(told.angular_velocity, true[-1].inv().apply(spin), atol=0.05)


def test_a_lost_object_is_where_it_was_seen_last() -> None:
    place, unsure = np.array([[0.1, 0.2, 0.3]]), np.eye(6)[None]
    worlds = TrackedWorlds(TrackingConfig(), 1, scene().object.symmetries)
    worlds.take(0, WorldEstimates(place, np.array([[1.0, 0, 0, 0]]), unsure), np.array([0]))
    told = worlds.at(3)
    np.testing.assert_array_equal(told.position, place)
    np.testing.assert_array_equal(told.velocity, np.zeros((1, 3)))


class _Surveyor(Eye):
    """Finds cameras: those of the rig, moved along x by a millimetre for each recording it has seen."""

    finds_cameras = True

    def observe(self, triplets: Iterable[np.ndarray], batch_size: int) -> list[np.ndarray]:
        drawn: list[Any] = []  # a call of the renderer after the other, each as it comes
        for _ in triplets:
            if not drawn or drawn[-1] is not self.canvas.asked:
                drawn.append(self.canvas.asked)
        return [sample.object_position for asked in drawn for sample in asked]

    def self_calibrate(self, seen: list[np.ndarray], nominal: Cameras) -> Any:
        self.surveyed = [*getattr(self, "surveyed", []), np.array(seen)]
        moved = torch.tensor(nominal.extrinsics)
        moved[:, 0, 3] += len(self.surveyed) / 1000
        return SimpleNamespace(cameras=Cameras(torch.tensor(nominal.intrinsics), moved))


@pytest.mark.parametrize(("simulation", "recordings"), [("randomized", 2), ("plain", 1)])
def test_cameras_are_found_from_a_recording_before_the_trials(
    config: ClosedLoopConfig, simulation: Any, recordings: int
) -> None:
    eye = _Surveyor(Canvas(SIZE))
    config = replace(config, protocol="self-calibrated", calibration_triplets=40)
    look = draw_look(config, simulation, eye, eye.canvas, [4, 5])  # type: ignore[arg-type]
    known = config, simulation, config.policy
    found = with_found_cameras(*known, eye, eye.canvas, look)  # type: ignore[arg-type]
    assert not found.nominal
    assert [len(positions) for positions in eye.surveyed] == [40] * recordings
    assert all(np.ptp(positions, axis=0).max() > 1e-3 for positions in eye.surveyed), "the hand is at work"
    shift = found.known.extrinsics[:, 0, 0, 3] - rig().nominal.extrinsics[0, 0, 3]
    np.testing.assert_allclose(shift, [0.001, 0.001 * recordings], atol=1e-9)
    again = _Surveyor(eye.canvas)
    with_found_cameras(*known, again, eye.canvas, look_of_one(look, 1))  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.surveyed[0], eye.surveyed[-1], "a trial's recording is its own")


def look_of_one(look: TrialAppearance, row: int) -> TrialAppearance:
    rows = slice(row, row + 1)
    return TrialAppearance(
        look.trials[rows], look.appearances[rows], look.known.at(rows), look.true.at(rows), look.nominal
    )


def test_trials_do_not_depend_on_their_block() -> None:
    together, alone = (play(Eye(Canvas(SIZE), 5.0, 1.0), trials) for trials in ((0, 1, 2), (2,)))
    assert (together[0][2], together[1][2]) == (alone[0][0], alone[1][0])
    rows = [row for row in together[3].rows if 2 in row["episode"]]  # type: ignore[union-attr]
    for one, other in zip(rows, alone[3].rows, strict=True):  # type: ignore[union-attr]
        np.testing.assert_array_equal(one["true_position"][one["episode"] == 2], other["true_position"])


@pytest.mark.parametrize("protocol", ["nominal", "calibrated"])
def test_each_protocol_tells_its_cameras(protocol: Any) -> None:
    eye, config = Eye(Canvas(SIZE)), ClosedLoopConfig(Path("a"), Path("b"), protocol=protocol)
    look = draw_look(config, "randomized", eye, eye.canvas, [4, 5])  # type: ignore[arg-type]
    assert look.nominal == (protocol == "nominal")
    moved = ~np.isclose(look.known.extrinsics, rig().nominal.extrinsics).all(axis=(1, 2, 3))
    assert list(moved) == [protocol == "calibrated"] * 2
    assert not np.allclose(look.true[1][0], look.true[1][1]), "each trial has its own displacement"
    same = draw_look(config, "plain", eye, eye.canvas, [4, 5])  # type: ignore[arg-type]
    np.testing.assert_allclose(same.known.extrinsics, [rig().nominal.extrinsics] * 2, atol=1e-9)
    np.testing.assert_allclose(same.true[0], [rig(SIZE).nominal.intrinsics] * 2)


def test_no_trial_looks_like_a_rendered_sample() -> None:
    """A training set that was rendered with the same seed has other appearances and cameras."""
    eye, config = Eye(Canvas(SIZE)), ClosedLoopConfig(Path("a"), Path("b"))
    (look,) = draw_look(config, "randomized", eye, eye.canvas, [0]).appearances  # type: ignore[arg-type]
    rendered = draw_appearance(config.appearance, scene(), eye.canvas.materials, config.seed, 0)
    assert not np.allclose(look.cameras.extrinsics, rendered.cameras.extrinsics)


def test_errors_are_sorted_by_the_second_of_their_trial() -> None:
    """Whatever the order of the rows; a second that one trial alone has reached is left out."""
    index, episode = np.array([13, 0, 1, 26, 14, 0]), np.array([0, 0, 1, 0, 1, 1])
    degrees = np.array([4.0, 1.0, 2.0, 9.0, 6.0, 3.0])
    course = over_time(
        {"index": index, "episode": episode}, PoseErrors({"rotation": degrees, "position": 10 * degrees})
    )
    assert course.seconds == (0.5, 1.5)
    assert course.trials == (2, 2)
    assert course.rotation_deg_p50 == (2, 5)
    assert course.position_mm_p50 == (20, 50)


def test_groups_of_randomizations_are_held_out() -> None:
    config = ClosedLoopConfig(Path("a"), Path("b"), hold_out=("physics", "unmodelled"))
    assert config.effects("plain") == NOTHING
    left = config.effects("randomized")
    assert left == EVERYTHING.only("observation_noise", "marker_placement")
    trained = HerConfig(Path("c"), randomized=True, groups=("observation",))
    assert trained.randomization == left, "a policy is trained on the same groups"
    together = [part for parts in GROUPS.values() for part in parts]
    assert sorted(together) == sorted(vars(EVERYTHING)), "every effect is in one group"


# ------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def config(tmp_path: Path) -> ClosedLoopConfig:
    (tmp_path / "best.ckpt").write_bytes(b"weights")
    return ClosedLoopConfig(
        *(tmp_path / "best.ckpt", tmp_path / "out", "tests.eval.pilot:build"),
        trials=3,
        rules=RULES,
        film_s=0.4,
    )


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the blocks that are played, here instead of in processes, two trials each, without pictures."""
    canvas, numbers = Canvas(SIZE), list[int]()

    def here(task: Callable[..., Any], todo: Sequence[int], workers: int, advance: Any, **_: Any) -> Iterator[Any]:
        for number in todo:
            numbers.append(number)
            yield number, task(number, advance)

    monkeypatch.setattr(run, "run", here)
    monkeypatch.setattr(trial_block, "BLOCK", 2)
    for module in (trial_block, figures):
        monkeypatch.setattr(module, "plain_renderer", lambda estimator: canvas)
    for module in (trial_block, run):
        monkeypatch.setattr(module, "cached_estimator", lambda path, *_: (Eye(canvas, 4.0, 2.0), sha256(path)))
    return numbers


@pytest.mark.parametrize(
    ("lacks", "asked", "why"),
    [
        ("nominal_fault", {}, "best.ckpt: it has no window"),
        ("usual_spread", {"track": True}, "track: a regression does not say how sure it is"),
    ],
)
def test_what_a_network_cannot_do_is_said_before_anything_is_played(
    lacks: str, asked: dict[str, Any], why: str, config: ClosedLoopConfig, played: list[int], monkeypatch: Any
) -> None:
    monkeypatch.setattr(Eye, lacks, "it has no window" if lacks == "nominal_fault" else None)
    with pytest.raises(DactylError, match=why):
        run.closed_loop(replace(config, **asked))
    assert not played
    assert not config.output.exists()


def test_results_pictures_and_going_on(config: ClosedLoopConfig, played: list[int]) -> None:
    loop = run.closed_loop(config)
    assert played == list(range(8))
    assert [(one.simulation, one.observation_source, len(one.goals)) for one in loop.plays] == [
        (simulation, told, 3) for simulation in ("plain", "randomized") for told in ("state", "vision")
    ]
    for one in loop.plays:
        assert set(one.endings) <= {"dropped", "late", "complete"}
        if one.observation_source == "vision":
            assert one.errors is not None
            assert one.errors.means == pytest.approx((4.0, 2.0), abs=1e-6)
            assert one.over_time is not None
            assert one.over_time.trials[0] == 3
            for name in (f"errors-{one.simulation}.png", f"film-{one.simulation}.gif"):
                with Image.open(config.output / name) as picture:
                    assert min(picture.size) > SIZE
                    assert getattr(picture, "n_frames", 1) == (5 if name.endswith("gif") else 1)
    columns, _ = read_table(config.output / "blocks" / "randomized-vision-0001.parquet", TRACE)
    assert set(columns["episode"]) == {2}
    files = {path: path.read_bytes() for path in config.output.rglob("*") if path.is_file()}
    assert "| block (vision) | randomized | 3 |" in (config.output / "table.md").read_text()

    # As after a kill: a block that was begun, one that was not, one that was damaged since.
    (config.output / RESULTS).unlink()
    (config.output / "blocks" / "plain-vision-0000.json").unlink()
    (config.output / "blocks" / "randomized-vision-0001.parquet").write_bytes(b"PAR1")
    played.clear()
    run.closed_loop(config)
    assert played == [2, 7]
    assert {path: path.read_bytes() for path in files} == files

    played.clear()
    more = run.closed_loop(replace(config, trials=4, state=False, workers=1))
    assert played == [1, 3], "only the blocks that were one short"
    assert [len(one.goals) for one in more.plays] == [4, 4]
    with pytest.raises(DactylError, match=r"another configuration \(seed: 0 there, 1 here\)"):
        run.closed_loop(replace(config, seed=1))
    with pytest.raises(DactylError, match="protocol: 'nominal' there, 'calibrated' here"):
        run.closed_loop(replace(config, protocol="calibrated"))


def test_trials_are_of_a_number_of_windows(
    config: ClosedLoopConfig, played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network's own number, if none is given: trials of before, which name none, are of one."""
    config = replace(config, state=False, randomized=False)
    assert run.closed_loop(config).record.config["windows"] == 1
    played.clear()
    run.closed_loop(replace(config, windows=1))
    assert not played
    assert "windows" not in (config.output / "table.md").read_text()

    load, asked = trial_block.cached_estimator, list[int | None]()

    def seeing(path: Path, device: str, windows: int | None) -> Any:
        asked.append(windows)
        eye, digest = load(path, device, windows)
        eye.windows = windows or 1
        return eye, digest

    for module in (trial_block, run):
        monkeypatch.setattr(module, "cached_estimator", seeing)
    with pytest.raises(DactylError, match="windows: 1 there, 3 here"):
        run.closed_loop(replace(config, windows=3))
    three = run.closed_loop(replace(config, windows=3, output=config.output / "three"))
    assert set(asked) == {3}
    assert three.record.config["windows"] == 3
    assert "estimates 0 s late, 3 windows." in (config.output / "three" / "table.md").read_text()


def test_a_checkpoint_that_is_replaced_between_blocks_is_refused(
    config: ClosedLoopConfig, played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker process loads it when it starts: trials of one folder would be of two networks."""
    load = trial_block.cached_estimator

    def newer(path: Path, *more: Any) -> Any:
        if played == [0, 1]:
            path.write_bytes(b"better weights")
        return load(path, *more)

    monkeypatch.setattr(trial_block, "cached_estimator", newer)
    with pytest.raises(DactylError, match=f"{config.checkpoint}: was replaced while this command ran"):
        run.closed_loop(config)
    assert [path.name for path in (config.output / "blocks").iterdir()] == ["plain-state-0000.json"]


def test_tracked_trials_say_what_the_policy_was_told(config: ClosedLoopConfig, played: list[int]) -> None:
    config = replace(config, track=True, latency_steps=1, state=False, randomized=False)
    (one,) = run.closed_loop(config).plays
    assert one.errors is not None
    assert one.errors.means == pytest.approx((4.0, 2.0), abs=1e-6)
    assert one.told is not None
    assert one.told.means != one.errors.means
    text = (config.output / "table.md").read_text()
    assert "estimates 0.08 s late, tracked, and predicted for the moment when they arrive" in text
    assert f"off by {one.told.means[0]:.2f}° and {one.told.means[1]:.2f} mm" in text


def test_bad_input_is_one_line_before_anything_is_played(config: ClosedLoopConfig, played: list[int]) -> None:
    for changes, complaint in (
        ({"policy": "nothing"}, "no policy 'nothing'"),
        ({"policy": "tests.eval.pilot:nobody"}, "cannot be imported"),
        ({"protocol": "self-calibrated"}, "finds no cameras"),
    ):
        with pytest.raises(DactylError, match=complaint):
            run.closed_loop(replace(config, **changes))  # type: ignore[arg-type]
    assert not played
    assert not config.output.exists()
    for wrong, complaint in (
        ({"trials": 0}, "trials"),
        ({"latency_steps": -1}, "latency_steps"),
        ({"plain": False, "randomized": False}, "at least one"),
    ):
        with pytest.raises(ValueError, match=complaint):
            replace(config, **wrong)  # type: ignore[arg-type]


def test_unfinished_and_damaged_results(tmp_path: Path) -> None:
    with pytest.raises(DactylError, match="no such result of dactyl closed-loop"):
        load_closed_loop(tmp_path / "nowhere")
    with pytest.raises(DactylError, match="no finished trials"):
        load_closed_loop(tmp_path)
    for content in ("[]", "{", '{"schema_version": 1}', f'{{"schema_version": {SCHEMA_VERSION}, "plays": []}}'):
        (tmp_path / RESULTS).write_text(content)
        with pytest.raises(DactylError, match=f"{tmp_path / RESULTS}: (not a|not readable|schema version|this result)"):
            load_closed_loop(tmp_path)


def test_the_command_from_files_with_real_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An untrained network, a worker process and the classic renderer: every part is the one that users run."""
    torch.manual_seed(0)
    spec = scene("block", 64)
    model = build_model(
        ModelConfig(head="regression", backbone=BackboneConfig("pyramid", width=8, blocks=1), hidden=8), spec
    )
    weights = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({**checkpoint_record(model), "state_dict": weights}, tmp_path / "untrained.ckpt")
    arguments = ["--policy", "random-exploration", "--checkpoint", str(tmp_path / "untrained.ckpt"), "--trials", "1"]
    arguments += ["--output", str(tmp_path / "out"), "--rules.seconds", "0.4", "--workers", "1", "--state", "false"]
    arguments += ["--randomized", "false", "--device", "cpu"]
    assert main(["closed-loop", *arguments, "--film_s", "0.2"]) == 0
    assert "block (vision) | plain | 1 |" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / RESULTS).read_text())
    assert {play["policy"] for play in record["plays"]} == {"random-exploration"}
    older = tmp_path / "older"
    older.mkdir()
    shutil.copy(tmp_path / "out" / RESULTS, older)
    reseal(older / RESULTS, lambda record: record["plays"][0].update(simulation="calibrated"))
    with pytest.raises(DactylError, match=r"plays\[0\]\.simulation': invalid enum value 'calibrated'") as caught:
        load_closed_loop(older)
    assert "\n" not in str(caught.value)
    assert main(["closed-loop", *arguments, "--rules.seconds", "0.8"]) == 1
    assert "another configuration (rules.seconds" in capsys.readouterr().err


def test_a_checkpoint_that_was_replaced_is_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = list[bytes]()
    monkeypatch.setattr(trial_block, "load_estimator", lambda path, *_: loaded.append(path.read_bytes()))
    checkpoint = tmp_path / "best.ckpt"
    for content in (b"first", b"first", b"second"):
        checkpoint.write_bytes(content)
        trial_block.cached_estimator(checkpoint, "cpu", None)
    assert loaded == [b"first", b"second"]
