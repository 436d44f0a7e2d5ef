"""The self-calibrated protocol, and ``dactyl calibrate --from``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from msgspec import structs
from scipy.spatial.transform import Rotation

from eval.estimation.own_cameras import OwnCameras
from eval.evaluate import evaluate
from eval.laboratory.calibration_files import find_capture_frame
from eval.laboratory.cli import main_calibrate
from eval.laboratory.frame_refinement import self_calibrate_with_frame
from eval.laboratory.network_views import CalibratedViews, CentralViews, network_views
from eval.laboratory.self_calibration import SelfCalibrateConfig
from eval.laboratory.shots import open_folder
from eval.scoring.comparison import compare
from eval.scoring.config import EvaluateConfig
from eval.scoring.found_cameras import CamerasNotFoundError, found_cameras
from eval.scoring.record import Evaluation, load_evaluation
from tests.datasets import make_images, make_label, write_manifest
from tests.eval.oracle import Oracle
from tests.scenes import rig, scene
from vision.errors import DactylError
from vision.estimator import Observations, PoseEstimator
from vision.geometry.cameras import Cameras, project
from vision.geometry.distortion import Lens
from vision.geometry.rotations import geodesic_distance, matrix_from_quaternion, rigid_transform
from vision.networks.backbones import BackboneConfig
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig, WindowConfig
from vision.rigs.calibration import CalibrationErrors, load_calibration, save_calibration
from vision.rigs.rig import Camera, Rig
from vision.solvers.landmarks import locate_landmarks
from vision.solvers.self_calibration import RigSolution
from vision.statistics.bootstrap import Interval
from vision.storage.datasets import TripletDataset
from vision.storage.recordings import recordings
from vision.storage.shards import encode_sample, write_shard

SIZE, GROUP = 200, 12
RIG = rig(SIZE)
_HAND = scene().hand
assert _HAND is not None
assert _HAND.landmarks is not None
LANDMARKS = _HAND.landmarks
_RENDERER = {"name": "noise", "version": "1", "device": "none", "api": "none"}


def true_cameras(recording: int) -> Cameras:
    """Cameras that are turned by up to a degree about their own horizontal axes."""
    matrices, transforms = RIG.nominal.intrinsics.copy(), RIG.nominal.extrinsics.copy()
    rng = np.random.default_rng(recording)
    for number in range(3):
        angle = np.deg2rad(rng.uniform(0.3, 1.0))
        turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
        transforms[number, :3] = turn @ transforms[number, :3]
        matrices[number, :2, :2] *= rng.uniform(0.99, 1.01)
    return Cameras(matrices, transforms)


def write_recordings(folder: Path, count: int) -> TripletDataset:
    """A set of ``count`` recordings, each with cameras of its own."""
    samples = []
    for index in range(count * GROUP):
        label = make_label(index, SIZE)
        label["joint_position"][:2] = [-0.2, -0.1]
        label["camera_intrinsics"], label["camera_extrinsics"] = true_cameras(index // GROUP)[:2]
        samples.append(encode_sample(label, make_images(index, SIZE), RIG, {"exposure": 1.0}))
    records = [write_shard(folder, 0, samples, "test", _RENDERER)]
    config = {"render": {"displacement": "per-recording", "recording_size": GROUP}}
    write_manifest(folder, records, SIZE, config=config)
    return TripletDataset(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> TripletDataset:
    return write_recordings(tmp_path_factory.mktemp("recordings") / "set", 2)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> TripletDataset:
    return write_recordings(tmp_path_factory.mktemp("recording") / "set", 1)


class Seer(Oracle):
    """An oracle that also sees corners and landmarks, to a tenth of a pixel, or worse than it knows."""

    def __init__(self, datasets: Iterable[TripletDataset], error_px: float = 0.1) -> None:
        super().__init__(datasets, distance_mm=2.0)
        self.error_px, self.finds_cameras = error_px, True
        self.rig = self.scene.rig
        model = ModelConfig("geometric", BackboneConfig("pyramid", width=8, blocks=1), window=WindowConfig())
        self.network = PoseEstimator(build_model(model, scene("block", SIZE)))
        self.network.model.set_position_statistics(torch.tensor([1.02, 0.87, 0.145]), torch.full((3,), 0.02))
        self.usual_spread = self.network.usual_spread

    def observe(self, triplets: Iterable[np.ndarray], batch_size: int) -> Observations:
        corners, landmarks = [], []
        for triplet in triplets:
            sample = self.answers[triplet[0].tobytes()]
            cameras = sample["camera_intrinsics"], sample["camera_extrinsics"]
            turn = matrix_from_quaternion(sample["object_quaternion"])
            rng = np.random.default_rng(int(sample["index"]))
            angles = torch.from_numpy(sample["joint_position"][None, :2])
            hand = locate_landmarks(LANDMARKS, angles)[0][0].numpy()
            for points, seen in (
                (self.scene.object.keypoints @ turn.T + sample["object_position"], corners),
                (hand, landmarks),
            ):
                pixels = project(points, Cameras(*cameras))
                seen.append(pixels + rng.normal(0, self.error_px, pixels.shape))
        arrays = np.stack(corners), np.stack(landmarks)
        return Observations(*(part for pixels in arrays for part in (pixels, np.full(pixels.shape[:-1], 0.1))))

    def self_calibrate(self, seen: Observations, nominal: Cameras, distortion: bool = False) -> RigSolution:
        return self.network.self_calibrate(seen, nominal, distortion)


def directions_off(cameras: Cameras, recording: int) -> float:
    """Largest distance in pixels between where cameras see a point of the workspace and where the true ones do."""
    point = np.array([[1.02, 0.87, 0.145]])
    return float(np.abs(project(point, cameras) - project(point, true_cameras(recording))).max())


def test_each_recording_gets_the_cameras_it_was_made_with(dataset: TripletDataset) -> None:
    found = found_cameras(Seer([dataset]), dataset, batch_size=5)
    for index in range(2 * GROUP):
        assert directions_off(found.at(index), index // GROUP) < 0.3
        assert directions_off(RIG.nominal, index // GROUP) > 3


def _intervals_are_over_recordings(folder: Path, said: Interval | None) -> None:
    """Of the set that has several, in the table and in a comparison; of a single one they are over its episodes."""
    evaluation = load_evaluation("ours", folder)
    lab, apart = evaluation.sets
    assert (lab.resampled, apart.resampled) == ("recordings", "episodes")
    assert said is None, "two recordings are too few"
    np.testing.assert_array_equal(apart.clusters, apart.columns["episode"])
    assert "bootstrap over episodes or, of lab, recordings, 5 or more)" in (folder / "table.md").read_text()
    pairs = {one.test_set: (one.clusters, one.resampled) for one in compare(evaluation, evaluation)}
    assert pairs["lab"] == (2, "recordings")
    single = evaluation.record.test_sets["lab"]
    single.config["render"]["recording_size"] = 1_000
    alone = Evaluation("ours", folder, structs.replace(evaluation.record, test_sets={"lab": single})).sets[0]
    assert alone.resampled == "episodes"


def test_a_set_of_no_recordings_is_left_out(
    dataset: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.datasets import write_dataset

    apart = TripletDataset(write_dataset(tmp_path / "apart", (6,), SIZE))
    assert recordings(apart) is None
    seer = Seer([dataset, apart])
    with pytest.raises(DactylError, match="per-recording"):
        found_cameras(seer, apart, 4)
    monkeypatch.setattr("eval.evaluate.load_estimator", lambda *arguments: (seer, "0" * 64))
    (tmp_path / "made.pt").write_bytes(b"oracle")
    monkeypatch.setattr("eval.evaluate.checkpoint_origin", _origin)
    config = EvaluateConfig(
        tmp_path / "made.pt", {"lab": dataset.folder, "apart": apart.folder}, tmp_path / "evaluation"
    )
    rows = [row for row in evaluate(config) if row.measured]
    assert [(row.test_set, row.protocol, row.cameras) for row in rows] == [
        ("lab", "nominal", "nominal"),
        ("lab", "self-calibrated", "found"),
        ("lab", "calibrated", "true"),
        ("apart", "nominal", "nominal"),
        ("apart", "calibrated", "true"),
    ]
    assert "without self-calibrated" not in capsys.readouterr().err  # nobody asked for it
    _intervals_are_over_recordings(config.output, rows[0].intervals["position"])
    evaluate(replace(config, protocols=("self-calibrated", "calibrated")))
    assert (
        "test_sets.apart: without self-calibrated: there is nothing to find its cameras from" in capsys.readouterr().err
    )
    with pytest.raises(DactylError, match=r"test_sets\.apart: .*nothing to find its cameras from; add the protocol"):
        evaluate(replace(config, protocols=("self-calibrated",), output=tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def _origin(path: Path, digest: str):  # type: ignore[no-untyped-def]
    from eval.scoring.record_types import CheckpointFile

    return CheckpointFile(path=str(path), sha256=digest, training=None)


def test_calibrate_from_a_dataset_writes_cameras_that_see_as_the_true_ones(
    single: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PoseEstimator, "load", lambda name, **_: Seer([single]))
    file = tmp_path / "calibration.json"
    main_calibrate(["--from", str(single.folder), "--output", str(file)])
    assert "from 12 triplets" in capsys.readouterr().out
    found = load_calibration(file)[0].chosen(RIG.names)
    assert directions_off(found.nominal, 0) < 0.3
    written = json.loads(file.read_text())["cameras"]["left"]  # OpenCV's: pixel centres at whole numbers
    point = np.array([[1.02, 0.87, 0.145]])
    seen = project(point, Cameras(written["matrix"], written["transform"]))[0] + 0.5
    assert seen == pytest.approx(project(point, true_cameras(0).at(0))[0], abs=0.3)
    assert CalibratedViews(RIG, found).cameras.intrinsics.shape == (3, 3, 3)


def test_sets_whose_samples_do_not_share_their_cameras_are_refused(
    dataset: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found from all together, they would be cameras that fit none, with a small deviation."""
    from tests.datasets import write_dataset

    apart = TripletDataset(write_dataset(tmp_path / "apart", (6,), SIZE))
    monkeypatch.setattr(PoseEstimator, "load", lambda name, **_: Seer([dataset, apart]))
    for refused, text in ((dataset, "its samples are of 2 recordings"), (apart, "each of its samples has cameras of")):
        with pytest.raises(DactylError, match=text):
            main_calibrate(["--from", str(refused.folder), "--output", str(tmp_path / "calibration.json")])
        assert not (tmp_path / "calibration.json").exists()


