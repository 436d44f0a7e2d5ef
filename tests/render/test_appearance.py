"""Appearance: every row of Table 9 has the range and the distribution that the paper gives."""

from __future__ import annotations

import colorsys
import dataclasses
import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.transform import Rotation

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.appearance.sample import Appearance
from datagen.sim.materials import Material
from tests.scenes import compiled, scene
from vision.distributions import Uniform, UniformInt
from vision.errors import DactylError
from vision.rigs.rig import Camera, Rig

SAMPLES = 1000
SCENE = scene("block")
FACES = SCENE.object.faces
NOMINAL = SCENE.rig.nominal
LIGHT_CENTRE = np.array(SCENE.workspace.light_centre)
MATERIALS = (
    Material("link/palm", "link"),
    Material("link/thdistal", "link"),
    *(material for material in compiled("block").materials if material.part is not None),  # six faces, six letters
    Material("background", "background"),
)
LINKS, BACKGROUND = slice(0, 2), -1
FACE, LETTER = slice(2, 8), slice(8, 14)
# Saturation and value of these faces can move by 0.2 without meeting 0 or 1, where they would be clipped.
UNCLIPPED = [number for number, face in enumerate(FACES) if face.name in ("+y", "+z", "-z")]

# Table 9 of the paper, and of ORRB where the paper gives no range (letters, the lights' distance): (low, high) of a
# uniform distribution. Written out here and not read from the defaults, which are what is tested.
TABLE_9 = {
    "camera_position": (-0.0015, 0.0015),
    "camera_rotation_deg": (0, 3),
    "camera_fovy_deg": (-1, 1),
    "robot_color": (0, 1),
    "robot_metallic": (0.05, 0.25),
    "robot_glossiness": (0, 1),
    "object_hue": (-0.01, 0.01),
    "object_saturation": (-0.15, 0.15),
    "object_value": (-0.15, 0.15),
    "object_metallic": (0.05, 0.15),
    "object_glossiness": (0.05, 0.15),
    "letter_value": (0.5, 1),
    "background_color": (0, 1),
    "background_metallic": (0.05, 0.25),
    "background_glossiness": (0, 1),
    "light_distance": (1, 1.5),
    "light_total_intensity": (0, 15),
}


def draw(config: AppearanceConfig, count: int = SAMPLES, seed: int = 0) -> list[Appearance]:
    return [draw_appearance(config, SCENE, MATERIALS, seed, index) for index in range(count)]


def stack(looks: list[Appearance], name: str) -> NDArray[np.float64]:
    return np.concatenate([getattr(look, name)[None] for look in looks])


