import numpy as np
import pytest
import roma
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from tests.rotations import random_rotations
from tests.scenes import rig, scene
from vision.geometry.cameras import project
from vision.geometry.poses import Pose
from vision.geometry.rotations import cube_rotations, geodesic_distance
from vision.solvers.bundle import refine, solve_pose
from vision.solvers.camera_errors import pose_covariance_of_cameras
from vision.solvers.given import PointObservations, WeightedPixels
from vision.solvers.lines import line_through, mirrored
from vision.solvers.triangulate import CAUCHY_SCALE, Cameras, PoseSolution, triangulate

ANCHOR = torch.tensor([1.02, 0.87, 0.145], dtype=torch.float64)
MATRICES, TRANSFORMS = rig(200).nominal.intrinsics, rig().nominal.extrinsics
BLOCK = torch.tensor(scene("block").object.keypoints)

turns = st.integers(0, 2**31).map(lambda seed: Rotation.random(random_state=seed).as_matrix())
shifts = st.tuples(*[st.floats(-0.06, 0.06)] * 3).map(np.array)


def cameras(chosen: tuple[int, ...] = (0, 1, 2), batch: int = 1) -> Cameras:
    index = list(chosen)
    tensors = (torch.tensor(array[index]).expand(batch, -1, -1, -1) for array in (MATRICES, TRANSFORMS))
    return Cameras(*tensors)


def pixels(
    points: np.ndarray, rotation: np.ndarray, position: np.ndarray, chosen: tuple[int, ...] = (0, 1, 2)
) -> Tensor:
    index = list(chosen)
    return torch.from_numpy(project(points @ rotation.T + position, Cameras(MATRICES[index], TRANSFORMS[index])))[None]


def scales(seen: Tensor, value: float = 1.0) -> Tensor:
    return torch.full(seen.shape[:-1], value, dtype=torch.float64)


def observed(seen: Tensor, scale: float = 1.0) -> PointObservations:
    return PointObservations(seen, scales(seen, scale))


@given(
    turn=turns,
    shift=shifts,
    name=st.sampled_from(["block", "prism"]),
    chosen=st.sampled_from([(0, 1, 2), (0, 2), (1,)]),
)
def test_perfect_pixels_give_the_exact_pose(turn: np.ndarray, shift: np.ndarray, name: str, chosen: tuple) -> None:
    points, position = scene(name).object.keypoints, ANCHOR.numpy() + shift
    seen = pixels(points, turn, position, chosen)
    found = solve_pose(torch.tensor(points), observed(seen), cameras(chosen), ANCHOR)
    assert np.rad2deg(geodesic_distance(found.pose.rotation[0].numpy(), turn)) < 1e-3
    # One camera knows depth only from perspective.
    assert np.linalg.norm(found.pose.position[0].numpy() - position) < (1e-6 if len(chosen) > 1 else 1e-4)


@given(turn=turns, shift=shifts)
def test_triangulated_points_lie_where_their_rays_meet(turn: np.ndarray, shift: np.ndarray) -> None:
    world = BLOCK.numpy() @ turn.T + ANCHOR.numpy() + shift
    seen = pixels(BLOCK.numpy(), turn, ANCHOR.numpy() + shift)
    points, trust = triangulate(WeightedPixels(seen, scales(seen)), cameras(), ANCHOR)
    # Off by what the anchor, a metre wide against a pixel's millimetre and a half, can pull.
    np.testing.assert_allclose(points[0].numpy(), world, atol=1e-6)
    assert (trust > 0).all()


@settings(max_examples=20)
@given(turn=turns, shift=shifts, seed=st.integers(0, 1000))
def test_refinement_agrees_with_scipy(turn: np.ndarray, shift: np.ndarray, seed: int) -> None:
    generator = np.random.default_rng(seed)
    seen = pixels(BLOCK.numpy(), turn, ANCHOR.numpy() + shift)
    seen = seen + torch.from_numpy(generator.normal(0, 1.0, seen.shape))
    scale = torch.from_numpy(generator.uniform(0.5, 3.0, seen.shape[:-1]))

    def residuals(step: np.ndarray) -> np.ndarray:
        world = (
            BLOCK.numpy() @ (Rotation.from_rotvec(step[:3]).as_matrix() @ turn).T + ANCHOR.numpy() + shift + step[3:]
        )
        off = (project(world, Cameras(MATRICES, TRANSFORMS)) - seen[0].numpy()) / scale[0].numpy()[..., None]
        return np.linalg.norm(off, axis=-1).ravel()

    best = scipy.optimize.least_squares(
        residuals,
        np.zeros(6),
        loss="cauchy",
        f_scale=CAUCHY_SCALE,
        x_scale=[1, 1, 1, 0.02, 0.02, 0.02],
        xtol=1e-12,
        ftol=1e-12,
    )
    expected = Rotation.from_rotvec(best.x[:3]).as_matrix() @ turn
    pose = Pose(torch.from_numpy(turn)[None], (ANCHOR + torch.from_numpy(shift))[None])
    for _ in range(5):  # each time from where it ended, so that it comes nearer than a pose needs
        found = refine(BLOCK, WeightedPixels(seen, 1 / scale**2), cameras(), pose, iterations=30)
        pose = found.pose
    assert np.rad2deg(geodesic_distance(found.pose.rotation[0].numpy(), expected)) < 0.01
    np.testing.assert_allclose(found.pose.position[0].numpy(), ANCHOR.numpy() + shift + best.x[3:], atol=1e-5)


