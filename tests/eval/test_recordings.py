"""A made recording comes back as a test set whose poses and pictures are right, or is refused in one line."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from scipy.spatial.transform import Rotation

from dactyl.cli import main
from eval.estimation.config import EstimateConfig
from eval.estimation.sources import open_source
from eval.laboratory import face_colors
from eval.laboratory.capture import read_poses
from eval.laboratory.import_config import ImportConfig
from eval.laboratory.placement import in_world
from eval.laboratory.posed_triplets import _outside
from eval.laboratory.poses import transform_from_pose
from eval.laboratory.recordings import import_recording
from eval.laboratory.undistortion import View, make_view
from eval.scoring.conditions import Condition
from eval.scoring.config import EvaluateConfig
from eval.scoring.usable_conditions import usable_conditions
from tests.eval.lab import (
    LENS,
    OBJECT_IN_MARKERS,
    WORLD_FROM_CAPTURE,
    calibrated_rig,
    cameras,
    make_recording,
    object_pose,
    opencvs,
    pose_line,
    write_csv,
)
from tests.scenes import rig, scene
from tests.synthetic import draw_triplet
from vision.errors import DactylError
from vision.geometry.cameras import Cameras, project
from vision.geometry.distortion import Lens
from vision.geometry.rotations import cube_rotations, quaternion_from_matrix, rigid_transform
from vision.rigs.calibration import load_calibration, save_calibration
from vision.rigs.rig import Camera, Rig
from vision.storage.datasets import TripletDataset

CAPTURE_IN_WORLD = [*WORLD_FROM_CAPTURE[:3, 3], *quaternion_from_matrix(WORLD_FROM_CAPTURE[:3, :3])]
POSE_HEADER = "time_s,x,y,z,qw,qx,qy,qz"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_recording(tmp_path_factory.mktemp("lab") / "recording")


@pytest.fixture
def recording(original: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(original, tmp_path / "recording"))


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A recording of four triplets."""
    return make_recording(tmp_path / "recording", pictures=4)


def configure(recording: Path, output: Path, **changes: object) -> ImportConfig:
    values = {"capture_in_world": CAPTURE_IN_WORLD, "object_in_markers": OBJECT_IN_MARKERS, **changes}
    return ImportConfig(recording, output, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["tolerance_s", "max_gap_s"])
def test_times_are_in_seconds(tmp_path: Path, key: str) -> None:
    """Poses were interpolated over fifty seconds in which nobody saw the object."""
    with pytest.raises(ValueError, match=f"{key}: expected at most 1 seconds, got 50; are these milliseconds"):
        ImportConfig(tmp_path, tmp_path / "set", **{key: 50})  # type: ignore[arg-type]


@pytest.mark.parametrize("warp", [True, False])
def test_poses_and_pictures_come_back(original: Path, tmp_path: Path, warp: bool) -> None:
    dataset, dropped = import_recording(configure(original, tmp_path / "set", warp=warp), scene())
    assert len(dataset) == 10
    assert not dropped
    dataset.verify()
    target = scene("block").object
    for number in range(len(dataset)):
        sample = dataset[number]
        pose = object_pose(dataset.appearance(number)["time_s"])
        # 0.2 mm of jitter on each axis of two interpolated readings, 0.1 degrees that turn about 30 mm of offset.
        assert np.linalg.norm(sample["object_position"] - pose[:3, 3]) < 0.001
        turn = Rotation.from_matrix(pose[:3, :3]).inv() * Rotation.from_quat(np.roll(sample["object_quaternion"], -1))
        assert np.rad2deg(turn.magnitude()) < 0.5
        for i in range(3):
            K, T = sample["camera_intrinsics"][i], sample["camera_extrinsics"][i]
            expected = draw_triplet(
                target, pose[:3, 3], pose[:3, :3], K[None], T[None], 200, np.random.default_rng(0), clutter=False
            )[0]
            seen, drawn = (image.mean(axis=-1).astype(np.float32) for image in (sample["images"][i], expected))
            assert drawn.std() > 5
            shift, _ = cv2.phaseCorrelate(seen, drawn)
            assert np.linalg.norm(shift) < 0.4, "pixels; the exact test of the geometry is below"
            assert np.corrcoef(seen.ravel(), drawn.ravel())[0, 1] > 0.93
    nominal = rig(200).nominal.intrinsics, rig().nominal.extrinsics
    same = np.allclose(sample["camera_intrinsics"], nominal[0])
    assert same == warp
    turned = sample["camera_extrinsics"][:, :3, :3] @ np.swapaxes(nominal[1][:, :3, :3], 1, 2)
    angles = np.rad2deg(Rotation.from_matrix(turned).magnitude())
    np.testing.assert_allclose(angles, 0.0 if warp else 1.5, atol=1e-5)


