"""Scene files and meshes of other people, with what they get wrong: one line with the key, never another object."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from vision.errors import DactylError
from vision.objects import mesh_files
from vision.objects.lettered import BoxFile, FaceLook
from vision.objects.mesh_reading import read_geometries
from vision.plain import Plain, from_plain
from vision.scene.load import load_scene

SCENE = """hand: null
object: {kind: box, name: die, size: [0.05, 0.05, 0.05], mass: 0.06,
  faces: {"+x": {color: [0.8, 0.1, 0.1]}, "-x": {color: [0.1, 0.6, 0.2]}, "+y": {color: [0.1, 0.2, 0.7]},
          "-y": {color: [0.9, 0.8, 0.1]}, "+z": {color: [0.9, 0.9, 0.9]}, "-z": {color: [0.6, 0.2, 0.6]}}}
rig: {cameras: [{name: front, width: 64, height: 64, fovy_deg: 30, position: [0.4, 0, 0.5], look_at: [0, 0, 0.1]}]}
workspace: {start: [0, 0, 0.1], light_centre: [0, 0, 0.03]}
"""
TRIANGLES = "f 1/1 3/2 4/3\nf 1/1 4/2 2/3\nf 1/1 2/2 3/3\nf 2/1 4/2 3/3\n"
CORNERS = "v 0 0 0\nv 0.05 0 0\nv 0 0.05 0\nv 0 0 0.05\nvt 0 0\nvt 0 1\nvt 1 1\n"


def refused(folder: Path, text: str) -> str:
    path = folder / "scene.yaml"
    path.write_text(text)
    with pytest.raises(DactylError) as error:
        load_scene(str(path))
    assert str(path) in str(error.value)
    return str(error.value)


def test_the_scene_that_the_others_change_is_sound(tmp_path: Path) -> None:
    (tmp_path / "scene.yaml").write_text(SCENE)
    assert load_scene(str(tmp_path / "scene.yaml")).object.name == "die"


@pytest.mark.parametrize("name", ['"../../x"', '"a\\e[2Jb"', '"a\\u202Eb"', '"[/b]"', '""', "a" * 101, '"a\\nb"'])
def test_names_are_shown_and_become_names_of_files(tmp_path: Path, name: str) -> None:
    assert "name: of the scene" in refused(tmp_path, f"{SCENE}name: {name}\n")
    assert "name: of the object" in refused(tmp_path, SCENE.replace("name: die", f"name: {name}"))


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e400", "1e300"])
@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("workspace.start[2]", "start: [0, 0, 0.1]", "start: [0, 0, {}]"),
        ("workspace.lost_distance", "start:", "lost_distance: {}, start:"),
        ("background.centre[2]", "workspace:", "background: {{centre: [0, 0, {}]}}\nworkspace:"),
        ("object.letter_height", "mass:", "letter_height: {}, mass:"),
        ("rig.cameras[0].position[1]", "position: [0.4, 0,", "position: [0.4, {},"),
    ],
)
def test_a_number_that_is_none_is_named(tmp_path: Path, value: str, key: str, before: str, after: str) -> None:
    text = SCENE.replace(before, after.format(value), 1)
    assert f"key '{key}': expected a number within 1e+09" in refused(tmp_path, text)


@pytest.mark.parametrize("height", ["-0.03", "0", "30"])
def test_a_letter_has_a_height_in_metres(tmp_path: Path, height: str) -> None:
    said = refused(tmp_path, SCENE.replace("mass:", f"letter_height: {height}, mass:"))
    assert "letter_height" in said
    assert "are these millimetres?" in said


@pytest.mark.parametrize("key", ["lost_distance", "start_std"])
def test_a_workspace_has_a_size_in_metres(tmp_path: Path, key: str) -> None:
    """With a distance in millimetres an object that rolled away was never lost."""
    said = refused(tmp_path, SCENE.replace("start:", f"{key}: 220, start:"))
    assert f"{key}: expected at most 5 metres, got 220; are these millimetres?" in said


def test_a_camera_cannot_look_at_itself(tmp_path: Path) -> None:
    assert "its own position" in refused(tmp_path, SCENE.replace("look_at: [0, 0, 0.1]", "look_at: [0.4, 0, 0.5]"))


def test_yaml_that_would_be_read_for_minutes_is_not_begun(tmp_path: Path) -> None:
    assert "262,144 bytes" in refused(tmp_path, "hand: [" + "0," * 200_000 + "]")


def mesh(folder: Path, content: str | bytes, name: str = "it.obj", **files: bytes) -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for file, inside in files.items():
        (folder / file.replace("_", ".")).write_bytes(inside)
    return folder / name


def unreadable(path: Path) -> str:
    with pytest.raises(ValueError, match="file: ") as error:
        read_geometries(path)
    assert path.name in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CORNERS.replace("v 0 0 0\n", "v nan 0 0\n") + TRIANGLES, "a coordinate is not finite"),
        (CORNERS.replace("v 0 0 0\n", "v 1e999 0 0\n") + TRIANGLES, "a coordinate is not finite"),
        (CORNERS.replace("vt 0 1\n", "vt nan 1\n") + TRIANGLES, "a texture coordinate is not finite"),
        ("", "holds no triangles"),
    ],
)
def test_no_vertex_is_dropped_in_silence(tmp_path: Path, text: str, said: str) -> None:
    assert said in unreadable(mesh(tmp_path, text))


def test_a_corner_before_the_first_vertex_is_refused(tmp_path: Path) -> None:
    content = trimesh.creation.box((0.05, 0.05, 0.05)).export(file_type="ply")
    assert "outside of the 8 vertices" in unreadable(mesh(tmp_path, content[:-4] + struct.pack("<i", -5), "it.ply"))


def picture(folder: Path, image: Image.Image, kind: str = "PNG") -> bytes:
    image.save(folder / "made", kind)
    return (folder / "made").read_bytes()


def textured(folder: Path, line: str, content: bytes | None = None) -> Path:
    if content is not None:
        (folder / "t.png").write_bytes(content)
    text = f"mtllib it.mtl\nusemtl a\n{CORNERS}{TRIANGLES}"
    return mesh(folder, text, it_mtl=f"newmtl a\nmap_Kd {line}\n".encode())


def test_a_texture_beside_the_mesh_is_read(tmp_path: Path) -> None:
    found = read_geometries(textured(tmp_path, "t.png", picture(tmp_path, Image.new("RGB", (8, 8)))))
    assert len(found) == 1


@pytest.mark.parametrize("line", ["missing.png", "../t.png", "/etc/passwd", "http://localhost/t.png", "-s 1 1 1 t.png"])
def test_a_texture_that_is_not_beside_the_mesh_is_named(tmp_path: Path, line: str) -> None:
    content = picture(tmp_path, Image.new("RGB", (8, 8)))
    assert f"names '{line}'" in unreadable(textured(tmp_path, line, content))


def test_a_texture_that_cannot_be_shown_as_it_is_is_named(tmp_path: Path) -> None:
    deep = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    whole = picture(tmp_path, Image.effect_noise((64, 64), 50))
    for content in (b"", b"hello", whole[: len(whole) // 2], picture(tmp_path, deep), b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        assert "names 't.png'" in unreadable(textured(tmp_path, "t.png", content))


def test_a_texture_that_is_a_bomb_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_files, "_MOST_PIXELS", 63)
    assert "too large" in unreadable(textured(tmp_path, "t.png", picture(tmp_path, Image.new("RGB", (8, 8)))))


@pytest.mark.timeout(20)
def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.png")
    assert "not a file" in unreadable(textured(tmp_path, "t.png"))
    os.mkfifo(tmp_path / "pipe.stl")
    assert "not a file" in unreadable(tmp_path / "pipe.stl")


def test_text_in_latin_1_is_read(tmp_path: Path) -> None:
    """CAD programs write names and comments so; trimesh asks a package for the encoding that is not installed."""
    names = "# Würfel\nmtllib größe.mtl\nusemtl rötlich\n"
    (tmp_path / "größe.mtl").write_bytes("# für\nnewmtl rötlich\nKd 1 0 0\n".encode("latin-1"))
    (colored,) = read_geometries(mesh(tmp_path, f"{names}{CORNERS}{TRIANGLES}".encode("latin-1")))
    assert colored.visual.material.main_color.tolist() == [255, 0, 0, 255]
    box = trimesh.creation.box((0.05, 0.05, 0.05))
    stl = box.export(file_type="stl_ascii").encode().replace(b"solid", "solid Würfel".encode("latin-1"))
    ply = box.export(file_type="ply").replace(b"\n", "\ncomment Würfel\n".encode("latin-1"), 1)
    for content, name in ((stl, "it.stl"), (ply, "it.ply")):
        with pytest.raises(UnicodeDecodeError):
            content.decode()
        assert len(read_geometries(mesh(tmp_path, content, name))[0].faces) == 12


def test_an_stl_that_is_cut_short_says_so(tmp_path: Path) -> None:
    whole = trimesh.creation.box((0.05, 0.05, 0.05)).export(file_type="stl")
    said = unreadable(mesh(tmp_path, whole[:-20], "it.stl"))
    assert "its header says 12 triangles, which take 684 bytes, and it has 664; is it cut short?" in said


def test_a_material_file_that_is_missing_is_named(tmp_path: Path) -> None:
    assert "names 'it.mtl'" in unreadable(mesh(tmp_path, f"mtllib it.mtl\nusemtl a\n{CORNERS}{TRIANGLES}"))


@pytest.mark.parametrize("corner", ["0", "99", "-99", "0/1", "99/1/1"])
def test_a_triangle_without_its_vertex_is_refused(tmp_path: Path, corner: str) -> None:
    vertices = CORNERS.count("v ")
    said = unreadable(mesh(tmp_path, f"{CORNERS}{TRIANGLES}f 1 2 {corner}\n"))
    assert f"a triangle has vertex {corner.split('/')[0]}, and it has vertices 1 to {vertices}" in said


def test_triangles_may_count_from_the_end(tmp_path: Path) -> None:
    (found,) = read_geometries(mesh(tmp_path, "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf -4 -2 -3\nf 1 2 4\n"))
    assert len(found.faces) == 2


def test_a_material_that_no_file_has_is_refused(tmp_path: Path) -> None:
    text = f"mtllib it.mtl\nusemtl rd\n{CORNERS}{TRIANGLES}"
    said = unreadable(mesh(tmp_path, text, it_mtl=b"newmtl red\nKd 1 0 0\r\nnewmtl green\n"))
    assert "uses the material 'rd', which its .mtl file does not have; it has green, red" in said


def test_no_material_is_grey_and_several_files_of_them_are_refused(tmp_path: Path) -> None:
    text = f"mtllib it.mtl\nusemtl (null)\n{CORNERS}{TRIANGLES}"
    assert read_geometries(mesh(tmp_path, text, it_mtl=b"newmtl red\nKd 1 0 0\n"))
    text = f"mtllib it.mtl\nmtllib b.mtl\nusemtl blue\n{CORNERS}{TRIANGLES}"
    assert "names 2 .mtl files" in unreadable(mesh(tmp_path, text, b_mtl=b"newmtl blue\nKd 0 0 1\n"))


def test_a_mesh_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "it.stl").open("wb") as file:
        file.truncate(3 << 30)
    assert "268,435,456 bytes" in unreadable(tmp_path / "it.stl")


def glb(folder: Path, **changes: Any) -> Path:
    content = trimesh.creation.box((0.05, 0.05, 0.05)).export(file_type="glb")
    (size,) = struct.unpack("<I", content[12:16])
    about = json.loads(content[20 : 20 + size]) | changes
    if changes.get("accessors"):
        about["accessors"] = [each | {"sparse": {}} for each in json.loads(content[20 : 20 + size])["accessors"]]
    header, rest = json.dumps(about).encode(), content[20 + size :]
    header += b" " * (-len(header) % 4)
    sizes = struct.pack("<II", 2, 20 + len(header) + len(rest)), struct.pack("<I", len(header))
    return mesh(folder, b"glTF" + sizes[0] + sizes[1] + b"JSON" + header + rest, "it.glb")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extensionsRequired": ["KHR_draco_mesh_compression"]}, "needs the extension KHR_draco_mesh_compression"),
        ({"accessors": True}, "sparse accessors"),
        ({"nodes": [{"children": [1, 1]}, {"mesh": 0}]}, "no tree"),
        ({"nodes": [{"mesh": 0}] * 5000}, "5,000 nodes"),
        ({"nodes": 3}, "expected a list"),
    ],
)
def test_a_glb_says_nothing_that_is_passed_over(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    assert len(read_geometries(glb(tmp_path))) == 1
    assert said in unreadable(glb(tmp_path, **changes))


def test_a_box_thinner_than_anything_is_refused() -> None:
    faces = {sign + axis: FaceLook(color=(1, 1, 1)) for sign in "+-" for axis in "xyz"}
    with pytest.raises(ValueError, match=r"size: expected metres from 0\.0001"):
        BoxFile(name="sheet", size=(0.05, 0.05, 1e-300), mass=0.01, faces=faces)


@pytest.mark.parametrize("value", [10**30, -(10**12), int("1" * 401), "0.5"])
def test_what_is_no_number_of_metres_is_refused_in_an_array(value: object, tmp_path: Path) -> None:
    """Whole numbers have the limits of others, and texts are no numbers."""
    with pytest.raises(DactylError, match=r"there: .*(within 1e\+09|expected numbers)"):
        from_plain({"extrinsics": [[value, 0.0], [0.0, 1.0]]}, _Placed, "there")


class _Placed(Plain, frozen=True):
    extrinsics: np.ndarray


@pytest.mark.parametrize(
    ("right", "wrong", "meant"),
    [
        ("hand: null", "hand: null\nobjekt: block", "object"),
        ("mass:", "masse:", "mass"),
        ("faces:", "face:", "faces"),
        ("fovy_deg:", "fov_deg:", "fovy_deg"),
        ("light_centre:", "light_center:", "light_centre"),
    ],
)
def test_a_misspelt_key_is_named_with_the_one_that_was_meant(
    right: str, wrong: str, meant: str, tmp_path: Path
) -> None:
    key = wrong.splitlines()[-1].partition(":")[0]
    assert f"unknown key '{key}'; did you mean '{meant}'?" in refused(tmp_path, SCENE.replace(right, wrong))