def test_the_frame_of_a_board_calibration_is_found_with_its_cameras(dataset: TripletDataset) -> None:
    """Its first alignment takes the cameras' displacements for the frame's; all cameras then turned by as much."""
    seer = Seer([dataset])
    seen = seer.observe([dataset[number]["images"] for number in range(GROUP)], 1)
    misplaced = rigid_transform(Rotation.from_rotvec([0.012, -0.008, 0.015]).as_matrix(), [0.004, -0.003, 0.002])

    def farthest(frame_known: bool) -> tuple[float, float]:
        """Degrees and metres by which the found cameras, in the given world, differ from the exact ones."""
        given = true_cameras(0).in_frame(misplaced)
        solution, motion = self_calibrate_with_frame(seer, seen, given, frame_known)  # type: ignore[arg-type]
        found = solution.cameras.extrinsics.numpy() @ np.linalg.inv(motion)
        off = found @ np.linalg.inv(given.extrinsics)
        return np.rad2deg(geodesic_distance(off[:, :3, :3], np.eye(3))).max(), np.linalg.norm(
            off[:, :3, 3], axis=1
        ).max()

    assert farthest(frame_known=True)[0] > 0.5
    degrees, metres = farthest(frame_known=False)
    assert (degrees < 0.1, metres < 0.002) == (True, True), (degrees, metres)


