"""``dactyl calibrate`` and ``dactyl import-recording``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from eval.laboratory.calibrate import CalibrateConfig, CalibrationResult, calibrate
from eval.laboratory.import_config import ImportConfig
from eval.laboratory.pictures import shown
from eval.laboratory.recordings import import_recording
from eval.laboratory.self_calibration import SelfCalibrateConfig, calibrate_from
from vision.configuration.command_line import parse
from vision.errors import printable
from vision.machine.console import Console

_RECORDING = re.compile("^--from(?==|$)")  # option that selects self-calibration


def main_calibrate(argv: Sequence[str]) -> None:
    """Calibrate a laboratory's cameras from images of a ChArUco board, or with --from of the hand at work.

    Writes intrinsics, distortion and extrinsics in OpenCV's form. docs/recording.md says which images to take of a
    board. Reference places that are turned check each other: the command prints how far each is from where the camera
    sees the board, and which error would not show. --from needs no board: a network finds hand and object in some
    hundred triplets of a recording or dataset, and with them each camera's displacement and focal length
    (docs/first-day.md; dactyl calibrate --from x --help).

    examples:
      dactyl calibrate --config lab/calibrate.yaml --output lab/recording/calibration.json
      dactyl calibrate --from lab/recording --checkpoint block --output lab/self-calibration.json
    """
    if any(map(_RECORDING.match, argv)):
        _calibrate_from([_RECORDING.sub("--recording", word) for word in argv])
        return
    config = parse(CalibrateConfig, argv, "dactyl calibrate", main_calibrate.__doc__ or "")
    for name, result in calibrate(config).items():
        for line in _said_of(name, result):
            _say(line)
    _say(f"{config.output}: {len(config.pictures)} cameras")


def _say(line: str) -> None:
    """Print a line, with control characters of file names escaped."""
    Console().print(printable(line), highlight=False)


def _said_of(name: str, result: CalibrationResult) -> Iterator[str]:
    pictures, placement = result.pictures, result.placement
    focal = result.camera.intrinsics[0, 0]
    yield f"{name}: focal length {focal:.1f} px, reprojection error {result.errors.rms:.3f} px"
    if pictures.ignored:
        yield f"{name}: ignored, for they are no PNG or JPEG: {shown(pictures.ignored)}"
    if pictures.left_out:
        reasons = [f"{file} ({reason})" for file, reason in pictures.left_out.items()]
        yield f"{name}: left out, for they do not show enough of the board: {shown(reasons)}"
    for file, distance in placement.distance.items():
        checked = (
            f", reference {placement.rms_mm[file]:.1f} mm ({placement.rms_px[file]:.2f} px) off"
            if placement.rms_mm
            else ""
        )
        yield f"{name}: {distance:.3f} m from the board in {file}{checked}"
    if placement.unchecked:
        yield f"{name}: {placement.unchecked}: lay the board at a second place, 5 cm or more from the first, and turned"
    elif len(placement.unseen) == 3:
        yield (
            f"{name}: the places are parallel, so an error of the board's origin or axes that they share does not "
            "show: lay the board at two more, each turned by 20 degrees or more, about different axes"
        )
    elif len(placement.unseen):
        along = " and ".join(" ".join(f"{value:.2f}" for value in vector) for vector in placement.unseen)
        yield (
            f"{name}: the places are turned about one axis only, so an error of the board's origin along {along} of "
            "its frame does not show: lay the board at one more, turned by 20 degrees or more about another axis"
        )


def _calibrate_from(argv: Sequence[str]) -> None:
    """Calibrate cameras from images of the hand at work."""
    config = parse(SelfCalibrateConfig, argv, "dactyl calibrate --from", _calibrate_from.__doc__ or "")
    found = calibrate_from(config)
    for remark in found.remarks:
        _say(remark)
    for name, camera in zip(found.rig.names, found.rig.cameras, strict=True):
        _say(
            f"{name}: focal length {camera.intrinsics[0, 0]:.1f} px ± {found.focal[name]:.2%} "
            f"({found.zoomed[name]:+.2%} from where the search began), "
            f"direction ± {found.direction_deg[name]:.2f} degrees ({found.turned_deg[name]:.2f} from there)"
        )
        if name in found.far:
            _say(
                f"{name}: farther from there than cameras are displaced in training; if it was not moved so far, the "
                "network does not know such pictures well enough to find it"
            )
        if found.drift_deg[name]:
            _say(f"{name}: turned by {found.drift_deg[name]:.2f} degrees meanwhile; fix its mount, then record again")
    _say(f"{config.output}: from {found.triplets} triplets")


def main_import_recording(argv: Sequence[str]) -> None:
    """Turn a laboratory's recording into a test set: synchronised, undistorted, with poses from motion capture.

    docs/recording.md says what a recording holds and how to make one of 992 samples.

    examples:
      dactyl import-recording --config lab/import.yaml
      dactyl import-recording --recording lab/recording --output data/test-real --warp false
    """
    config = parse(ImportConfig, argv, "dactyl import-recording", main_import_recording.__doc__ or "")
    from datagen.sim.complete import complete_scene  # imported late: a calibration needs no simulator

    dataset, dropped = import_recording(config, complete_scene(config.scene))
    about = dataset.manifest.recording or {}
    for name, placed in about["camera_displacement"].items():
        _say(f"{name}: {placed['mm']:.0f} mm and {placed['degrees']:.1f} degrees from the trained camera")
    if about["colors"] == "cannot tell":
        why = "" if dataset.object.faces else ", because a mesh has no faces of one colour"
        _say(f"the object's colours cannot tell whether its rotations are right{why}: look at some pictures")
    for reason, count in dropped.most_common():
        _say(f"dropped {count:,}: {reason}")
    _say(f"{config.output}: {len(dataset):,} triplets")
