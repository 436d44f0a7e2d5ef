"""The player's C#: all of it compiles, and the part without an engine does under mono what Python expects."""

from __future__ import annotations

import io
import json
import math
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from datagen.appearance.clutter_pieces import ClutterPart, ClutterPiece
from datagen.unity import probe, records, wire
from datagen.unity.scene_export import export_scene
from datagen.unity.scene_pack import ScenePack
from tests.scenes import compiled
from tests.unity.batches import random_batch, small_pack
from tests.unity.conftest import ASSETS, REPOSITORY
from tests.unity.test_environment import small_picture
from tests.unity.test_wire import lengthened
from vision.geometry.cameras import Cameras, camera_matrix, project
from vision.geometry.rotations import FloatArray
from vision.rigs.rig_files import CameraFile

Check = Callable[..., str]

_MODULES = """
    ai androidjni animation assetbundle audio cloth director imageconversion imgui jsonserialize particlesystem physics
    physics2d screencapture terrain terrainphysics tilemap ui uielements umbra unityanalytics unitywebrequest
    unitywebrequestassetbundle unitywebrequestaudio unitywebrequesttexture unitywebrequestwww vehicles video vr wind xr
"""


def extrinsics(position: FloatArray, quaternion: FloatArray) -> FloatArray:
    """T (4, 4) of a camera in MuJoCo's convention, as scene files have it."""
    place = {"position": tuple(position), "quaternion": tuple(quaternion)}
    return CameraFile(name="one", width=200, height=200, fovy_deg=45.0, **place).build().extrinsics  # type: ignore[arg-type]


def test_all_code_compiles(assemblies: dict[str, Path]) -> None:
    assert {"Dactyl.Protocol", "Dactyl.Stage", "Dactyl.Editor"} <= set(assemblies)
    inside = {path.parent for path in ASSETS.rglob("*.asmdef")}
    assert not [path for path in ASSETS.rglob("*.cs") if inside.isdisjoint(path.parents)], "code in no assembly"


def test_the_project_names_its_editor_and_packages() -> None:
    project_folder = REPOSITORY / "unity_project"
    assert "m_EditorVersion: 2022.3." in (project_folder / "ProjectSettings" / "ProjectVersion.txt").read_text()
    packages = json.loads((project_folder / "Packages" / "manifest.json").read_text())["dependencies"]
    assert packages["com.unity.ml-agents"] == "2.0.1"
    # All of Unity's own modules, as a new project of 2022.3 has them. ML-Agents and what it brings (Barracuda, Burst)
    # use some that their package files do not name: UI Elements and Android JNI among them.
    modules = {name.removeprefix("com.unity.modules."): v for name, v in packages.items() if ".modules." in name}
    assert modules == dict.fromkeys(_MODULES.split(), "1.0.0")


def test_what_git_ignores_in_the_project() -> None:
    project_folder = REPOSITORY / "unity_project"

    def ignored(path: str) -> bool:
        command = ["git", "check-ignore", "--quiet", "--no-index", path]
        return subprocess.run(command, cwd=project_folder, check=False).returncode == 0

    if subprocess.run(["git", "rev-parse"], cwd=project_folder, check=False, capture_output=True).returncode != 0:
        pytest.skip("not in a git repository")
    assert ignored("Assets/ML-Agents/Timers/Empty_timers.json")  # written at every play
    assert ignored("Assets/Generated/Empty.unity")
    assert not ignored("Packages/packages-lock.json")
    assert not ignored("Assets/Editor/BuildPlayer.cs")


@pytest.mark.parametrize(
    ("outcome", "printed"),
    [
        ("Succeeded", ["log dactyl: build Succeeded, 3 errors", "exit 0"]),
        ("Failed", ["error dactyl: build Failed, 3 errors", "exit 1"]),
        ("nothing", ["error dactyl: the build did not start", "exit 1"]),
        ("throws", ["exception no space left", "exit 1"]),
    ],
)
def test_a_build_says_how_it_went_before_the_editor_ends(
    editor_check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str, printed: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # it makes the folder of the player
    lines = editor_check("build", outcome).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(start) for line, start in zip(lines, printed, strict=True)), lines


def test_light_intensities_are_linear(editor_check: Check) -> None:
    assert editor_check("settings").splitlines()[:2] == ["linear intensity: True", "color temperature: False"]


