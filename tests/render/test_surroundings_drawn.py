"""Surroundings in pictures: seen and lighting from the same side and in the same colour in both renderers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from datagen.appearance.clutter_pieces import ClutterPart, ClutterPiece
from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.appearance.sample import Appearance
from datagen.generate.config import RenderConfig
from datagen.generate.drawable import require_drawable
from datagen.pictures.surroundings import directions, radiance_towards, turned
from datagen.pictures.surroundings_pool import (
    SURROUNDINGS,
    SurroundingsConfig,
    SurroundingsUse,
    draw_use,
)
from datagen.render import create_renderer
from datagen.render.base import RenderOptions, rendered_scene
from datagen.render.environment_map import EVEN_SKY, LEVELS, prefiltered
from datagen.render.world_values import WorldValues
from tests.render.looks import ABOVE_HAND, at, irradiance, plain_look
from tests.scenes import BACKGROUND
from tests.scenes import scene as scene_of
from vision.color import srgb_from_linear
from vision.distributions import LogUniform
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.scene.scene import Scene
from vision.scene.surroundings import Background

NAMES = ("filament", "classic")
OPTIONS = RenderOptions(image_size=120, mesh_fraction=0.05, shadows=False)
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
SKY = 0.146  # linear brightness of a white surface under the even white sky, as the renderers are calibrated
SAME_COLOR = 12  # levels of 255
BALL = ABOVE_HAND + np.array([0.0, 0.1, 0.1])
RADIUS = 0.04


def scene() -> Scene:
    """A hand and a block with nothing under them."""
    return rendered_scene(replace(scene_of(), background=Background(kind="none")), OPTIONS)


def write(path: Path, radiance: FloatArray) -> Path:
    cv2.imwrite(str(path), radiance[..., ::-1].astype(np.float32))
    return path


def use_of(path: Path, turn: float = 0.0, brightness: float = 1.0, bare: bool = False) -> SurroundingsUse:
    source = f"picture:{path}"
    return SurroundingsUse(source, SURROUNDINGS.image(source).name, turn, brightness, bare)


def look_of(materials: tuple[str, ...], use: SurroundingsUse | None, grey: float = 0.6) -> Appearance:
    """No lights but the surroundings', and a matt ball."""
    parts = (ClutterPart("sphere", BALL, UPRIGHT, np.array([RADIUS, 0.0, 0.0])),)
    ball = ClutterPiece("sphere", "beside", parts, np.full(3, grey), 0.0, 0.0)
    plain = plain_look(scene(), materials, 0.0)
    return dataclasses.replace(plain, surroundings=use, clutter=(ball,))


def rays() -> FloatArray:
    """From the cameras through the pixels' centres, world frame, (C, H, W, 3)."""
    rig = scene().rig
    across = np.arange(rig.width) + 0.5
    pixels = np.stack([*np.meshgrid(across, across), np.ones((rig.width, rig.width))], axis=-1)
    K, T = rig.nominal.intrinsics, rig.nominal.extrinsics
    return np.stack([pixels @ np.linalg.inv(k).T @ t[:3, :3] for k, t in zip(K, T, strict=True)])


def ball_normals() -> tuple[FloatArray, NDArray[np.bool_]]:
    """Of the ball's surface at each pixel, (C, H, W, 3), and which pixels show its inner part."""
    towards = rays()
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    origin = np.stack([-t[:3, :3].T @ t[:3, 3] for t in scene().rig.nominal.extrinsics])[:, None, None]
    middle = ((BALL - origin) * towards).sum(axis=-1, keepdims=True)
    nearest = origin + middle * towards - BALL
    missed = (nearest**2).sum(axis=-1, keepdims=True)
    normals = (nearest - np.sqrt(np.maximum(RADIUS**2 - missed, 0)) * towards) / RADIUS
    return normals, (missed < (0.8 * RADIUS) ** 2)[..., 0]


def pictures(name: str, *uses: SurroundingsUse | None, grey: float = 0.6) -> NDArray[np.int64]:
    with create_renderer(name, scene(), OPTIONS) as made:
        return made.render([at(0, UPRIGHT, look_of(made.materials, use, grey)) for use in uses]).astype(int)


@pytest.mark.parametrize("name", NAMES)
def test_the_side_that_faces_the_light_is_lit(name: str, tmp_path: Path) -> None:
    """A bright patch of the map, red, whichever way it is turned: the ball's brightness follows the cosine to it."""
    cases = []
    for number, (towards, turn) in enumerate([((0, 1, 0.3), 0.0), ((0, -1, 0.3), 0.0), ((1, 0.2, 1), 0.25)]):
        to_light = np.array(towards) / np.linalg.norm(towards)
        radiance = np.full((64, 128, 3), 0.05)
        radiance[directions(64) @ to_light > 0.94] = (20, 5, 5)
        cases.append((to_light, use_of(write(tmp_path / f"{number}.hdr", radiance), turn)))
    normals, shown = ball_normals()
    assert shown.sum() > 400
    for (to_light, use), image in zip(cases, pictures(name, *(use for _, use in cases)), strict=True):
        angle = 2 * np.pi * use.turn
        cosine, sine = np.cos(angle), np.sin(angle)
        turned_light = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ to_light
        faces = (normals @ turned_light)[shown]
        red, green = image[shown][:, 0], image[shown][:, 1]
        assert red[faces > 0.6].mean() > 1.5 * red[faces < -0.2].mean()
        assert np.corrcoef(red, np.maximum(faces, 0))[0, 1] > 0.8
        assert red[faces > 0.6].mean() > green[faces > 0.6].mean() + 20


