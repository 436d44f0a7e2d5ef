"""``dactyl estimate --track`` and ``--live``: followed over time, as pictures come, until somebody ends it."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from dactyl.cli import main
from eval.estimation import live as live_module
from eval.estimation import streams
from eval.estimation.config import EstimateConfig
from eval.estimation.estimates import Estimate, Observer
from eval.estimation.following import Follower
from eval.estimation.live import LiveSummary, run_live
from eval.estimation.live_view import draw_live
from eval.estimation.page import Page
from eval.estimation.recorder import ShotRecorder
from eval.estimation.run import estimate_all
from eval.estimation.sources import open_source
from eval.laboratory.shots import Shot
from tests.eval.lab import write_csv
from tests.eval.rendered import rendered_set
from vision.errors import DactylError
from vision.estimator import PoseEstimator
from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.tracking import TrackingConfig

ROOT = Path(__file__).parents[2]
NAMES = ("left", "top", "right")
STILL, STEP = 14, 0.25


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An object at rest before three cameras, of which grey pictures come for a second in between."""
    dataset = rendered_set(tmp_path_factory.mktemp("live"), 1)
    folder = tmp_path_factory.mktemp("recording")
    for name, picture in zip(NAMES, dataset[0]["images"], strict=True):
        (folder / name).mkdir()
        for number in range(STILL):
            covered = 5 <= number < 9
            Image.fromarray(np.full_like(picture, 128) if covered else picture).save(
                folder / name / f"{number:02d}.png"
            )
        write_csv(folder / f"{name}.csv", "time_s,file", [[STEP * n + 3, f"{name}/{n:02d}.png"] for n in range(STILL)])
    return folder


def test_tracking_says_when_the_object_was_lost_and_found(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "--pictures", str(recording), "--track", "true"]) == 0
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    statuses = [line["track"]["status"] for line in lines]
    expected = ["found", *["tracked"] * 4, *["predicted"] * 2, *["lost"] * 2, "found", *["tracked"] * 4]
    assert statuses == expected
    assert "lost once" in printed.err
    last = lines[-1]["track"]
    np.testing.assert_allclose(last["position"], lines[0]["position"], atol=0.004)
    assert np.abs(last["velocity"]).max() < 0.02
    assert np.abs(last["angular_velocity"]).max() < 0.2
    assert lines[7]["track"] == {"status": "lost"}


