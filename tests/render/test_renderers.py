"""Both renderers: pictures that fit the labels, the same colours, the same bytes again, and refusals by name."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from datagen.appearance.sample import Sample
from datagen.render import create_renderer, filament_scene
from datagen.render.base import Renderer, RenderOptions, rendered_scene
from datagen.render.filament import FilamentRenderer
from datagen.render.filament_scene import FilamentScene
from datagen.render.stage import Stage
from tests.render.looks import ABOVE_HAND, at, plain_look, random_sample, uneven_rig
from tests.scenes import rig
from tests.scenes import scene as scene_of
from vision.errors import DactylError
from vision.geometry.cameras import project
from vision.geometry.rotations import FloatArray, quaternion_from_rotation, rotate, rotation_from_quaternion
from vision.rigs.rig import Rig
from vision.scene.scene import Scene

NAMES = ("filament", "classic")
SILHOUETTE = RenderOptions(mesh_fraction=0.1, shadows=False)
COLOR = RenderOptions(image_size=100, mesh_fraction=0.1)
SMALL = RenderOptions(image_size=48, mesh_fraction=0.1, shadow_map_size=128)
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
TOP = rig().names.index("top")


def scene(options: RenderOptions = COLOR, name: str = "block") -> Scene:
    """With images of the options' size."""
    return rendered_scene(scene_of(name), options)


def pixel_centres(width: int, height: int) -> NDArray[np.object_]:
    """Points (H, W)."""
    return shapely.points(np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) + 0.5)


@pytest.fixture(scope="module", params=NAMES)
def renderer(request: pytest.FixtureRequest) -> Iterator[Renderer]:
    with create_renderer(request.param, scene(), COLOR) as renderer:
        yield renderer


def outline(sample: Sample, drawn: Scene, camera: int) -> shapely.Polygon:
    """Where the label puts the object: the hull of its projected corners, in pixels."""
    look = sample.appearance
    turn = rotation_from_quaternion(sample.object_quaternion)
    corners = rotate(turn, drawn.object.keypoints) + sample.object_position
    pixels = project(corners, look.cameras.at(camera))
    return shapely.MultiPoint(pixels).convex_hull


def coverage(renderer: Renderer, sample: Sample, drawn: Scene) -> FloatArray:
    """How much of each pixel the object covers, (C, H, W): where a white one and a black one differ.

    Under the even sky alone all faces are equally bright. The cameras are the sample's, displaced.
    """
    cameras = {name: getattr(sample.appearance, name) for name in ("camera_intrinsics", "camera_extrinsics")}
    white, black = (
        dataclasses.replace(plain_look(drawn, renderer.materials, 0.0, grey), **cameras) for grey in (1.0, 0.0)
    )
    images = renderer.render([dataclasses.replace(sample, appearance=look) for look in (white, black)])
    difference = (images[0].astype(float) - images[1]).mean(axis=-1)
    return difference / np.quantile(difference, 0.99)


def assert_silhouettes_are_the_labels(renderer: Renderer, samples: list[Sample], drawn: Scene) -> None:
    """Every pixel that is a pixel or more inside the projected outline shows the object, none outside does."""
    for sample in samples:
        cover = coverage(renderer, sample, drawn)
        for number, camera in enumerate(drawn.rig.cameras):
            where = f"{renderer.info.name}, sample {sample.index}, camera {camera.name}"
            centres = pixel_centres(camera.width, camera.height)
            polygon = outline(sample, drawn, number)
            assert polygon.within(shapely.box(2, 2, camera.width - 2, camera.height - 2)), where
            depth = shapely.distance(centres, polygon.exterior)
            assert not cover[number, camera.height :].any(), f"{where}: the padding is not black"
            assert not cover[number, :, camera.width :].any(), f"{where}: the padding is not black"
            shown = cover[number, : camera.height, : camera.width] > 0.5
            wrong = np.where(shown != shapely.contains(polygon, centres), depth, 0.0)
            assert wrong.max() < 1.0, f"{where}: {wrong.max():.2f} pixels off"
            # And no systematic shift or swelling, far below a pixel.
            shift = shapely.get_coordinates(centres[shown]).mean(axis=0) - shapely.get_coordinates(polygon.centroid)[0]
            assert np.abs(shift).max() < 0.15, f"{where}: shifted by {shift} pixels"
            assert abs(shown.sum() - polygon.area) / polygon.length < 0.35, where