def test_pictures_of_a_dataset_are_of_their_cameras_size(tmp_path: Path) -> None:
    """A dataset pads images to the size of the largest: what is beyond a smaller one is no picture."""
    width, height = 160, 120
    cameras = [Camera(camera.name, SIZE, SIZE, camera.intrinsics, camera.extrinsics) for camera in RIG.cameras]
    cameras[1] = Camera(cameras[1].name, width, height, cameras[1].intrinsics, cameras[1].extrinsics)
    drawn = scene("block", SIZE).with_rig(Rig(cameras=tuple(cameras)))
    images = np.full((3, SIZE, SIZE, 3), 200, np.uint8)
    sample = encode_sample(make_label(0, SIZE), images, drawn.rig, {"exposure": 1.0})
    write_manifest(tmp_path, [write_shard(tmp_path, 0, [sample], "test", _RENDERER)], SIZE, scene=drawn.to_json())
    pictures = open_folder(tmp_path, drawn, 0.01, None).read(0).pictures
    assert [picture.shape[:2] for picture in pictures] == [(SIZE, SIZE), (height, width), (SIZE, SIZE)]
    assert min(int(picture.min()) for picture in pictures) > 190


def test_pictures_of_twelve_bits_can_be_calibrated_from(tmp_path: Path) -> None:
    deep = np.full((16, 16), 2048, np.uint16)
    for name in RIG.names:
        cv2.imwrite(str(tmp_path / f"{name}.png"), deep)
        (tmp_path / f"{name}.csv").write_text(f"time_s,file\n0.0,{name}.png\n")
    config = SelfCalibrateConfig(tmp_path, tmp_path / "calibration.json", picture_bits=12)
    pictures = open_folder(tmp_path, scene(), config.tolerance_s, config.picture_bits).read(0).pictures
    assert all((picture == 128).all() for picture in pictures)
    with pytest.raises(ValueError, match="picture_bits: expected one of 10, 12, 14, 16, got 8"):
        replace(config, picture_bits=8)