def centres(extrinsics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of cameras in the world, (..., 3)."""
    return np.linalg.inv(extrinsics)[..., :3, 3]


def camera_turns(looks: list[Appearance]) -> Rotation:
    """By which cameras are turned in the world, all in a row."""
    drawn = np.linalg.inv(stack(looks, "camera_extrinsics"))[..., :3, :3]
    return Rotation.from_matrix((drawn @ NOMINAL.extrinsics[:, :3, :3]).reshape(-1, 3, 3))


def fovy_deg(intrinsics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between the rays through the middles of the upper and the lower border."""
    upper, lower = intrinsics[..., 1, 2], NOMINAL.height - intrinsics[..., 1, 2]
    return np.rad2deg(np.arctan(upper / intrinsics[..., 1, 1]) + np.arctan(lower / intrinsics[..., 1, 1]))


def measured(looks: list[Appearance]) -> dict[str, NDArray[np.float64]]:
    """What was drawn for each row, recovered from the values that renderers get."""
    rgb, metallic, glossiness = (stack(looks, f"material_{name}") for name in ("rgb", "metallic", "glossiness"))
    hsv = np.array([[colorsys.rgb_to_hsv(*face) for face in sample] for sample in rgb[:, FACE]])
    shift = hsv - [colorsys.rgb_to_hsv(*face.color) for face in FACES]
    intrinsics = stack(looks, "camera_intrinsics")
    lights = np.concatenate([look.light_position for look in looks]) - LIGHT_CENTRE
    return {
        "camera_position": centres(stack(looks, "camera_extrinsics")) - centres(NOMINAL.extrinsics),
        "camera_rotation_deg": np.rad2deg(camera_turns(looks).magnitude()),
        "camera_fovy_deg": fovy_deg(intrinsics) - fovy_deg(NOMINAL.intrinsics),
        "robot_color": rgb[:, LINKS],
        "robot_metallic": metallic[:, LINKS],
        "robot_glossiness": glossiness[:, LINKS],
        "object_hue": (shift[..., 0] + 0.5) % 1 - 0.5,
        "object_saturation": shift[:, UNCLIPPED, 1],
        "object_value": shift[:, UNCLIPPED, 2],
        "object_metallic": np.concatenate([metallic[:, FACE], metallic[:, LETTER]]),
        "object_glossiness": np.concatenate([glossiness[:, FACE], glossiness[:, LETTER]]),
        "letter_value": rgb[:, LETTER, 0],
        "background_color": rgb[:, BACKGROUND],
        "background_metallic": metallic[:, BACKGROUND],
        "background_glossiness": glossiness[:, BACKGROUND],
        "light_distance": np.linalg.norm(lights, axis=1),
        "light_total_intensity": np.array([look.light_intensity.sum() for look in looks]),
    }


def is_uniform(values: NDArray[np.float64], low: float, high: float) -> bool:
    """Within the range, and not to be told from uniform: a range wrong by a tenth fails with a thousand values."""
    values = values.ravel()
    slack = 1e-6 * (high - low)
    inside = values.min() >= low - slack and values.max() <= high + slack
    return bool(inside and stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-4)


def scaled(variation: Uniform, factor: float) -> Uniform:
    """A range about the same middle."""
    middle, half = (variation.low + variation.high) / 2, factor * (variation.high - variation.low) / 2
    return Uniform(middle - half, middle + half)


@pytest.fixture(scope="module")
def looks() -> list[Appearance]:
    return draw(AppearanceConfig())


@pytest.fixture(scope="module")
def rows(looks: list[Appearance]) -> dict[str, NDArray[np.float64]]:
    return measured(looks)


@pytest.fixture(scope="module")
def narrow_rows() -> dict[str, NDArray[np.float64]]:
    config = AppearanceConfig()
    changes = {name: scaled(getattr(config, name), 0.85) for name in TABLE_9}
    return measured(draw(dataclasses.replace(config, **changes)))


@pytest.mark.parametrize("row", TABLE_9)
def test_table_9(row: str, rows: dict[str, NDArray[np.float64]]) -> None:
    assert is_uniform(rows[row], *TABLE_9[row])


@pytest.mark.parametrize("row", TABLE_9)
def test_the_test_of_table_9_sees_a_wrong_range(row: str, narrow_rows: dict[str, NDArray[np.float64]]) -> None:
    assert not is_uniform(narrow_rows[row], *TABLE_9[row])


def test_letters_are_grey(looks: list[Appearance]) -> None:
    letters = stack(looks, "material_rgb")[:, LETTER]
    assert (letters == letters[..., :1]).all()


def test_lights_are_four_to_six(looks: list[Appearance]) -> None:
    counts = np.bincount([len(look.light_intensity) for look in looks], minlength=7)
    assert counts[:4].sum() == 0
    assert stats.chisquare(counts[4:7]).pvalue > 1e-4


def test_lights_are_uniform_on_the_upper_half_sphere(looks: list[Appearance]) -> None:
    direction = np.concatenate([look.light_position for look in looks]) - LIGHT_CENTRE
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    assert is_uniform(direction[:, 2], 0, 1)  # Archimedes: height is uniform on a sphere
    assert is_uniform(np.arctan2(direction[:, 1], direction[:, 0]), -np.pi, np.pi)


def share_ratios(looks: list[Appearance]) -> NDArray[np.float64]:
    """Of the first and second light, and of the third and fourth: independent draws of u / v."""
    return np.array([look.light_intensity[i] / look.light_intensity[i + 1] for look in looks for i in (0, 2)])


def test_total_is_shared_out_by_relative_intensities_of_one_to_five(looks: list[Appearance]) -> None:
    rng = np.random.default_rng(0)
    expected = rng.uniform(1, 5, 20_000) / rng.uniform(1, 5, 20_000)
    ratios = share_ratios(looks)
    assert ratios.max() <= 5
    assert ratios.min() >= 1 / 5
    assert stats.ks_2samp(ratios, expected).pvalue > 1e-4
    wrong = share_ratios(draw(AppearanceConfig(light_relative_intensity=Uniform(1.0, 3.5))))
    assert stats.ks_2samp(wrong, expected).pvalue < 1e-4


def test_camera_axes_are_uniform_on_the_sphere(looks: list[Appearance]) -> None:
    vectors = camera_turns(looks).as_rotvec()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for axis in range(3):
        assert is_uniform(vectors[:, axis], -1, 1)


def test_zoom_keeps_the_principal_point_and_the_pixels_shape() -> None:
    """Of a camera whose own is off the middle, with pixels that are not square."""
    K = np.array([[310.0, 0, 71.5], [0, 275.0, 104.25], [0, 0, 1]])
    camera = Camera(name="one", width=160, height=120, intrinsics=K, extrinsics=NOMINAL.extrinsics[0])
    other = SCENE.with_rig(Rig(cameras=(camera,)))
    drawn = np.array([draw_appearance(AppearanceConfig(), other, MATERIALS, 0, i).camera_intrinsics for i in range(50)])
    assert drawn.shape == (50, 1, 3, 3)
    np.testing.assert_allclose(drawn[..., :2, 2], np.tile([71.5, 104.25], (50, 1, 1)))
    np.testing.assert_allclose(drawn[..., 0, 0] / drawn[..., 1, 1], 310 / 275)
    zoom = np.rad2deg(2 * np.arctan(60 / drawn[..., 1, 1]) - 2 * np.arctan(60 / 275))
    assert -1 <= zoom.min() < -0.7
    assert 0.7 < zoom.max() <= 1


def test_a_sample_depends_on_seed_and_index_alone() -> None:
    config = AppearanceConfig()
    alone = draw_appearance(config, SCENE, MATERIALS, 3, 17)
    draw(config, 5)
    again = draw_appearance(config, SCENE, MATERIALS, 3, 17)
    assert alone.to_json() == again.to_json()
    for other in ((4, 17), (3, 18)):
        different = draw_appearance(config, SCENE, MATERIALS, *other).to_json()
        assert all(different[name] != values for name, values in alone.to_json().items())


def test_parameters_do_not_disturb_each_other() -> None:
    """Another range for one row, another material in the scene: every other value stays as it was."""
    plain = draw_appearance(AppearanceConfig(), SCENE, MATERIALS, 0, 0).to_json()
    lights = draw_appearance(AppearanceConfig(lights=UniformInt(2, 2)), SCENE, MATERIALS, 0, 0).to_json()
    assert {name for name in plain if plain[name] != lights[name]} == {"light_position", "light_intensity"}
    fewer = draw_appearance(AppearanceConfig(), SCENE, MATERIALS[1:], 0, 0).to_json()
    for name, values in plain.items():
        assert fewer[name] == (values[1:] if name.startswith("material") else values)


def test_json_keeps_every_bit(looks: list[Appearance]) -> None:
    values = json.loads(json.dumps(looks[0].to_json()))
    assert Appearance.from_json(values, "sample 0").to_json() == looks[0].to_json()
    del values["light_position"]
    with pytest.raises(DactylError, match=r"sample 0: not an appearance .*light_position"):
        Appearance.from_json(values, "sample 0")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"robot_metallic": Uniform(-0.1, 0.2)}, "robot_metallic"),
        ({"letter_value": Uniform(0.5, 1.5)}, "letter_value"),
        ({"lights": UniformInt(4, 7)}, "lights"),
        ({"light_distance": Uniform(0.0, 1.0)}, "light_distance"),
        ({"light_total_intensity": Uniform(-1.0, 1.0)}, "light_total_intensity"),
    ],
)
def test_impossible_ranges_are_refused(change: dict[str, Uniform], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        AppearanceConfig(**change)