@pytest.mark.parametrize("object_name", ["block", "prism"])
@pytest.mark.parametrize("name", NAMES)
def test_silhouette_is_the_labels(name: str, object_name: str) -> None:
    drawn = scene(SILHOUETTE, object_name)
    with create_renderer(name, drawn, SILHOUETTE) as renderer:
        samples = [random_sample(drawn, renderer.materials, index) for index in range(4)]
        assert_silhouettes_are_the_labels(renderer, samples, drawn)


@pytest.mark.parametrize("object_name", ["block", "prism"])
@pytest.mark.parametrize("name", NAMES)
def test_silhouette_is_the_labels_through_any_lens(name: str, object_name: str) -> None:
    """Principal points off the middle, pixels that are not square, cameras of different sizes. The test tells: with
    fx and fy exchanged, or a principal point in the middle or mirrored, outlines lie many pixels apart."""
    drawn = scene_of(object_name).with_rig(uneven_rig(ABOVE_HAND))
    with create_renderer(name, drawn, SILHOUETTE) as renderer:
        samples = [random_sample(drawn, renderer.materials, index) for index in range(3)]
        assert renderer.render(samples[:1]).shape == (1, 3, 210, 240, 3)
        assert_silhouettes_are_the_labels(renderer, samples, drawn)


@pytest.mark.parametrize("name", NAMES)
def test_a_resized_rig_shows_the_same(name: str) -> None:
    """At two thirds of their size, which is no whole number of pixels for every camera."""
    options = dataclasses.replace(SILHOUETTE, image_size=160)
    drawn = rendered_scene(scene_of().with_rig(uneven_rig(ABOVE_HAND)), options)
    assert [(camera.width, camera.height) for camera in drawn.rig.cameras] == [(160, 100), (64, 48), (73, 140)]
    with create_renderer(name, drawn, options) as renderer:
        assert_silhouettes_are_the_labels(renderer, [random_sample(drawn, renderer.materials, 0)], drawn)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_camera_shows_does_not_depend_on_the_others(name: str) -> None:
    """Alone, or in a row of three: the same picture but for Filament's dithering, and nothing but black beside it."""
    drawn = scene_of().with_rig(uneven_rig(ABOVE_HAND))
    with create_renderer(name, drawn, SMALL) as renderer:
        sample = random_sample(drawn, renderer.materials, 0)
        together = renderer.render([sample])[0]
    for number, camera in enumerate(drawn.rig.cameras):
        only = slice(number, number + 1)
        look = sample.appearance
        look = dataclasses.replace(
            look, camera_intrinsics=look.camera_intrinsics[only], camera_extrinsics=look.camera_extrinsics[only]
        )
        alone = scene_of().with_rig(Rig(cameras=(camera,)))
        with create_renderer(name, alone, SMALL) as renderer:
            picture = renderer.render([dataclasses.replace(sample, appearance=look)])[0, 0]
        assert picture.shape == (camera.height, camera.width, 3)
        padded = together[number]
        apart = np.abs(padded[: camera.height, : camera.width].astype(int) - picture)
        if name == "classic":
            assert not apart.any()
        else:  # dithering, which also decides on a few pixels of edges and shadows
            assert apart.mean() < 0.7
            assert (apart > 3).mean() < 0.005
        assert not padded[camera.height :].any()
        assert not padded[:, camera.width :].any()


