"""Textures on surfaces: the same texel in the same place and colour in both renderers, drawn again from a sample."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.appearance.sample import Appearance
from datagen.generate.config import RenderConfig
from datagen.generate.drawable import require_drawable
from datagen.pictures.texture_pool import TEXTURES, TextureConfig, TextureUse, draw_textures
from datagen.render import create_renderer
from datagen.render.base import RenderOptions, rendered_scene
from datagen.render.world_values import WorldValues
from datagen.sim.materials import Material
from tests.render.looks import at, plain_look
from tests.scenes import BACKGROUND, compiled
from tests.scenes import scene as scene_of
from vision.distributions import LogUniform
from vision.errors import DactylError
from vision.objects.pose_object import Mesh, Part
from vision.scene.scene import Scene

NAMES = ("filament", "classic")
OPTIONS = RenderOptions(image_size=160, mesh_fraction=0.05, shadows=False, textures=True)
TURNED = np.array([0.8, 0.36, 0.48, 0.0])
EVERYWHERE = TextureConfig(links=1.0, object=1.0, background=1.0)
SAME_COLOR = 12  # levels of 255, as of plain colours


def scene() -> Scene:
    return rendered_scene(scene_of(), OPTIONS)


def cells(path: Path) -> Path:
    """A picture without any symmetry: cells of four by four colours, dark ones among them."""
    colors = np.random.default_rng(3).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    colors[0, 1], colors[2, 2] = 0, 255
    Image.fromarray(colors.repeat(32, axis=0).repeat(32, axis=1)).save(path)
    return path


def look_with(source: str, materials: tuple[str, ...]) -> Appearance:
    """Even light, and the texture on everything."""
    name = TEXTURES.image(source).name
    uses = tuple(TextureUse(number, source, name) for number in range(len(materials)))
    return dataclasses.replace(plain_look(scene(), materials, 12.0), textures=uses)


def pictures(name: str, path: Path) -> NDArray[np.int64]:
    """The three cameras' pictures."""
    with create_renderer(name, scene(), OPTIONS) as made:
        return made.render([at(0, TURNED, look_with(f"picture:{path}", made.materials))])[0].astype(int)


def groups() -> dict[str, NDArray[np.bool_]]:
    """Where the pictures show links, the object's faces, and the background."""
    with create_renderer("classic", scene(), OPTIONS) as made:
        colors = {"link": (0, 1, 0), "surface": (0, 0, 1), "letter": (1, 1, 1), "background": (1, 0, 0)}
        rgb = np.array([colors[material.group] for material in made.materials], dtype=np.float64)
        look = dataclasses.replace(plain_look(scene(), made.materials, 7.5), material_rgb=rgb)
        shown = made.render([at(0, TURNED, look)])[0].astype(int)
    return {
        kind: (shown[..., channel] > 2 * np.delete(shown, channel, axis=-1).max(axis=-1))
        for kind, channel in (("background", 0), ("link", 1), ("surface", 2))
    }


def test_a_texel_is_in_the_same_place_and_of_the_same_color_in_both(tmp_path: Path) -> None:
    """On links, faces and background. The test tells: upside down, or as in a mirror, it is far off on each."""
    path = cells(tmp_path / "cells.png")
    ours, other = (pictures(name, path) for name in NAMES)
    Image.open(path).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(tmp_path / "flipped.png")
    Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    flipped, mirrored = (pictures("classic", tmp_path / f"{name}.png") for name in ("flipped", "mirrored"))
    for kind, where in groups().items():
        assert where.sum() > 500, kind
        apart, upside_down, in_a_mirror = (np.abs(one - ours)[where] for one in (other, flipped, mirrored))
        assert np.median(apart) <= SAME_COLOR, kind
        assert min(upside_down.mean(), in_a_mirror.mean()) > 2.5 * apart.mean(), kind


