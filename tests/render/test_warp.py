"""The renderer warp, on a CPU: pictures that fit labels and other renderers, and depend on nothing but the sample.

Part of ``make test-extras``: its kernels are compiled once, which takes minutes.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("mujoco_warp")

from datagen.generate.config import RenderConfig
from datagen.generate.dataset import generate, render_one
from datagen.inspection.check import CheckConfig, faults
from datagen.inspection.doctor import examine
from datagen.render import create_renderer
from datagen.render.base import Renderer, RenderOptions
from datagen.render.warp_options import WarpOptions
from datagen.states.collect import StatesConfig, collect
from tests.render.looks import ABOVE_HAND, at, plain_look, random_sample, uneven_rig
from tests.render.test_renderers import (
    COLOR,
    SAME_COLOR,
    SILHOUETTE,
    SMALL,
    TOTALS,
    UPRIGHT,
    assert_silhouettes_are_the_labels,
    checksum,
    coverage,
    median_face_colors,
    scene,
)
from vision.errors import DactylError
from vision.geometry.rotations import quaternion_from_rotation
from vision.io.files import sha256

pytestmark = pytest.mark.timeout(1_200)


def with_warp(options: RenderOptions, **changes: int | str) -> RenderOptions:
    return dataclasses.replace(options, warp=WarpOptions(**changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with create_renderer("warp", scene(), COLOR) as renderer:
        yield renderer


@pytest.mark.parametrize("name", ["block", "prism"])
def test_silhouette_is_the_labels(name: str) -> None:
    """As of the other renderers: within a pixel of the projected outline, and so of theirs."""
    drawn = scene(SILHOUETTE, name)
    with create_renderer("warp", drawn, SILHOUETTE) as renderer:
        samples = [random_sample(drawn, renderer.materials, index) for index in range(2)]
        assert_silhouettes_are_the_labels(renderer, samples, drawn)


def test_cameras_have_sizes_focal_lengths_and_centres_of_their_own() -> None:
    drawn = scene(SILHOUETTE)
    drawn = drawn.with_rig(uneven_rig(ABOVE_HAND))
    with create_renderer("warp", drawn, SILHOUETTE) as renderer:
        samples = [random_sample(drawn, renderer.materials, index) for index in range(2)]
        assert_silhouettes_are_the_labels(renderer, samples, drawn)
        images = renderer.render(samples[:1])[0]
    for image, camera in zip(images, drawn.rig.cameras, strict=True):
        assert not image[camera.height :].any()
        assert not image[:, camera.width :].any()


def test_colors_are_those_of_filament(renderer: Renderer) -> None:
    with create_renderer("filament", scene(), COLOR) as filament:
        for total in TOTALS:
            ours, theirs = (median_face_colors(one, total) for one in (renderer, filament))
            assert np.abs(ours - theirs).max() <= SAME_COLOR, f"lights of {total} in all"


def test_random_pictures_are_like_filaments(renderer: Renderer) -> None:
    """Everything drawn at random, highlights and shadows too: a colour, a light or a camera left out shows here."""
    with create_renderer("filament", scene(), COLOR) as filament:
        samples = [random_sample(scene(), filament.materials, index) for index in range(6)]
        ours, theirs = renderer.render(samples).astype(int), filament.render(samples).astype(int)
    difference = np.abs(ours - theirs).mean(axis=(1, 2, 3, 4))
    assert difference.mean() < 8
    assert difference.max() < 14
    swapped = np.abs(ours - np.roll(theirs, 1, axis=0)).mean(axis=(1, 2, 3, 4))
    assert swapped.min() > 2 * difference.mean()


@pytest.mark.parametrize("glossiness", [0.1, 0.6])
def test_metal_is_as_dark_as_filaments(renderer: Renderer, glossiness: float) -> None:
    """A block of metal, rough and smooth, under the sky alone and under lights: on average over what it covers."""
    turn = quaternion_from_rotation(Rotation.from_euler("xyz", [0.4, 0.7, 0.3]))
    means: dict[tuple[str, float, float], float] = {}
    with create_renderer("filament", scene(), COLOR) as filament:
        covered = coverage(filament, at(0, turn, plain_look(scene(), filament.materials, 0.0)), scene())
        for name, one in (("filament", filament), ("warp", renderer)):
            block = np.array([material.part is not None for material in one.materials])
            for total in (0.0, 12.0):
                for metal in (0.0, 0.8):
                    look = dataclasses.replace(
                        plain_look(scene(), one.materials, total),
                        material_metallic=np.where(block, metal, 0.1),
                        material_glossiness=np.where(block, glossiness, 0.1),
                    )
                    image = one.render([at(0, turn, look)])[0].astype(float)
                    means[name, total, metal] = image[covered > 0.9].mean()
    for total in (0.0, 12.0):
        for metal in (0.0, 0.8):
            # Of lights all around, Filament's smooth surfaces reflect more: 13.4 levels were measured.
            assert abs(means["warp", total, metal] - means["filament", total, metal]) < 16, means
    assert means["warp", 12.0, 0.8] < means["warp", 12.0, 0.0] - 3, "metal is darker under lights"


def test_lights_cast_shadows_and_only_the_first_if_so_asked(renderer: Renderer) -> None:
    look = plain_look(scene(), renderer.materials, 12.0)
    look = dataclasses.replace(look, light_position=look.light_position[[0, 2]], light_intensity=np.full(2, 6.0))
    turned = dataclasses.replace(look, light_position=look.light_position[::-1])
    samples = [at(0, UPRIGHT, one) for one in (look, turned)]
    with (
        create_renderer("warp", scene(), dataclasses.replace(COLOR, shadows=False)) as bare,
        create_renderer("warp", scene(), dataclasses.replace(COLOR, shadow_lights=1)) as one_casts,
    ):
        lit, (first, second) = bare.render(samples[:1])[0].astype(int), one_casts.render(samples).astype(int)
    shadowed = renderer.render(samples[:1])[0].astype(int)
    assert 0.01 < ((lit - shadowed).mean(axis=-1) > 15).mean() < 0.4
    assert ((shadowed - lit).mean(axis=-1) > 1).sum() == 0
    darker_first, darker_second = ((one - shadowed).mean(axis=-1) > 8 for one in (second, first))
    assert min(darker_first.sum(), darker_second.sum()) > 50
    assert (darker_first & darker_second).sum() < 0.5 * min(darker_first.sum(), darker_second.sum())


def test_a_samples_pixels_do_not_depend_on_its_batch() -> None:
    """Nor on its place in it, on the room for others, or on those drawn before."""
    with create_renderer("warp", scene(SMALL), with_warp(SMALL, worlds=3)) as three:
        samples = [random_sample(scene(SMALL), three.materials, index) for index in range(5)]
        images = three.render(samples)
        np.testing.assert_array_equal(three.render(samples[::-1])[::-1], images)
        np.testing.assert_array_equal(three.render(samples[4:])[0], images[4])
    with create_renderer("warp", scene(SMALL), with_warp(SMALL, worlds=1)) as one:
        np.testing.assert_array_equal(one.render(samples[2:4]), images[2:4])


def test_another_process_gives_the_same_bytes() -> None:
    code = "from tests.render.test_renderers import checksum; print(checksum('warp'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert checksum("warp") == other.stdout.split()[-1]


def test_rays_smooth_outlines() -> None:
    """With more rays a pixel, more levels between object and ground; in the mean the same picture."""
    images = []
    for rays in (1, 2):
        with create_renderer("warp", scene(SMALL), with_warp(SMALL, rays=rays)) as renderer:
            white = plain_look(scene(SMALL), renderer.materials, 0.0, 1.0)
            images.append(renderer.render([at(0, UPRIGHT, white)])[0].astype(int))
    assert len(np.unique(images[1])) > len(np.unique(images[0]))
    assert abs(images[1].mean() - images[0].mean()) < 1.0


def test_info_names_what_really_ran(renderer: Renderer) -> None:
    assert renderer.info.name == "warp"
    assert "mujoco-warp 4." in renderer.info.version
    assert renderer.info.device.startswith("CPU (")


def test_what_cannot_be_is_refused(renderer: Renderer) -> None:
    with pytest.raises(DactylError, match=r"render\.warp\.device: cuda:63"):
        create_renderer("warp", scene(SMALL), with_warp(SMALL, device="cuda:63"))
    with pytest.raises(ValueError, match=r"rays: must lie"):
        WarpOptions(rays=0)
    sample = random_sample(scene(), renderer.materials, 41)
    with pytest.raises(DactylError, match="sample 41: object_position is not finite"):
        renderer.render([dataclasses.replace(sample, object_position=np.full(3, np.nan))])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco_warp", None)
    with pytest.raises(DactylError, match=r"pip install 'dactyl-vision\[warp\]'"):
        create_renderer("warp", scene(SMALL), SMALL)


def test_doctor_tries_it() -> None:
    found = examine("warp", 600)
    assert found.complaint == ""
    assert found.device.endswith("(software)")


def test_datasets_are_resumed_checked_and_drawn_again(tmp_path: Path) -> None:
    """Same bytes with any number of worlds; a dataset goes on where it was, and its samples are drawn again alike."""
    collect(StatesConfig(tmp_path / "states", count=9, seed=3, worlds=3, threads=1))
    options = dataclasses.replace(SMALL, image_size=64)

    def config(name: str, count: int, worlds: int) -> RenderConfig:
        return RenderConfig(
            tmp_path / "states",
            tmp_path / name,
            count=count,
            shard_size=3,
            renderer="warp",
            workers=1,
            view_labels=True,
            render=with_warp(options, worlds=worlds),
        )

    whole = generate(config("whole", 5, 2))
    generate(config("parts", 3, 3))
    parts = generate(config("parts", 5, 1))
    for number in range(2):
        shard = whole.shards[number].name
        assert sha256(tmp_path / "whole" / shard) == sha256(tmp_path / "parts" / shard)
    assert not list(faults(CheckConfig(tmp_path / "whole", rerender=2)))
    again = render_one(config("whole", 5, 2), 4)
    for name in ("left.jpg", "top.jpg", "right.jpg", "label.json"):
        assert (Path(again) / f"000000004.{name}").read_bytes() == parts.member(4, name)
