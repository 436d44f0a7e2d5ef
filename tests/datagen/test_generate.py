"""Generation: the same bytes whoever renders them, nothing lost, nothing mixed, blank frames never written."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datagen.appearance.clutter import ClutterConfig, FingerConfig
from datagen.appearance.draw import AppearanceConfig
from datagen.appearance.sample import Sample
from datagen.generate import dataset as generation
from datagen.generate import shard_task
from datagen.generate.config import RenderConfig
from datagen.generate.dataset import generate, render_one
from datagen.generate.shard_task import ShardTask
from datagen.inspection.check import CheckConfig, faults
from datagen.pictures.surroundings_pool import SURROUNDINGS, SurroundingsConfig
from datagen.pictures.texture_pool import TEXTURES, TextureConfig
from datagen.render import RENDERERS, others_that_draw, traits_of
from datagen.render.base import RendererInfo, RenderOptions, rendered_scene
from datagen.render.unity_options import UnityOptions
from datagen.render.warp_options import WarpOptions
from datagen.states.collect import StatesConfig, collect
from datagen.states.drawn import load_drawn_states
from datagen.states.files import states_scene
from datagen.workers.pool import TransientError
from tests.scenes import compiled, rig
from tests.tray import tray_scene
from vision.camera_effects import CameraEffectsConfig
from vision.distributions import Uniform, UniformInt
from vision.errors import DactylError
from vision.io.store import Location
from vision.storage.datasets import TripletDataset
from vision.storage.shards import ShardRecord, committed_shard

SIZE = 32


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states") / "states"
    collect(StatesConfig(folder, count=7, seed=3, worlds=4, threads=1))
    return folder


def test_other_cameras_see_other_landmarks_of_the_same_hand(tmp_path: Path) -> None:
    """Found: a hand whose file gives no landmarks was another hand for every other rig."""
    path = tray_scene(tmp_path, "can")
    folder = tmp_path / "states"
    collect(StatesConfig(folder, count=3, scene=str(path), worlds=2, threads=1))
    near = tmp_path / "near.yaml"
    near.write_text(path.read_text().replace("fovy_deg: 30", "fovy_deg: 14"))
    drawn = RenderConfig(folder, tmp_path / "out", scene=str(near)).drawn_scene()
    before = states_scene(folder).landmarks
    assert drawn.landmarks is not None
    assert before is not None
    assert not np.array_equal(drawn.landmarks.points, before.points)
    bent = (tmp_path / "tray.xml").read_text().replace("-0.7 0.7", "-0.6 0.6")
    (tmp_path / "tray.xml").write_text(bent)
    with pytest.raises(DactylError, match=r"hand\.sha256 differs"):
        RenderConfig(folder, tmp_path / "out", scene=str(near)).drawn_scene()


class Painter:
    """Stands in for a renderer: each sample gets a picture that only its index decides.

    Args:
        blank: sample whose second picture is grey all over.
        stuck: sample that gets the pictures of the one before, as if a driver had not drawn.
    """

    batch_size = 3
    info = RendererInfo("painter", "1", "none", "none")
    materials = compiled().materials

    def __init__(self, blank: int | None = None, stuck: int | None = None) -> None:
        self.blank, self.stuck = blank, stuck

    def skip(self, count: int) -> None: ...

    def render(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        drawn = [sample.index - (sample.index == self.stuck) for sample in samples]
        images = [np.random.default_rng(index).integers(0, 255, (3, SIZE, SIZE, 3)) for index in drawn]
        for sample, image in zip(samples, images, strict=True):
            if sample.index == self.blank:
                image[1] = 17
        return np.stack(images).astype(np.uint8)

    def close(self) -> None: ...

    def __enter__(self) -> Painter:
        return self

    def __exit__(self, *exception: object) -> None: ...


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Generation in this process, with pictures by :class:`Painter`."""

    def run(
        task: ShardTask, numbers: Sequence[int], workers: int, *_: object, **__: object
    ) -> Iterator[tuple[int, object]]:
        for number in reversed(numbers):
            yield number, task(number, lambda count: None)

    monkeypatch.setattr(generation, "run", run)
    monkeypatch.setattr(shard_task, "create_renderer", lambda *arguments: Painter())
    return monkeypatch


def config_of(states: Path, output: Path, **changes: object) -> RenderConfig:
    config = RenderConfig(states, output, count=10, seed=5, shard_size=4, render=RenderOptions(image_size=SIZE))
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