def test_pictures_without_times_need_their_distance(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        (tmp_path / name).symlink_to(recording / name)
    assert main(["estimate", "--pictures", str(tmp_path), "--track", "true"]) == 1
    assert "--interval_s" in capsys.readouterr().err.splitlines()[-1]
    assert main(["estimate", "--pictures", str(tmp_path), "--track", "true", "--interval_s", "0.25"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["time_s"] for line in lines[:3]] == [0.0, 0.25, 0.5]


def live(config: EstimateConfig) -> tuple[LiveSummary, list[str]]:
    """In one window of each image: with its own three, the network is too slow for this beside other work."""
    said: list[str] = []
    return run_live(replace(config, windows=1), said.append), said


def test_a_recorded_folder_at_its_own_pace(recording: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    output, kept = tmp_path / "poses.jsonl", tmp_path / "kept"
    summary, said = live(EstimateConfig(recording, live=True, port=0, output=output, record=kept))
    assert time.monotonic() - began > STEP * (STILL - 1)
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(lines) == summary.triplets
    assert summary.triplets + summary.missed == STILL
    assert all(line["latency_s"] > 0 for line in lines)
    assert [line.split(":")[1] for line in said] == ["//127.0.0.1"]
    again = tmp_path / "again.jsonl"
    assert main(["estimate", "--pictures", str(kept), "--output", str(again)]) == 0
    first = json.loads(again.read_text().splitlines()[0])
    assert first["time_s"] == lines[0]["time_s"]
    np.testing.assert_allclose(first["position"], lines[0]["position"], atol=0.002)
    with pytest.raises(DactylError, match="recording already"):
        live(EstimateConfig(recording, live=True, port=None, output=output, record=kept))


def test_what_cannot_work_live_keeps_what_was_there(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poses, kept = tmp_path / "poses.jsonl", tmp_path / "kept"
    poses.write_text(before := '{"key": "before"}')
    config = EstimateConfig(recording, live=True, port=None, output=poses, record=kept, self_calibrate=5)

    def refuse(*_: object) -> None:
        raise DactylError("self_calibrate: no landmarks")

    monkeypatch.setattr(live_module, "OwnCameras", refuse)
    with pytest.raises(DactylError, match="self_calibrate: no landmarks"):
        live(config)
    monkeypatch.setattr(PoseEstimator, "usual_spread", None)
    with pytest.raises(DactylError, match="tracking needs a geometric network"):
        live(config)
    assert poses.read_text() == before
    assert not kept.exists()


def test_live_cameras_find_themselves(tmp_path: Path) -> None:
    """From the tenth triplet on, poses are of cameras that were found; unusual pictures are not used."""
    count, frames = 12, 20  # some come too late on a busy machine
    dataset = rendered_set(tmp_path / "made", count, displacement="per-recording")
    for camera, name in enumerate(NAMES):
        rows = []
        for number in range(frames):
            file = tmp_path / f"{name}{number:02d}.png"
            picture = dataset[number % count]["images"][camera]
            Image.fromarray(np.full_like(picture, 128) if number == 0 else picture).save(file)
            rows.append([STEP * number, file.name])
        write_csv(tmp_path / f"{name}.csv", "time_s,file", rows)
    output = tmp_path / "poses.jsonl"
    _, said = live(EstimateConfig(tmp_path, output=output, port=None, self_calibrate=count))
    found = [line for line in said if "cameras found" in line]
    assert [line.split()[3] for line in found] == ["10", "12"]
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    true = [dataset[int(line["key"]) % count]["object_position"] for line in lines]
    off = [np.linalg.norm(line["position"] - place) for line, place in zip(lines, true, strict=True)]
    assert np.mean(off[-4:]) < 0.0015
    assert np.mean(off[-4:]) < np.mean(off[1:9])


def test_a_loss_that_is_found_again_in_the_same_frame_is_one() -> None:
    """An object that is carried 30 cm away between two frames, and back: certain estimates begin anew at once."""
    follow, statuses, nothing = Follower(TrackingConfig(), 0.04), [], np.zeros((3, 4, 4))
    covariance = np.diag([1e-4] * 3 + [1e-6] * 3)
    for frame in range(30):
        place = np.array([0.3 * (10 <= frame < 20), 0.0, 0.0])
        estimate = Estimate(
            str(frame), None, "world", Pose(np.eye(3), place), 1.0, covariance, np.zeros((6, 6)), {}, (),
            np.zeros((3, 8, 8, 3), np.uint8), Cameras(nothing[:, :3, :3], nothing),
        )  # fmt: skip
        _, pose = follow(estimate)
        statuses.append(pose.status if pose else "lost")
    assert statuses.count("found") == 3
    assert "lost" not in statuses
    assert follow.losses == 2


def test_the_page_shows_the_newest_picture_and_line(recording: Path) -> None:
    observer = Observer(EstimateConfig(recording))
    source = open_source(EstimateConfig(recording), observer.estimator.scene)
    (estimate,) = observer([source.read(0)])
    estimate, pose = Follower(TrackingConfig(), None)(estimate)
    page = Page(0)
    assert not page.watched
    try:
        with urllib.request.urlopen(f"{page.url}stream.mjpg", timeout=20) as answer:
            while not page.watched:
                time.sleep(0.01)
            page.show('{"a": 1}', draw_live(estimate, pose, observer.estimator.object, 12.5))
            assert answer.readline().strip() == b"--frame"
            headers = [answer.readline().strip() for _ in range(3)]
            shown = cv2.imdecode(np.frombuffer(answer.read(int(headers[1].split()[1])), np.uint8), cv2.IMREAD_COLOR)
        assert shown.shape == (400, 1200, 3)
        assert (np.abs(shown.astype(int) - (87, 231, 57)).max(axis=-1) < 40).sum() > 300, "the tracked object's green"
        for path, content in (("", b"stream.mjpg"), ("line.json", b'{"a": 1}')):
            with urllib.request.urlopen(page.url + path, timeout=20) as answer:
                assert content in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{page.url}etc/passwd", timeout=20)
        with pytest.raises(DactylError, match="port"):
            Page(int(page.url.rstrip("/").rsplit(":")[-1]))
    finally:
        page.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(page.url, timeout=20)


class FakeCamera:
    """Gives the same picture at 50 Hz, ``count`` times, and then nothing more: it ends, or hangs."""

    def __init__(self, source: int | str) -> None:
        self.source, self.count, self.released = source, {8: 12, 9: 3}.get(int(source), 10_000), False

    def isOpened(self) -> bool:
        return self.source != 7

    def set(self, *_: object) -> None: ...

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(0.02)
        self.count -= 1
        if self.count < 0:
            if self.source == 9:
                time.sleep(60)
            return False, None
        return True, np.random.default_rng(self.count).integers(0, 255, (200, 200, 3)).astype(np.uint8)

    def release(self) -> None:
        self.released = True


@pytest.mark.parametrize(
    ("left", "text"),
    [
        ("7", r"camera 'left' \(7\): cannot be opened"),
        ("8", r"camera 'left' \(8\): gives no more pictures"),
        ("9", r"camera 'left' \(9\): no picture for"),
    ],
)
def test_a_camera_that_stops_is_one_line(left: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams.opencv(), "VideoCapture", FakeCamera)
    monkeypatch.setattr(streams, "_OPENING_S", 1.0)
    output = tmp_path / "poses.jsonl"
    output.write_text(before := '{"key": "of before"}\n')
    cameras, kept = {"left": left, "top": "1", "right": "2"}, tmp_path / "kept"
    with pytest.raises(DactylError, match=text):
        live(EstimateConfig(cameras=cameras, live=True, port=None, stall_s=0.5, output=output, record=kept))
    if left == "7":
        assert output.read_text() == before, "poses were lost without one that is new"
        assert not kept.exists(), "the next try would find a recording there already"
    else:
        (first, *_) = (json.loads(line) for line in output.read_text().splitlines())
        assert first["unusual"], "noise is no picture of a hand"
        assert abs(first["time_s"] - time.time()) < 600


@pytest.mark.parametrize("more", [{}, {"live": True, "port": None}])
@pytest.mark.parametrize("name", ["left.csv", "left/00.png", "calibration.json"])
def test_what_is_read_is_not_written_over(
    name: str, more: dict[str, Any], recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(recording, tmp_path / "copy")
    (folder / "calibration.json").write_text("{}")
    before = (folder / name).read_bytes()
    config = EstimateConfig(folder, output=folder / name, **more)
    with pytest.raises(DactylError, match=r"(output: .*pictures that are read|holds no poses)"):
        run_live(config, print) if more else estimate_all(config)
    assert (folder / name).read_bytes() == before


def test_pictures_are_not_recorded_over(recording: Path) -> None:
    folder = recording.parent / "pictures"
    folder.mkdir()
    for name in NAMES:
        shutil.copytree(recording / name, folder / name)
    with pytest.raises(DactylError, match="left: there are files already; choose another folder"):
        live(EstimateConfig(folder, live=True, port=None, interval_s=STEP, record=folder))


def test_a_triplet_is_missed_when_all_its_pictures_were_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams.CameraStream, "_watch", lambda *_: None)
    cameras = streams.CameraStream({"left": "0", "right": "1"})

    def arrive(*names: str) -> int:
        """The number of missed triplets, once pictures of these cameras have come and the newest were taken."""
        for name in names:
            cameras._put(name, np.zeros((8, 8, 3), np.uint8))
        cameras.take(1.0)
        return cameras.missed

    assert arrive(*["left"] * 5, "right") == 0, "the other camera was still being opened"
    assert arrive("left", "left", "right") == 0
    assert arrive("left", "right", "left", "right", "left", "right") == 2


def test_each_picture_of_live_cameras_has_its_own_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A recording of cameras that are out of step must show it, and a user be told."""
    monkeypatch.setattr(streams.CameraStream, "_watch", lambda *_: None)
    cameras, summary = streams.CameraStream({"left": "0", "right": "1"}), LiveSummary()
    for name in ("left", "right"):
        cameras._put(name, np.zeros((8, 8, 3), np.uint8))
        time.sleep(0.05)
    arrival = cameras.take(1.0)
    assert 0.05 <= arrival.shot.spread_s < 1
    assert arrival.shot.time_s == pytest.approx(sum(arrival.shot.times_s) / 2)
    with ShotRecorder(tmp_path / "kept", ["left", "right"]) as recorder:
        recorder.keep(arrival.shot)
    rows = [(tmp_path / "kept" / f"{name}.csv").read_text().splitlines()[1] for name in ("left", "right")]
    assert [float(row.split(",")[0]) for row in rows] == pytest.approx(arrival.shot.times_s, abs=1e-5)
    summary.add(arrival)
    assert "ms apart (median)" in str(summary.skewed(0.01))
    assert summary.skewed(1.0) is None


def test_recorded_pictures_keep_their_colours(tmp_path: Path) -> None:
    """At edges between colours of equal brightness, which JPEG at half the resolution of colours would blend."""
    red, cyan = (200, 40, 40), (0, 110, 110)
    stripes = np.tile(np.array([red, cyan, cyan], np.uint8), (48, 16, 1))
    shot = Shot("0", [stripes], ["live"], time_s=0.0)
    with ShotRecorder(tmp_path / "kept", ["left"]) as recorder:
        recorder.keep(shot)
    with Image.open(tmp_path / "kept" / "left" / "000000.jpg") as picture:
        off = np.abs(np.asarray(picture, int) - stripes)
    assert off.mean() < 2
    assert off.max() < 6


def test_a_browser_that_breaks_the_connection_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    page = Page(0)
    try:
        for sent in (b"", b"GET / HT", b"GET / HTTP/1.1\r\n\r\n", b"GET /stream.mjpg HTTP/1.1\r\n\r\n"):
            with socket.create_connection(page._server.server_address[:2]) as browser:
                browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # resets at the end
                browser.sendall(sent)
        with urllib.request.urlopen(page.url, timeout=20) as answer:
            assert answer.status == 200
        time.sleep(0.2)
    finally:
        page.close()
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:8765", 200), ("127.0.0.1:1", 200), ("[::1]:8765", 200), ("[::1]", 200),
        ("rebound.example", 403), ("rebound.example:8765", 403), ("127.0.0.1.rebound.example", 403),
        ("localhost@rebound.example", 403), ("192.168.0.2", 403), ("", 403),
    ],
)  # fmt: skip
def test_the_page_answers_to_this_machines_names_only(host: str, status: int) -> None:
    """Else a page of the Internet could have its own name lead here, and read the cameras."""
    page = Page(0)
    try:
        for path in ("/", "/line.json", *(["/stream.mjpg"] if status == 403 else [])):
            asked = http.client.HTTPConnection(*page._server.server_address[:2], timeout=20)
            asked.request("GET", path, headers={"Host": host})
            assert asked.getresponse().status == status
            asked.close()
    finally:
        page.close()


def test_cameras_that_opencv_reads_itself(recording: Path, tmp_path: Path) -> None:
    """Through its own reader of numbered pictures, which ends with the last one."""
    sources = {name: str(recording / name / "%02d.png") for name in NAMES}
    output = tmp_path / "poses.jsonl"
    with pytest.raises(DactylError, match="gives no more pictures"):
        live(EstimateConfig(cameras=sources, live=True, port=None, output=output))


def test_a_video_is_no_camera(recording: Path) -> None:
    """Each camera's was played at a pace of its own: triplets were of different moments."""
    sources = {name: str(recording / f"{name}.csv") for name in NAMES}
    with pytest.raises(DactylError, match=r"cameras\.left: .* is no camera: .*--pictures"):
        live(EstimateConfig(cameras=sources, live=True, port=None))


def test_an_index_that_is_no_camera(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = [part for number, name in enumerate(NAMES, 97) for part in (f"--cameras.{name}", str(number))]
    assert main(["estimate", "--live", "true", "--windows", "1", "--port", "null", *arguments]) == 1
    assert len(capfd.readouterr().err.strip().splitlines()) == 1


@pytest.fixture
def running(recording: Path) -> Iterator[subprocess.Popen[str]]:
    """The command on a folder that goes on for minutes, once its first line is out."""
    command = [
        sys.executable,
        "-m",
        "dactyl",
        "estimate",
        "--live",
        "true",
        "--windows",
        "1",
        "--port",
        "0",
        "--pictures",
    ]
    slow = recording.parent / "slow"
    if not slow.exists():
        slow.mkdir()
        for name in NAMES:
            (slow / name).symlink_to(recording / name)
    process = subprocess.Popen(
        [*command, str(slow), "--interval_s", "2"], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("{")
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_once(running: subprocess.Popen[str], number: int, status: int) -> None:
    running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == status
    assert "Traceback" not in said
    if number == signal.SIGINT:
        assert "triplets" in said.splitlines()[-1]


def test_a_reader_that_goes_away_ends_it(running: subprocess.Popen[str]) -> None:
    assert running.stdout is not None
    running.stdout.close()
    assert running.wait(timeout=60) == 141
    assert running.stderr is not None
    assert "Traceback" not in running.stderr.read()