FISHEYE = Lens("equidistant", (-0.05, 0.02, -0.004, 0.001))


@pytest.mark.parametrize("lens", [LENS, FISHEYE], ids=lambda lens: lens.model)
@pytest.mark.parametrize("warp", [True, False])
def test_pixels_come_from_where_opencv_projects_the_point(warp: bool, lens: Lens) -> None:
    """Exact: a world point through K and T of the result, then through the maps, is where the lens puts it."""
    rng = np.random.default_rng(0)
    points = np.array([1.02, 0.87, 0.145]) + rng.uniform(-0.04, 0.04, (50, 3))
    in_capture = np.linalg.inv(WORLD_FROM_CAPTURE)
    captured = points @ in_capture[:3, :3].T + in_capture[:3, 3]
    bent = Rig(cameras=tuple(structs.replace(camera, distortion=lens) for camera in cameras().values()))
    triples = zip(bent.cameras, in_world(bent, WORLD_FROM_CAPTURE).cameras, rig(200).cameras, strict=True)
    for given, camera, nominal in triples:
        view = make_view(camera, nominal, warp)
        result = project(points, view.result)
        assert ((result > 5) & (result < 195)).all()
        assert view.holds(points)
        large = (3 * result - 0.5).astype(np.float32)  # OpenCV's coordinates of the picture before it is averaged
        found = [cv2.remap(each, large[:, :1], large[:, 1:], cv2.INTER_LINEAR)[:, 0] for each in view.maps]
        turn, shift = cv2.Rodrigues(given.extrinsics[:3, :3])[0], given.extrinsics[:3, 3]
        if lens is FISHEYE:
            expected = cv2.fisheye.projectPoints(captured[:, None], turn, shift, *opencvs(given))[0][:, 0]
        else:
            expected = cv2.projectPoints(captured, turn, shift, *opencvs(given))[0][:, 0]
        np.testing.assert_allclose(np.stack(found, axis=-1), expected, atol=0.1)
        directions = points @ camera.extrinsics[:3, :3].T + camera.extrinsics[:3, 3]
        np.testing.assert_allclose(camera.distorted_pixels(directions), expected + 0.5, atol=1e-6)


def test_a_fisheye_calibration_is_read_back(tmp_path: Path) -> None:
    written = [structs.replace(camera, distortion=FISHEYE) for camera in cameras().values()]
    save_calibration(tmp_path / "c.json", Rig(cameras=tuple(written)))
    read, _ = load_calibration(tmp_path / "c.json")
    assert {camera.name: camera.distortion for camera in read.cameras} == dict.fromkeys(cameras(), FISHEYE)


def test_a_view_does_not_hold_what_the_recorded_picture_does_not_show() -> None:
    """The trained camera would see the point; the recorded picture ends before, or its lens turns back."""
    camera, nominal = in_world(calibrated_rig(), WORLD_FROM_CAPTURE).cameras[0], rig(200).cameras[0]
    points = np.array([[1.02, 0.87, 0.145]])
    assert make_view(camera, nominal, True).holds(points)
    shifted = camera.intrinsics - [[0, 0, camera.width / 2], [0, 0, 0], [0, 0, 0]]
    assert not make_view(structs.replace(camera, intrinsics=shifted), nominal, True).holds(points)
    assert not make_view(camera, nominal, True).holds(2 * nominal.position - points)
    strong = Lens("radial-tangential", (-1e6, 0.0, 0.0, 0.0))
    assert not make_view(structs.replace(camera, distortion=strong), nominal, True).holds(points)