def test_a_camera_that_mistakes_the_face_is_outvoted() -> None:
    """Every wrong orientation of the cube, in every camera; from all cameras alone, one start in 25 goes astray."""
    turn = Rotation.random(random_state=0).as_matrix()
    mistakes = cube_rotations()[1:]
    seen = pixels(BLOCK.numpy(), turn, ANCHOR.numpy()).repeat(3 * len(mistakes), 1, 1, 1)
    for number, mistake in enumerate(mistakes):
        wrong = pixels(BLOCK.numpy() @ mistake.T, turn, ANCHOR.numpy())[0]
        for camera in range(3):
            seen[3 * number + camera, camera] = wrong[camera]
    found = solve_pose(BLOCK, observed(seen), cameras(batch=len(seen)), ANCHOR)
    assert np.rad2deg(geodesic_distance(found.pose.rotation.numpy(), turn)).max() < 3.0


def position_deviation(found: PoseSolution) -> Tensor:
    """(B,) metres, standard deviation along each axis (root mean square over the axes)."""
    return found.covariance[:, 3:, 3:].diagonal(dim1=-2, dim2=-1).mean(dim=-1).sqrt()


def test_the_predicted_deviation_is_the_real_one() -> None:
    count, noise = 400, 1.5
    generator = torch.Generator().manual_seed(0)
    turn = random_rotations(count, generator, torch.float64)
    seen = torch.cat([pixels(BLOCK.numpy(), one.numpy(), ANCHOR.numpy()) for one in turn])
    seen = seen + noise * torch.randn(seen.shape, generator=generator, dtype=torch.float64)
    found = solve_pose(BLOCK, observed(seen, noise), cameras(batch=count), ANCHOR)
    angle = roma.rotmat_geodesic_distance(found.pose.rotation, turn)
    shift = torch.linalg.vector_norm(found.pose.position - ANCHOR, dim=-1)
    # Of three axes together; the robust weights and the residuals' chance excess make the promise a little larger.
    for error, promised in ((angle, found.rotation_deviation), (shift, position_deviation(found))):
        real = (error.square().mean() / 3).sqrt() / promised.mean()
        assert 0.6 < real < 1.1


def test_errors_of_found_cameras_move_the_pose_as_promised() -> None:
    """Images of cameras that are a little elsewhere, solved as if they were where they were found."""
    count, rng = 2000, np.random.default_rng(0)
    turn = Rotation.random(random_state=1).as_matrix()
    mix = rng.normal(size=(21, 21)) * np.tile([2e-3] * 3 + [5e-4] * 3 + [2e-3], 3)[:, None]  # errors that go together
    errors = (rng.normal(size=(count, 21)) @ mix.T / np.sqrt(21)).reshape(count, 3, 7)
    truths = []
    for each in errors:
        matrices, transforms = MATRICES.copy(), TRANSFORMS.copy()
        matrices[:, :2, :2] *= np.exp(each[:, 6])[:, None, None]
        for camera, (rotvec, shift) in enumerate(zip(each[:, :3], each[:, 3:6], strict=True)):
            centre = shift - TRANSFORMS[camera, :3, :3].T @ TRANSFORMS[camera, :3, 3]
            transforms[camera, :3, :3] = TRANSFORMS[camera, :3, :3] @ Rotation.from_rotvec(rotvec).as_matrix().T
            transforms[camera, :3, 3] = -transforms[camera, :3, :3] @ centre
        truths.append(project(BLOCK.numpy() @ turn.T + ANCHOR.numpy(), Cameras(matrices, transforms)))
    seen = torch.tensor(np.array(truths))
    found = solve_pose(BLOCK, observed(seen, 50.0), cameras(batch=count), ANCHOR)  # far from Cauchy's tails
    rotvec = Rotation.from_matrix(found.pose.rotation.numpy() @ turn.T).as_rotvec()
    real = np.cov(np.hstack([rotvec, found.pose.position.numpy() - ANCHOR.numpy()]).T)
    pose, covariance = Pose(torch.tensor(turn)[None], ANCHOR[None]), torch.tensor(mix @ mix.T / 21)
    promised = pose_covariance_of_cameras(BLOCK, scales(seen[:1]), cameras(), pose, covariance)[0].numpy()
    size = np.sqrt(np.diag(promised))
    np.testing.assert_allclose(real / np.outer(size, size), promised / np.outer(size, size), atol=0.08)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: torch.full_like(p, torch.nan),
        lambda p: torch.full_like(p, torch.inf),
        lambda p: torch.zeros_like(p),
        lambda p: torch.full_like(p, 1e9),
        lambda p: p[:, :, :1].expand_as(p),
        lambda p: p * -1e4,
    ],
)
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30, torch.nan])
def test_no_input_gives_nan(spoil: object, scale: float) -> None:
    seen = spoil(pixels(BLOCK.numpy(), np.eye(3), ANCHOR.numpy()))  # type: ignore[operator]
    found = solve_pose(BLOCK, observed(seen, scale), cameras(), ANCHOR)
    for tensor in (*found.pose, found.covariance):
        assert torch.isfinite(tensor).all()
    torch.testing.assert_close(found.pose.rotation @ found.pose.rotation.mT, torch.eye(3, dtype=torch.float64)[None])


