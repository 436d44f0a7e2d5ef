"""A pool goes on when players fail, gives up when all do, and trusts no player whose pictures are wrong."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from datagen.render.unity_options import PlayerOptions
from datagen.unity import probe, probe_verdict, records
from datagen.unity.environment import EnvironmentPicture
from datagen.unity.player_pool import PlayerPool
from tests.unity.batches import random_batch, small_pack
from tests.unity.conftest import running_players
from tests.unity.mujoco_stage import MujocoStage
from tests.unity.standin import ReadyPictures, StandIn
from vision.color import linear_from_srgb
from vision.errors import DactylError

PACK = small_pack().encode()
SIZES = ((48, 48),) * 3
UNEVEN = ((64, 40), (40, 56), (33, 47))
Options = Callable[..., PlayerOptions]


@pytest.fixture
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every player's pictures as they are: ready pictures are quick, and show no probe."""
    monkeypatch.setattr(probe_verdict, "complaint", lambda images, sizes: None)


def batches(count: int, samples: int = 2, form: records.Form = records.Form.RGB) -> list[records.RenderBatch]:
    return [random_batch(np.random.default_rng(n), samples, sizes=SIZES, form=form) for n in range(count)]


def pool(options: PlayerOptions) -> PlayerPool:
    return PlayerPool(options, PACK, SIZES, msaa=1)


@pytest.mark.usefixtures("no_probe")
@pytest.mark.parametrize("fault", ["die", "hang", "garbage", "two-replies", "wrong-id", "fail", "forget-scene"])
def test_a_failed_batch_is_drawn_by_another_player(player_options: Options, tmp_path: Path, fault: str) -> None:
    once = tmp_path / "once"
    # The first batch is the probe's; the second is drawn well, the third meets the fault.
    arguments = ("--content", "ready", "--fault", fault, "--fault-at", 2, "--once", once)
    with pool(player_options(*arguments, reply_timeout_s=3 if fault == "hang" else 60)) as players:
        asked = batches(4)
        drawn = players.draw(asked)
        assert once.exists(), "the fault was never met"
    for batch, images in zip(asked, drawn, strict=True):
        np.testing.assert_array_equal(images, ReadyPictures().render(batch))


@pytest.mark.usefixtures("no_probe")
def test_observations_of_another_batch_are_drawn_again(player_options: Options, tmp_path: Path) -> None:
    once = tmp_path / "once"
    arguments = ("--content", "ready", "--fault", "wrong-observations", "--fault-at", 1, "--once", once)
    with pool(player_options(*arguments, reply="png", batch_size=3)) as players:
        (images,) = players.draw(batches(1, 3, players.form))
        assert once.exists()
    np.testing.assert_array_equal(images, ReadyPictures().render(batches(1, 3)[0]))


@pytest.mark.usefixtures("no_probe")
def test_when_all_players_fail_their_output_is_named(player_options: Options) -> None:
    options = player_options("--content", "ready", "--fault", "die", "--fault-at", 1, attempts=2, players=2)
    with pool(options) as players, pytest.raises(DactylError) as error:
        players.draw(batches(3))
    assert "2 Unity players failed at a batch, the last one so:" in str(error.value)
    assert "return code 3" in str(error.value)
    assert options.logs is not None
    assert str(options.logs / "player-") in str(error.value)


def test_a_player_that_does_not_start_is_an_error_at_once(player_options: Options) -> None:
    with pytest.raises(DactylError, match=r"does not work: .* return code 5.*; its output is in .*\.log"):
        pool(player_options("--fault", "die-at-start", players=2))


@pytest.mark.usefixtures("no_probe")
def test_players_share_the_work(player_options: Options) -> None:
    options = player_options("--content", "ready", players=2)
    with pool(options) as players:
        assert len(running_players()) == 2
        asked = batches(5, samples=1) + batches(2, samples=3)
        assert [len(images) for images in players.draw(asked)] == [1] * 5 + [3] * 2