def median_face_colors(renderer: Renderer, total: float) -> NDArray[np.float64]:
    """Of each face of the block in turn, towards the top camera; (F, 3)."""
    look = plain_look(scene(), renderer.materials, total)
    block, size = scene().object, scene().rig.width
    turns = [Rotation.align_vectors([[0, 0, 1], [0, 1, 0]], [face.normal, face.up])[0] for face in block.faces]
    images = renderer.render([at(number, quaternion_from_rotation(turn), look) for number, turn in enumerate(turns)])
    colors = []
    for face, turn, image in zip(block.faces, turns, images[:, TOP], strict=True):
        corners = turn.apply(block.keypoints[list(face.corners)]) + ABOVE_HAND
        pixels = project(corners, rig(size).nominal.at(TOP))
        within = shapely.contains(shapely.Polygon(pixels).buffer(-2), pixel_centres(size, size))
        colors.append(np.median(image[within], axis=0))
    return np.array(colors)


# In levels of 255. The renderers add light up differently (linear, and in encoded values), so not less.
SAME_COLOR = 12
TOTALS = (0.0, 7.5, 15.0)


@pytest.fixture(scope="module")
def face_colors() -> dict[str, NDArray[np.float64]]:
    """By renderer: (total of the lights, face, channel)."""
    colors = {}
    for name in NAMES:
        with create_renderer(name, scene(), COLOR) as renderer:
            colors[name] = np.array([median_face_colors(renderer, total) for total in TOTALS])
    return colors


def test_a_red_face_is_the_same_red(face_colors: dict[str, NDArray[np.float64]]) -> None:
    assert np.abs(face_colors["filament"] - face_colors["classic"]).max() <= SAME_COLOR


def test_full_light_shows_the_calibrated_colors(face_colors: dict[str, NDArray[np.float64]]) -> None:
    """Fifteen units from all around: each face has its own colour, but for the white sheen of every surface."""
    calibrated = 255 * np.array([face.color for face in scene().object.faces])
    for colors in face_colors.values():
        dark = calibrated < 30  # there the sheen, 1.6 % of white, counts most: 0 becomes 35
        assert np.abs(colors[-1] - calibrated)[~dark].max() <= 30
        assert np.abs(colors[-1] - calibrated)[dark].max() <= 50


def test_without_lights_pictures_are_dim_not_black(renderer: Renderer) -> None:
    images = renderer.render([at(0, UPRIGHT, plain_look(scene(), renderer.materials, 0.0))])
    assert images.shape == (1, 3, COLOR.image_size, COLOR.image_size, 3)
    assert images.dtype == np.uint8
    assert 15 < images.mean() < 90
    assert (images.reshape(3, -1).std(axis=1) > 2).all()


def test_more_light_is_brighter(renderer: Renderer) -> None:
    looks = [plain_look(scene(), renderer.materials, total) for total in (2.0, 8.0, 15.0)]
    dim, middling, bright = renderer.render([at(0, UPRIGHT, look) for look in looks]).mean(axis=(1, 2, 3, 4))
    assert dim + 15 < middling < bright - 15


def test_lights_cast_shadows(renderer: Renderer) -> None:
    look = plain_look(scene(), renderer.materials, 8.0)
    side = dataclasses.replace(look, light_position=look.light_position[:1], light_intensity=np.array([8.0]))
    with create_renderer(renderer.info.name, scene(), dataclasses.replace(COLOR, shadows=False)) as unshadowed:
        shadowed, lit = (r.render([at(0, UPRIGHT, side)])[0].astype(int) for r in (renderer, unshadowed))
    darker = (lit - shadowed).mean(axis=-1) > 15
    assert 0.01 < darker.mean() < 0.4
    assert ((shadowed - lit).mean(axis=-1) > 15).mean() < 0.005