def test_a_recording_in_which_the_object_is_not_recognised_gives_no_cameras(
    single: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However sure the network is; the file of before stays."""
    monkeypatch.setattr(PoseEstimator, "load", lambda name, **_: Seer([single], error_px=6.0))
    file = tmp_path / "calibration.json"
    save_calibration(file, RIG)
    before = file.read_bytes()
    with pytest.raises(
        DactylError, match=r"keypoints scatter by \d+\.\d pixels .* more than 3\.5: .* nothing was written"
    ):
        main_calibrate(["--from", str(single.folder), "--output", str(file)])
    assert file.read_bytes() == before


def test_a_search_that_is_cut_short_gives_no_cameras(
    single: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vision.solvers.self_calibration._ITERATIONS", 1)
    monkeypatch.setattr(PoseEstimator, "load", lambda *_, **__: Seer([single]))
    file = tmp_path / "calibration.json"
    with pytest.raises(DactylError, match=r"still moved after .* with 12 triplets; record more .* nothing was written"):
        main_calibrate(["--from", str(single.folder), "--output", str(file)])
    assert not file.exists()
    with pytest.raises(CamerasNotFoundError, match="still moved after"):
        found_cameras(Seer([single]), single, 4)
    views = network_views(RIG, None, {}, rectified=True)
    observer: Any = SimpleNamespace(estimator=Seer([single]), views=views, take_cameras=pytest.fail)
    cameras = OwnCameras(observer, 12)
    cameras.gather(single[number]["images"] for number in range(12))
    with pytest.raises(DactylError, match="still moved after"):
        cameras.find()


def test_a_calibration_file_takes_the_place_of_finding(
    dataset: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set with nothing to find cameras from is told those of the file; an estimate with any others is worse."""
    from tests.datasets import write_dataset

    apart = TripletDataset(write_dataset(tmp_path / "apart", (6,), SIZE))
    save_calibration(tmp_path / "found.json", RIG)
    monkeypatch.setattr("eval.evaluate.load_estimator", lambda *arguments: (Seer([apart]), "0" * 64))
    monkeypatch.setattr("eval.evaluate.checkpoint_origin", _origin)
    (tmp_path / "made.pt").write_bytes(b"oracle")
    config = EvaluateConfig(
        tmp_path / "made.pt", {"lab": apart.folder}, tmp_path / "out", calibrations={"lab": tmp_path / "found.json"}
    )
    rows = {row.protocol: row for row in evaluate(config) if row.measured}
    assert rows["self-calibrated"].cameras == "found"
    predictions = tmp_path / "out" / "predictions" / "lab-self-calibrated.parquet"
    before = predictions.stat().st_mtime_ns
    evaluate(config)
    assert predictions.stat().st_mtime_ns == before
    save_calibration(tmp_path / "found.json", RIG, {"top": CalibrationErrors(rms=0.5)})
    evaluate(config)
    assert predictions.stat().st_mtime_ns > before, "another file, other predictions"
    wide = structs.replace(RIG.cameras[1], width=300)
    save_calibration(tmp_path / "found.json", Rig(cameras=(RIG.cameras[0], wide, RIG.cameras[2])))
    with pytest.raises(DactylError, match=r"found\.json: camera 'top' is of 300x200"):
        evaluate(config)
    with pytest.raises(ValueError, match="calibrations: there is no test set 'lb'"):
        replace(config, calibrations={"lb": tmp_path / "found.json"})
    with pytest.raises(ValueError, match="calibrations: are for the protocol self-calibrated"):
        replace(config, protocols=("nominal",))


def test_large_pictures_of_nominal_cameras_give_a_large_calibration() -> None:
    views, true = CentralViews(RIG), true_cameras(0)
    top = views.calibrated(true, [(640, 480)] * 3, np.zeros(3)).cameras[1]
    assert top.intrinsics[0, 0] == pytest.approx(2.4 * true.intrinsics[1, 0, 0])
    assert top.intrinsics[:2, 2] == pytest.approx([320, 240])
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:, 80:560] = 200  # the middle square
    assert (views([picture] * 3, ["-"] * 3) == 200).all()
    with pytest.raises(DactylError, match="2 pictures for the 3 cameras"):
        views([picture] * 2, ["-"] * 2)


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 720), (640, 512)])
def test_pictures_of_the_scenes_own_size_are_not_cut(width: int, height: int) -> None:
    """The network's images have whole pixels, 200 x 112 of 1920 x 1080: its cameras' two focal lengths are scaled each
    by its own factor, and so are they on the way back."""
    camera = structs.replace(
        RIG.cameras[0], width=width, height=height,
        intrinsics=np.array([[1400.0, 0.0, width / 2], [0.0, 1400.0, height / 2], [0.0, 0.0, 1.0]]),
    )  # fmt: skip
    small = Rig(cameras=(camera,)).resized(200)
    views = CentralViews(small)
    (found,) = views.calibrated(views.cameras, [(width, height)], np.zeros(1)).cameras
    np.testing.assert_allclose(found.intrinsics, camera.intrinsics, rtol=1e-12)
    picture = np.zeros((height, width, 3), np.uint8)
    picture[-height // 50 :] = 250
    assert not views.remarks([picture])
    image = views([picture], ["-"])[0].astype(float)
    assert image[..., 0].mean() == pytest.approx(picture[..., 0].mean(), rel=0.01), "no row is lost"


def test_a_rig_with_lenses_undistorts_and_its_calibration_keeps_them() -> None:
    lens = Lens("radial-tangential", (-0.2, 0.05, 0.001, -0.002))
    bent = Rig(cameras=tuple(structs.replace(camera, distortion=lens) for camera in RIG.cameras))
    found, *others = (
        CentralViews(each).calibrated(true_cameras(0), [(640, 480)] * 3, np.zeros(3))
        for each in (bent, bent.without_lenses(), RIG)
    )
    assert [camera.distortion for camera in found.cameras] == [lens] * 3
    for other in others:
        assert all(camera.distortion is not None and camera.distortion.is_pinhole for camera in other.cameras)
        np.testing.assert_allclose(other.nominal.intrinsics, found.nominal.intrinsics)
        np.testing.assert_allclose(other.nominal.extrinsics, found.nominal.extrinsics)


def _lens_files(folder: Path, coefficients: tuple[float, ...]) -> dict[str, Path]:
    """Files of OpenCV with the intrinsics of ``RIG`` and a lens, which say nothing of where the cameras are."""
    files = {}
    for camera in RIG.cameras:
        matrix = camera.intrinsics.copy()
        matrix[:2, 2] -= 0.5  # OpenCV's pixel centres are at whole numbers
        text = f"image_width: {SIZE}\nimage_height: {SIZE}\ndistortion_model: plumb_bob\ncamera_matrix:\n  rows: 3\n"
        text += f"  cols: 3\n  data: {matrix.ravel().tolist()}\ndistortion_coefficients:\n  rows: 1\n  cols: 4\n"
        files[camera.name] = folder / f"{camera.name}.yaml"
        files[camera.name].write_text(text + f"  data: {list(coefficients)}\n")
    return files


def test_lenses_that_are_known_are_kept(
    single: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a driver's camera_info has them: only where the cameras are remains to be found."""
    bent = (-0.2, 0.05, 0.001, -0.002)
    views = network_views(RIG, None, _lens_files(tmp_path, bent), rectified=False)
    for camera in views.calibrated(views.cameras, [(SIZE, SIZE)] * 3, np.zeros(3)).cameras:
        assert camera.distortion is not None
        assert tuple(camera.distortion.coefficients) == bent

    class AlmostSeer(Seer):
        """Given images that were resampled: softer edges, but no shift (2.0 for half a pixel)."""

        def observe(self, triplets: Iterable[np.ndarray], batch_size: int) -> Observations:
            exact = [single[number]["images"] for number in range(GROUP)]
            for triplet, same in zip(triplets, exact, strict=True):
                assert np.abs(triplet.astype(int) - same).mean() < 1.2
            return super().observe(exact, batch_size)

    monkeypatch.setattr(PoseEstimator, "load", lambda name, **_: AlmostSeer([single]))
    files = _lens_files(tmp_path, (0.0, 0.0, 0.0, 0.0))
    arguments = [part for name, path in files.items() for part in (f"--lenses.{name}", str(path))]
    arguments += ["--from", str(single.folder), "--output", str(tmp_path / "calibration.json")]
    main_calibrate(arguments)
    found = load_calibration(tmp_path / "calibration.json")[0].chosen(RIG.names)
    assert directions_off(found.nominal, 0) < 0.3
    with pytest.raises(ValueError, match="distortion: a calibration or lenses tell the distortion"):
        SelfCalibrateConfig(tmp_path, tmp_path / "calibration.json", lenses=files, distortion=True)


def test_exchanged_cameras_of_different_shapes_are_refused_and_each_cut_is_named() -> None:
    """Only the first camera that was cut was named, and exchanged ones were cropped in silence."""
    left, top, right = RIG.cameras
    wide = structs.replace(top, width=320, height=180)
    bent = structs.replace(right, distortion=Lens(coefficients=(-0.1, 0, 0, 0)))
    views = CentralViews(Rig(cameras=(left, wide, bent)))
    square, broad = np.zeros((400, 400, 3), np.uint8), np.zeros((360, 640, 3), np.uint8)
    assert not [line for line in views.remarks([square, broad, square]) if "middle" in line]
    with pytest.raises(DactylError, match="pictures: left's have the shape of top's, and top's of left's; exchange"):
        views.remarks([broad, square, square])
    cut = [line for line in views.remarks([broad, broad, broad]) if "middle" in line]
    assert [line.split(":")[0] for line in cut] == ["left", "right"]
    assert "is the lens still that of the network's scene?" in cut[1]


CAPTURE = np.array([[0.0, -0.8, 0.6, 0.4], [1.0, 0.0, 0.0, -1.2], [0.0, 0.6, 0.8, 0.3], [0.0, 0.0, 0.0, 1.0]])
"""Capture to world: as far from each other as a board on a table is from a simulation."""


def test_the_camera_that_is_far_is_named() -> None:
    """Not the first one, which the alignment of the frames moves, too."""
    transforms = RIG.nominal.extrinsics.copy()
    transforms[1, :3, 3] += 1.0
    with pytest.raises(DactylError, match=r"lab\.json: camera 'top' is \d+ mm"):
        find_capture_frame(Path("lab.json"), RIG.with_extrinsics(transforms), RIG)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_camera_may_be_mounted_upside_down(count: int) -> None:
    """Its images are rotated to the trained camera's."""
    upright = Rig(cameras=RIG.cameras[:count])
    roll = rigid_transform(np.diag([-1.0, -1.0, 1.0]), [0, 0, 0])
    transforms = upright.nominal.extrinsics @ CAPTURE
    if count > 1:
        transforms[0] = roll @ transforms[0]
    cameras = upright.with_extrinsics(transforms)
    np.testing.assert_allclose(find_capture_frame(Path("lab.json"), cameras, upright), CAPTURE, atol=1e-6)
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[: SIZE // 2] = 200  # the upper half of what it delivers is the lower one of what it sees
    seen = CalibratedViews(upright, cameras, CAPTURE)([picture] * count, ["-"] * count)[0]
    assert (seen[: SIZE // 4].mean() < 10, seen[-SIZE // 4 :].mean() > 190) == (count > 1, count > 1)


def test_cameras_that_face_each_other_have_a_frame() -> None:
    """Their axes are one line, about which directions alone leave the frame open."""
    facing = rigid_transform(np.diag([-1.0, 1.0, -1.0]), [0, 0, 1.0])  # a metre ahead, and turned about y
    one = RIG.cameras[0]
    pair = Rig(cameras=(one, structs.replace(RIG.cameras[1], extrinsics=facing @ one.extrinsics)))
    given = pair.with_extrinsics(pair.nominal.extrinsics @ CAPTURE)
    np.testing.assert_allclose(find_capture_frame(Path("lab.json"), given, pair), CAPTURE, atol=1e-6)


def test_what_a_camera_does_not_see_is_said() -> None:
    """Its images fill the network's only in part, and the rest is black; a lens that is taken off twice, too."""
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    assert not CalibratedViews(RIG, RIG).remarks([picture] * 3)
    tele = structs.replace(RIG.cameras[1], intrinsics=RIG.cameras[1].intrinsics * [[2, 1, 1], [1, 2, 1], [1, 1, 1]])
    bent = structs.replace(RIG.cameras[2], distortion=Lens(coefficients=(-0.02, 0, 0, 0)))
    calibration = Rig(cameras=(RIG.cameras[0], tele, bent))
    views = CalibratedViews(RIG, calibration)
    assert (views([picture + 200] * 3, ["-"] * 3)[1] > 100).mean() == pytest.approx(0.25, abs=0.01)
    (black,) = views.remarks([picture] * 3)
    assert black.startswith("top: does not see 75% of what the network's camera sees")
    twice, _ = CalibratedViews(RIG, calibration, rectified=True).remarks([picture] * 3)
    assert twice.startswith("right: undistorted, though the pictures of a dataset are already")


def test_a_calibration_stays_in_its_own_frame() -> None:
    """Cameras found near a calibration whose frame is not the world: moved as the network's were, in that frame."""
    world_from_capture = CAPTURE
    before = RIG.with_extrinsics(RIG.nominal.extrinsics @ world_from_capture)
    views = CalibratedViews(RIG, before, world_from_capture)
    np.testing.assert_allclose(views.cameras.extrinsics, RIG.nominal.extrinsics, atol=1e-9)
    transforms = true_cameras(0).extrinsics  # what was found for the network's pictures
    found = views.calibrated(Cameras(views.cameras.intrinsics, transforms), [(SIZE, SIZE)] * 3, np.zeros(3))
    # Nothing was rotated here, so that the cameras are those found, told in the frame of the calibration.
    np.testing.assert_allclose(found.nominal.extrinsics, transforms @ world_from_capture, atol=1e-6)


def test_a_rotation_of_four_decimals_is_good_enough() -> None:
    """Its images are turned by it, so that its error counts twice, and a file may not be refused for that."""
    rounded = RIG.nominal.extrinsics.copy()
    rounded[:, :3, :3] *= 1 + 4e-5
    before = RIG.with_extrinsics(rounded)
    views = CalibratedViews(RIG, before)
    found = views.calibrated(views.cameras, [(SIZE, SIZE)] * 3, np.zeros(3))
    np.testing.assert_allclose(found.nominal.extrinsics, rounded, atol=1e-9)


def test_calibrate_from_finds_the_frame_of_an_earlier_calibration(
    tmp_path: Path, single: TripletDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_calibration(tmp_path / "board.json", RIG.with_extrinsics(RIG.nominal.extrinsics @ CAPTURE))
    monkeypatch.setattr(PoseEstimator, "load", lambda name, **_: Seer([single]))
    asked: dict[str, np.ndarray] = {}

    def find(self: Seer, seen: Observations, nominal: Cameras, distortion: bool) -> None:
        asked["extrinsics"] = nominal.extrinsics
        raise DactylError("enough")

    def observe(self: Seer, triplets: Iterable[np.ndarray], size: int) -> Observations:
        list(triplets)
        pixels = project(LANDMARKS.points, RIG.nominal)[None]
        return Observations(pixels, np.ones(pixels.shape[:-1]), pixels, np.ones(pixels.shape[:-1]))

    monkeypatch.setattr(Seer, "observe", observe)
    monkeypatch.setattr(Seer, "self_calibrate", find)
    output, board = tmp_path / "calibration.json", tmp_path / "board.json"
    with pytest.raises(DactylError, match="enough; nothing was written"):
        main_calibrate(["--from", str(single.folder), "--calibration", str(board), "--output", str(output)])
    np.testing.assert_allclose(asked["extrinsics"], RIG.nominal.extrinsics, atol=1e-6)


def test_a_set_whose_cameras_cannot_be_found_keeps_the_other_protocols(
    dataset: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Blind(Seer):
        def self_calibrate(self, *arguments: Any, **options: Any) -> RigSolution:
            raise DactylError("self-calibration: 12 triplets leave camera top open to 0.7 degrees")

    monkeypatch.setattr("eval.evaluate.load_estimator", lambda *arguments: (Blind([dataset]), "0" * 64))
    monkeypatch.setattr("eval.evaluate.checkpoint_origin", _origin)
    (tmp_path / "made.pt").write_bytes(b"oracle")
    config = EvaluateConfig(tmp_path / "made.pt", {"lab": dataset.folder}, tmp_path / "out")
    assert {row.protocol for row in evaluate(config) if row.measured and row.cameras != "none"} == {
        "nominal",
        "calibrated",
    }
    assert "test_sets.lab: without self-calibrated: " in capsys.readouterr().err
    with pytest.raises(DactylError, match="leave camera top open"):
        evaluate(replace(config, protocols=("self-calibrated", "calibrated")))
    with pytest.raises(ValueError, match="'lab' and 'lab-self' cannot be together"):
        replace(config, test_sets={"lab": dataset.folder, "lab-self": dataset.folder})


def test_clocks_that_differ_are_named_as_the_reason(tmp_path: Path) -> None:
    for number, name in enumerate(RIG.names):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((16, 16, 3), np.uint8))
        (tmp_path / f"{name}.csv").write_text(f"time_s,file\n{0.03 * number},{name}.png\n")
    with pytest.raises(DactylError, match=r"within tolerance_s 0\.01 s; one clock for all"):
        open_folder(tmp_path, scene(), 0.01, None)