@pytest.mark.parametrize("name", NAMES)
def test_what_is_seen_in_a_direction_is_the_maps_color(name: str, tmp_path: Path) -> None:
    """Everywhere beside hand and block, for a map with another colour in each direction, turned by a sixth."""
    radiance = 1.6 + 1.5 * np.sin(9 * directions(128))
    use = use_of(write(tmp_path / "colors.hdr", radiance), 1 / 6, 0.8)
    (image,) = pictures(name, use)
    (bare,) = pictures(name, None)
    sky = bare.max(axis=-1) < 3  # black where nothing is
    assert sky.sum() > 10_000
    seen = radiance_towards(use.surroundings().radiance, rays())
    expected = 255 * srgb_from_linear(np.clip(SKY * 0.8 * seen, 0, 1))
    apart = np.abs(image - expected)[sky]
    assert np.median(apart) < 3
    assert np.percentile(apart, 98) < SAME_COLOR
    wrong = 255 * srgb_from_linear(np.clip(SKY * 0.8 * seen[:, :, ::-1], 0, 1))
    assert np.abs(image - wrong)[sky].mean() > 3 * apart.mean()  # as in a mirror


def test_a_surface_has_the_same_color_in_both(tmp_path: Path) -> None:
    """The ball under an even coloured sky, and under one that is bright above, as irradiance says; classic knows light
    from all sides and from a few, so there it is darker."""
    tinted = np.broadcast_to(np.array([1.5, 1.0, 0.5]), (64, 128, 3))
    above = 0.4 + 1.6 * np.clip(directions(64)[..., 2:], 0, 1) * np.ones(3)
    uses = [use_of(write(tmp_path / f"{name}.hdr", one), 0.1, 2.0) for name, one in (("a", tinted), ("b", above))]
    shown = {name: pictures(name, *uses) for name in NAMES}
    normals, inner = ball_normals()
    facing_up = inner & (normals[..., 2] > 0.5)
    for number, use in enumerate(uses):
        colors = {name: np.median(images[number][facing_up], axis=0) for name, images in shown.items()}
        assert np.abs(colors["filament"] - colors["classic"]).max() <= (SAME_COLOR if number == 0 else 35)
        light = irradiance(use.surroundings().radiance, np.array([0, 0.6, 0.8]))
        expected = 255 * srgb_from_linear(np.clip(SKY * 2.0 * light * 0.319, 0, 1))  # 0.6 encoded is 0.319
        assert np.abs(colors["filament"] - expected).max() <= SAME_COLOR


@pytest.mark.parametrize("name", NAMES)
def test_surroundings_are_taken_away_again(name: str, tmp_path: Path) -> None:
    """A sample without is the same before and after; with ``bare`` the background is gone, and comes back."""
    use = use_of(write(tmp_path / "a.hdr", (1.0 + 0.9 * directions(64)) * np.array([1.6, 1.0, 0.4])))
    drawn = rendered_scene(scene_of(), OPTIONS)
    bare = dataclasses.replace(use, bare=True)
    with create_renderer(name, drawn, OPTIONS) as made:
        plain = plain_look(drawn, made.materials, 7.5)
        looks = [dataclasses.replace(plain, surroundings=one) for one in (None, bare, use, None, bare)]
        images = made.render([at(0, UPRIGHT, look) for look in looks]).astype(int)
    noise = 0.7 if name == "filament" else 0  # Filament dithers
    assert np.abs(images[3] - images[0]).mean() <= noise
    assert np.abs(images[4] - images[1]).mean() <= noise
    assert np.abs(images[2] - images[1]).mean() > 5
    assert np.abs(images[2] - images[0]).mean() > 2


@pytest.mark.parametrize("lights", [True, False])
def test_filaments_far_lights_shine_in_surroundings(lights: bool, tmp_path: Path) -> None:
    """As bright there as in the even sky: what they add is the same."""
    use = use_of(write(tmp_path / "a.hdr", np.ones((32, 64, 3))), 0.0, 1.0)
    options = dataclasses.replace(OPTIONS, environment_lights=lights, shadow_lights=1)
    with create_renderer("filament", scene(), options) as made:
        look = dataclasses.replace(look_of(made.materials, None), light_intensity=np.full(6, 1.0))
        samples = [at(0, UPRIGHT, dataclasses.replace(look, surroundings=one)) for one in (None, use)]
        without, within = made.render(samples).astype(int)
    _, shown = ball_normals()
    assert np.abs(within - without)[shown].mean() < 1.0


