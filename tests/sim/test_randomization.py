"""Every randomization has the distribution that its table gives, reaches the simulation, and can be switched off."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial

import msgspec
import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch
from scipy import stats
from scipy.spatial.transform import Rotation

from datagen.sim.actuation import ActionDelay, ActionNoise, Actuation, Backlash
from datagen.sim.environment import Environment
from datagen.sim.geom_meshes import mesh_triangles
from datagen.sim.interface import Observation
from datagen.sim.objects import OBJECT_SIZES
from datagen.sim.physics import Physics, PhysicsRandomization
from datagen.sim.randomization import EVERYTHING, NOTHING, RandomForce, Randomization, SimRandomizer, StepTiming
from datagen.sim.scene import SimScene, compile_scene
from datagen.sim.sensing import MarkerLoss, MarkerOcclusion, MarkerPlacement, ObservationNoise, Sensing
from datagen.sim.streams import Stream
from datagen.variation import generator
from tests.scenes import scene
from vision.distributions import LogUniform, Normal, Uniform
from vision.geometry.rotations import quaternion_from_rotation, rotation_from_quaternion
from vision.objects.pose_object import Piece

MANY = 300
WORLDS = np.arange(MANY)
BLOCK = compile_scene(scene("block"))
ALPHA = 1e-4  # of the tests of distribution; seeds are fixed, so that they pass or fail for good


def episode(world: int) -> Callable[[str], np.random.Generator]:
    return partial(generator, 12, world)


def assert_distributed(values: np.ndarray, distribution: str, *args: float) -> None:
    cdf = getattr(stats, distribution)(*args).cdf  # scipy 1.18 cannot take a normal distribution by name with args
    assert stats.kstest(values.ravel(), cdf).pvalue > ALPHA


@pytest.fixture(scope="module")
def randomized() -> Batch:
    """Table 1 in all worlds of a batch."""
    batch = Batch(BLOCK.model, nsim=MANY, nthread=1)
    physics = Physics(PhysicsRandomization(), BLOCK, batch)
    for world in WORLDS[::-1]:  # the order must not matter
        physics.begin(int(world), episode(7))  # an older episode, to be forgotten
        physics.begin(int(world), episode(int(world)))
    return batch


def factors(batch: Batch, name: str) -> np.ndarray:
    nominal = getattr(BLOCK.model, name)
    assert nominal.any()
    return (batch.expand(name) / np.where(nominal == 0, np.nan, nominal)).reshape(MANY, -1)


def test_object_size(randomized: Batch) -> None:
    geom = BLOCK.object_geoms[0]
    size = randomized.expand("geom_size")[:, geom] / BLOCK.model.geom_size[geom]
    np.testing.assert_allclose(size, size[:, :1] * np.ones(3))  # a cube stays a cube
    assert_distributed(size[:, 0], "uniform", 0.95, 0.1)
    others = np.delete(np.arange(BLOCK.model.ngeom), geom)
    np.testing.assert_array_equal(randomized.expand("geom_size")[0, others], BLOCK.model.geom_size[others])
    half_diagonal = np.linalg.norm(randomized.expand("geom_size")[:, geom], axis=1)
    np.testing.assert_allclose(randomized.expand("geom_rbound")[:, geom], half_diagonal)


def test_masses_and_inertias(randomized: Batch) -> None:
    mass = factors(randomized, "body_mass")
    mass = mass[:, ~np.isnan(mass[0])]
    assert_distributed(mass, "uniform", 0.5, 1.0)
    assert abs(np.corrcoef(mass[:, 0], mass[:, -1])[0, 1]) < 0.25  # independent
    body = BLOCK.model.body("object").id
    inertia = randomized.expand("body_inertia")[:, body] / BLOCK.model.body_inertia[body]
    size = randomized.expand("geom_size")[:, BLOCK.object_geoms[0], 0] / 0.0285
    np.testing.assert_allclose(inertia[:, 0], factors(randomized, "body_mass")[:, body] * size**2)


def test_friction(randomized: Batch) -> None:
    friction = factors(randomized, "geom_friction")
    np.testing.assert_allclose(friction, friction[:, :1] * np.ones(friction.shape[1]))
    assert_distributed(friction[:, 0], "uniform", 0.7, 0.6)
    pairs = factors(randomized, "pair_friction")
    np.testing.assert_allclose(pairs, friction[:, :1] * np.ones(pairs.shape[1]))


def test_damping_gain_and_gravity(randomized: Batch) -> None:
    damping = factors(randomized, "dof_damping")[:, BLOCK.hand_dof]
    assert_distributed(np.log(damping), "uniform", np.log(0.3), np.log(10))
    gain = factors(randomized, "actuator_gainprm").reshape(MANY, 20, -1)[:, :, 0]
    assert_distributed(np.log(gain), "uniform", np.log(0.75), np.log(2))
    bias = factors(randomized, "actuator_biasprm").reshape(MANY, 20, -1)[:, :, 1]
    np.testing.assert_allclose(bias, gain)  # gain times (target - angle), still
    assert_distributed(randomized.expand("opt.gravity") - BLOCK.model.opt.gravity, "norm", 0, 0.4)


def test_joint_limits(randomized: Batch) -> None:
    hand = BLOCK.model.dof_jntid[BLOCK.hand_dof]
    limits, nominal = randomized.expand("jnt_range")[:, hand], BLOCK.model.jnt_range[hand]
    assert (limits[..., 1] > limits[..., 0]).all()
    wide = nominal[:, 1] - nominal[:, 0] > 1.2  # never narrowed to the least range
    assert wide.sum() > 8
    assert_distributed((limits - nominal)[:, wide], "norm", 0, 0.15)


def test_derived_constants_follow(randomized: Batch) -> None:
    assert np.ptp(randomized.expand("body_subtreemass")[:, 0]) > 0


def test_a_prism_takes_the_mesh_of_its_size() -> None:
    prism = compile_scene(scene("prism"), object_sizes=True)
    batch = Batch(prism.model, nsim=40, nthread=1)
    physics = Physics(PhysicsRandomization(), prism, batch)
    for world in range(40):
        physics.begin(world, episode(world))
    geom = prism.object_geoms[0]
    assert len(set(batch.expand("geom_dataid")[:, geom])) > 10
    for world in range(40):
        mesh = prism.model.mesh(int(batch.expand("geom_dataid")[world, geom]))
        vertices = prism.model.mesh_vert[mesh.vertadr[0] : mesh.vertadr[0] + mesh.vertnum[0]]
        radius = np.linalg.norm(vertices, axis=1).max()
        factor = radius / np.linalg.norm(prism.object.keypoints, axis=1).max()
        assert np.abs(np.array(OBJECT_SIZES) - factor).min() < 1e-6
        np.testing.assert_allclose(batch.expand("geom_rbound")[world, geom], prism.model.geom_rbound[geom] * factor)


CORNERS = np.array([(x, y, z) for x in (0.0, 1.0) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]) * 0.04
BOX = Piece(kind="box", size=np.array([0.02, 0.01, 0.01]))


def built_of(pieces: tuple[Piece, ...]) -> SimScene:
    block = scene("block")
    whole = msgspec.structs.replace(block, object=msgspec.structs.replace(block.object, pieces=pieces))
    return compile_scene(whole, object_sizes=True)


@pytest.mark.parametrize("shape", ["one hull beside the origin", "two hulls", "box and hull", "hull and box"])
def test_whatever_an_object_is_made_of_grows_as_a_whole(shape: str) -> None:
    """Five per cent more in a world is the object that is five per cent larger, compiled."""

    def pieces(size: float) -> tuple[Piece, ...]:
        left, right = (Piece(kind="hull", vertices=size * CORNERS * (length, 1, 1)) for length in (-1.0, 2.0))
        box = Piece(kind="box", size=size * BOX.size)
        return {
            "one hull beside the origin": (right,),
            "two hulls": (left, right),
            "box and hull": (box, right),
            "hull and box": (left, box),
        }[shape]

    nominal, expected = built_of(pieces(1.0)), built_of(pieces(1.05))
    batch = Batch(nominal.model, nsim=2, nthread=1)
    only_size = PhysicsRandomization(Uniform(1.05, 1.05), None, None, None, None, None, None)
    Physics(only_size, nominal, batch).begin(1, episode(0))
    body, geoms = nominal.model.body("object").id, nominal.object_geoms
    for name in ("geom_size", "geom_pos", "geom_rbound", "geom_aabb"):
        there = batch.expand(name)[1, geoms]
        np.testing.assert_allclose(there, getattr(expected.model, name)[geoms], atol=1e-8, err_msg=name)
    for name in ("body_ipos", "body_inertia", "body_mass"):
        there = batch.expand(name)[1, body]
        np.testing.assert_allclose(there, getattr(expected.model, name)[body], rtol=1e-6, atol=1e-9, err_msg=name)
    for geom, mesh in zip(geoms, batch.expand("geom_dataid")[1, geoms], strict=True):
        assert (mesh >= 0) == (nominal.model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH)
        if mesh >= 0:
            ours, theirs = nominal.model.mesh(int(mesh)), expected.model.mesh(int(expected.model.geom_dataid[geom]))
            one, other = (
                model.mesh_vert[mesh.vertadr[0] :][: mesh.vertnum[0]]
                for model, mesh in ((nominal.model, ours), (expected.model, theirs))
            )
            np.testing.assert_allclose(one, other, atol=1e-8)


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_regular_piece_stays_as_it_lies_when_it_grows(pieces: int) -> None:
    """Found: MuJoCo turns meshes to principal axes, of which a cube has any, so that its sizes lay in other ways."""
    turn = Rotation.from_rotvec([0.3, 0.8, -0.5]).as_matrix()
    cube = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) @ turn.T
    cube += np.random.default_rng(2).normal(0, 1e-6, cube.shape)  # as decompositions and files round
    places = [(0.0, 0.0, 0.0), (0.05, 0.0, 0.0)][:pieces]
    hulls = tuple(Piece(kind="hull", vertices=0.02 * cube + place) for place in places)
    built = built_of(hulls)
    model, geoms = built.model, built.object_geoms
    sizes = [model.mesh(f"object/{index}").id for index in range(len(OBJECT_SIZES))]
    assert (np.abs(model.mesh_quat[sizes] @ model.mesh_quat[model.geom_dataid[geoms[0]]]) < 0.99).any()
    worlds = len(OBJECT_SIZES)
    batch = Batch(model, nsim=worlds, nthread=1)
    places_of, turns = batch.bind("geom_xpos"), batch.bind("geom_xmat")
    only_size = [PhysicsRandomization(Uniform(size, size), None, None, None, None, None, None) for size in OBJECT_SIZES]
    physics = Physics(only_size[0], built, batch)
    for world, config in enumerate(only_size):
        physics.config = config
        physics.begin(world, episode(0))
    batch.qpos[:, built.object_qpos : built.object_qpos + 7] = (0, 0, 0, 1, 0, 0, 0)
    batch.forward(np.arange(worlds))
    for world, size in enumerate(OBJECT_SIZES):
        for geom, hull in zip(geoms, hulls, strict=True):
            vertices = mesh_triangles(model, int(batch.expand("geom_dataid")[world, geom])).vertices
            there = vertices @ turns[world, geom].reshape(3, 3).T + places_of[world, geom]
            assert hull.vertices is not None
            off = np.linalg.norm(there[:, None] - size * hull.vertices, axis=-1).min(axis=1)
            assert off.max() < 1e-6
            low, high = (batch.expand("geom_aabb")[world, geom].reshape(2, 3).T @ sign for sign in ((1, -1), (1, 1)))
            assert (vertices >= low - 1e-7).all()
            assert (vertices <= high + 1e-7).all()


def actuation(
    noise: ActionNoise | None = None, delay: ActionDelay | None = None, backlash: Backlash | None = None
) -> Actuation:
    config = replace(NOTHING, action_noise=noise, action_delay=delay, backlash=backlash)
    effect = Actuation(config, BLOCK, MANY)
    for world in WORLDS:
        effect.begin(int(world), episode(int(world)))
    return effect


def test_action_noise() -> None:
    effect = actuation(ActionNoise())
    seconds = np.full(MANY, 0.08)
    still = np.array([effect(np.zeros((MANY, 20)), WORLDS, seconds) for _ in range(80)])
    offset = still.mean(axis=0)
    assert_distributed(still - offset, "norm", 0, 0.1 * np.sqrt(79 / 80))  # 5 % of the range from -1 to 1
    assert np.std(offset) == pytest.approx(np.hypot(0.03, 0.1 / np.sqrt(80)), rel=0.03)  # 1.5 %, for the episode
    pure = actuation(ActionNoise(additive=0, offset=0))
    factor = pure(np.full((MANY, 20), 0.5), WORLDS, seconds) / 0.5
    assert_distributed(factor, "norm", 1, 0.015)


def test_action_delay() -> None:
    effect = actuation(delay=ActionDelay())
    done = [effect(np.full((MANY, 20), value), WORLDS, np.full(MANY, 0.08)) for value in (0.1, 0.2, 0.3)]
    late = done[0] == 0
    assert stats.binomtest(int(late.sum()), late.size, 0.5).pvalue > ALPHA
    np.testing.assert_array_equal(done[1], np.where(late, 0.1, 0.2))  # the same actuators all episode
    np.testing.assert_array_equal(done[2], np.where(late, 0.2, 0.3))


def test_backlash_takes_up_slack_after_a_reversal() -> None:
    effect = actuation(backlash=Backlash(spread=0))
    actuator = list(BLOCK.controls.follows.argmax(axis=1)).index(BLOCK.joint_names.index("MFJ1"))
    half_range = np.ptp(BLOCK.control_range[actuator]) / 2
    seconds = np.full(MANY, 0.08)
    up = [effect(np.full((MANY, 20), 0.5), WORLDS, seconds)[0, actuator] for _ in range(12)]
    rate = np.exp(1.44)  # as calibrated, for the middle finger's bending
    change = 0.5 * half_range * rate * 0.08
    steps = 1 / change  # until the tendon is taut, from the middle of its slack
    for count, value in enumerate(up):
        taut = np.clip(count + 1 - steps, 0, 1)
        assert value == pytest.approx(0.5 * taut, abs=1e-9)
    assert up[0] < 0.25 < up[-1] == 0.5
    down = effect(np.full((MANY, 20), -0.5), WORLDS, seconds)[0, actuator]
    assert down == 0  # the whole slack lies ahead
    stiff = list(BLOCK.controls.follows.argmax(axis=1)).index(BLOCK.joint_names.index("WRJ1"))
    assert effect(np.full((MANY, 20), 0.9), WORLDS, seconds)[0, stiff] > 0.3  # next to no backlash in the wrist


def test_backlash_varies_between_episodes() -> None:
    effect = actuation(backlash=Backlash())
    actuator = list(BLOCK.controls.follows.argmax(axis=1)).index(BLOCK.joint_names.index("FFJ3"))
    assert_distributed(np.log(effect._rate[:, 0, actuator]) / 2.93, "norm", 1, 0.1)
    assert effect._rate.min() >= 2


def truth(worlds: int) -> Observation:
    rng = np.random.default_rng(0)
    orientation, goal = Rotation.random(worlds, rng=rng), Rotation.random(worlds, rng=rng)
    return {
        "fingertip_position": rng.normal(size=(worlds, 5, 3)),
        "object_position": rng.normal(size=(worlds, 3)),
        "relative_goal": quaternion_from_rotation(goal * orientation.inv()),
        "object_quaternion": quaternion_from_rotation(orientation),
        "goal_quaternion": quaternion_from_rotation(goal),
        "joint_position": np.zeros((worlds, 24)),
        "joint_velocity": np.zeros((worlds, 24)),
        "object_linear_velocity": np.zeros((worlds, 3)),
        "object_angular_velocity": np.zeros((worlds, 3)),
    }


def sensing(*effects: object) -> Sensing:
    keys = {
        ObservationNoise: "observation_noise",
        MarkerPlacement: "marker_placement",
        MarkerLoss: "marker_loss",
        MarkerOcclusion: "marker_occlusion",
    }
    config = replace(NOTHING, **{keys[type(effect)]: effect for effect in effects})  # type: ignore[index,arg-type]
    sensors = Sensing(config, MANY, 5, BLOCK.object.symmetries)
    for world in WORLDS:
        sensors.begin(int(world), episode(int(world)))
    return sensors


AXES = Rotation.random(5 * MANY, rng=np.random.default_rng(1)).as_matrix().reshape(MANY, 5, 3, 3)
UNTOUCHED = np.zeros((MANY, 5))


def test_observation_noise() -> None:
    true, sensors = truth(MANY), sensing(ObservationNoise())
    reports = [sensors(true, AXES, UNTOUCHED, WORLDS, 0.08) for _ in range(60)]
    for key, offset, jitter in (("fingertip_position", 0.001, 0.002), ("object_position", 0.005, 0.001)):
        error = np.array([report[key] - true[key] for report in reports])  # type: ignore[literal-required]
        mean = error.mean(axis=0)
        assert_distributed(error - mean, "norm", 0, jitter * np.sqrt(59 / 60))
        assert np.std(mean) == pytest.approx(np.hypot(offset, jitter / np.sqrt(60)), rel=0.06)
    for jitter, offset in ((0.1, 0.0), (0.0, 0.1)):
        sensors = sensing(ObservationNoise(rotation_jitter=jitter, rotation_offset=offset))
        report = sensors(true, AXES, UNTOUCHED, WORLDS, 0.08)
        reported = rotation_from_quaternion(report["object_quaternion"])
        error = reported * rotation_from_quaternion(true["object_quaternion"]).inv()
        assert_distributed(error.magnitude(), "halfnorm", 0, 0.1)
        goal = rotation_from_quaternion(report["relative_goal"]) * reported  # told in terms of what is seen
        assert (goal * rotation_from_quaternion(true["goal_quaternion"]).inv()).magnitude().max() < 1e-6
    for key in ("goal_quaternion", "joint_position"):
        np.testing.assert_array_equal(report[key], true[key])  # type: ignore[literal-required]


def test_misplaced_markers_turn_with_their_finger() -> None:
    true, sensors = truth(MANY), sensing(MarkerPlacement(base=0))
    error = sensors(true, AXES, UNTOUCHED, WORLDS, 0.08)["fingertip_position"] - true["fingertip_position"]
    turned = sensors(true, -AXES, UNTOUCHED, WORLDS, 0.08)["fingertip_position"] - true["fingertip_position"]
    assert_distributed(error, "norm", 0, 0.003)
    np.testing.assert_allclose(turned, -error)
    base = sensing(MarkerPlacement(fingertip=0))(true, AXES, UNTOUCHED, WORLDS, 0.08)["fingertip_position"]
    error = base - true["fingertip_position"]
    np.testing.assert_allclose(error, error[:, :1] * np.ones((5, 1)))
    assert_distributed(error[:, 0], "norm", 0, 0.001)


def test_lost_markers_freeze_for_a_second() -> None:
    sensors, steps = sensing(MarkerLoss()), 40
    reports, true = [], truth(MANY)
    for step in range(steps):
        true["fingertip_position"] = np.full((MANY, 5, 3), float(step))
        reports.append(sensors(true, AXES, UNTOUCHED, WORLDS, 0.08)["fingertip_position"][..., 0])
    frozen = np.array(reports) != np.arange(steps)[:, None, None]
    begins = frozen[1:] & ~frozen[:-1]
    chance = 1 - 0.8**0.08  # a step: one in five a second
    free = int((~frozen[:-1]).sum())
    assert stats.binomtest(int(begins.sum()), free, chance).pvalue > ALPHA
    for before, world, tip in np.argwhere(begins)[:200]:
        run = frozen[before + 1 :, world, tip]
        if before > 0 and not run.all():  # a first reading is never frozen; the last ones may go on
            assert np.argmin(run) % 13 == 0  # 1 s is 12.5 steps; a second loss may follow at once
        assert (np.array(reports)[before + 1 : before + 12, world, tip] == before).all()


def test_hidden_markers_keep_their_last_reading() -> None:
    sensors, true = sensing(MarkerOcclusion()), truth(MANY)
    first = true["fingertip_position"].copy()
    touch = np.zeros((MANY, 5))
    touch[:, 2] = 0.5
    sensors(true, AXES, UNTOUCHED, WORLDS, 0.08)
    true["fingertip_position"] = first + 1
    report = sensors(true, AXES, touch, WORLDS, 0.08)["fingertip_position"]
    np.testing.assert_array_equal(report[:, 2], first[:, 2])
    np.testing.assert_array_equal(np.delete(report, 2, 1), np.delete(first + 1, 2, 1))
    report = sensors(true, AXES, UNTOUCHED, WORLDS, 0.08)["fingertip_position"]
    np.testing.assert_array_equal(report, first + 1)


def effects(*names: str) -> SimRandomizer:
    worked = SimRandomizer(EVERYTHING.only(*names), BLOCK, Batch(BLOCK.model, nsim=MANY, nthread=1))
    for world in WORLDS:
        worked.begin(int(world), episode(int(world)))
    return worked


def test_step_timing() -> None:
    worked = effects("step_timing")
    steps = []
    for _ in range(50):
        worked.act(np.zeros((MANY, 20)), WORLDS)
        steps.append(worked.batch.expand("opt.timestep").copy())
    assert np.min(steps) >= 0.008
    rate = worked._rate
    assert_distributed(rate, "uniform", 1250, 8750)
    assert_distributed((np.array(steps) - 0.008) * rate, "expon")


def test_random_forces() -> None:
    worked = effects("random_force")
    body, mass = BLOCK.model.body("object").id, BLOCK.object.mass
    assert_distributed(np.log(worked._probability), "uniform", np.log(0.001), np.log(100))
    before = np.zeros((MANY, 3))
    pushes, counts = [], np.zeros(MANY)
    for _ in range(100):
        worked.act(np.zeros((MANY, 20)), WORLDS)
        force = worked.batch.xfrc_applied[:, body, :3].copy()
        fresh = ~np.isclose(force, 0.99 * before).all(axis=1)
        counts += fresh
        pushes.append(force[fresh])
        before = force
    assert_distributed(np.concatenate(pushes), "norm", 0, mass)  # 1 m/s^2
    expected = 100 * worked._probability
    assert counts.sum() == pytest.approx(expected.sum(), abs=5 * np.sqrt(expected.sum()))
    assert not worked.batch.xfrc_applied[:, np.arange(BLOCK.model.nbody) != body].any()


def test_streams_do_not_depend_on_the_other_worlds() -> None:
    def rows(worlds: list[int]) -> np.ndarray:
        stream = Stream(4, 2, "normal")
        for world in worlds:
            stream.begin(world, generator(0, world, "x"))
        return np.array([stream.next(np.array(worlds)) for _ in range(130)])

    together, alone = rows([0, 1, 3]), rows([3])
    np.testing.assert_array_equal(together[:, 2], alone[:, 0])
    assert len(np.unique(together)) == together.size  # nothing repeats, across chunks either


def test_nothing_is_the_calibrated_simulation() -> None:
    assert Environment(scene("block"), seed=0, worlds=1).effects is None
    assert all(getattr(NOTHING, field.name) is None for field in fields(NOTHING))


@functools.cache
def end(config: Randomization) -> tuple[np.ndarray, np.ndarray]:
    """Where the same actions lead, and what the fingertips' markers tell on the way."""
    environment = Environment(scene("block"), seed=2, worlds=2, threads=1, randomization=config)
    environment.restore([0, 1], STARTS, [5, 6])
    told = []
    for action in np.random.default_rng(0).uniform(-1, 1, (40, 2, 20)):
        environment.step(action)
        told.append(environment.sense()["fingertip_position"])
    return environment.batch.qpos.copy(), np.array(told)


