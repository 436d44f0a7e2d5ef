"""Materials know what they cover, whatever they are called."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.inspection.scene import scene_table
from datagen.pictures.texture_pool import TextureConfig
from datagen.sim.complete import completed
from datagen.sim.materials import Material
from datagen.sim.scene import compile_scene
from tests.scenes import compiled, scene
from vision.distributions import Uniform
from vision.errors import DactylError
from vision.objects.pose_object import Part
from vision.scene.hand import Hand
from vision.scene.scene import Scene

NOTHING = Uniform(0.0, 0.0)
CALIBRATED = AppearanceConfig(
    object_hue=NOTHING,
    object_saturation=NOTHING,
    object_value=NOTHING,
    textures=TextureConfig(links=1.0, background=1.0),
)
"""The object's own colours, and textures on everything but the object."""


def changed_part(number: int, **changes: object) -> Scene:
    """The block's scene with one of its object's parts changed."""
    target = scene("block").object
    parts = list(target.parts)
    parts[number] = replace(parts[number], **changes)
    return replace(scene("block"), object=replace(target, parts=tuple(parts)))


def part_of(given: Scene, number: int) -> Part:
    return given.object.parts[number]


@pytest.mark.parametrize("name", ["link", "link/palm", "letter", "letter/x", "background", "background/wall"])
def test_a_part_is_drawn_as_the_objects_surface_whatever_its_name(name: str) -> None:
    """Also where the hand and the background have a material of that name."""
    given = changed_part(1, name=name)
    made = compile_scene(given, "render", mesh_fraction=0.05)
    usual = compiled("block")
    assert [material.group for material in made.materials] == [material.group for material in usual.materials]
    assert len(set(made.materials)) == len(usual.materials)
    assert made.background_geoms.tolist() == usual.background_geoms.tolist()
    (number,) = (n for n, material in enumerate(made.materials) if material.part is part_of(given, 1))
    look = draw_appearance(CALIBRATED, given, made.materials, 0, 0)
    np.testing.assert_allclose(look.material_rgb[number], part_of(given, 1).color)
    textured = {made.materials[use.material].group for use in look.textures}
    assert textured == {"link", "background"}
    assert len(given.object.mesh.faces) == len(scene("block").object.mesh.faces)
    (parts,) = (
        value
        for key, value in zip(*(column.cells for column in scene_table(given).columns), strict=True)
        if key == "parts"
    )
    assert name in str(parts)
    assert "6 letters" in str(parts)


def test_a_letter_is_drawn_as_one_whatever_its_name() -> None:
    given = changed_part(-1, name="print")
    made = compile_scene(given, "render", mesh_fraction=0.05)
    (number,) = (n for n, material in enumerate(made.materials) if material == "print")
    assert made.materials[number].group == "letter"
    grey = draw_appearance(CALIBRATED, given, made.materials, 0, 0).material_rgb[number]
    assert 0.5 <= grey[0] == grey[1] == grey[2] < 1.0


@pytest.mark.parametrize(("number", "name"), [(1, "letter/x"), (-1, "print")])
def test_a_file_keeps_which_parts_are_letters(number: int, name: str) -> None:
    given = changed_part(number, name=name)
    again = Scene.from_json(json.loads(json.dumps(given.to_json())), "there")
    assert part_of(again, number).letter == part_of(given, number).letter == (number < 0)
    assert again == given


def test_files_of_our_objects_are_as_before_letters_had_a_key() -> None:
    stored = scene("block").to_json()
    assert not any("letter" in part for part in stored["object"]["parts"])
    letters = [part.name for part in Scene.from_json(stored, "there").object.parts if part.letter]
    assert letters == [f"letter/{face.name}" for face in scene("block").object.faces]
    for parts in (["face"], [{"name": 3}], "face"):
        with pytest.raises(DactylError, match="there: "):
            Scene.from_json({**stored, "object": {**stored["object"], "parts": parts}}, "there")


def test_a_hands_geom_is_not_the_background_whatever_its_name(tmp_path: Path) -> None:
    link = '<body pos="1 .8 .1"><joint axis="0 1 0"/><geom size=".01"/></body>'
    base = '<geom name="background2" pos="1 .8 .05" size=".02"/>'
    (tmp_path / "hand.xml").write_text(f"<mujoco><worldbody>{base}{link}</worldbody></mujoco>")
    given = completed(replace(scene("block"), hand=Hand(name="it", source=str(tmp_path / "hand.xml"))))
    for purpose in ("physics", "render"):
        made = compile_scene(given, purpose)
        assert [made.model.geom(int(geom)).name for geom in made.background_geoms] == ["background"]


def test_a_material_is_its_name() -> None:
    material = Material("link/palm", "link")
    assert material == "link/palm"
    again = pickle.loads(pickle.dumps(material))
    assert (again, again.group, again.part) == ("link/palm", "link", None)