def test_points_that_were_not_seen_do_not_matter() -> None:
    turn = Rotation.random(random_state=3).as_matrix()
    seen = pixels(BLOCK.numpy(), turn, ANCHOR.numpy())
    seen[0, 0, :5] = torch.nan
    seen[0, 2, 3:] = torch.inf
    found = solve_pose(BLOCK, observed(seen), cameras(), ANCHOR)
    assert np.rad2deg(geodesic_distance(found.pose.rotation[0].numpy(), turn)) < 1e-3
    nothing = solve_pose(BLOCK, observed(seen * torch.nan), cameras(), ANCHOR)
    torch.testing.assert_close(nothing.pose.position[0], ANCHOR)
    assert nothing.rotation_deviation.item() > 100


def test_residuals_change_the_promise_by_their_fourth_root() -> None:
    """Pixels that scatter three times as much: the deviation grows with the root of that, as shipped networks' errors
    do."""
    generator = torch.Generator().manual_seed(1)
    turns = random_rotations(200, generator, torch.float64)
    clean = torch.cat([pixels(BLOCK.numpy(), turn.numpy(), ANCHOR.numpy()) for turn in turns])
    noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    little, much = (
        solve_pose(BLOCK, observed(clean + size * noise), cameras(batch=len(clean)), ANCHOR) for size in (0.7, 2.1)
    )
    ratio = much.rotation_deviation / little.rotation_deviation
    assert float(ratio.median()) == pytest.approx(3**0.5, rel=0.1)


def test_a_line_that_one_camera_sees_is_not_left_in_its_mirror_image() -> None:
    """Three points on an axis look nearly the same when it is mirrored in the line of sight: with one start, three of
    ten poses kept the wrong one, though it explains the pixels worse."""
    line = torch.tensor([[0.0, 0.0, -0.04], [0.0, 0.0, 0.0], [0.0, 0.0, 0.04]], dtype=torch.float64)
    generator, count = torch.Generator().manual_seed(3), 300
    turns = random_rotations(count, generator, torch.float64)
    places = ANCHOR + 0.015 * torch.randn(count, 3, generator=generator, dtype=torch.float64)
    poses = zip(turns, places, strict=True)
    seen = torch.cat([pixels(line.numpy(), turn.numpy(), place.numpy()) for turn, place in poses])
    seen = seen + 0.1 * torch.randn(seen.shape, generator=generator, dtype=torch.float64)
    for used, most in ((1, 0.03), (3, 0.0)):
        known = Cameras(*(tensor[:, :used] for tensor in cameras(batch=count)[:2]))
        found = solve_pose(line, observed(seen[:, :used], 0.1), known, ANCHOR)
        off = torch.rad2deg(torch.acos((found.pose.rotation[..., 2] * turns[..., 2]).sum(dim=-1).clamp(-1, 1)))
        assert float((off > 30).double().mean()) <= most


def test_mirroring_a_line_twice_leaves_it() -> None:
    generator = torch.Generator().manual_seed(4)
    turns, seen_by = random_rotations(50, generator, torch.float64), cameras(batch=50)
    axis = line_through(torch.tensor([[0.0, 0.0, 0.0], [0.01, 0.02, -0.02], [0.02, 0.04, -0.04]], dtype=torch.float64))
    assert axis is not None
    weight, place = torch.ones(50, 3, 3, dtype=torch.float64), ANCHOR.expand(50, 3)
    once = mirrored(axis, weight, seen_by, Pose(turns, place))
    twice = mirrored(axis, weight, seen_by, once)
    torch.testing.assert_close(twice.rotation @ axis, turns @ axis)
    extrinsics = seen_by.extrinsics[:, 0]
    depth = torch.nn.functional.normalize(extrinsics[:, :3, :3] @ ANCHOR + extrinsics[:, :3, 3], dim=-1)
    before, after = (
        (extrinsics[:, :3, :3] @ each @ axis) for each in (turns, once.rotation)
    )  # in the first camera's frame
    torch.testing.assert_close((after * depth).sum(-1), -(before * depth).sum(-1))
    assert line_through(BLOCK) is None
