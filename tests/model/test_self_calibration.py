"""Cameras found from the hand and the object in many frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import roma
import torch
from torch import Tensor

from tests.model.test_bundle import ALIKE, ANCHOR, BLOCK, LANDMARKS, PERMUTATIONS, SIZE, Truth
from vision.errors import DactylError
from vision.geometry.cameras import Cameras, project_torch
from vision.solvers.bundle import solve_bundle
from vision.solvers.given import CameraPrior, PointObservations, Subject
from vision.solvers.self_calibration import RigSolution, refuse_moved, refuse_unconverged, self_calibrate


class Recording(Truth):
    """Frames that share their cameras: the first's of Table 9, or ones drawn from the normal distributions that the
    solver takes for their prior; the first camera may turn by ``drift_deg`` in all about the vertical."""

    def __init__(self, frames: int, seed: int, drift_deg: float = 0.0, normal: bool = False) -> None:
        super().__init__(frames, seed=seed)
        self.rig, self.nominal = (Cameras(*(tensor[0] for tensor in one[:2])) for one in (self.cameras, self.nominal))
        if normal:
            spread = CameraPrior().precision(self.nominal._replace(height=SIZE)) ** -0.5
            self.rig = displaced(self.nominal, spread * self.noise(3, 7))
        drift = torch.zeros(frames, 3, 7, dtype=torch.float64)
        drift[:, 0, 2] = torch.deg2rad(torch.linspace(-drift_deg / 2, drift_deg / 2, frames, dtype=torch.float64))
        self.cameras = displaced(Cameras(*(tensor.expand(frames, *tensor.shape) for tensor in self.rig[:2])), drift)

    def calibrate(
        self,
        corners: PointObservations,
        landmarks: PointObservations,
        permutations: Tensor | None = None,
        **options: Any,
    ) -> RigSolution:
        subject = Subject(BLOCK, LANDMARKS, ANCHOR, permutations)
        return self_calibrate(subject, corners, landmarks, self.nominal._replace(height=SIZE), **options)


def displaced(cameras: Cameras, numbers: Tensor) -> Cameras:
    """Cameras (..., C) after turns, shifts and logarithms of the zoom (..., C, 7)."""
    intrinsics, extrinsics = (tensor.clone() for tensor in cameras[:2])
    rotation = extrinsics[..., :3, :3] @ roma.rotvec_to_rotmat(numbers[..., :3]).mT
    centre = -(extrinsics[..., :3, :3].mT @ extrinsics[..., :3, 3:]) + numbers[..., 3:6, None]
    extrinsics[..., :3, :] = torch.cat([rotation, -rotation @ centre], dim=-1)
    intrinsics[..., :2, :2] *= numbers[..., 6, None, None].exp()
    return Cameras(intrinsics, extrinsics)


def numbers(cameras: Cameras, nominal: Cameras) -> Tensor:
    """Turn, shift and logarithm of the zoom (C, 7) of cameras against nominal ones."""
    turn, usual = cameras.extrinsics[:, :3, :3], nominal.extrinsics[:, :3, :3]
    centre = -(turn.mT @ cameras.extrinsics[:, :3, 3:]) + usual.mT @ nominal.extrinsics[:, :3, 3:]
    zoom = (cameras.intrinsics[:, :1, 0] / nominal.intrinsics[:, :1, 0]).log()
    return torch.cat([roma.rotmat_to_rotvec(turn.mT @ usual), centre.squeeze(-1), zoom], dim=1)


def test_perfect_pixels_give_the_cameras() -> None:
    """Of a rig that stands where its priors have it to a hair, as pixels alone leave a rig's shift open."""
    truth = Recording(40, seed=1)
    found = truth.calibrate(*truth.sights(0.0, 0.0))
    seen = project_torch(
        truth.position[:, None, None], Cameras(*(tensor.expand(40, *tensor.shape) for tensor in found.cameras[:2]))
    )
    there = project_torch(truth.position[:, None, None], truth.cameras)
    assert (seen - there).abs().max() < 0.05
    turn, shift = truth.errors(found.poses)
    assert turn.max() < 0.01
    assert shift.max() < 0.02