def tars(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def test_labels_say_what_was_rendered(states: Path, tmp_path: Path, painted: pytest.MonkeyPatch) -> None:
    dataset = generate(config_of(states, tmp_path / "set"))
    assert [len(dataset), [shard.samples for shard in dataset.shards]] == [10, [4, 4, 2]]
    for number in range(10):
        label, look = dataset.label(number), dataset.appearance(number)
        assert label["index"] == number
        assert np.array_equal(label["camera_intrinsics"], look["camera_intrinsics"])
        assert np.array_equal(label["camera_extrinsics"], look["camera_extrinsics"])
        # Displaced, and of pictures of that size: a few degrees and millimetres, a degree's zoom.
        nominal = rig(SIZE).nominal
        zoom = label["camera_intrinsics"][:, 0, 0] / nominal.intrinsics[:, 0, 0]
        assert np.abs(np.log(zoom)).max() < 0.08
        assert np.array_equal(label["camera_intrinsics"][:, :2, 2], nominal.intrinsics[:, :2, 2])
        assert not np.isin(label["camera_extrinsics"][:, :3], nominal.extrinsics[:, :3]).any()
    first_round = [int(dataset.label(number)["state_index"]) for number in range(7)]
    assert sorted(first_round) == list(range(7)), "every state once before any comes again"


def test_resume_gives_the_same_bytes(states: Path, tmp_path: Path, painted: pytest.MonkeyPatch) -> None:
    config = config_of(states, tmp_path / "set")
    generate(config)
    whole, manifest = tars(config.output), (config.output / "manifest.json").read_bytes()
    (config.output / "shard-000001.tar").unlink()
    (config.output / "shard-000002.json").unlink()
    (config.output / "manifest.json").unlink()
    (config.output / ".tmp-123-shard-000001.tar").write_bytes(b"half a shard")
    generate(config)
    assert tars(config.output) == whole
    assert (config.output / "manifest.json").read_bytes() == manifest
    assert not list(config.output.glob(".tmp-*"))


def test_shards_that_are_not_there_are_not_asked_for_one_by_one(
    states: Path, tmp_path: Path, painted: pytest.MonkeyPatch
) -> None:
    """Found: ten million triplets in shards of 16 took a minute before the first was rendered."""
    asked: list[int] = []

    def ask(folder: Location, number: int, mark: str) -> ShardRecord | None:
        asked.append(number)
        return committed_shard(folder, number, mark)

    painted.setattr(generation, "committed_shard", ask)
    config = config_of(states, tmp_path / "set")
    generate(config)
    assert not asked
    (config.output / "shard-000001.json").unlink()
    (config.output / "shard-999999.json").write_text("one of a larger count, which is not looked into")
    generate(config)
    assert sorted(asked) == [0, 2]


def test_a_damaged_shard_is_made_again(states: Path, tmp_path: Path, painted: pytest.MonkeyPatch) -> None:
    config = config_of(states, tmp_path / "set")
    generate(config)
    whole = tars(config.output)
    shard = config.output / "shard-000001.tar"
    damaged = bytearray(shard.read_bytes())
    damaged[5000] ^= 1
    shard.write_bytes(damaged)
    generate(config)
    assert tars(config.output) == whole


def test_a_finished_dataset_is_reused_and_extended(states: Path, tmp_path: Path, painted: pytest.MonkeyPatch) -> None:
    config = config_of(states, tmp_path / "set")
    generate(config)
    before = tars(config.output)
    painted.setattr(generation, "run", lambda *arguments, **options: pytest.fail("rendered what was there"))
    generate(config)
    painted.undo()
    painted.setattr(shard_task, "create_renderer", lambda *arguments: Painter())
    painted.setattr(
        generation, "run", lambda task, numbers, *_, **__: ((n, task(n, lambda count: None)) for n in numbers)
    )
    longer = generate(dataclasses.replace(config, count=12))
    assert len(longer) == 12
    assert tars(config.output)["shard-000000.tar"] == before["shard-000000.tar"]
    direct = generate(dataclasses.replace(config, count=12, output=tmp_path / "direct"))
    assert tars(config.output) == tars(direct.folder)
    for count in (3, 8, 11):  # one slip made a few triplets of thousands
        with pytest.raises(DactylError, match=f"holds more triplets than count {count}"):
            generate(dataclasses.replace(config, count=count))
    assert tars(config.output) == tars(direct.folder)
    assert len(TripletDataset(config.output)) == 12
    (config.output / "manifest.json").unlink()  # as a longer one that was given up leaves it
    assert len(generate(config)) == 10
    assert tars(config.output)["shard-000002.tar"] == before["shard-000002.tar"]


def test_another_configuration_is_refused(states: Path, tmp_path: Path, painted: pytest.MonkeyPatch) -> None:
    config = config_of(states, tmp_path / "set")
    generate(config)
    before = tars(config.output)
    with pytest.raises(DactylError, match="seed: 5 there, 6 here"):
        generate(dataclasses.replace(config, seed=6))
    assert tars(config.output) == before


def test_states_that_grow_meanwhile_do_not_matter(states: Path, tmp_path: Path, painted: pytest.MonkeyPatch) -> None:
    """Samples take the states in an order that depends on their number."""
    copy = Path(shutil.copytree(states, tmp_path / "states"))
    generate(config_of(states, tmp_path / "expected"))
    run = generation.run

    def grown(*arguments: Any, **options: Any) -> Iterator[tuple[int, object]]:
        collect(StatesConfig(copy, count=9, seed=3, worlds=4, threads=1))
        return run(*arguments, **options)

    painted.setattr(generation, "run", grown)
    generate(config_of(copy, tmp_path / "set"))
    assert tars(tmp_path / "set") == tars(tmp_path / "expected")


def test_states_that_grow_before_they_are_read_are_refused(
    states: Path, tmp_path: Path, painted: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(states, tmp_path / "states"))
    reserve = generation.reserve_output

    def grow(*arguments: Any) -> None:
        reserve(*arguments)
        collect(StatesConfig(copy, count=9, seed=3, worlds=4, threads=1))

    painted.setattr(generation, "reserve_output", grow)
    with pytest.raises(DactylError, match=f"{copy}: was replaced while this command ran"):
        generate(config_of(copy, tmp_path / "set"))
    assert not tars(tmp_path / "set")


@pytest.mark.parametrize(
    ("painter", "complaint"),
    [
        (Painter(blank=6), "sample 6: camera top came out blank"),
        (Painter(stuck=6), "sample 6: camera left repeats sample 5"),
    ],
)
def test_a_bad_frame_is_never_written(
    painter: Painter, complaint: str, states: Path, tmp_path: Path, painted: pytest.MonkeyPatch
) -> None:
    painted.setattr(shard_task, "create_renderer", lambda *arguments: painter)
    config = config_of(states, tmp_path / "set")
    with pytest.raises(TransientError, match=complaint):
        generate(config)
    assert not (config.output / "shard-000001.tar").exists()
    assert not (config.output / "manifest.json").exists()


def test_states_of_another_object_are_refused(states: Path, tmp_path: Path) -> None:
    with pytest.raises(DactylError, match=f"{states}: object is block, expected prism"):
        generate(config_of(states, tmp_path / "set", scene="prism"))


def test_states_are_drawn_by_another_rig_of_the_same_scene(
    states: Path, tmp_path: Path, painted: pytest.MonkeyPatch
) -> None:
    """A scene file with other cameras and surroundings; the manifest holds what was drawn."""
    cameras = [
        {"name": name, "width": 160, "height": 160, "fx": 700, "cx": 90, "position": [1.0, 1.5, 0.8]}
        | {"look_at": [1.0, 0.87, 0.15]}
        for name in rig().names
    ]
    workspace = {"start": [1.0, 0.87, 0.3], "light_centre": [1.0, 0.8, 0.2], "drop_height": 0.1}
    scene = {"hand": "shadow", "object": "block", "rig": {"cameras": cameras}, "workspace": workspace}
    path = tmp_path / "lab.yaml"
    path.write_text(json.dumps(scene))
    dataset = generate(config_of(states, tmp_path / "set", scene=str(path)))
    assert dataset.scene.name == "lab"
    assert dataset.rig.width == SIZE
    np.testing.assert_allclose(dataset.rig.nominal.intrinsics[:, 0, 2], 18.0)
    np.testing.assert_allclose([dataset.label(n)["camera_intrinsics"][:, 0, 2] for n in range(10)], 18.0)
    np.testing.assert_allclose(dataset.rig.cameras[0].position, [1.0, 1.5, 0.8])
    assert dataset.scene.workspace.start == (1.0, 0.87, 0.3)
    other = generate(config_of(states, tmp_path / "other"))
    expected = rendered_scene(states_scene(states), RenderOptions(image_size=SIZE))
    assert other.scene == expected != dataset.scene


def test_an_unfinished_dataset_says_so(states: Path, tmp_path: Path, painted: pytest.MonkeyPatch) -> None:
    config = config_of(states, tmp_path / "set")
    generate(config)
    (config.output / "manifest.json").unlink()
    with pytest.raises(DactylError, match="unfinished dataset"):
        TripletDataset(config.output)


@pytest.mark.parametrize("renderer", ["filament", "classic"])
def test_any_number_of_workers_gives_the_same_bytes(renderer: str, states: Path, tmp_path: Path) -> None:
    """The real renderers in real processes."""
    config = config_of(states, tmp_path / "two", renderer=renderer, count=5, shard_size=2, workers=2, view_labels=True)
    two = generate(config)
    one = generate(dataclasses.replace(config, output=tmp_path / "one", workers=1))
    assert tars(two.folder) == tars(one.folder)
    with tarfile.open(two.folder / "shard-000001.tar") as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert not list(faults(CheckConfig(two.folder, rerender=1)))
    with pytest.raises(DactylError, match=r"was begun with another configuration \(seed"):
        render_one(dataclasses.replace(config, seed=config.seed + 1), 3)
    alone = render_one(dataclasses.replace(config, output=tmp_path / "alone"), 3)
    files = {path.name: path.read_bytes() for path in alone.iterdir()}
    assert len(files) == 8
    assert files == {name: content for name, content in members.items() if name.startswith("000000003")}
    manifests = [json.loads((folder / "manifest.json").read_bytes()) for folder in (two.folder, one.folder)]
    assert manifests[0] == manifests[1]
    assert manifests[0]["renderers"][0]["name"] == renderer
    assert manifests[0]["renderers"][0]["device"] != "unknown"


@pytest.mark.parametrize("renderer", ["filament", "classic"])
def test_textured_samples_are_drawn_again_with_the_same_bytes(renderer: str, states: Path, tmp_path: Path) -> None:
    """From their shard's place alone, and from what they store; and a dataset of other pictures is another one."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(pictures / "a.png")
    textures = TextureConfig(links=0.5, object=0.5, background=0.5, folder=pictures, pool=4)
    options = RenderOptions(image_size=SIZE, textures=True)
    looks = AppearanceConfig(textures=textures)
    config = config_of(
        states, tmp_path / "set", renderer=renderer, count=4, shard_size=4, workers=1, appearance=looks, render=options
    )
    dataset = generate(config)
    assert not list(faults(CheckConfig(dataset.folder, rerender=4)))
    with tarfile.open(dataset.folder / "shard-000000.tar") as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    alone = render_one(dataclasses.replace(config, output=tmp_path / "alone"), 3)
    assert {path.name: path.read_bytes() for path in alone.iterdir()}.items() <= members.items()
    sources = {use["source"].partition(":")[0] for number in range(4) for use in dataset.appearance(number)["textures"]}
    assert "picture" in sources
    assert len(sources) > 1
    identity = config.identity()
    task = ShardTask(config, config.drawn_scene(), load_drawn_states(states), "")
    Image.new("RGB", (16, 16), "red").save(pictures / "b.png")
    TEXTURES.forget()
    assert config.identity() != identity
    with pytest.raises(DactylError, match=f"{pictures}: was replaced while this command ran"):
        task(0, int)  # in a process that looks into the folder only now


@pytest.mark.parametrize("renderer", ["filament", "classic"])
def test_samples_with_clutter_and_surroundings_are_drawn_again_with_the_same_bytes(
    renderer: str, states: Path, tmp_path: Path
) -> None:
    """From their shard's place alone, by any number of processes, and from what they store; masks too."""
    clutter = ClutterConfig(
        behind=UniformInt(1, 2), front=UniformInt(1, 2), fingers=FingerConfig(count=UniformInt(1, 2))
    )
    folder = tmp_path / "maps"
    folder.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 32, 3), dtype=np.uint8)).save(folder / "a.png")
    around = SurroundingsConfig(probability=0.8, folder=folder, pool=3)
    effects = CameraEffectsConfig(probability=0.8, read_noise=Uniform(0.01, 0.02), jpeg_quality=UniformInt(50, 90))
    looks = AppearanceConfig(clutter=clutter, surroundings=around, camera_effects=effects)
    made = {"renderer": renderer, "count": 4, "shard_size": 2, "appearance": looks, "view_labels": True}
    config = config_of(states, tmp_path / "set", workers=2, **made)
    dataset = generate(config)
    assert not list(faults(CheckConfig(dataset.folder, rerender=2)))
    members = {}
    for path in dataset.folder.glob("*.tar"):
        with tarfile.open(path) as tar:
            members |= {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    alone = dataclasses.replace(config, output=tmp_path / "alone")
    files = {path.name: path.read_bytes() for index in (0, 3) for path in render_one(alone, index).iterdir()}
    assert files == {name: content for name, content in members.items() if int(name[:9]) in (0, 3)}
    assert {piece["place"] for number in range(4) for piece in dataset.appearance(number)["clutter"]} > {"front"}
    uses = [dataset.appearance(number).get("surroundings") for number in range(4)]
    assert any(use and use["source"].startswith("picture") for use in uses)
    assert any(use and not use["source"].startswith("picture") for use in uses)
    assert 3 in {len(dataset.appearance(number).get("camera_effects", ())) for number in range(4)}
    identity = config.identity()
    other = dataclasses.replace(looks, clutter=dataclasses.replace(clutter, hidden=0.5))
    assert dataclasses.replace(config, appearance=other).identity() != identity
    Image.new("RGB", (16, 8), "red").save(folder / "b.png")
    SURROUNDINGS.forget()
    assert config.identity() != identity


def test_datasets_from_before_there_were_textures_go_on(states: Path, tmp_path: Path) -> None:
    identity = config_of(states, tmp_path / "set").identity()
    assert "textures" not in identity["render"]
    assert "textures" not in identity["appearance"]
    assert "clutter" not in identity["appearance"]
    assert "surroundings" not in identity["appearance"]
    assert "camera_effects" not in identity["appearance"]


def test_a_recording_keeps_its_cameras_and_nothing_else(
    states: Path, tmp_path: Path, painted: pytest.MonkeyPatch
) -> None:
    options = RenderOptions(image_size=SIZE, displacement="per-recording", recording_size=3)
    sets = [
        generate(config_of(states, tmp_path / "recordings", render=options)),
        generate(config_of(states, tmp_path / "samples")),
    ]
    cameras = [[dataset.label(number)["camera_extrinsics"] for number in range(10)] for dataset in sets]
    for number in range(1, 10):
        assert np.array_equal(cameras[0][number], cameras[0][number - 1]) == (number % 3 != 0)
        assert not np.array_equal(cameras[1][number], cameras[1][number - 1])
        looks = [dataset.appearance(number) for dataset in sets]
        assert looks[0]["material_rgb"] == looks[1]["material_rgb"]


def test_a_recordings_size_counts_only_where_there_are_recordings(states: Path, tmp_path: Path) -> None:
    config = config_of(states, tmp_path / "set")
    assert "recording_size" not in config.identity()["render"]
    recordings = dataclasses.replace(config.render, displacement="per-recording")
    assert dataclasses.replace(config, render=recordings).identity()["render"]["recording_size"] == 100


def test_who_draws_what_is_read_from_the_renderers() -> None:
    assert [traits_of(name).reusable for name in ("filament", "classic", "warp", "unity")] == [False, False, True, True]
    assert others_that_draw("clutter") == "take filament or classic or unity"


def test_what_is_special_about_a_renderer_is_its_class_to_say(
    states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of another package: nothing here goes by a renderer's name."""

    class Theirs:
        camera_effects, shares_gpus = False, True
        machine_options = frozenset({"unity", "warp.device"})

    classes, names, load = {"plain": object, "theirs": Theirs}, RENDERERS.names(), RENDERERS.load
    monkeypatch.setattr(RENDERERS, "names", lambda: (*names, *classes))
    monkeypatch.setattr(RENDERERS, "load", lambda name: classes.get(name) or load(name))
    plain, theirs = (config_of(states, tmp_path, renderer=name) for name in classes)

    assert dataclasses.replace(theirs, devices=2).render_here.warp.devices == 2
    for config in (plain, config_of(states, tmp_path)):
        with pytest.raises(ValueError, match="devices: is of use only with renderer warp, got 2"):
            dataclasses.replace(config, devices=2)

    effects = AppearanceConfig(camera_effects=CameraEffectsConfig(probability=1.0, read_noise=Uniform(0.0, 0.1)))
    dataclasses.replace(plain, appearance=effects)
    for name in ("theirs", "warp"):
        with pytest.raises(ValueError, match=f"appearance.camera_effects: renderer {name} has none"):
            dataclasses.replace(theirs, renderer=name, appearance=effects)

    (ours, others), warp = (
        (config.identity()["render"] for config in (plain, theirs)),
        dataclasses.asdict(WarpOptions()),
    )
    assert ours.keys() == dataclasses.asdict(RenderOptions()).keys() - {"warp", "recording_size", "textures"}
    assert ours["unity"].keys() == dataclasses.asdict(UnityOptions()).keys() - {"player"}
    assert "unity" not in others
    assert others["warp"].keys() == warp.keys() - {"device"}
    assert config_of(states, tmp_path, renderer="warp").identity()["render"]["warp"] == {"rays": warp["rays"]}