@pytest.mark.parametrize("name", [field.name for field in fields(EVERYTHING)])
def test_each_effect_changes_the_environment_alone(name: str) -> None:
    (calm, seen), (moved, reported) = end(NOTHING), end(EVERYTHING.only(name))
    sensor = name in ("observation_noise", "marker_placement", "marker_loss", "marker_occlusion")
    assert (calm == moved).all() == sensor
    assert (seen != reported).any() == (name != "marker_occlusion")  # nothing touches a nail here


def test_what_touches_a_nail_hides_its_marker() -> None:
    config = EVERYTHING.only("marker_occlusion")
    environment = Environment(scene("block"), seed=0, worlds=2, threads=1, randomization=config)
    environment.restore([0, 1], STARTS, [0, 1])
    simulated, before = environment.scene, environment.sense()["fingertip_position"]
    data = environment.batch.get_data(0)
    mujoco.mj_forward(simulated.model, data)
    site = data.site("nail/1")
    outwards = data.body("robot0:mfdistal").xmat.reshape(3, 3) @ [0, 1, 0]
    start = simulated.object_qpos
    environment.batch.qpos[0, start : start + 3] = site.xpos + 0.0285 * outwards
    environment.batch.qpos[0, start + 3 : start + 7] = data.body("robot0:mfdistal").xquat
    environment.batch.xfrc_applied[0, simulated.model.body("object").id, :3] = -2 * outwards  # N: pressed on
    environment.step(np.zeros((2, 20)))
    kept = (environment.sense()["fingertip_position"] == before).all(axis=-1)
    # The block also covers the nails beside the middle finger's.
    assert kept.tolist() == [[True, True, True, False, False], [False] * 5]
    assert (environment.observe()["fingertip_position"] != before).all()