def test_the_command_says_what_it_dropped_and_why(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (recording / "object.csv").open() as file:
        header, *lines = list(csv.reader(file))
    times = np.array([float(line[0]) for line in lines])

    def between(low: float, high: float) -> np.ndarray:
        return np.flatnonzero((times > low) & (times < high))

    for number in between(0.25, 0.35):  # around the second triplet, 0.3 s
        lines[number][1:] = [""] * 7
    for number in between(0.45, 0.55):
        lines[number][1:] = lines[between(0.45, 0.55)[0]][1:]
    away = rigid_transform(np.eye(3), [0.3, 0, 0]) @ object_pose(0.7)
    for number in between(0.65, 0.75):
        lines[number] = [str(v) for v in pose_line(times[number], np.linalg.inv(WORLD_FROM_CAPTURE) @ away, RNG)]
    kept = [line for line, time in zip(lines, times, strict=True) if not 0.84 < time < 0.96]
    write_csv(recording / "object.csv", ",".join(header), kept)
    with (recording / "top.csv").open() as file:
        header, *lines = list(csv.reader(file))
    del lines[5]
    write_csv(recording / "top.csv", ",".join(header), lines)
    arguments = ["import-recording", "--recording", str(recording), "--output", str(tmp_path / "set")]
    arguments += ["--capture_in_world", str(list(map(float, CAPTURE_IN_WORLD)))]
    arguments += ["--object_in_markers", str(list(map(float, OBJECT_IN_MARKERS)))]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    for reason in (
        *("object not seen by the motion capture", "stale pose", "object outside of camera left"),
        *("gap in the motion capture", "no picture of another camera within tolerance_s"),
    ):
        assert f"dropped 1: {reason}\n" in said
    dataset = TripletDataset(tmp_path / "set")
    assert len(dataset) == 5
    assert sum(dataset.manifest.recording["dropped"].values()) == 5
    assert main(arguments) == 0, "the same again is no fault"


RNG = np.random.default_rng(9)


def test_cameras_that_point_elsewhere_have_no_nominal_rows(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Imported as they were, they are turned by more than the nominal protocol allows for."""
    estimator: Any = SimpleNamespace(finds_cameras=False)
    wanted = [Condition("nominal"), Condition("calibrated")]
    for warp in (True, False):
        dataset, _ = import_recording(configure(short, tmp_path / str(warp), warp=warp), scene())
        config = EvaluateConfig(Path("block"), {"lab": dataset.folder}, tmp_path / "out")
        usable = usable_conditions(estimator, "lab", dataset, wanted, config)
        assert usable == (wanted if warp else wanted[1:])
        said = capsys.readouterr().err
        assert ("test_sets.lab: without nominal: " in said) != warp
    with pytest.raises(DactylError, match="degrees from the nominal one"):
        usable_conditions(estimator, "lab", dataset, wanted[:1], config)
    shot = open_source(EstimateConfig(dataset.folder), scene()).read(1)
    assert shot.time_s == dataset.appearance(1)["time_s"], "a recording keeps its times"


def test_a_recorded_base_replaces_the_capture_frame(recording: Path, tmp_path: Path) -> None:
    base_in_world = rigid_transform(Rotation.from_euler("z", 40, degrees=True).as_matrix(), [1.0, 1.2, 0.1])
    lines = [pose_line(t, np.linalg.inv(WORLD_FROM_CAPTURE) @ base_in_world, RNG) for t in np.arange(0, 3, 0.01)]
    write_csv(recording / "base.csv", POSE_HEADER, lines)
    place = [*base_in_world[:3, 3], *quaternion_from_matrix(base_in_world[:3, :3])]
    dataset, _ = import_recording(configure(recording, tmp_path / "set", capture_in_world=place), scene())
    pose = object_pose(dataset.appearance(3)["time_s"])
    assert np.linalg.norm(dataset.label(3)["object_position"] - pose[:3, 3]) < 0.0015
    moving = np.linalg.inv(WORLD_FROM_CAPTURE) @ rigid_transform(np.eye(3), [0.02, 0, 0]) @ base_in_world
    lines += [pose_line(t, moving, RNG) for t in np.arange(3, 6, 0.01)]
    write_csv(recording / "base.csv", POSE_HEADER, lines)
    with pytest.raises(DactylError, match=r"base\.csv: the hand's base moved by"):
        import_recording(configure(recording, tmp_path / "other", capture_in_world=place), scene())


def test_swapped_cameras_are_noticed_by_the_projected_pose(recording: Path, tmp_path: Path) -> None:
    names = [recording / f"{name}.csv" for name in ("left", "right")]
    contents = [path.read_text() for path in names]
    for path, content in zip(names, reversed(contents), strict=True):
        path.write_text(content)
    with pytest.raises(DactylError, match="cameras are swapped: left shows what right should see"):
        import_recording(configure(recording, tmp_path / "set"), scene())
    assert not (tmp_path / "set").exists()


def narrowed(recording: Path, name: str, width: int) -> None:
    """The camera's pictures cut to the middle ``width`` columns, with a calibration that says so."""
    calibration = json.loads((recording / "calibration.json").read_text())
    camera = calibration["cameras"][name]
    left = (camera["width"] - width) // 2
    camera["matrix"][0][2] -= left
    camera["width"] = width
    (recording / "calibration.json").write_text(json.dumps(calibration))
    for path in (recording / name).iterdir():
        with Image.open(path) as picture:
            picture.crop((left, 0, left + width, picture.height)).save(path)


def test_an_object_that_a_recorded_picture_cuts_off_is_dropped(recording: Path, tmp_path: Path) -> None:
    narrowed(recording, "top", 150)
    with pytest.raises(DactylError, match="no triplet is left of 10: 10 object outside of camera top"):
        import_recording(configure(recording, tmp_path / "set"), scene())


def test_the_whole_object_must_be_in_the_picture(recording: Path) -> None:
    """Not only its keypoints, which a mesh may have near its middle."""
    block = scene().object
    inner = structs.replace(block, keypoints=0.2 * block.keypoints)
    calibration = load_calibration(recording / "calibration.json")[0].chosen(rig().names)
    pairs = zip(in_world(calibration, WORLD_FROM_CAPTURE).cameras, rig(64).cameras, strict=True)
    views = {camera.name: make_view(source, camera, True) for source, camera in pairs}
    pose, away = object_pose(0.0), object_pose(0.0)
    assert _outside(pose, views, inner) is None
    while _outside(away, views, block) is None:
        away[0, 3] += 0.001
    assert _outside(away, views, inner) == _outside(away, views, block)


def respell(recording: Path) -> None:
    """object.csv with quaternions x y z w under the header w x y z."""
    with (recording / "object.csv").open() as file:
        header, *lines = list(csv.reader(file))
    write_csv(recording / "object.csv", ",".join(header), [[*line[:4], *line[5:], line[4]] for line in lines])


def repaint(recording: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    for name in rig().names:
        for path in (recording / name).iterdir():
            with Image.open(path) as picture:
                change(picture).save(path)


def test_the_objects_colours_find_wrong_rotations_and_exchanged_channels(short: Path, tmp_path: Path) -> None:
    def complaint(**changes: object) -> str:
        with pytest.raises(DactylError, match="the object's colours do not fit its poses: ") as caught:
            import_recording(configure(short, tmp_path / "set", **changes), scene())
        return str(caught.value)

    mount = OBJECT_IN_MARKERS
    assert "object_in_markers seems to be x y z w" in complaint(object_in_markers=[*mount[:3], *mount[4:], mount[3]])
    turned = transform_from_pose(mount) @ rigid_transform(cube_rotations()[5], [0, 0, 0])
    wrong = [*turned[:3, 3], *quaternion_from_matrix(turned[:3, :3])]
    assert "degrees about its axis" in complaint(object_in_markers=wrong)
    channels = Image.Image.split
    repaint(short, lambda picture: Image.merge("RGB", channels(picture)[::-1]))
    assert "red and blue seem to be exchanged" in complaint()
    repaint(short, lambda picture: Image.merge("RGB", channels(picture)[::-1]))
    respell(short)
    assert "the quaternions of object.csv seem to be x y z w" in complaint()
    assert not (tmp_path / "set").exists()
    dataset, _ = import_recording(configure(short, tmp_path / "set", check_colors=False), scene())
    assert dataset.manifest.recording["colors"] == "not compared"


@pytest.mark.parametrize(("width", "height"), [(120, 240), (240, 120)])
def test_faces_are_looked_up_all_over_pictures_that_are_no_squares(width: int, height: int) -> None:
    """A face near the far end of the longer side counts, and one beyond the shorter side is not looked up."""
    target = scene("block").object
    matrix = np.array([[300.0, 0, width - 40], [0, 300.0, height - 40], [0, 0, 1]])
    camera = Camera("left", width, height, matrix, np.eye(4))
    view = View(camera, Cameras(matrix, np.eye(4), width, height), (width, height), (np.zeros((height, width)),) * 2)
    poses = np.stack([rigid_transform(np.eye(3), [x, y, 0.4]) for x, y in ((0, 0), (0.1, 0), (0, 0.1))])
    seen = face_colors._look_up(np.full((3, height, width, 3), 100, np.uint8), view, poses, target)
    assert len(seen.faces)
    assert seen.empty == 2


def test_of_many_cameras_only_two_are_taken_for_exchanged() -> None:
    """All orders of ten cameras are 3.6 million."""
    found = face_colors._exchanges(np.ones((10, 10)), [f"c{number}" for number in range(10)])
    assert len(found) == 45
    assert len(face_colors._exchanges(np.ones((3, 3)), ["a", "b", "c"])) == 5


def test_a_strong_cast_of_colour_is_no_mistake(short: Path, tmp_path: Path) -> None:
    """Warm light and no white balance: other readings fit a little better, and are not believed."""

    def warm(picture: Image.Image) -> Image.Image:
        return Image.fromarray((np.asarray(picture) * [1.8, 1.0, 0.4]).clip(0, 255).astype(np.uint8))

    repaint(short, warm)
    dataset, _ = import_recording(configure(short, tmp_path / "set"), scene())
    assert dataset.manifest.recording is not None
    assert dataset.manifest.recording["colors"] in ("fit", "cannot tell")


def test_grey_pictures_tell_nothing_and_the_command_says_so(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repaint(short, lambda picture: picture.convert("L"))
    config = tmp_path / "import.yaml"
    config.write_text(
        json.dumps({"capture_in_world": plain(CAPTURE_IN_WORLD), "object_in_markers": plain(OBJECT_IN_MARKERS)})
    )
    command = [
        "import-recording",
        "--config",
        str(config),
        "--recording",
        str(short),
        "--output",
        str(tmp_path / "s"),
    ]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "the object's colours cannot tell" in said
    assert "left: 4 mm and 1.5 degrees from the trained camera" in said


def plain(pose: Sequence[float]) -> list[float]:
    return [float(value) for value in pose]


def test_cameras_that_are_nowhere_near_the_trained_ones_are_refused(recording: Path, tmp_path: Path) -> None:
    def complaint(**changes: object) -> str:
        with pytest.raises(
            DactylError, match=r"camera '(left|top|right)' is \d+ mm and \d+ degrees from the trained one"
        ) as caught:
            import_recording(configure(recording, tmp_path / "set", **changes), scene())
        return str(caught.value)

    place = CAPTURE_IN_WORLD
    assert "capture_in_world seems to be x y z w" in complaint(capture_in_world=[*place[:3], *place[4:], place[3]])
    inverse = np.linalg.inv(WORLD_FROM_CAPTURE)
    backwards = [*inverse[:3, 3], *quaternion_from_matrix(inverse[:3, :3])]
    assert "capture_in_world seems to be the inverse" in complaint(capture_in_world=backwards)
    assert "check capture_in_world" in complaint(capture_in_world=[1.0, 2.0, 3.0, *place[3:]])
    base_in_world = rigid_transform(Rotation.from_euler("zx", [40, 20], degrees=True).as_matrix(), [1.0, 1.2, 0.1])
    base = np.linalg.inv(WORLD_FROM_CAPTURE) @ base_in_world
    lines = [pose_line(t, base, RNG) for t in np.arange(0, 3, 0.01)]
    write_csv(recording / "base.csv", POSE_HEADER, [[*line[:4], *line[5:], line[4]] for line in lines])
    place = [*base_in_world[:3, 3], *quaternion_from_matrix(base_in_world[:3, :3])]
    assert "the quaternions of base.csv seem to be x y z w" in complaint(capture_in_world=place)
    (recording / "base.csv").unlink()
    calibration = json.loads((recording / "calibration.json").read_text())
    for camera in calibration["cameras"].values():
        camera["transform"] = np.linalg.inv(camera["transform"]).tolist()
    (recording / "calibration.json").write_text(json.dumps(calibration))
    assert "the calibration's transforms seem to be camera to capture" in complaint()


def test_clocks_that_do_not_overlap_are_named(recording: Path, tmp_path: Path) -> None:
    with (recording / "object.csv").open() as file:
        header, *lines = list(csv.reader(file))
    late = [[f"{float(line[0]) + 1.7e9:.6f}", *line[1:]] for line in lines]
    write_csv(recording / "object.csv", ",".join(header), late)
    with pytest.raises(DactylError, match=r"do not overlap: right.csv from 0.0972.* object.csv from 1700000000 to"):
        import_recording(configure(recording, tmp_path / "set"), scene())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"capture_in_world": [400.0, -300.0, 200.0, 1, 0, 0, 0]},
            "position 400 m, expected at most 20; are these mill",
        ),
        (
            {"object_in_markers": [2.0, -4.0, 30.0, 1, 0, 0, 0]},
            "position 30 m, expected at most 1; are these millimetres",
        ),
        ({"picture_bits": 8}, "picture_bits: expected one of 10, 12, 14, 16, got 8"),
    ],
)
def test_impossible_configurations_name_the_key(changes: dict[str, object], text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=text):
        configure(tmp_path, tmp_path, **changes)