def test_an_even_map_stays_even_at_every_roughness() -> None:
    found = prefiltered(np.ones((64, 128, 3), np.float32))
    assert len(found.levels) == LEVELS
    for level in found.levels:
        np.testing.assert_allclose(level, 1.0, atol=1e-6)
    np.testing.assert_allclose(found.harmonics, np.repeat(EVEN_SKY.harmonics, 3, axis=1), atol=5e-3)


def test_surroundings_are_drawn_by_value() -> None:
    """From a pool that 128 samples share, each with one turn; as often and as bright as asked."""
    config = SurroundingsConfig(probability=0.7, pool=3, brightness=LogUniform(0.5, 2.0), bare=0.3)
    uses = [draw_use(config, 3, index) for index in range(256)]
    assert uses[17] == draw_use(config, 3, 17)
    there = [use for use in uses if use is not None]
    assert 150 < len(there) < 205
    assert 0.2 < np.mean([use.bare for use in there]) < 0.4
    assert all(0.5 <= use.brightness <= 2 for use in there)
    pools = [
        {(use.source, use.turn) for use in uses[part] if use is not None} for part in (slice(128), slice(128, 256))
    ]
    assert [len(pool) for pool in pools] == [3, 3]
    assert not pools[0] & pools[1]
    assert draw_use(SurroundingsConfig(), 3, 17) is None
    assert draw_use(config, 4, 17) != uses[17]


def test_a_turn_is_counter_clockwise_and_kept_in_the_name_of_the_map() -> None:
    use = next(use for index in range(9) if (use := draw_use(SurroundingsConfig(probability=1.0), 0, index)))
    whole = SURROUNDINGS.image(use.source)
    assert np.array_equal(use.surroundings().radiance, turned(whole.radiance, use.turn))
    assert use.surroundings().name == whole.name == use.name


def test_an_appearance_stores_what_draws_its_surroundings_again(tmp_path: Path) -> None:
    write(tmp_path / "room.hdr", np.full((16, 32, 3), 0.5))
    config = AppearanceConfig(surroundings=SurroundingsConfig(probability=1.0, folder=tmp_path, folder_fraction=0.5))
    looks = [draw_appearance(config, scene_of(), [BACKGROUND], 0, index) for index in range(40)]
    uses = [look.surroundings for look in looks]
    assert {use.source.partition(":")[0] for use in uses if use} == {"picture", "room", "studio", "sky"}
    again = [Appearance.from_json(look.to_json(), "sample").surroundings for look in looks]
    assert again == uses
    assert "surroundings" not in draw_appearance(AppearanceConfig(), scene_of(), [BACKGROUND], 0, 5).to_json()
    for wrong in ({"source": "room:0:1"}, {**looks[0].to_json()["surroundings"], "turn": 3}, None):
        with pytest.raises(DactylError, match="sample 5: not an appearance"):
            Appearance.from_json(looks[0].to_json() | {"surroundings": wrong}, "sample 5")
    pictured = next(use for use in uses if use and use.source.startswith("picture"))
    write(tmp_path / "room.hdr", np.full((16, 32, 3), [0.5, 0.2, 0.5]))
    SURROUNDINGS.forget()
    with pytest.raises(DactylError, match="the sample was drawn with room-"):
        pictured.surroundings()
    for odd in ("cave:0:1", "room:x:1", "room"):
        with pytest.raises(DactylError, match="names no surroundings"):
            SURROUNDINGS.image(odd)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"probability": 1.5}, "probability"),
        ({"kinds": ("cave",)}, "'cave'"),
        ({"kinds": ()}, "kinds"),
        ({"pool": 0}, "pool"),
        ({"brightness": LogUniform(1, 1000)}, "brightness"),
    ],
)
def test_impossible_surroundings_are_refused(change: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        SurroundingsConfig(**change)


def test_renderers_that_draw_none_refuse(tmp_path: Path) -> None:
    some = AppearanceConfig(surroundings=SurroundingsConfig(probability=0.5))
    with pytest.raises(ValueError, match=r"appearance\.surroundings: renderer warp draws no surroundings yet"):
        RenderConfig(states=tmp_path, output=tmp_path, renderer="warp", appearance=some)
    for renderer in ("filament", "unity"):
        require_drawable(some, OPTIONS, renderer)
    use = use_of(write(tmp_path / "a.hdr", np.ones((16, 32, 3))))
    values = WorldValues(scene(), OPTIONS)
    look = dataclasses.replace(look_of(values.stage.scene.materials, use), clutter=())
    with pytest.raises(DactylError, match="sample 7: has surroundings, which warp does not draw"):
        values([at(7, UPRIGHT, look)])