@pytest.mark.usefixtures("no_probe")
def test_closing_does_not_wait_for_a_player_that_hangs(player_options: Options) -> None:
    players = pool(player_options("--content", "ready", "--fault", "hang", "--fault-at", 1))
    failed: list[BaseException] = []

    def draw() -> None:
        try:
            players.draw(batches(2))
        except DactylError as error:
            failed.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    time.sleep(0.5)
    began = time.monotonic()
    players.close()
    thread.join(10)
    assert time.monotonic() - began < 30  # not the timeout of a minute
    assert failed
    players.close()


def test_logs_are_kept_only_if_something_went_wrong(
    player_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_probe: None
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pool(player_options("--content", "ready", logs=None)):
        assert list(tmp_path.glob("dactyl-unity-*"))
    assert not list(tmp_path.glob("dactyl-unity-*"))
    with pytest.raises(DactylError):
        pool(player_options("--fault", "die-at-start", logs=None))
    assert list(tmp_path.glob("dactyl-unity-*/player-*-0-1.log"))


@pytest.fixture(scope="module")
def stage() -> MujocoStage:
    """It shows the probe's scene as a player should."""
    stage = MujocoStage()
    stage.load(probe.probe_pack(3))
    for number, png in probe.pictures().items():
        stage.add_picture(number, png)
    return stage


def complaint(images: np.ndarray) -> str | None:
    return probe_verdict.complaint(images, SIZES)


@pytest.fixture
def batch() -> records.RenderBatch:
    return probe.probe_batch(SIZES, records.Form.RGB, 4)


@pytest.fixture
def picture(stage: MujocoStage, batch: records.RenderBatch) -> np.ndarray:
    return stage.render(batch)


class TestProbe:
    FAULTS = (
        ("upside-down", "upside down"),
        ("mirrored", "mirrored"),
        ("swapped-colors", "with red and blue exchanged"),
        ("linear", "not sRGB-encoded (linear)"),
        ("twice-encoded", "sRGB-encoded twice"),
        ("shuffled-cameras", "of the camera after"),
    )

    def test_a_right_picture_passes(self, picture: np.ndarray) -> None:
        assert complaint(picture) is None

    def test_images_of_any_size_pass_and_wrong_ones_do_not(self, stage: MujocoStage) -> None:
        images = stage.render(probe.probe_batch(UNEVEN, records.Form.RGB, 4))
        assert probe_verdict.complaint(images, UNEVEN) is None
        upside_down = images.copy()
        for camera, (width, height) in enumerate(UNEVEN):
            upside_down[:, camera, :height, :width] = images[:, camera, :height, :width][:, ::-1]
        assert probe_verdict.complaint(upside_down, UNEVEN) == "its picture is upside down"

    @pytest.mark.parametrize("field", ["focal", "centre"])
    @pytest.mark.parametrize("axis", [0, 1])
    def test_a_lens_that_is_not_applied_fails(
        self, stage: MujocoStage, batch: records.RenderBatch, field: str, axis: int
    ) -> None:
        batch.cameras[field][..., axis] = {"focal": 1.15 * batch.cameras[field][..., axis], "centre": 24.0}[field]
        assert complaint(stage.render(batch)) is not None

    @pytest.mark.parametrize(
        ("mend", "words"),
        [
            (lambda pixels: pixels[::-1], "its textures are upside down"),
            (lambda pixels: pixels[:, ::-1], "its textures are mirrored"),
            (lambda pixels: np.rint(255 * linear_from_srgb(pixels / 255)), "with textures its picture has colour"),
        ],
    )
    def test_a_wrong_texture_is_named(
        self, batch: records.RenderBatch, mend: Callable[[np.ndarray], np.ndarray], words: str
    ) -> None:
        stage = MujocoStage()
        stage.load(probe.probe_pack(3))
        for number, content in probe.pictures().items():
            stage.add_picture(number, content)
            if isinstance(picture := stage._pictures[number], np.ndarray):
                stage._pictures[number] = mend(picture).astype(np.uint8)
        assert (complaint(stage.render(batch)) or "").startswith(words)

    @pytest.mark.parametrize("wrong", ["mirrored", "another face", "harmonics", "brighter", "nothing hidden"])
    def test_wrong_surroundings_are_told(self, batch: records.RenderBatch, wrong: str) -> None:
        stage = MujocoStage()
        stage.load(probe.probe_pack(3))
        for number, content in probe.pictures().items():
            stage.add_picture(number, content)
        (number, around), *_ = ((n, p) for n, p in stage._pictures.items() if isinstance(p, EnvironmentPicture))
        if wrong == "mirrored":
            around = replace(around, levels=(around.levels[0][:, :, ::-1],))
        elif wrong == "another face":
            around = replace(around, levels=(around.levels[0][[1, 0, 2, 3, 4, 5]],))
        elif wrong == "harmonics":  # y and z exchanged
            around = replace(around, harmonics=around.harmonics[[0, 2, 1, 3, 4, 5, 6, 7, 8]])
        elif wrong == "brighter":
            batch.frames["radiance"] *= 1.3
        else:
            batch.materials["visible"] = 1
        stage._pictures[number] = around
        assert (complaint(stage.render(batch)) or "").startswith("with surroundings its picture has colour")

    def test_lights_that_count_as_encoded_are_named(self, stage: MujocoStage, batch: records.RenderBatch) -> None:
        batch.lights["intensity"][probe.LIT] **= 2.2
        assert complaint(stage.render(batch)) == (
            "its lights shine as if their intensities were sRGB-encoded: "
            "GraphicsSettings.lightsUseLinearIntensity must be on"
        )

    def test_a_light_of_another_strength_is_told(self, stage: MujocoStage, batch: records.RenderBatch) -> None:
        batch.lights["intensity"][probe.LIT] *= 1.3
        assert re.search("camera ., sample 2, where .* was asked for", complaint(stage.render(batch)) or "")

    @pytest.mark.parametrize(
        ("sample", "field", "words"),
        [
            (probe.LIT, "type", "its directional lights do not shine"),
            (probe.SHADED, "type", "its spot lights do not shine, or all lies in shadow"),
            (probe.SHADED, "shadow", "its spot lights cast no shadow"),
        ],
    )
    def test_what_lights_do_not_do_is_named(
        self, stage: MujocoStage, batch: records.RenderBatch, sample: int, field: str, words: str
    ) -> None:
        batch.lights[field][sample] = 0
        assert complaint(stage.render(batch)) == words

    @pytest.mark.parametrize("moved", [(0.15, 0, 0), (-0.15, 0, 0), (0, 0.15, 0), (0, -0.1, 0)])
    def test_a_shadow_that_lies_elsewhere_fails(
        self, stage: MujocoStage, batch: records.RenderBatch, moved: tuple[float, float, float]
    ) -> None:
        slabs = batch.bodies[probe.SHADED, 3:]
        slabs["position"] += Rotation.from_quat(np.roll(slabs["quaternion"], -1, axis=1)).apply(moved)
        assert complaint(stage.render(batch)) is not None

    @pytest.mark.parametrize(("fault", "words"), FAULTS)
    def test_a_wrong_convention_is_named(self, picture: np.ndarray, fault: str, words: str) -> None:
        wrong = StandIn(ReadyPictures(), fault, 0, None).distorted(picture)
        said = complaint(wrong)
        assert said is not None
        assert said == f"its picture is {words}"

    @pytest.mark.parametrize("shift", [(2, 0), (0, -2)])
    def test_a_picture_that_is_two_pixels_off_fails(self, picture: np.ndarray, shift: tuple[int, int]) -> None:
        assert complaint(np.roll(picture, shift, axis=(2, 3))) is not None

    def test_other_wrong_colours_are_told(self, picture: np.ndarray) -> None:
        said = complaint((picture * 0.8).astype(np.uint8))
        assert said is not None
        assert "was asked for" in said

    def test_a_player_with_a_wrong_picture_is_refused(self, player_options: Options) -> None:
        with pytest.raises(DactylError, match="not to be trusted: its picture is upside down; build it from"):
            pool(player_options("--fault", "upside-down"))