def test_bad_recordings_are_refused_by_name(recording: Path, tmp_path: Path) -> None:
    def complaint() -> str:
        with pytest.raises(DactylError) as caught:
            import_recording(configure(recording, tmp_path / "set"), scene())
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def spoil(name: str, old: str, new: str) -> str:
        path = recording / name
        content = path.read_text()
        assert old in content
        path.write_text(content.replace(old, new, 1))
        said = complaint()
        path.write_text(content)
        return said

    assert "object.csv: expected the header" in spoil("object.csv", "time_s", "t")
    second = (recording / "object.csv").read_text().splitlines()[2].split(",")[0]
    assert "object.csv: line 3: 'x' is not a number" in spoil("object.csv", second, "x")
    assert "object.csv: line 3: time does not rise" in spoil("object.csv", second, "0.0")
    assert "not a file below" in spoil("left.csv", "left/0000.png", "../left/0000.png")
    assert "9999.png: no such picture" in spoil("left.csv", "left/0000.png", "left/9999.png")
    calibration = json.loads((recording / "calibration.json").read_text())
    for change, text in (
        ({"matrix": [[0, 0, 0]] * 3}, "matrix: expected the rows fx 0 cx, 0 fy cy and 0 0 1"),
        ({"matrix": [[900, 0, 320], [0, 900, 240], [0, 0, 2]]}, "matrix: expected the rows"),
        ({"matrix": [[900, 0, 320], [0, 900, 240], [0.1, 0, 1]]}, "matrix: expected the rows"),
        ({"matrix": [[900, 3.5, 320], [0, 900, 240], [0, 0, 1]]}, "matrix: skew 3.5 is not supported"),
        ({"matrix": [[8, 0, 320], [0, 8, 240], [0, 0, 1]]}, "focal length 8, expected 48 to 64000 pixels"),
        ({"matrix": [[900, 0, 320], [0, 900, 240]]}, "camera 'left': key 'matrix'"),
        ({"transform": np.diag([1, 1, -1, 1]).tolist()}, "transform: its first three rows and columns are no rotation"),
        (
            {"transform": (np.eye(4) + np.diag([350.0], 3)).tolist()},
            "350 m, expected at most 20; are these millimetres?",
        ),
        ({"transform": (np.eye(4) + np.diag([0.5], -3)).tolist()}, "expected the last row 0 0 0 1; is it transposed?"),
        ({"distortion": [0.1]}, "distortion: radial-tangential lens: expected 0, 4, 5, 8, 12, 14 coefficients, got 1"),
        ({"model": "equidistant"}, "distortion: equidistant lens: expected 4 coefficients, got 5"),
        ({"model": "fisheye"}, "camera 'left': key 'model'"),
        ({"distortion_model": "equidistant"}, "camera 'left': unknown key 'distortion_model'"),
        ({"width": 320, "height": 240}, "principal point 325.5, 236.5 lies outside of 320x240 pixels"),
        ({"height": 500}, "640x480 pixels, the calibration is of 640x500"),
        ({"matrix": "wide"}, "camera 'left': key 'matrix'"),
        ({"width": 640.5}, "camera 'left': key 'width'"),
        ({"rms": "good"}, "camera 'left': key 'rms'"),
    ):
        left = calibration["cameras"]["left"] | change
        wrong = calibration | {"cameras": calibration["cameras"] | {"left": left}}
        (recording / "calibration.json").write_text(json.dumps(wrong))
        assert text in complaint()
    del calibration["cameras"]["top"]
    (recording / "calibration.json").write_text(json.dumps(calibration))
    assert "camera 'top' is missing" in complaint()