@pytest.mark.parametrize("name", NAMES)
def test_only_the_first_lights_cast_shadows_if_so_asked(name: str) -> None:
    """Two lights, then the same in the other order: with one caster each picture lacks the other's shadows."""
    options = dataclasses.replace(COLOR, image_size=64)
    few = dataclasses.replace(options, shadow_lights=1)
    with (
        create_renderer(name, scene(options), options) as all_cast,
        create_renderer(name, scene(few), few) as one_casts,
    ):
        look = plain_look(scene(), all_cast.materials, 12.0)
        look = dataclasses.replace(look, light_position=look.light_position[[0, 2]], light_intensity=np.full(2, 6.0))
        turned = dataclasses.replace(look, light_position=look.light_position[::-1])
        samples = [at(0, UPRIGHT, one) for one in (look, turned)]
        shadowed, (first, second) = all_cast.render(samples)[0].astype(int), one_casts.render(samples).astype(int)
    darker_first, darker_second = ((one - shadowed).mean(axis=-1) > 8 for one in (second, first))
    assert darker_first.sum() > 50, "the first light's shadow is missing when it is drawn second"
    assert darker_second.sum() > 50
    assert (darker_first & darker_second).sum() < 0.5 * min(darker_first.sum(), darker_second.sum())


def test_the_background_can_do_without_shadows() -> None:
    """On it they vanish, on hand and object they stay."""
    options = dataclasses.replace(COLOR, image_size=64)
    bare = dataclasses.replace(options, background_shadows=False)
    dark = dataclasses.replace(options, shadows=False)
    images = []
    for chosen in (options, bare, dark):
        with create_renderer("filament", scene(chosen), chosen) as renderer:
            look = plain_look(scene(), renderer.materials, 8.0)
            look = dataclasses.replace(look, light_position=look.light_position[:1], light_intensity=np.array([8.0]))
            red = np.array([name == "background" for name in renderer.materials])
            look = dataclasses.replace(look, material_rgb=np.where(red[:, None], [0.8, 0.1, 0.1], look.material_rgb))
            images.append(renderer.render([at(0, UPRIGHT, look)])[0].astype(int))
    shadowed, bare_ground, unshadowed = images
    ground = unshadowed[..., 0] > 2 * unshadowed[..., 1] + 20
    gone = (bare_ground - shadowed).mean(axis=-1) > 8
    assert gone.sum() > 50
    assert (gone & ~ground).sum() <= 0.1 * gone.sum()  # a picture's outlines are mixed
    assert np.abs(bare_ground - unshadowed)[ground].mean() < 1.0
    assert ((unshadowed - bare_ground).mean(axis=-1) > 15)[~ground].sum() > 50


def checksum(name: str) -> str:
    with create_renderer(name, scene(SMALL), SMALL) as renderer:
        images = renderer.render([random_sample(scene(SMALL), renderer.materials, index) for index in range(3)])
    return hashlib.sha256(images.tobytes()).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_a_new_renderer_gives_the_same_bytes(name: str) -> None:
    """In this process, and in another."""
    here = checksum(name)
    code = f"from tests.render.test_renderers import checksum; print(checksum({name!r}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert here == checksum(name) == other.stdout.strip()


def test_info_names_what_really_ran(renderer: Renderer) -> None:
    assert renderer.info.name in NAMES
    assert renderer.info.version.startswith("mujoco 4.")
    assert renderer.info.device not in ("", "unknown")
    assert renderer.info.api.startswith({"filament": "Vulkan", "classic": "OpenGL"}[renderer.info.name])


