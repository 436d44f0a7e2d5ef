"""Clutter in pictures: in the same place and colour in both renderers, shadows included, and in masks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datagen.appearance.clutter import ClutterConfig
from datagen.appearance.clutter_pieces import ClutterPart, ClutterPiece
from datagen.appearance.draw import AppearanceConfig
from datagen.appearance.sample import Appearance, Sample
from datagen.generate.config import RenderConfig
from datagen.generate.drawable import require_drawable
from datagen.generate.view_labels import ViewLabeller
from datagen.pictures.surroundings_pool import SurroundingsConfig
from datagen.render import RENDERERS, create_renderer
from datagen.render.base import RenderOptions, rendered_scene
from datagen.render.world_values import WorldValues
from tests.render.looks import ABOVE_HAND, at, plain_look
from tests.scenes import scene as scene_of
from vision.distributions import UniformInt
from vision.errors import DactylError
from vision.scene.scene import Scene

NAMES = ("filament", "classic")
OPTIONS = RenderOptions(image_size=160, mesh_fraction=0.05, shadows=False)
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
TILTED = np.array([0.8, 0.36, 0.48, 0.0])
SAME_COLOR = 12  # levels of 255, as of the hand and the object


def scene() -> Scene:
    return rendered_scene(scene_of(), OPTIONS)


def piece(shape: str, offset: tuple[float, ...], size: tuple[float, ...], rgb: tuple[float, ...]) -> ClutterPiece:
    """One solid beside the object; the tilt tells its axes apart."""
    part = ClutterPart(shape, ABOVE_HAND + offset, TILTED, np.array(size))  # type: ignore[arg-type]
    return ClutterPiece("one", "beside", (part,), np.array(rgb), 0.1, 0.1)


PIECES = (
    piece("box", (0.13, 0.02, 0.05), (0.05, 0.02, 0.01), (0.9, 0.3, 0.2)),
    piece("capsule", (-0.12, -0.05, 0.05), (0.012, 0.06, 0), (0.2, 0.7, 0.3)),
    piece("sphere", (0.0, 0.12, 0.05), (0.03, 0, 0), (0.3, 0.3, 0.9)),
)


def look_of(materials: tuple[str, ...], pieces: tuple[ClutterPiece, ...]) -> Appearance:
    return dataclasses.replace(plain_look(scene(), materials, 12.0), clutter=pieces)


def pictures(name: str, pieces: tuple[ClutterPiece, ...], options: RenderOptions = OPTIONS) -> NDArray[np.int64]:
    """The three cameras' pictures."""
    with create_renderer(name, scene(), options) as made:
        return made.render([at(0, UPRIGHT, look_of(made.materials, pieces))])[0].astype(int)


def test_a_piece_is_in_the_same_place_and_of_the_same_color_in_both() -> None:
    shown, bare = ({name: pictures(name, pieces) for name in NAMES} for pieces in (PIECES, ()))
    changed = {name: np.abs(shown[name] - bare[name]).max(axis=-1) > 20 for name in NAMES}
    both, either = np.logical_and(*changed.values()), np.logical_or(*changed.values())
    assert both.sum() > 0.95 * either.sum() > 1_000
    apart = np.abs(shown["filament"] - shown["classic"])[both]
    assert np.median(apart) <= SAME_COLOR


def test_labels_count_clutter_as_what_hides() -> None:
    """A rod before the object takes pixels from the mask, those where pictures change on the object."""
    T = scene().rig.nominal.extrinsics
    camera = -T[0, :3, :3].T @ T[0, :3, 3]
    middle = 0.7 * camera + 0.3 * ABOVE_HAND
    rod = ClutterPiece(
        "rod", "front", (ClutterPart("capsule", middle, TILTED, np.array([0.004, 0.2, 0])),), np.ones(3), 0, 0
    )
    with create_renderer("classic", scene(), OPTIONS) as made:
        samples = [at(0, UPRIGHT, look_of(made.materials, pieces)) for pieces in ((), (rod,))]
        bare, shown = made.render(samples).astype(int)
    views = ViewLabeller(scene(), OPTIONS)
    cameras = samples[0].appearance.cameras
    (before, whole), (after, rest) = (views(sample, cameras) for sample in samples)
    assert (rest <= whole).all()
    lost = whole & ~rest
    assert lost[0].sum() > 200
    assert after["visibility"][0] < before["visibility"][0] - 0.1
    changed = np.abs(shown - bare).max(axis=-1) > 40
    assert (lost & ~changed).sum() < 0.1 * lost.sum()  # edges are antialiased
    assert (changed & rest).sum() < 0.1 * lost.sum()


