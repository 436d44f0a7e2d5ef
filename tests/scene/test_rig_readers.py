"""Calibrations of other programs, written by hand after their documentation: what is read, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from datagen.pictures.texture_files import read_texture
from vision.errors import DactylError
from vision.rigs.calibration import load_calibration, save_calibration
from vision.rigs.rig import Rig
from vision.rigs.rig_files import CameraFile
from vision.rigs.rig_readers import read_intrinsics, read_rig
from vision.scene.load import SCENES, load_scene

OPENCV = """%YAML:1.0
---
calibration_time: "today"
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 5.5e+02, 0., 3.2e+02, 0., 5.6e+02,
       2.4e+02, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -0.2, 0.1, 0.001, 0.002, -0.03 ]
"""
ROS = """image_width: 640
image_height: 480
camera_name: left
camera_matrix: {rows: 3, cols: 3, data: [550.0, 0.0, 320.0, 0.0, 560.0, 240.0, 0.0, 0.0, 1.0]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.2, 0.1, 0.001, 0.002, -0.03]}
rectification_matrix: {rows: 3, cols: 3, data: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]}
"""
ROS_MESSAGE = """header: {stamp: {sec: 1, nanosec: 2}, frame_id: left}
height: 480
width: 640
distortion_model: plumb_bob
d: [-0.2, 0.1, 0.001, 0.002, -0.03]
k: [550.0, 0.0, 320.0, 0.0, 560.0, 240.0, 0.0, 0.0, 1.0]
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [550.0, 0.0, 320.0, 0.0, 0.0, 560.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 0
binning_y: 0
roi: {x_offset: 0, y_offset: 0, height: 0, width: 0, do_rectify: false}
---
"""
KALIBR = """cam0:
  camera_model: pinhole
  distortion_coeffs: [-0.2, 0.1, 0.001, 0.002]
  distortion_model: radtan
  intrinsics: [550.0, 560.0, 320.0, 240.0]
  resolution: [640, 480]
  rostopic: /cam0/image
cam1:
  T_cn_cnm1:
  - [0.0, -1.0, 0.0, 0.1]
  - [1.0, 0.0, 0.0, 0.0]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
  camera_model: pinhole
  distortion_coeffs: [0.1, 0.0, 0.0, 0.0]
  distortion_model: equidistant
  intrinsics: [400.0, 400.0, 160.0, 120.0]
  resolution: [320, 240]
cam2:
  T_cn_cnm1:
  - [1.0, 0.0, 0.0, 0.0]
  - [0.0, 1.0, 0.0, 0.0]
  - [0.0, 0.0, 1.0, 0.5]
  - [0.0, 0.0, 0.0, 1.0]
  camera_model: pinhole
  intrinsics: [400.0, 400.0, 160.0, 120.0]
  resolution: [320, 240]
"""
K = [[550, 0, 320.5], [0, 560, 240.5], [0, 0, 1]]  # pixel centres at 0.5


def ours() -> dict[str, object]:
    transform = [[1, 0, 0, 0.1], [0, 1, 0, 0.2], [0, 0, 1, 0.3], [0, 0, 0, 1]]
    about = {"matrix": [[550, 0, 320], [0, 560, 240], [0, 0, 1]], "model": "radial-tangential", "width": 640}
    about |= {"distortion": [-0.2, 0.1, 0.001, 0.002, -0.03], "height": 480, "transform": transform, "rms": 0.3}
    return {"format": "dactyl-calibration-1", "cameras": {"left": about}}


@pytest.mark.parametrize("text", [OPENCV, ROS, ROS_MESSAGE])
def test_one_camera_of_opencv_or_ros(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.yaml").write_text(text)
    width, height, matrix, lens = read_intrinsics(tmp_path / "one.yaml")
    assert (width, height) == (640, 480)
    np.testing.assert_array_equal(matrix, K)
    assert lens is not None
    assert (lens.model, lens.coefficients) == ("radial-tangential", (-0.2, 0.1, 0.001, 0.002, -0.03))


@pytest.mark.parametrize("coefficients", ["d: []\n", ""])
def test_a_camera_of_ros_without_a_lens(tmp_path: Path, coefficients: str) -> None:
    """As drivers send it that know a focal length, and no distortion."""
    text = ROS_MESSAGE.replace("plumb_bob", '""').replace("d: [-0.2, 0.1, 0.001, 0.002, -0.03]\n", coefficients)
    (tmp_path / "left.yaml").write_text(text)
    found = read_intrinsics(tmp_path / "left.yaml")
    assert found.lens is None
    np.testing.assert_array_equal(found.matrix[:2, 2], [320.5, 240.5])


def test_opencvs_fisheye_is_no_other_lens_with_four_coefficients(tmp_path: Path) -> None:
    four = OPENCV.replace("rows: 5", "rows: 4").replace(", -0.03 ]", " ]")
    for said, model in (
        ("", "radial-tangential"),
        ("fisheye_model: 0", "radial-tangential"),
        ("fisheye_model: 1", "equidistant"),
    ):
        (tmp_path / "one.yaml").write_text(f"{four}{said}\n")
        lens = read_intrinsics(tmp_path / "one.yaml").lens
        assert lens is not None
        assert (lens.model, lens.coefficients) == (model, (-0.2, 0.1, 0.001, 0.002))


def test_our_calibration_is_written_as_it_was_read(tmp_path: Path) -> None:
    """In between, and only there, the first pixel's centre is at 0.5."""
    (tmp_path / "read.json").write_text(json.dumps(ours()))
    rig, errors = load_calibration(tmp_path / "read.json")
    np.testing.assert_array_equal(rig.nominal.intrinsics, [K])
    save_calibration(tmp_path / "written.json", rig, errors)
    (about,) = ours()["cameras"].values()  # type: ignore[attr-defined]
    expected = about | {"reference_rms_px": None, "reference_rms_mm": None}
    assert json.loads((tmp_path / "written.json").read_text())["cameras"] == {"left": expected}


def test_a_photograph_may_be_larger_than_what_is_drawn(tmp_path: Path) -> None:
    """A calibration holds cameras of a hundred megapixels; a scene, which a graphics card draws, does not."""
    large = ours()
    large["cameras"]["left"] |= {"width": 12_000, "matrix": [[5500, 0, 320], [0, 5600, 240], [0, 0, 1]]}  # type: ignore[index]
    (tmp_path / "calibration.json").write_text(json.dumps(large))
    assert load_calibration(tmp_path / "calibration.json")[0].cameras[0].width == 12_000
    with pytest.raises(DactylError, match="camera left: width and height: expected at most 8192 pixels, got 12000 x"):
        load_scene(scene_file(tmp_path, "rig: {file: calibration.json}"))


def test_kalibrs_chain(tmp_path: Path) -> None:
    (tmp_path / "chain.yaml").write_text(KALIBR)
    rig = read_rig(tmp_path / "chain.yaml")
    assert isinstance(rig, Rig)
    first, second, third = rig.cameras
    assert (rig.names, second.width, second.height) == (("cam0", "cam1", "cam2"), 320, 240)
    np.testing.assert_array_equal(first.intrinsics, K)
    point = np.array([1.0, 2.0, 3.0, 1.0])  # of the first camera's frame
    np.testing.assert_allclose(first.extrinsics @ point, point)
    np.testing.assert_allclose(second.extrinsics @ point, [-1.9, 1.0, 3.0, 1.0])
    np.testing.assert_allclose(third.extrinsics @ point, [-1.9, 1.0, 3.5, 1.0])
    assert first.distortion is not None
    assert second.distortion is not None
    assert (first.distortion.model, second.distortion.model) == ("radial-tangential", "equidistant")
    assert third.distortion is None


def scene_file(folder: Path, rig: str) -> str:
    text = (SCENES / "trifinger-cube.yaml").read_text().replace("rig: trifinger", rig)
    (folder / "scene.yaml").write_text(text)
    return str(folder / "scene.yaml")


def test_scenes_read_them(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text(json.dumps(ours()))
    (tmp_path / "one.yaml").write_text(OPENCV)
    camera = load_scene(scene_file(tmp_path, "rig: calibration.json")).rig.cameras[0]
    np.testing.assert_array_equal(camera.intrinsics, K)
    np.testing.assert_array_equal(camera.position, [-0.1, -0.2, -0.3])
    world = "[[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]"
    moved = load_scene(scene_file(tmp_path, f"rig: {{file: calibration.json, world: {world}}}")).rig.cameras[0]
    np.testing.assert_allclose(moved.position, [-1.1, -0.2, -0.3])
    place = "position: [0, 1, 1], look_at: [0, 0, 0]"
    rig = load_scene(scene_file(tmp_path, f"rig: {{cameras: [{{name: a, calibration: one.yaml, {place}}}]}}")).rig
    np.testing.assert_array_equal(rig.cameras[0].intrinsics, K)
    np.testing.assert_allclose(rig.cameras[0].position, [0, 1, 1])


@pytest.mark.parametrize(
    ("text", "change", "message"),
    [
        (OPENCV, ("camera_matrix", "matrix"), "none of camera_matrix"),
        (OPENCV, ("image_width: 640", ""), "none of image_size, image_width, width"),
        (ROS_MESSAGE, ("binning_x: 0", "binning_x: 2"), "binned or cut"),
        (ROS_MESSAGE, ("x_offset: 0", "x_offset: 40"), "binned or cut"),
        (ROS, ("image_width", "cam0: {}\nimage_width"), "holds a whole rig; give it as rig: chain.yaml"),
        (ROS, ("plumb_bob", "barrel"), "distortion model: expected one of .* got 'barrel'"),
        (ROS_MESSAGE, ("plumb_bob", '""'), "5 distortion coefficients, and no distortion_model"),
        (ROS_MESSAGE, ("[550.0, 0.0, 320.0, 0.0, 560.0, 240.0, 0.0, 0.0, 1.0]", str([0.0] * 9)), "k: .*not calibrated"),
        (ROS, ("rows: 3, cols: 3, data: [550.0", "rows: 3, cols: 3, data: [.nan"), "finite"),
        (ROS, ("data: [550.0, ", "data: ["), "reshape|expected"),
        (ROS, ("rows: 3", "rows: -1"), "rows -1"),
        (ROS, ("rows: 3", "rows: .inf"), "rows inf"),
        (OPENCV, ("image_width: 640", "image_width: .inf"), "image_width: expected whole pixels, got inf"),
        (OPENCV, ("image_width: 640", "image_width: 640.5"), "image_width: expected whole pixels, got 640.5"),
        (ROS, ("data: [550.0", "data: [.nan"), "camera_matrix: expected finite"),
        (ROS, ("distortion_coefficients", "distortion"), "distortion_model is in it, and none of distortion_coeff"),
        (OPENCV, ("distortion_coefficients", "distortion"), "distortion is in it, and none of distortion_coeff"),
        (ROS, ("plumb_bob", "none"), "5 distortion coefficients, and no distortion_model"),
        (ROS_MESSAGE, ("---\n", f"---\n{ROS_MESSAGE}"), "several documents; keep one camera's message"),
        (OPENCV, ("%YAML:1.0\n---\n", "<?xml version='1.0'?>\n<opencv_storage>\n"), "XML is not read; .* YAML"),
        (KALIBR, ("intrinsics: [550.0", "intrinsics: [.nan"), "cam0: intrinsics: expected finite"),
        (KALIBR, ("  T_cn_cnm1", "  T_cam_imu"), "cam1: key 'T_cn_cnm1' is missing"),
        (KALIBR, ("  distortion_coeffs", "  distortion_coefs"), "cam0: distortion_coefs is in it, and none of"),
        (KALIBR, ("  distortion_model: radtan\n", ""), "cam0: 4 distortion coefficients, and no distortion_model"),
        (KALIBR, ("[550.0, 560.0", "[5.5, 5.6"), "camera cam0: focal length 5.5, expected .* is it in millimetres"),
        (KALIBR, (KALIBR, ROS), "holds one camera without its place; .* calibration, beside position .* --lenses"),
        (ROS, ("image_width", "roi: [1]\nimage_width"), "roi: expected keys"),
        (ROS_MESSAGE, ("height: 0, width: 0", "height: 240, width: 320"), "pictures are binned or cut"),
        (KALIBR, ("resolution: [640, 480]", "resolution: [.inf, 480]"), "resolution: expected whole pixels"),
        (KALIBR, ("resolution: [640, 480]", "resolution: [640, 480, 3]"), "got 3 numbers"),
        (KALIBR, ("pinhole", "omni"), "cam0: camera_model: expected pinhole, got omni"),
        (KALIBR, ("cam1:", "cam7:"), "cam1 is missing"),
        (KALIBR, ("resolution: [640, 480]", "resolution: 640"), "chain.yaml: "),
        (KALIBR, ("[0.0, -1.0, 0.0, 0.1]", "[0.0, -2.0, 0.0, 0.1]"), "camera cam1: extrinsics"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "chain.yaml"
    path.write_text(text.replace(*change))
    with pytest.raises(DactylError, match=message) as caught:
        read_rig(path) if text is KALIBR else read_intrinsics(path)
    assert "chain.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_of_cameras_become_names_of_files(tmp_path: Path) -> None:
    place = "width: 64, height: 64, fovy_deg: 30, position: [0, 1, 1], look_at: [0, 0, 0]"
    with pytest.raises(DactylError, match="camera names must differ in more than case, got Left, left"):
        load_scene(scene_file(tmp_path, f"rig: {{cameras: [{{name: Left, {place}}}, {{name: left, {place}}}]}}"))


def test_a_pipe_in_a_files_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for read in (read_rig, read_intrinsics, lambda path: load_scene(str(path)), lambda path: read_texture(path, 32)):
        with pytest.raises(DactylError, match=r"pipe\.yaml: not a readable (calibration|scene|picture) \(not a file\)"):
            read(tmp_path / "pipe.yaml")


@pytest.mark.parametrize(
    "before", ["---\n", "# the left camera\n---\n", "%YAML 1.2\n---\n", "\n  # one\n# two\n---  \n"]
)
def test_what_stands_before_the_only_document_does_not_matter(tmp_path: Path, before: str) -> None:
    (tmp_path / "plain.yaml").write_text(ROS)
    (tmp_path / "headed.yaml").write_text(before + ROS)
    plain, headed = (read_intrinsics(tmp_path / name) for name in ("plain.yaml", "headed.yaml"))
    np.testing.assert_array_equal(headed.matrix, plain.matrix)
    (tmp_path / "headed.yaml").write_text(before + ROS + "---\n" + ROS)
    with pytest.raises(DactylError, match="several documents"):
        read_intrinsics(tmp_path / "headed.yaml")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"fovy_deg": 45.0, "cx": 300.0}, "fovy_deg says the focal lengths and the middle; leave cx out"),
        ({"fovy_deg": 45.0, "fy": 900.0}, "leave fy out"),
        ({"fovy_deg": 0.38}, "fovy_deg must lie between 1 and 180, got 0.38; is it in radians?"),
        ({"fx": 500.0, "position": None, "extrinsics": np.eye(4)}, "extrinsics say the direction; leave look_at out"),
    ],
)
def test_a_cameras_keys_that_contradict_each_other_are_refused(keys: dict[str, object], said: str) -> None:
    """A calibrated principal point beside a field of view was left out in silence."""
    given = {"position": (0.0, 0.0, 1.0), "look_at": (0.1, 0.0, 0.0), **keys}
    with pytest.raises(ValueError, match=said):
        CameraFile("left", width=640, height=480, **given).build()  # type: ignore[arg-type]