class TalkativeContext:
    """A Filament context that writes lines as its native code does."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def render(self, *arguments: Any) -> Any:
        os.write(2, b"EBR Stall Warning: Component Manager 'Renderable' has 3 waiting\nVulkan: device lost\n")
        os.write(1, b"EBR Stall Warning: Component Manager 'Light' has 3 waiting\n")
        return self._context.render(*arguments)

    def wait_for_frame(self, frame: Any) -> None:
        self._context.wait_for_frame(frame)


def test_filaments_housekeeping_is_no_text_for_users(capfd: pytest.CaptureFixture[str]) -> None:
    with FilamentRenderer(scene(SMALL), SMALL) as renderer:
        capfd.readouterr()
        drawn = renderer._scene
        drawn._context = TalkativeContext(drawn._context)
        renderer.render([random_sample(scene(SMALL), renderer.materials, 0)])
        said = capfd.readouterr()
        drawn._context = drawn._context._context
    assert (said.out, said.err) == ("", "Vulkan: device lost\n")


class WatchedScene(FilamentScene):
    """Tells in which order it frees what it made."""

    freed: ClassVar[list[str]] = []

    def __delattr__(self, name: str) -> None:
        self.freed.append(name)
        super().__delattr__(name)


def test_filament_frees_what_it_made_last_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if its start fails: the driver would keep the context otherwise."""
    first = ["_context", "_scene", "_resources", "_lights", "_renderables", "_textures", "_clutter", "_sky"]
    stage = Stage(scene(SMALL), SMALL)
    with WatchedScene(stage, SMALL) as made:
        made.close()
    assert made.freed == ["views", "_read", "_target", "_background", *first[::-1]]
    made.freed.clear()

    def fail(*_: object) -> None:
        raise RuntimeError("no background")

    monkeypatch.setattr(filament_scene, "FilamentBackground", fail)
    with pytest.raises(RuntimeError, match="no background"):
        WatchedScene(stage, SMALL)
    assert made.freed == first[::-1]


def test_samples_that_are_none_are_refused_by_name() -> None:
    with create_renderer("classic", scene(SMALL), SMALL) as renderer:
        sample = random_sample(scene(SMALL), renderer.materials, 41)
        nan = np.full(3, np.nan)
        with pytest.raises(DactylError, match="sample 41: object_position is not finite"):
            renderer.render([dataclasses.replace(sample, object_position=nan)])
        with pytest.raises(DactylError, match="sample 41: joint_position has shape"):
            renderer.render([dataclasses.replace(sample, joint_position=np.zeros(20))])
        other = random_sample(scene(SMALL), renderer.materials[1:], 41)
        with pytest.raises(DactylError, match="sample 41: material_rgb has shape"):
            renderer.render([other])
        dark = dataclasses.replace(
            sample.appearance, light_intensity=np.full(len(sample.appearance.light_intensity), np.inf)
        )
        with pytest.raises(DactylError, match="sample 41: light_intensity is not finite"):
            renderer.render([dataclasses.replace(sample, appearance=dark)])
        renderer.close()  # twice, with the one on leaving, does no harm


def test_unknown_renderer_is_refused() -> None:
    with pytest.raises(DactylError, match="unknown renderer 'opengl': choose one of filament, classic"):
        create_renderer("opengl", scene(SMALL), SMALL)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"image_size": 8}, "image_size"),
        ({"mesh_fraction": 0.0}, "mesh_fraction"),
        ({"shadow_map_size": 1}, "shadow"),
        ({"shadow_lights": 0}, "shadows: false"),
    ],
)
def test_impossible_options_are_refused(change: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        RenderOptions(**change)  # type: ignore[arg-type]


def test_reduced_meshes_change_the_picture_little() -> None:
    """What the default `mesh_fraction` costs: less than a grey level on average, few pixels by much."""
    images = []
    for fraction in (1.0, RenderOptions().mesh_fraction):
        with create_renderer(
            "classic", scene(SILHOUETTE), RenderOptions(mesh_fraction=fraction, shadows=False)
        ) as renderer:
            samples = [random_sample(scene(SILHOUETTE), renderer.materials, index) for index in range(4)]
            images.append(renderer.render(samples).astype(int))
    difference = np.abs(images[1] - images[0])
    assert 0 < difference.mean() < 1.0
    assert (difference.max(axis=-1) > 32).mean() < 0.01