STARTS = Environment(scene("block"), seed=2, worlds=2, threads=1).batch.state.copy()


def test_randomized_episodes_are_the_same_in_any_world() -> None:
    def end(worlds: int, ids: list[int]) -> np.ndarray:
        environment = Environment(scene("block"), 4, worlds, threads=2, randomization=EVERYTHING)
        environment.restore(ids, STARTS, [8, 9])
        for action in np.random.default_rng(0).uniform(-1, 1, (10, 20)):
            environment.step(np.tile(action, (worlds, 1)), ids)
        told = environment.sense()
        return np.hstack([environment.batch.qpos, told["fingertip_position"].reshape(worlds, -1)])[ids]

    np.testing.assert_array_equal(end(2, [0, 1]), end(5, [4, 2]))


def test_width_draws_every_range_in() -> None:
    assert EVERYTHING.scaled(1.0) == EVERYTHING
    assert EVERYTHING.only("backlash").scaled(0.5) == replace(NOTHING, backlash=Backlash(0.1, 0.5))
    half = EVERYTHING.scaled(0.5)
    assert half.physics is not None
    assert half.physics.mass == Uniform(0.75, 1.25)
    assert half.physics.joint_damping == LogUniform(0.3**0.5, 3.0**0.5)
    assert half.physics.gravity == Normal(0.0, 0.2)
    assert half.action_delay == ActionDelay(0.25)
    assert half.step_timing == StepTiming(Uniform(2500.0, 20000.0))
    with pytest.raises(ValueError, match="width"):
        EVERYTHING.scaled(1.5)