@pytest.mark.parametrize("name", NAMES)
def test_a_print_on_the_background_can_be_read(name: str, tmp_path: Path) -> None:
    """From above, whichever way it is turned, and twice as large where its scale is 2: not as in a mirror."""
    path = cells(tmp_path / "cells.png")
    texels = TEXTURES.image(f"picture:{path}").pixels.astype(int)
    rig, background = scene().rig, scene().background
    across = np.stack([*np.meshgrid(*[np.arange(rig.width) + 0.5] * 2), np.ones((rig.width,) * 2)], axis=-1)
    rays = np.stack(
        [
            across @ np.linalg.inv(K).T @ T[:3, :3]
            for K, T in zip(rig.nominal.intrinsics, rig.nominal.extrinsics, strict=True)
        ]
    )
    origins = np.stack([-T[:3, :3].T @ T[:3, 3] for T in rig.nominal.extrinsics])[:, None, None]
    floor = origins + rays * ((background.centre[2] - origins[..., 2:]) / rays[..., 2:])
    size = 2 * np.array(background.half_size)
    place = (floor[..., :2] - np.array(background.centre[:2]) + size / 2) / (size / np.rint(size / 0.4))  # in repeats
    where = groups()["background"]
    with create_renderer(name, scene(), OPTIONS) as made:
        look = look_with(f"picture:{path}", made.materials)
        looks = [
            dataclasses.replace(look, textures=tuple(dataclasses.replace(use, scale=scale) for use in look.textures))
            for scale in (1.0, 2.0)
        ]
        images = made.render([at(0, TURNED, one) for one in looks]).astype(int)
    for scale, image in zip((1.0, 2.0), images, strict=True):
        match: dict[tuple[bool, int, float, float], float] = {}
        for mirrored, turn, right, up in itertools.product((False, True), range(4), (0.0, 0.5), (0.0, 0.5)):
            x, y = place[..., 0] / scale + right, place[..., 1] / scale + up  # it begins at one of the corners
            x = -x if mirrored else x
            for _ in range(turn):
                x, y = -y, x
            rows, columns = (np.floor(along * len(texels)).astype(int) % len(texels) for along in (-y, x))
            found = np.corrcoef(texels[rows, columns][where].ravel(), image[where].ravel())
            match[mirrored, turn, right, up] = found[0, 1]
        best = max(match, key=lambda key: match[key])
        assert match[best] > 0.7
        assert not best[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_texture_is_taken_off_again(name: str, tmp_path: Path) -> None:
    """A sample without one looks the same before and after samples that have some."""
    source = f"picture:{cells(tmp_path / 'cells.png')}"
    with create_renderer(name, scene(), OPTIONS) as made:
        plain = at(0, TURNED, plain_look(scene(), made.materials, 7.5))
        textured = at(1, TURNED, look_with(source, made.materials))
        before, between, after = made.render([plain, textured, plain]).astype(int)
    assert np.abs(between - before).mean() > 10
    apart = np.abs(after - before)
    assert apart.mean() <= (0.7 if name == "filament" else 0)  # Filament dithers
    assert (apart > 12).mean() < 0.001


@pytest.mark.parametrize("name", NAMES)
def test_options_alone_change_no_picture(name: str) -> None:
    """With ``textures`` on and none drawn: the same but for rounding and dithering, and for links, whose meshes both
    renderers shade more smoothly once they have texture coordinates."""
    images = []
    for options in (OPTIONS, dataclasses.replace(OPTIONS, textures=False)):
        with create_renderer(name, scene(), options) as made:
            images.append(made.render([at(0, TURNED, plain_look(scene(), made.materials, 7.5))])[0].astype(int))
    apart = np.abs(images[0] - images[1])
    for kind, where in groups().items():
        assert apart[where].mean() < (10 if kind == "link" else 0.7), kind


def test_renderers_that_draw_none_refuse_by_name() -> None:
    values = WorldValues(scene(), OPTIONS)
    sample = at(7, TURNED, look_with("noise:0:0", values.stage.scene.materials))
    with pytest.raises(DactylError, match="sample 7: has textures, which warp does not draw"):
        values([sample])


PART = Part(name="face/A", mesh=Mesh(np.eye(3), np.array([[0, 1, 2]]), np.zeros((3, 2))))
MATERIALS = (
    Material("link/palm", "link"),
    Material("link/thumb", "link"),
    Material("face/A", "surface", PART),
    Material("letter/A", "letter", replace(PART, name="letter/A", letter=True)),
    BACKGROUND,
)


def test_textures_are_drawn_by_value() -> None:
    """The same wherever they are drawn; not for letters; as often as asked; from a pool that 128 samples share."""
    config = TextureConfig(links=0.5, object=1.0, background=0.0, pool=4)
    drawn = [draw_textures(config, MATERIALS, 3, index) for index in range(256)]
    assert drawn[17] == draw_textures(config, MATERIALS, 3, 17)
    assert draw_textures(config, MATERIALS[2:], 3, 17)[0].source == next(u for u in drawn[17] if u.material == 2).source
    counts = np.bincount([use.material for uses in drawn for use in uses], minlength=5)
    assert counts[2] == 256
    assert counts[3] == counts[4] == 0
    assert 100 < counts[0] < 156
    first, second = ({use.source for uses in drawn[part] for use in uses} for part in (slice(128), slice(128, 256)))
    assert len(first) == len(second) == 4
    assert not first & second
    assert drawn[0] != draw_textures(config, MATERIALS, 4, 0)
    textured = Material("face/A", "surface", replace(PART, texture=b"a PNG file"))
    wall = Material("background/wall", "background")
    own = draw_textures(EVERYWHERE, (*MATERIALS[:2], textured, *MATERIALS[3:], wall), 3, 0)
    assert [use.material for use in own] == [0, 1, 4, 5]


def test_an_appearance_stores_what_draws_its_textures_again(tmp_path: Path) -> None:
    cells(tmp_path / "cells.png")
    config = AppearanceConfig(textures=dataclasses.replace(EVERYWHERE, folder=tmp_path))
    look = draw_appearance(config, scene_of(), compiled().materials, 0, 5)
    sources = {use.source.partition(":")[0] for use in look.textures}
    assert "picture" in sources
    assert len(sources) > 1
    again = Appearance.from_json(look.to_json(), "sample 5")
    assert again.textures == look.textures
    for use in again.textures:
        assert use.pixels().name == use.name
    plain = draw_appearance(AppearanceConfig(), scene_of(), [BACKGROUND], 0, 5)
    assert "textures" not in plain.to_json()
    assert "scale" not in look.to_json()["textures"][0]
    for wrong in ({"material": 0}, look.to_json()["textures"][0] | {"scale": -1}):
        with pytest.raises(DactylError, match="sample 5: not an appearance"):
            Appearance.from_json(look.to_json() | {"textures": [wrong]}, "sample 5")
    scaled = AppearanceConfig(textures=dataclasses.replace(EVERYWHERE, scale=LogUniform(0.5, 2.0)))
    uses = draw_appearance(scaled, scene_of(), compiled().materials, 0, 5).textures
    assert len({use.scale for use in uses}) == len(uses)
    assert all(0.5 <= use.scale <= 2 for use in uses)
    assert [TextureUse.from_json(use.to_json()) for use in uses] == list(uses)


def test_another_picture_in_its_place_is_refused(tmp_path: Path) -> None:
    source = f"picture:{cells(tmp_path / 'cells.png')}"
    use = TextureUse(0, source, TEXTURES.image(source).name)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "cells.png")
    TEXTURES.forget()
    with pytest.raises(DactylError, match="the sample was drawn with cells-"):
        use.pixels()
    for odd in ("marble:0:1", "noise:x:1", "noise"):
        with pytest.raises(DactylError, match="names no texture"):
            TEXTURES.image(odd)