def test_a_hundred_triplets_are_worth_more_than_one() -> None:
    truth = Recording(100, seed=2)
    corners, landmarks = truth.sights(1.0, 1.0)
    nominal = Cameras(*(tensor.expand(100, *tensor.shape) for tensor in truth.nominal[:2]), height=SIZE)
    alone = solve_bundle(Subject(BLOCK, LANDMARKS, ANCHOR), corners, landmarks, nominal).object
    turn, shift = truth.errors(truth.calibrate(corners, landmarks).poses)
    assert shift.mean() < 0.8
    assert truth.errors(alone)[1].mean() > 1.6 * shift.mean()
    assert turn.mean() < 1.0


def test_cameras_are_found_from_an_object_that_looks_the_same_after_a_turn() -> None:
    """Each camera reads each frame's block in any of four poses: as good as a block that is read in one, as the same
    frames and the same errors of the pixels show."""
    truth, plain = Recording(40, seed=7), Recording(40, seed=7)
    assert torch.equal(truth.rotation, plain.rotation)
    found = truth.calibrate(*truth.sights_of_look_alikes(1.0), permutations=PERMUTATIONS)
    turn, shift = truth.errors(found.poses, ALIKE)
    usual_turn, usual_shift = plain.errors(plain.calibrate(*plain.sights(1.0, 1.0)).poses)
    assert float(turn.mean()) == pytest.approx(float(usual_turn.mean()), rel=1e-3)
    assert float(shift.mean()) == pytest.approx(float(usual_shift.mean()), rel=1e-3)
    assert found.drifted().tolist() == [False] * 3


@pytest.mark.parametrize("frames", [20, 100])
def test_deviations_are_honest(frames: int) -> None:
    """68 % of all errors within one deviation, to 5 points; landmarks are off by half a pixel in all frames alike,
    and one detection in twenty is wrong."""
    surprise = []
    for seed in range(40):
        truth = Recording(frames, seed=100 + seed, normal=True)
        corners, landmarks = truth.sights(1.0, 1.0)
        offset = 0.5 * truth.noise(3, len(LANDMARKS.points), 2) + 0.5 * truth.noise(3, 1, 2)
        landmarks = landmarks._replace(pixels=landmarks.pixels + offset)
        wrong = truth.uniform(*corners.pixels.shape[:3]) < 0.05
        corners = corners._replace(pixels=corners.pixels + 20 * wrong[..., None] * truth.noise(*corners.pixels.shape))
        found = truth.calibrate(corners, landmarks, landmark_offset=0.5)
        surprise.append((numbers(found.cameras, truth.nominal) - numbers(truth.rig, truth.nominal)) / found.deviation)
    within = (torch.stack(surprise).abs() < 1).double()
    assert abs(float(within.mean()) - 0.68) < 0.05
    assert within.mean(dim=(0, 1)).min() > 0.5


def test_an_object_that_is_seen_too_small_in_all_frames_shortens_no_focal_length() -> None:
    """An unsure network draws its points towards their middle: focal lengths were six stated deviations too short."""
    surprise: dict[bool, list[Tensor]] = {False: [], True: []}
    for seed in range(8):
        truth = Recording(60, seed=300 + seed, normal=True)
        corners, landmarks = truth.sights(3.0, 1.0)
        off = corners.pixels - corners.pixels.mean(dim=2, keepdim=True)
        small = (
            3.5 * (3.0 / torch.linalg.vector_norm(off, dim=-1).mean(dim=(0, 2))).square()
        )  # of the size, each camera
        assert 0.02 < float(small.min()) < float(small.max()) < 0.1
        corners = corners._replace(pixels=corners.pixels - small[:, None, None] * off)
        for shrinks, found in surprise.items():
            rig = truth.calibrate(corners, landmarks, landmark_offset=0.5, shrinks=shrinks)
            error = numbers(rig.cameras, truth.nominal) - numbers(truth.rig, truth.nominal)
            found.append((error / rig.deviation)[:, 6])
    usual = {shrinks: float(torch.stack(found).square().mean().sqrt()) for shrinks, found in surprise.items()}
    assert usual[True] < 1.5, usual
    assert usual[False] > 2.5, usual


def test_distortion_is_found_on_request() -> None:
    truth = Recording(60, seed=3)
    k1 = 0.5
    sights = []
    for seen in truth.sights(0.1, 0.1):
        middle = truth.rig.intrinsics[:, None, :2, 2]
        off = seen.pixels - middle
        radius = (off / truth.rig.intrinsics[:, None, None, 0, 0]).square().sum(dim=-1, keepdim=True)
        sights.append(seen._replace(pixels=middle + off * (1 + k1 * radius)))
    found = truth.calibrate(*sights, distortion=True)
    assert (truth.calibrate(*sights).distortion == 0).all()
    assert found.distortion[1] == pytest.approx(k1, abs=0.15)  # of the widest lens, whose picture shows it