def test_at_no_width_the_randomized_hand_is_the_calibrated_one() -> None:
    def end(config: Randomization, width: float | None) -> np.ndarray:
        environment = Environment(scene("block"), seed=2, worlds=2, threads=1, randomization=config)
        if width is not None and environment.effects is not None:
            environment.configure(config.scaled(width))
        environment.restore([0, 1], STARTS, [5, 6])
        for action in np.random.default_rng(0).uniform(-1, 1, (15, 2, 20)):
            environment.step(action)
        return environment.sense()["joint_position"]

    calm = end(NOTHING, None)
    np.testing.assert_allclose(end(EVERYTHING, 0.0), calm, atol=1e-3)
    assert np.abs(end(EVERYTHING, 0.2) - calm).max() > 0.02
    worked = effects("action_noise")
    with pytest.raises(ValueError, match="action_noise"):
        worked.configure(EVERYTHING.only("backlash"))


def test_hidden_numbers_say_what_was_drawn() -> None:
    environment = Environment(scene("block"), seed=2, worlds=2, threads=1, randomization=EVERYTHING)
    environment.restore([0, 1], STARTS, [5, 6])
    first = environment.hidden()
    assert np.isfinite(first).all()
    assert np.abs(first).max() < 10  # networks read them as they are
    environment.restore([1], STARTS[:1], [5])
    again = environment.hidden()
    np.testing.assert_array_equal(again[1], again[0])  # the same episode
    np.testing.assert_array_equal(again[0], first[0])
    assert (first[0] != first[1]).mean() > 0.5
    environment.step(np.random.default_rng(0).uniform(-1, 1, (2, 20)))
    assert (environment.hidden() != again).sum(axis=1).min() >= 45  # average, last action, slack of half
    calm = Environment(scene("block"), seed=2, worlds=2, threads=1)
    assert calm.hidden().shape == (2, 20)