def test_a_recording_of_gaps_alone_says_so(recording: Path, tmp_path: Path) -> None:
    """One reading in half a second, and none after the first second: nothing can be interpolated."""
    with (recording / "object.csv").open() as file:
        header, *lines = list(csv.reader(file))
    write_csv(recording / "object.csv", ",".join(header), lines[:100:50])
    with pytest.raises(DactylError) as caught:
        import_recording(configure(recording, tmp_path / "set"), scene())
    said = str(caught.value)
    assert "\n" not in said
    for part in ("no triplet is left of 10: ", " gap in the motion capture", " outside of the motion capture's time"):
        assert part in said
    assert not (tmp_path / "set").exists()


def test_pictures_of_another_size_are_refused(recording: Path, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240)).save(recording / "top" / "0000.png")
    with pytest.raises(DactylError, match=r"0000\.png: 320x240 pixels, the calibration is of 640x480"):
        import_recording(configure(recording, tmp_path / "set"), scene())


def test_poses_between_readings(tmp_path: Path) -> None:
    """Half way between two readings: half of the way and half of the turn."""
    half = np.sqrt(0.5)
    lines = [[0, 0, 0, 1, 1, 0, 0, 0], [0.02, 0.01, 0, 1, half, 0, 0, half], [0.5, 0, 0, 1, 1, 0, 0, 0]]
    write_csv(tmp_path / "p.csv", POSE_HEADER, lines)
    stream = read_poses(tmp_path / "p.csv")
    found = stream.at(0.01, 0.05)
    assert not isinstance(found, str)
    np.testing.assert_allclose(found[:3, 3], [0.005, 0, 1])
    assert np.rad2deg(Rotation.from_matrix(found[:3, :3]).magnitude()) == pytest.approx(45.0)
    exact = stream.at(0.02, 0.05)
    assert not isinstance(exact, str)
    assert exact[0, 3] == 0.01
    assert stream.at(0.3, 0.05) == "gap in the motion capture"
    assert stream.at(0.6, 0.05) == "outside of the motion capture's time"
    assert stream.at(-0.1, 0.05) == "outside of the motion capture's time"