@pytest.mark.parametrize(("drift", "least", "most"), [(0.0, 0, 0), (0.5, 4, 8), (1.0, 8, 8)])
def test_a_tripod_that_gives_way_is_noticed(drift: float, least: int, most: int) -> None:
    """Half a degree is about four deviations of a hundred frames with errors of a pixel: of sixty recordings two thirds
    showed it."""
    found = []
    for seed in range(8):
        truth = Recording(100, seed=seed, drift_deg=drift)
        found.append(truth.calibrate(*truth.sights(1.0, 1.0)))
    first, *others = torch.stack([rig.drifted() for rig in found]).sum(dim=0).tolist()
    assert least <= first <= most
    assert others == [0, 0]
    assert np.mean([rig.drift_deg[0, 2] for rig in found]) == pytest.approx(drift, abs=0.1)


def test_a_recording_that_leaves_a_camera_open_is_refused() -> None:
    truth = Recording(10, seed=5)
    corners, landmarks = truth.sights(1.0, 1.0)
    blind = landmarks.pixels.clone()
    blind[:, 1] = torch.nan
    unseen = corners.pixels.clone()
    unseen[:, 1] = torch.nan
    with pytest.raises(DactylError, match=r"camera 2 open to .*landmarks in 0 of them and the object in 0 of them"):
        truth.calibrate(corners._replace(pixels=unseen), landmarks._replace(pixels=blind))
    with pytest.raises(DactylError, match="camera top open to"):
        truth.calibrate(
            corners._replace(pixels=unseen), landmarks._replace(pixels=blind), names=("left", "top", "right")
        )
    with pytest.raises(DactylError, match="no triplets"):
        truth.calibrate(
            PointObservations(corners.pixels[:0], corners.scale[:0]),
            PointObservations(landmarks.pixels[:0], landmarks.scale[:0]),
        )


@pytest.mark.parametrize("frames", [3, 60])
def test_frames_whose_cameras_were_displaced_one_by_one_are_refused(frames: int) -> None:
    """Each camera by Table 9 in each frame: what fits all is their mean, whose deviation is small and which fits none.
    Of cameras that stayed, however many detections are wrong, frames contradict each other as much as they promise."""
    apart, truth = Truth(frames, seed=11), Recording(frames, seed=11)
    corners, landmarks = apart.sights(1.0, 1.0)
    with pytest.raises(DactylError, match=rf"{frames} triplets contradict .* about .* camera \d, [3-9]\.\d times"):
        refuse_moved(truth.calibrate(corners, landmarks), None)
    corners, landmarks = truth.sights(1.0, 1.0)
    wrong = truth.uniform(*corners.pixels.shape[:3]) < 0.05
    corners = corners._replace(pixels=corners.pixels + 20 * wrong[..., None] * truth.noise(*corners.pixels.shape))
    assert 0.1 < truth.calibrate(corners, landmarks).contradiction.max() < 1.5


def test_a_search_that_is_cut_short_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = Recording(20, seed=14)
    observed = truth.sights(0.3, 0.3)
    whole = truth.calibrate(*observed)
    assert whole.converged
    refuse_unconverged(whole)
    monkeypatch.setattr("vision.solvers.self_calibration._ITERATIONS", 1)
    cut = truth.calibrate(*observed)
    assert not cut.converged
    with pytest.raises(DactylError, match="still moved after 1 steps of the search, with 20 triplets; record more"):
        refuse_unconverged(cut)


def test_any_number_of_frames_will_do() -> None:
    """Fewer than cameras, too."""
    for frames in (1, 2):
        truth = Recording(frames, seed=12)
        shift = truth.errors(truth.calibrate(*truth.sights(0.3, 0.3)).poses)[1]
        assert shift.max() < 5


def test_nothing_is_nan() -> None:
    truth = Recording(3, seed=6)
    corners, landmarks = truth.sights(1.0, 1.0)
    corners.pixels[0] = torch.nan
    landmarks.pixels[1] = 1e9
    found = truth.calibrate(corners, landmarks)
    for tensor in (*found.cameras[:2], found.covariance, found.poses.covariance, found.drift_deg):
        assert np.isfinite(tensor.numpy()).all()