@pytest.mark.parametrize("name", NAMES)
def test_clutter_is_taken_away_again(name: str) -> None:
    with create_renderer(name, scene(), OPTIONS) as made:
        samples = [at(number, UPRIGHT, look_of(made.materials, PIECES[:number])) for number in (0, 3, 1, 0)]
        images = made.render(samples).astype(int)
    before, all_three, one, after = images
    noise = 0.7 if name == "filament" else 0  # Filament dithers
    assert np.abs(after - before).mean() <= noise
    assert np.abs(all_three - one).mean() > 1
    assert np.abs(one - before).mean() > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_clutter_casts_shadows(name: str) -> None:
    """A plate over the object darkens what of it is still seen."""
    options = dataclasses.replace(OPTIONS, shadows=True)
    above = ABOVE_HAND + np.array([0, 0, 0.11])
    roof = ClutterPiece(
        "box", "beside", (ClutterPart("box", above, UPRIGHT, np.array([0.15, 0.15, 0.005])),), np.ones(3), 0, 0
    )
    with create_renderer(name, scene(), options) as made:
        samples = [at(0, UPRIGHT, look_of(made.materials, pieces)) for pieces in ((), (roof,))]
        bare, dark = made.render(samples).astype(int)
    cameras = samples[0].appearance.cameras
    _, seen = ViewLabeller(scene(), options)(samples[1], cameras)
    assert seen.sum() > 300
    assert dark[seen].mean() < 0.85 * bare[seen].mean()


def test_a_hand_made_sample_of_very_many_solids_is_refused_by_classic() -> None:
    many = ClutterPiece("heap", "beside", PIECES[0].parts * 3_000, np.ones(3), 0.0, 0.0)
    with (
        create_renderer("classic", scene(), OPTIONS) as made,
        pytest.raises(DactylError, match="sample 0: more than 2048 solids"),
    ):
        made.render([at(0, UPRIGHT, look_of(made.materials, (many,)))])


@pytest.mark.parametrize(
    ("key", "some"),
    [
        ("clutter", ClutterConfig(beside=UniformInt(1, 1))),
        ("surroundings", SurroundingsConfig(probability=0.5)),
    ],
)
def test_a_renderer_of_another_package_is_asked_for_nothing_that_it_does_not_say_to_draw(
    key: str, some: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pictures would lack what masks and visible shares count."""

    class Plain:
        pass

    load = RENDERERS.load
    monkeypatch.setattr(RENDERERS, "load", lambda name: Plain if name == "plain" else load(name))
    with pytest.raises(ValueError, match=rf"appearance\.{key}: renderer plain draws"):
        require_drawable(AppearanceConfig(**{key: some}), OPTIONS, "plain")
    Plain.draws = frozenset({key, "textures"})  # type: ignore[attr-defined]
    require_drawable(AppearanceConfig(**{key: some}), OPTIONS, "plain")


def test_renderers_that_draw_none_refuse(tmp_path: Path) -> None:
    some = AppearanceConfig(clutter=ClutterConfig(beside=UniformInt(1, 1)))
    with pytest.raises(ValueError, match=r"appearance\.clutter: renderer warp draws no clutter yet"):
        RenderConfig(states=tmp_path, output=tmp_path, renderer="warp", appearance=some)
    for renderer in ("classic", "unity"):
        require_drawable(some, OPTIONS, renderer)
    values = WorldValues(scene(), OPTIONS)
    sample: Sample = at(7, UPRIGHT, look_of(values.stage.scene.materials, PIECES))
    with pytest.raises(DactylError, match="sample 7: has clutter, which warp does not draw"):
        values([sample])


def test_an_appearance_stores_its_clutter() -> None:
    with create_renderer("classic", scene(), OPTIONS) as made:
        look = look_of(made.materials, PIECES)
    again = Appearance.from_json(look.to_json(), "sample 5")
    assert [one.to_json() for one in again.clutter] == [one.to_json() for one in PIECES]
    assert "clutter" not in look_of(made.materials, ()).to_json()
    with pytest.raises(DactylError, match="sample 5: not a piece of clutter"):
        Appearance.from_json(look.to_json() | {"clutter": [{"place": "beside"}]}, "sample 5")