@pytest.mark.parametrize("name", [field.name for field in fields(PhysicsRandomization)])
def test_hidden_numbers_hold_every_parameter_of_the_physics(name: str) -> None:
    alone = PhysicsRandomization(
        **{
            field.name: getattr(PhysicsRandomization(), name) if field.name == name else None
            for field in fields(PhysicsRandomization)
        }
    )
    physics = Physics(alone, BLOCK, Batch(BLOCK.model, nsim=2, nthread=1))
    for world in range(2):
        physics.begin(world, episode(world))
    changed = physics.drawn[0] != 0
    counts = {"mass": BLOCK.model.nbody, "joint_damping": 24, "actuator_gain": 20, "joint_limit": 48, "gravity": 3}
    assert changed.sum() == counts.get(name, 1)
    assert (physics.drawn[0] != physics.drawn[1])[changed].all()


@pytest.mark.parametrize(
    "wrong",
    [
        partial(ActionNoise, additive=-0.1),
        partial(ActionDelay, 1.5),
        partial(ObservationNoise, rotation_jitter=float("nan")),
        partial(MarkerLoss, probability=1.0),
        partial(StepTiming, Uniform(0, 1)),
        partial(RandomForce, decay=1.2),
    ],
)
def test_impossible_values_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        wrong()


def test_everything_can_be_randomized_without_a_hand() -> None:
    """Found: a traceback, for want of fingertips and actuators."""
    environment = Environment(scene("trifinger-cube"), 0, 2, 1, EVERYTHING)
    environment.reset([0, 1], [0, 1])
    environment.step(np.zeros((2, 0)))
    off = environment.sense()["object_position"] - environment.observe()["object_position"]
    assert np.abs(off).max() > 0