def test_every_recorded_pixel_counts() -> None:
    """Noise from one pixel to the next averages out as in areas of the picture; some samples of it would keep it."""
    nominal = rig(200).cameras[0]
    large = structs.replace(
        nominal, width=10 * nominal.width, height=10 * nominal.height,
        intrinsics=np.diag([10.0, 10.0, 1.0]) @ nominal.intrinsics,
    )  # fmt: skip
    noise = np.random.default_rng(0).integers(88, 168, (large.height, large.width, 3)).astype(np.uint8)
    reduced = make_view(large, nominal, True)(noise, Path("noise"))
    assert reduced.std() < 1.5 * noise.std() / 10


def test_a_black_face_says_nothing_and_hides_nothing() -> None:
    """It has no chromaticity; it used to make the cost NaN, and every comparison with that is false."""
    faces = scene("block").object.faces
    black = structs.replace(faces[0], color=(0.0, 0.0, 0.0))
    target = structs.replace(scene("block").object, faces=(black, *faces[1:]))
    colors = np.array([face.color for face in faces])
    seen = face_colors._Sighting(np.arange(1, 6), colors[1:] / colors[1:].sum(axis=1, keepdims=True), 0)
    assert seen.cost(target) == pytest.approx(0)
    exchanged = face_colors._Sighting(np.roll(seen.faces, 1), seen.colors, 0)
    assert exchanged.cost(target) > 0.1