class TestServer:
    """Requests that Python wrote, answered by the code that answers in Unity."""

    pack = small_pack()
    scene = wire.content_hash(pack.encode())

    def serve(self, check: Check, folder: Path, requests: list[bytes]) -> list[wire.Reply]:
        for number, request in enumerate(requests):
            (folder / f"{number:03}.request").write_bytes(request)
        check("serve", folder)
        return [wire.Reply.decode((folder / f"{number:03}.reply").read_bytes()) for number in range(len(requests))]

    def load(self, pack: ScenePack, piece_size: int = 2**20) -> list[bytes]:
        encoded = pack.encode()
        return self.bring(wire.Kind.LOAD, encoded, piece_size)

    def bring(self, kind: wire.Kind, content: bytes, piece_size: int = 2**20) -> list[bytes]:
        hash_ = wire.content_hash(content)
        return [wire.Request(kind, 900 + n, hash_, p).encode() for n, p in enumerate(wire.pieces(content, piece_size))]

    def render(self, batch: records.RenderBatch, request_id: int = 7, scene: int | None = None) -> bytes:
        scene = self.scene if scene is None else scene
        return wire.Request(wire.Kind.RENDER, request_id, scene, batch.encode()).encode()

    def test_draws_raw_pictures(self, check: Check, tmp_path: Path) -> None:
        batch = random_batch(np.random.default_rng(0), 2)
        described, *loaded, drawn = self.serve(
            check,
            tmp_path,
            [wire.Request(wire.Kind.DESCRIBE, 1).encode(), *self.load(self.pack, 64), self.render(batch)],
        )
        assert (described.id, described.status) == (1, wire.Status.OK)
        assert described.text == "engine: mono\ndevice: größer als ASCII"
        assert all(reply.status == wire.Status.OK for reply in loaded)
        assert len(loaded) > 5
        assert (tmp_path / "loaded").read_text() == "world größe"
        assert (drawn.id, drawn.status, drawn.shape) == (7, wire.Status.OK, batch.image_shape)
        assert drawn.pixels is not None
        np.testing.assert_array_equal(drawn.pixels, np.arange(batch.image_bytes) % 251)
        name = f"{1 + len(loaded):03}"
        sections = b"".join(getattr(batch, section).tobytes() for section in records.SECTIONS)
        assert (tmp_path / f"{name}.records").read_bytes() == sections
        named = np.array((tmp_path / f"{name}.named").read_text().split(), float).astype(np.float32)
        expected = [
            batch.cameras["far"][-1, -1], batch.bodies["quaternion"][-1, -1, 0], batch.materials["smoothness"][-1, -1],
            batch.materials["texture_offset"][-1, 0, 1], batch.lights["shadow"][-1, -1], batch.lights["type"][-1, 0],
            batch.cameras["centre"][-1, 0, 1], batch.solids["size"][-1, 1, 2], batch.solids["smoothness"][-1, 1],
            batch.frames["reflection"][-1], batch.frames["radiance"][-1], batch.materials["visible"][-1, 1],
            batch.msaa, batch.shadow_size,
        ]  # fmt: skip
        np.testing.assert_array_equal(named, np.array(expected, np.float32))

    def test_reads_a_newer_minor_version(self, check: Check, tmp_path: Path) -> None:
        batch = random_batch(np.random.default_rng(0), 2)
        request = wire.Request(wire.Kind.RENDER, 7, self.scene, lengthened(batch)).encode()
        *_, drawn = self.serve(check, tmp_path, [*self.load(self.pack), request])
        assert drawn.status == wire.Status.OK
        named = np.array((tmp_path / "001.named").read_text().split(), float).astype(np.float32)
        assert named[0] == batch.cameras["far"][-1, -1]
        assert named[8] == batch.solids["smoothness"][-1, 1]
        assert named[9] == batch.frames["reflection"][-1]

    def test_hands_out_observations(self, check: Check, tmp_path: Path) -> None:
        batch = random_batch(np.random.default_rng(0), 2, form=records.Form.OBSERVATIONS)
        *_, drawn = self.serve(check, tmp_path, [*self.load(self.pack), self.render(batch)])
        assert (drawn.status, drawn.shape, drawn.pixels) == (wire.Status.OK, batch.image_shape, None)
        observed = np.frombuffer((tmp_path / "001.observed").read_bytes(), np.uint8)
        np.testing.assert_array_equal(observed, np.arange(batch.image_bytes) % 251)

    def test_keeps_pictures_until_it_is_to_forget_them(self, check: Check, tmp_path: Path) -> None:
        first, second = b"first" * 30, b"second"
        hashes = tuple(map(wire.content_hash, (first, second)))
        batch = random_batch(np.random.default_rng(0), 1, pictures=hashes)
        forget = wire.Request(wire.Kind.FORGET, 5).encode()
        bring = [*self.bring(wire.Kind.PICTURE, first, 64), *self.bring(wire.Kind.PICTURE, second)]
        # A picture may come in the midst of a scene pack; again, it is not taken twice; another scene changes nothing.
        pack = self.load(self.pack, 64)
        requests = [pack[0], *bring, *pack[1:], *bring, self.render(batch), *self.load(small_pack(("a", "b"))), *pack,
                    self.render(batch), forget, self.render(batch)]  # fmt: skip
        replies = self.serve(check, tmp_path, requests)
        assert [reply.status for reply in replies[:-1]] == [wire.Status.OK] * (len(replies) - 1)
        assert replies[-1].status == wire.Status.SCENE
        assert replies[-1].text == f"picture {hashes[0]:016x} is not here"
        given = [f"{hashes[0]:016x} 150", f"{hashes[1]:016x} 6", "forgotten"]
        assert (tmp_path / "given").read_text().splitlines() == given

    def test_takes_surroundings(self, check: Check, tmp_path: Path) -> None:
        around, png = small_picture().encode(), b"any other bytes"
        hashes = tuple(map(wire.content_hash, (around, png)))

        def using(surroundings: int, texture: int) -> bytes:
            batch = random_batch(np.random.default_rng(0), 2, pictures=hashes)
            batch.materials["texture"], batch.frames["surroundings"] = texture, surroundings
            return self.render(batch)

        broken = [
            around[:-2],
            around + b"\0",
            around[:4] + b"\5" + around[5:],
            around[:6] + b"\2" + around[7:],
            around[:7],
        ]
        requests = [
            *self.load(self.pack),
            *(self.bring(wire.Kind.PICTURE, content)[0] for content in (around, png, *broken)),
            using(0, 2), using(-1, -1), using(1, -1), using(0, 1), using(2, -1),
        ]  # fmt: skip
        _, *replies = self.serve(check, tmp_path, requests)
        status = [reply.status for reply in replies]
        ok, scene, mismatch = wire.Status.OK, wire.Status.SCENE, wire.Status.MISMATCH
        assert status[:2] == [ok] * 2
        assert set(status[2:7]) <= {scene, wire.Status.MALFORMED}
        assert status[7:] == [ok, ok, mismatch, mismatch, mismatch]
        assert "picture 1 is shown as what it is not" in replies[9].text
        assert "picture 0 is shown as what it is not" in replies[10].text
        assert "surroundings 2 of 2 pictures" in replies[11].text
        assert (tmp_path / f"{hashes[0]:016x}.surroundings").read_bytes() == around[8:]

    def test_keeps_so_many_pictures_and_no_more(self, check: Check, tmp_path: Path) -> None:
        """As many as Python knows of."""
        contents = [number.to_bytes(2, "little") for number in range(wire.MAX_PICTURES + 1)]
        requests = [request for content in contents for request in self.bring(wire.Kind.PICTURE, content)]
        *taken, last = self.serve(check, tmp_path, requests)
        assert all(reply.status == wire.Status.OK for reply in taken)
        assert (last.status, last.text[:12]) == (wire.Status.MISMATCH, "513 pictures")

    def test_refuses_what_it_cannot_obey_and_goes_on(self, check: Check, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        good = self.render(random_batch(rng, 1))
        bad_pack = self.pack.encode()[:-1] + b"\xff"
        damaged = self.bring(wire.Kind.LOAD, bad_pack)[0]
        unshown = random_batch(rng, 1)
        unshown.materials["texture"] = 1
        blind = random_batch(rng, 1)
        blind.cameras["focal"][0, 2, 1] = 0
        endless = random_batch(rng, 1)
        endless.bodies["position"][0, 1, 2] = np.inf
        odd = random_batch(rng, 1)
        odd.solids["shape"] = 4
        cases = [
            (good, wire.Status.SCENE, "not the one"),
            (b"", wire.Status.MALFORMED, "ends early"),
            (b"nonsense of some length, but no request at all", wire.Status.MALFORMED, "no request"),
            (good[:-4], wire.Status.MALFORMED, "stated size"),
            (good[:20], wire.Status.MALFORMED, "ends early"),
            (good[:-1] + bytes([good[-1] ^ 1]), wire.Status.MALFORMED, "damaged"),
            (good[:10] + b"\1" + good[11:], wire.Status.MALFORMED, "damaged"),  # kind
            (good[:4] + b"\1" + good[5:], wire.Status.VERSION, "protocol 1.0, this player speaks 2.0"),
            (wire.Request(9, 7).encode(), wire.Status.MALFORMED, "unknown kind 9"),  # type: ignore[arg-type]
            (self.load(self.pack, 64)[1], wire.Status.SCENE, "missing or out of order"),
            (damaged, wire.Status.SCENE, "damaged"),
            (wire.Request(wire.Kind.LOAD, 3, 1, wire.pieces(bad_pack)[0]).encode(), wire.Status.SCENE, "hash"),
            (self.load(small_pack(("unloadable", "x")))[0], wire.Status.FAILED, "cannot be shown"),
            (self.load(self.pack)[0], wire.Status.OK, ""),
            (self.render(random_batch(rng, 1), scene=5), wire.Status.SCENE, "0000000000000005 is not the one"),
            (self.render(random_batch(rng, 1, bodies=9)), wire.Status.MISMATCH, "9 bodies, the scene has 2"),
            (self.render(random_batch(rng, 1, materials=1)), wire.Status.MISMATCH, "1 materials, the scene has 3"),
            (self.render(random_batch(rng, 0)), wire.Status.MISMATCH, "empty batch"),
            (self.render(random_batch(rng, 1, sizes=((5, 4), (9000, 4)))), wire.Status.MISMATCH, "9000 x 4"),
            (self.render(random_batch(rng, 1, sizes=((5, 4), (0, 4)))), wire.Status.MISMATCH, "0 x 4"),
            (self.render(random_batch(rng, 1, sizes=())), wire.Status.MISMATCH, "empty batch"),
            (self.render(unshown), wire.Status.MISMATCH, "texture 1 of 1"),
            (self.render(blind), wire.Status.MISMATCH, "camera 2 has a lens that is none"),
            (self.render(endless), wire.Status.MISMATCH, "not finite"),
            (self.render(odd), wire.Status.MISMATCH, "shape 4 of a solid"),
            (self.render(random_batch(rng, 1, pictures=(5,))), wire.Status.SCENE, "0000000000000005 is not here"),
            (wire.Request(wire.Kind.PICTURE, 3, 1, wire.pieces(b"png")[0]).encode(), wire.Status.SCENE, "hash"),
            (self.bring(wire.Kind.PICTURE, b"x")[0], wire.Status.SCENE, "no PNG file"),
            (self.render(random_batch(rng, 3, form=records.Form.OBSERVATIONS)), wire.Status.MISMATCH,
             "observe up to 2 samples of 5 x 4, 3 x 6, 2 x 2"),
            (self.render(random_batch(rng, 1, sizes=((5, 4), (6, 3), (2, 2)), form=records.Form.OBSERVATIONS)),
             wire.Status.MISMATCH, "observe up to 2"),
            (wire.Request(wire.Kind.RENDER, 7, self.scene, b"\x24\0").encode(), wire.Status.MALFORMED, "ends early"),
            (wire.Request(wire.Kind.RENDER, 7, self.scene, random_batch(rng, 1).encode()[:-4]).encode(),
             wire.Status.MALFORMED, "records do not have the stated size"),
            (good, wire.Status.OK, ""),
        ]  # fmt: skip
        replies = self.serve(check, tmp_path, [request for request, _, _ in cases])
        for reply, (request, status, text) in zip(replies, cases, strict=True):
            assert reply.status == status, (text, reply.text)
            assert text in reply.text
            assert reply.id == (int.from_bytes(request[12:16], "little") if len(request) >= 16 else 0)
        assert replies[-1].pixels is not None


def test_packs_are_read_as_they_were_written(check: Check, tmp_path: Path) -> None:
    block = export_scene(compiled("block", 0.1))
    for name, pack in {"small": small_pack(), "block": block, "probe": probe.probe_pack(3)}.items():
        (tmp_path / f"{name}.pack").write_bytes(pack.encode())
    good = small_pack().encode()

    def resigned(payload: bytes) -> bytes:
        """A pack that is consistent but for what its payload says."""
        return good[:8] + len(payload).to_bytes(4, "little") + zlib.crc32(payload).to_bytes(4, "little") + payload

    broken = {
        "magic": (b"X" + good[1:], "no scene pack"),
        "version": (good[:4] + b"\1" + good[5:], "version 1"),
        "flipped": (good[:60] + bytes([good[60] ^ 1]) + good[61:], "damaged"),
        "short": (good[:-1], "damaged"),
        "counts": (resigned(b"\xff\xff" + good[18:]), "ends early"),
        "corner": (resigned(good[16:-4] + (9).to_bytes(4, "little")), "part two refers"),
        "sizes": (
            resigned(good[16:].replace(b"one\0\0\1\0\1\0\6\0\0\0", b"one\0\0\1\0\1\0\xff\xff\xff\xff")),
            "ends early",
        ),
    }
    for name, (data, _) in broken.items():
        (tmp_path / f"{name}.pack").write_bytes(data)
    check("packs", tmp_path)
    for name in ("small", "block", "probe"):
        data = (tmp_path / f"{name}.pack").read_bytes()
        assert (tmp_path / f"{name}.pack.again").read_bytes() == data
        assert int((tmp_path / f"{name}.pack.hash").read_text()) == wire.content_hash(data)
    for name, (_, text) in broken.items():
        assert text in (tmp_path / f"{name}.pack.error").read_text()


class TestFrames:
    """MuJoCo's frames to Unity's."""

    # MuJoCo position, quaternion w x y z; Unity position, quaternion x y z w, camera quaternion.
    ROOT = math.sqrt(0.5)
    WORKED = (
        ((0.1, 0.2, 0.3), (ROOT, ROOT, 0, 0), (0.1, 0.3, 0.2), (-ROOT, 0, 0, ROOT), (0, 0, 0, 1)),
        ((1, 0.87, 1), (1, 0, 0, 0), (1, 1, 0.87), (0, 0, 0, 1), (ROOT, 0, 0, ROOT)),
        ((0, -1, 0.5), (0.92388, 0, 0, 0.38268), (0, 0.5, -1), (0, -0.38268, 0, 0.92388),
         (0.65328, -0.27060, 0.27060, 0.65328)),
    )  # fmt: skip

    def convert(self, check: Check, folder: Path, poses: np.ndarray) -> np.ndarray:
        """Unity's position, rotation, camera rotation, rotation towards the position: (N, 15)."""
        path = folder / "poses.f32"
        path.write_bytes(poses.astype("<f4").tobytes())
        *rows, winding = check("poses", path).splitlines()
        assert winding == "0 2 1 3 5 4"
        return np.array([row.split() for row in rows], float)

    def test_worked_figures(self, check: Check, tmp_path: Path) -> None:
        rows = self.convert(check, tmp_path, np.array([[*position, *q] for position, q, *_ in self.WORKED]))
        for row, (_, _, *expected) in zip(rows, self.WORKED, strict=True):
            np.testing.assert_allclose(row[:11], np.concatenate(expected), atol=1e-5)

    def test_both_conventions_project_a_point_to_the_same_pixel(self, check: Check, tmp_path: Path) -> None:
        rng = np.random.default_rng(3)
        size, fovy = 200, 45.0
        quaternions = np.roll(Rotation.random(50, random_state=rng).as_quat(), 1, axis=1)
        positions = rng.uniform(-1, 1, (50, 3))
        positions[0], quaternions[0] = self.WORKED[0][0], self.WORKED[0][1]
        unity = self.convert(check, tmp_path, np.column_stack([positions, quaternions]))
        focal = size / (2 * math.tan(math.radians(fovy / 2)))
        for position, quaternion, row in zip(positions, quaternions, unity, strict=True):
            transform = extrinsics(position, quaternion)
            in_camera = rng.uniform((-0.5, -0.5, 1), (0.5, 0.5, 3), (8, 3))
            points = (in_camera - transform[:3, 3]) @ transform[:3, :3]
            expected = project(points, Cameras(camera_matrix(fovy, size, size), transform))
            # Unity: the world with y and z exchanged, seen by a camera that looks along +z with +y up.
            seen = Rotation.from_quat(row[7:11]).inv().apply(points[:, [0, 2, 1]] - row[:3])
            pixels = size / 2 + focal * seen[:, :2] / seen[:, 2:] * (1, -1)
            np.testing.assert_allclose(pixels, expected, atol=1e-3)
        point = np.array([[0.2, 1.2, 0.35]])
        worked = project(point, Cameras(camera_matrix(fovy, size, size), extrinsics(positions[0], quaternions[0])))
        np.testing.assert_allclose(worked, [[124.142, 87.929]], atol=1e-3)

    @pytest.mark.parametrize(("width", "height"), [(240, 150), (96, 72), (110, 210)])
    def test_a_lens_puts_points_where_the_labels_have_them(
        self, check: Check, tmp_path: Path, width: int, height: int
    ) -> None:
        """Whatever K: the projection that Unity gets, and its rows from the bottom up, against `project`."""
        rng = np.random.default_rng(width)
        lenses = np.zeros(30, records.CAMERA)
        lenses["focal"] = rng.uniform(50, 900, (30, 2))
        lenses["centre"] = rng.uniform(-0.5, 1.5, (30, 2)) * (width, height)
        lenses["near"], lenses["far"] = rng.uniform(0.01, 0.1, 30), rng.uniform(5, 20, 30)
        lenses["position"] = rng.uniform(-1, 1, (30, 3))
        lenses["quaternion"] = np.roll(Rotation.random(30, random_state=rng).as_quat(), 1, axis=1)
        (tmp_path / "cameras.f32").write_bytes(lenses.tobytes())
        printed = check("lenses", tmp_path / "cameras.f32", width, height).splitlines()
        matrices = np.array([line.split() for line in printed], float).reshape(-1, 4, 4)
        poses = self.convert(check, tmp_path, np.column_stack([lenses["position"], lenses["quaternion"]]))
        for record, matrix, pose in zip(lenses, matrices, poses, strict=True):
            K = np.eye(3)
            K[[0, 1], [0, 1]], K[:2, 2] = record["focal"], record["centre"]
            pixels = rng.uniform((0, 0), (width, height), (20, 2))
            depths = np.concatenate([[record["near"], record["far"]], rng.uniform(0.2, 4, 18)])[:, None]
            in_camera = depths * np.column_stack([(pixels - K[:2, 2]) / record["focal"], np.ones(20)])
            transform = extrinsics(record["position"], record["quaternion"])
            points = (in_camera - transform[:3, 3]) @ transform[:3, :3]
            np.testing.assert_allclose(project(points, Cameras(K, transform)), pixels, atol=1e-2)
            # Unity's camera space: x right, y up, and backwards along +z.
            seen = Rotation.from_quat(pose[7:11]).inv().apply(points[:, [0, 2, 1]] - pose[:3]) * (1, 1, -1)
            clip = np.column_stack([seen, np.ones(20)]) @ matrix.T
            x, y, z = (clip[:, :3] / clip[:, 3:]).T
            np.testing.assert_allclose(z[:2], [-1, 1], atol=2e-3)
            assert (np.abs(z[2:]) < 1).all()
            from_bottom = (y + 1) / 2 * height
            np.testing.assert_allclose((x + 1) / 2 * width, pixels[:, 0], atol=1e-2)
            np.testing.assert_allclose(height - from_bottom, pixels[:, 1], atol=1e-2)

    def test_bodies_keep_their_points(self, check: Check, tmp_path: Path) -> None:
        """A point of a body is at the same place whether it is converted before or after the pose is applied."""
        rng = np.random.default_rng(4)
        rotations, positions = Rotation.random(20, random_state=rng), rng.uniform(-1, 1, (20, 3))
        poses = np.column_stack([positions, np.roll(rotations.as_quat(), 1, axis=1)])
        for rotation, position, row in zip(rotations, positions, self.convert(check, tmp_path, poses), strict=True):
            local = rng.normal(size=(5, 3))
            inside_unity = Rotation.from_quat(row[3:7]).apply(local[:, [0, 2, 1]]) + row[:3]
            np.testing.assert_allclose(inside_unity, (rotation.apply(local) + position)[:, [0, 2, 1]], atol=1e-6)

    def test_lights_look_where_they_should(self, check: Check, tmp_path: Path) -> None:
        directions = np.concatenate([
            np.random.default_rng(5).normal(size=(20, 3)), [(0, -1, 0), (0, 1, 0), (0, -1, 1e-9), (0, 0, 0)]
        ])  # fmt: skip
        rows = self.convert(check, tmp_path, np.column_stack([directions, np.tile([1, 0, 0, 0], (24, 1))]))
        forward = Rotation.from_quat(rows[:, 11:15]).apply([0, 0, 1])
        expected = directions[:, [0, 2, 1]] / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
        expected[-1] = (0, 0, 1)  # no direction at all: as it was
        np.testing.assert_allclose(forward, expected, atol=1e-6)


@pytest.mark.parametrize(
    "sizes",
    [
        [(200, 200)] * 3,
        [(240, 150), (96, 72), (110, 210)],
        [(16, 16)],
        [(1280, 720)] * 5,
        [(8192, 64), (32, 3000)],
        [(100, 40 + 7 * number) for number in range(60)],
    ],
)
def test_pictures_lie_side_by_side_in_a_texture(check: Check, sizes: list[tuple[int, int]]) -> None:
    first, *lines = check("mosaic", *(f"{width}x{height}" for width, height in sizes)).splitlines()
    width, height, fits = first.split()
    assert fits == "True"
    rows = np.array([line.split() for line in lines], int)
    for texture in (0, 1):
        placed = rows[rows[:, 0] == texture][:, 1:]
        assert len(placed)
        taken = np.zeros((int(height), int(width)), bool)
        for camera, left, bottom in placed:
            part = taken[bottom : bottom + sizes[camera][1], left : left + sizes[camera][0]]
            assert part.shape == sizes[camera][::-1], "juts out"
            assert not part.any(), "lies on another"
            part[:] = True
    # One after another, no more in a texture than can be held, and samples together where they are small.
    assert rows[:, 1].tolist() == [number % len(sizes) for number in range(len(rows))]
    assert int(width) * int(height) <= max(2048**2, int(np.max(sizes, axis=0).prod()), 2048 * int(np.max(sizes)))
    if sizes[0] == (200, 200):
        assert (int(width), int(height)) == (600, 1600)


class Surface(NamedTuple):
    """Triangles (F, 3, 3) and the normals of their corners (F, 3, 3)."""

    triangles: np.ndarray
    normals: np.ndarray


class TestSolids:
    """Clutter as triangles, against the solids' own distances."""

    PARTS = (
        ClutterPart("box", np.array([0.3, -0.2, 0.5]), np.array([0.8, 0.36, 0.48, 0.0]), np.array([0.1, 0.02, 0.05])),
        ClutterPart("capsule", np.array([-1.0, 0.4, 0.2]), np.array([0.5, -0.5, 0.1, 0.7]), np.array([0.03, 0.2, 0])),
        ClutterPart("sphere", np.array([0.0, 2.0, -0.5]), np.array([0.5, 0.5, 0.5, 0.5]), np.array([0.07, 0, 0])),
    )

    @pytest.fixture
    def surfaces(self, check: Check, tmp_path: Path) -> list[Surface]:
        """Of each part, in Unity's frame."""
        solids = np.zeros(len(self.PARTS) + 1, records.SOLID)  # the last has no shape
        for record, part in zip(solids, self.PARTS, strict=False):
            record["shape"] = records.SolidShape[part.shape.upper()]
            record["position"], record["size"] = part.position, part.size
            record["quaternion"] = part.quaternion / np.linalg.norm(part.quaternion)
        (tmp_path / "solids.f32").write_bytes(solids.tobytes())
        lines = check("solids", tmp_path / "solids.f32").splitlines()
        units, at = [], lines.index("shape")
        for positions, normals, corners in zip(lines[at + 1 :: 4], lines[at + 2 :: 4], lines[at + 3 :: 4], strict=True):
            arrays = (np.array(line.split(), float).reshape(-1, 3) for line in (positions, normals, corners))
            units.append(tuple(arrays))
        pieces: list[list[Surface]] = [[] for _ in self.PARTS]
        for line in lines[:at]:
            number, unit, *values = map(float, line.split())
            positions, normals, corners = units[int(unit)]
            pose = np.array(values[:7])
            turn = self.to_unity(tmp_path, check, pose)
            # Unity's transform: axes change places, in the mesh as in the scale; normals go with the inverse scale.
            scale = np.array(values[7:])[[0, 2, 1]]
            world = Rotation.from_quat(turn).apply(positions[:, [0, 2, 1]] * scale) + pose[[0, 2, 1]]
            shading = Rotation.from_quat(turn).apply(normals[:, [0, 2, 1]] / scale)
            faces = corners.astype(int)
            pieces[int(number)].append(Surface(world[faces], shading[faces]))
        return [Surface(*map(np.concatenate, zip(*surfaces, strict=True))) for surfaces in pieces]

    def to_unity(self, folder: Path, check: Check, pose: np.ndarray) -> np.ndarray:
        path = folder / "pose.f32"
        path.write_bytes(pose.astype("<f4").tobytes())
        return np.array(check("poses", path).split()[3:7], float)

    def test_triangles_lie_on_the_solids(self, surfaces: list[Surface]) -> None:
        for part, (triangles, _) in zip(self.PARTS, surfaces, strict=True):
            unit = part.quaternion / np.linalg.norm(part.quaternion)
            piece = ClutterPiece("one", "beside", (replace(part, quaternion=unit),), np.ones(3), 0.0, 0.0)
            corners, centres = triangles.reshape(-1, 3)[:, [0, 2, 1]], triangles.mean(axis=1)[:, [0, 2, 1]]
            distance = piece.distance(corners)
            assert distance.max() < 1e-5, part.shape
            assert piece.distance(centres).max() < 1e-5
            if part.shape != "capsule":  # half of each ball is inside the tube
                assert distance.min() > -1e-5
                assert piece.distance(centres).min() > -0.02 * part.size[0]
            np.testing.assert_allclose(np.ptp(corners, axis=0), self.extent(part), rtol=0.02)

    @staticmethod
    def extent(part: ClutterPart) -> np.ndarray:
        """Of its bounding box along the world's axes."""
        turn = Rotation.from_quat(np.roll(part.quaternion, -1)).as_matrix()
        if part.shape == "box":
            return 2 * np.abs(turn) @ part.size
        return 2 * (np.abs(turn[:, 2]) * part.size[1] + part.size[0])

    def test_triangles_face_outwards(self, surfaces: list[Surface]) -> None:
        """Unity shows triangles whose corners go clockwise: in left-handed axes their cross product points outwards."""
        for part, (triangles, normals) in zip(self.PARTS, surfaces, strict=True):
            flat = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
            area = np.linalg.norm(flat, axis=1)
            cosine = np.einsum("fcx,fx->fc", normals, flat) / np.linalg.norm(normals, axis=2)
            assert (cosine[area > 1e-12] / area[area > 1e-12, None]).min() > 0.95, part.shape


def test_pictures(check: Check, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = [(1, 1), (7, 3), (200, 200), (300, 73)]  # the last two need more than one block of 65,535 bytes
    for width, height in sizes:
        (tmp_path / f"{width}x{height}.rgb").write_bytes(rng.bytes(3 * width * height))
    texture = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)  # bottom row first
    (tmp_path / "whole.rgb").write_bytes(texture.tobytes())
    check("pictures", tmp_path)
    for width, height in sizes:
        png = (tmp_path / f"{width}x{height}.rgb.png").read_bytes()
        raw = np.frombuffer((tmp_path / f"{width}x{height}.rgb").read_bytes(), np.uint8)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), raw.reshape(height, width, 3))
    tile = np.frombuffer((tmp_path / "tile.out").read_bytes(), np.uint8)
    assert not tile[:3].any()
    np.testing.assert_array_equal(tile[3:].reshape(2, 2, 3), texture[1:3, 1:3][::-1])