def test_impossible_textures_are_refused(tmp_path: Path) -> None:
    for change, named in (
        ({"links": 1.5}, "links"),
        ({"kinds": ("marble",)}, "'marble'"),
        ({"kinds": ()}, "kinds"),
        ({"pool": 0}, "pool"),
        ({"scale": LogUniform(1e-3, 1.0)}, "scale"),
    ):
        with pytest.raises(ValueError, match=named):
            TextureConfig(**change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"render\.textures"):
        RenderConfig(states=tmp_path, output=tmp_path, appearance=AppearanceConfig(textures=EVERYWHERE))
    with pytest.raises(ValueError, match="renderer warp draws no textures yet"):
        RenderConfig(states=tmp_path, output=tmp_path, renderer="warp", render=OPTIONS)
    require_drawable(AppearanceConfig(textures=EVERYWHERE), OPTIONS, "filament")


@pytest.mark.parametrize("name", NAMES)
def test_textures_that_would_not_be_seen_are_refused(name: str) -> None:
    without = dataclasses.replace(OPTIONS, textures=False)
    with create_renderer(name, scene(), without) as made:
        sample = at(7, TURNED, look_with("noise:0:0", made.materials))
        with pytest.raises(DactylError, match=r"sample 7: has textures.*render\.textures"):
            made.render([sample])
