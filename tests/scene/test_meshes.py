"""Objects from mesh files: sizes, textures, convex pieces, keypoints, symmetries, and what is refused."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import torch
import trimesh
from PIL import Image
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from vision.color import linear_from_srgb, srgb_from_linear
from vision.geometry.cameras import Cameras, project
from vision.geometry.poses import Pose
from vision.geometry.rotations import rigid_transform
from vision.networks.heads import PointOutput
from vision.networks.losses import nearest_symmetric_target, symmetric_laplace_loss
from vision.objects import baking, mesh_reading
from vision.objects.convex import convex_pieces
from vision.objects.mesh_symmetries import symmetries_change_colors, undeclared_symmetry
from vision.objects.meshes import MeshFile
from vision.objects.pose_object import Mesh, PoseObject
from vision.objects.symmetries import Symmetries, symmetric_distance
from vision.plain import from_plain
from vision.solvers.bundle import solve_pose
from vision.solvers.given import PointObservations

ROOT = Path(__file__).parents[2]
QUARTER = {"discrete": [{"axis": [0, 0, 1], "degrees": 90}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("meshes")
    trimesh.creation.box((0.05, 0.05, 0.08)).export(folder / "box.stl")
    trimesh.creation.cylinder(0.02, 0.06, sections=48).export(folder / "cylinder.ply")
    trimesh.creation.icosphere(6, 0.03).export(folder / "ball.ply")
    return folder


def build(folder: Path, file: str, **keys: Any) -> PoseObject:
    return from_plain({"kind": "mesh", "name": "it", "file": file, "mass": 0.1, **keys}, MeshFile, "it").build(folder)


def test_a_box_has_its_corners_edges_and_diameter(folder: Path) -> None:
    box = build(folder, "box.stl", keypoints="corners", symmetries=QUARTER)
    assert sorted(np.abs(box.keypoints).round(6).tolist()) == [[0.025, 0.025, 0.04]] * 8
    assert len(box.edges) == 12
    assert box.diameter == pytest.approx(np.linalg.norm([0.05, 0.05, 0.08]), rel=1e-6)
    assert len(box.symmetries.rotations) == 4
    assert len(box.pieces) == 1
    assert [part.name for part in box.parts] == ["surface/0"]


@pytest.mark.parametrize("count", [8, 16])
def test_keypoints_are_as_symmetric_as_the_object_and_the_same_each_time(folder: Path, count: int) -> None:
    box = build(folder, "box.stl", keypoints=count, symmetries=QUARTER)
    assert count <= len(box.keypoints) < count + 4
    onto = box.symmetries.permutations(box.keypoints)
    for rotation, indices in zip(box.symmetries.rotations, onto, strict=True):
        np.testing.assert_allclose(box.keypoints @ rotation.T, box.keypoints[indices], atol=1e-6)
    np.testing.assert_array_equal(
        build(folder, "box.stl", keypoints=count, symmetries=QUARTER).keypoints, box.keypoints
    )
    with pytest.raises(ValueError, match="there is none"):
        box.symmetries.permutations(box.keypoints[:-1])


def test_of_a_cylinder_only_its_axis_is_looked_for(folder: Path) -> None:
    upside_down = {"axis": [1, 0, 0], "degrees": 180}
    cylinder = build(folder, "cylinder.ply", symmetries={"continuous": [[0, 0, 2]], "discrete": [upside_down]})
    np.testing.assert_allclose(cylinder.keypoints, [[0, 0, -0.03], [0, 0, 0], [0, 0, 0.03]], atol=1e-8)
    np.testing.assert_array_equal(cylinder.symmetries.permutations(cylinder.keypoints), [[0, 1, 2], [2, 1, 0]])
    turns = Rotation.random(5, rng=np.random.default_rng(1)).as_matrix()
    alike = turns @ Rotation.from_euler("zx", [0.7, np.pi]).as_matrix()
    np.testing.assert_allclose(symmetric_distance(cylinder.symmetries, turns, alike), 0, atol=1e-7)


@pytest.mark.parametrize("flips", [True, False])
def test_of_a_disc_the_axis_is_looked_for_beyond_it(folder: Path, flips: bool) -> None:
    """Three points in its thickness of 5 mm left its axis 10 degrees off where pixels were half a pixel off."""
    trimesh.creation.cylinder(0.035, 0.005, sections=96).export(folder / "disc.ply")
    upside_down = [{"axis": [1, 0, 0], "degrees": 180}] if flips else []
    disc = build(folder, "disc.ply", symmetries={"continuous": [[0, 0, 1]], "discrete": upside_down})
    np.testing.assert_allclose(disc.keypoints, [[0, 0, -0.035], [0, 0, 0], [0, 0, 0.035]], atol=1e-4)


@pytest.mark.parametrize("other", [[0, 0, 1], [0, 0, -1], [0.001, 0, 1]])
def test_an_axis_that_is_declared_twice_makes_no_ball(folder: Path, other: list[float]) -> None:
    cylinder = build(folder, "cylinder.ply", symmetries={"continuous": [[0, 0, 1], other]})
    assert len(cylinder.keypoints) == 3
    turned = Rotation.from_euler("x", [90], degrees=True).as_matrix()
    assert np.rad2deg(symmetric_distance(cylinder.symmetries, np.eye(3)[None], turned)) == pytest.approx(90)
    with pytest.raises(ValueError, match="two axes are one and the same"):
        Symmetries(rotations=np.eye(3)[None], axes=np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]))


def test_a_large_round_mesh_is_reduced_and_drawn_as_a_net(folder: Path) -> None:
    ball = build(folder, "ball.ply", symmetries={"continuous": [[0, 0, 1], [1, 0, 0]]})
    assert len(ball.mesh.faces) <= 20_000 < 81_920
    assert 100 < len(ball.edges) <= 400
    assert ball.diameter == pytest.approx(0.06, rel=1e-3)
    assert len(ball.keypoints) == 1


@pytest.mark.parametrize(
    ("file", "keys", "expected"),
    [
        ("box.stl", {"scale": 1000}, "are these millimetres\\? set scale: 1"),
        ("box.stl", {"scale": 1e-3}, "mend the scale"),
        ("none.stl", {}, "there is none"),
        ("box.step", {}, "expected one of .obj"),
        ("broken.obj", {}, "holds no triangles|no mesh can be read"),
        ("broken.glb", {}, "no mesh can be read"),
        ("far.stl", {}, "set origin: middle"),
        ("flat.ply", {}, "flat"),
        ("cylinder.ply", {"keypoints": "corners"}, "sharp ones"),
        ("box.stl", {"keypoints": [[0, 0, 0.1 * i] for i in range(4)]}, "on one line"),
        ("box.stl", {"symmetries": {"discrete": [{"axis": [1, 0, 0], "degrees": 90}]}}, "no symmetry of box.stl"),
        ("box.stl", {"symmetries": {"discrete": [np.diag([1, 1, -1]).tolist()]}}, "reflection"),
        ("box.stl", {"symmetries": {"continuous": [[0, 0, 1]]}}, "no symmetry of box.stl"),
        ("box.stl", {"symmetries": {"continuous": [[0, 0, 0]]}}, "no axis"),
        ("box.stl", {"pieces": ["flat.ply"]}, "has no volume"),
        ("box.stl", {"pieces": "box-piece-*.stl"}, "pieces: box-piece-\\*.stl: no file beside box.stl"),
    ],
)
def test_mistakes_are_refused_in_one_line(folder: Path, file: str, keys: dict[str, Any], expected: str) -> None:
    (folder / "broken.obj").write_text("v 1 2\nf 1 2 3\n")
    (folder / "broken.glb").write_bytes(b"glTF\x02\x00")
    trimesh.creation.box((0.1, 0.1, 0.1), rigid_transform(np.eye(3), [1, 0, 0])).export(folder / "far.stl")
    trimesh.Trimesh([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0.1, 0.1, 0]], [[0, 1, 2], [1, 3, 2]]).export(
        folder / "flat.ply"
    )
    with pytest.raises(ValueError, match=expected) as caught:
        build(folder, file, **keys)
    assert "\n" not in str(caught.value)


def painted(points: np.ndarray) -> np.ndarray:
    """A colour (N, 4) for every place (N, 3): channels that grow along the axes."""
    return np.hstack([127 + 3000 * points, np.full((len(points), 1), 255)]).clip(0, 255).astype(np.uint8)


def write_glb(
    path: Path,
    mesh: trimesh.Trimesh,
    material: dict[str, Any] | None = None,
    colors: np.ndarray | None = None,
    texels: np.ndarray | None = None,
) -> None:
    """Write a .glb by its standard, with linear colours (V, 3) of vertices, and an image that lies along the x axis."""
    data = [mesh.vertices.astype("<f4"), mesh.faces.astype("<u4")]
    accessors: list[dict[str, Any]] = [
        {"componentType": 5126, "type": "VEC3", "count": len(mesh.vertices),
         "min": mesh.vertices.min(axis=0).tolist(), "max": mesh.vertices.max(axis=0).tolist()},
        {"componentType": 5125, "type": "SCALAR", "count": mesh.faces.size},
    ]  # fmt: skip
    attributes, primitive = {"POSITION": 0}, {"indices": 1, "mode": 4}
    about: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
    }
    if colors is not None:
        kind = {np.dtype(np.uint8): 5121, np.dtype(np.uint16): 5123, np.dtype(np.float32): 5126}[colors.dtype]
        attributes["COLOR_0"] = len(data)
        accessors.append(
            {"componentType": kind, "type": "VEC4", "count": len(colors), "normalized": colors.dtype != np.float32}
        )
        whole = 1.0 if colors.dtype == np.float32 else np.iinfo(colors.dtype).max
        data.append(np.column_stack([colors, np.full(len(colors), whole, colors.dtype)]))
    if texels is not None:
        attributes["TEXCOORD_0"] = len(data)
        accessors.append({"componentType": 5126, "type": "VEC2", "count": len(mesh.vertices)})
        low, high = mesh.bounds[:, 0]
        along = (mesh.vertices[:, 0] - low) / (high - low)
        data.append(np.column_stack([along, along]).astype("<f4"))
        file = io.BytesIO()
        Image.fromarray(texels).save(file, "PNG")
        about |= {"textures": [{"source": 0}], "images": [{"bufferView": len(data), "mimeType": "image/png"}]}
        data.append(np.frombuffer(file.getvalue(), np.uint8))
    if material is not None:
        primitive["material"] = 0
        about["materials"] = [material]
    views, whole_data = [], b""
    for number, values in enumerate(data):
        views.append({"buffer": 0, "byteOffset": len(whole_data), "byteLength": values.nbytes})
        if number < len(accessors):
            accessors[number]["bufferView"] = number
        whole_data += values.tobytes() + bytes(-values.nbytes % 4)
    about |= {"meshes": [{"primitives": [primitive | {"attributes": attributes}]}], "accessors": accessors}
    about |= {"bufferViews": views, "buffers": [{"byteLength": len(whole_data)}]}
    text = json.dumps(about).encode()
    text += b" " * (-len(text) % 4)
    rest = struct.pack("<I4s", len(whole_data), b"BIN\0") + whole_data
    path.write_bytes(b"glTF" + struct.pack("<III4s", 2, 20 + len(text) + len(rest), len(text), b"JSON") + text + rest)


GREY = 0.2158605  # linear; Blender's 50 % grey


@pytest.mark.parametrize(
    ("material", "colors", "expected"),
    [
        ({"pbrMetallicRoughness": {"baseColorFactor": [GREY, 1, 0, 1]}}, None, (0.5, 1, 0)),
        ({}, None, (1, 1, 1)),
        (None, np.full((8, 3), GREY, np.float32), (0.5, 0.5, 0.5)),
        (None, np.full((8, 3), round(GREY * 65535), np.uint16), (0.5, 0.5, 0.5)),
        ({}, np.full((8, 3), round(GREY * 255), np.uint8), (0.5, 0.5, 0.5)),
        (
            {"pbrMetallicRoughness": {"baseColorFactor": [0.5, 0.5, 1, 1]}},
            np.full((8, 3), 2 * GREY, np.float32),
            (0.5, 0.5, srgb_from_linear(2 * GREY)),
        ),
    ],
)
def test_colours_of_a_glb_are_linear(
    tmp_path: Path, material: dict[str, Any] | None, colors: np.ndarray | None, expected: tuple[float, ...]
) -> None:
    """They were taken for sRGB-encoded, and 16 bits for their lower 8: grey was nearly black."""
    write_glb(tmp_path / "it.glb", trimesh.creation.box((0.05, 0.05, 0.08)), material, colors)
    (part,) = build(tmp_path, "it.glb").parts
    np.testing.assert_allclose(part.color, expected, atol=0.004)
    assert part.texture is None


@pytest.mark.parametrize("extension", [False, True])
def test_the_colour_of_a_glbs_material_multiplies_its_texture(tmp_path: Path, extension: bool) -> None:
    texels = np.full((4, 4, 3), 188, np.uint8)  # linear 0.5
    texture = {"index": 0}
    material: dict[str, Any] = {
        "pbrMetallicRoughness": {"baseColorTexture": texture, "baseColorFactor": [GREY, 1, 0, 1]}
    }
    if extension:  # of a matt surface; what is written beside it is not looked at
        other = {"diffuseTexture": texture, "diffuseFactor": [GREY, 1, 0, 1], "specularFactor": [0.04] * 3}
        material["extensions"] = {"KHR_materials_pbrSpecularGlossiness": other}
    write_glb(tmp_path / "it.glb", trimesh.creation.box((0.05, 0.05, 0.08)), material, texels=texels)
    (part,) = build(tmp_path, "it.glb").parts
    assert part.texture is not None
    shown = linear_from_srgb(np.asarray(Image.open(io.BytesIO(part.texture)), np.float64) / 255)
    np.testing.assert_allclose(shown[0, 0] * linear_from_srgb(part.color), [GREY / 2, 0.5, 0], atol=0.02)
    if not extension:
        np.testing.assert_allclose(shown, 0.5, atol=0.01)
        np.testing.assert_allclose(part.color, [0.5, 1, 0], atol=0.004)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"texCoord": 1}, "TEXCOORD_1"), ({"extensions": {"KHR_texture_transform": {}}}, "KHR_texture_transform")],
)
def test_a_texture_that_would_lie_elsewhere_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, **change}}}
    write_glb(tmp_path / "it.glb", trimesh.creation.box(), material, texels=np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match=f"{said}.*export it again"):
        build(tmp_path, "it.glb")


@pytest.mark.parametrize("mode", ["OPAQUE", "MASK", "BLEND"])
def test_a_transparent_texture_is_refused_unless_it_is_said_to_be_opaque(tmp_path: Path, mode: str) -> None:
    """Holes of a mask were drawn in whatever colour lies under them."""
    texels = np.full((4, 4, 4), 255, np.uint8)
    texels[0, 0, 3] = 0
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}, "alphaMode": mode}
    write_glb(tmp_path / "it.glb", trimesh.creation.box((0.05, 0.05, 0.08)), material, texels=texels)
    if mode == "OPAQUE":
        assert build(tmp_path, "it.glb").parts[0].texture is not None
        return
    with pytest.raises(ValueError, match="file: a texture is transparent"):
        build(tmp_path, "it.glb")


@pytest.mark.parametrize(("level", "refused"), [(1.0, False), (0.5, True)])
def test_colours_of_vertices_beside_a_texture_are_refused(tmp_path: Path, level: float, refused: bool) -> None:
    """By the standard they multiply it; they were dropped."""
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    texels, colors = np.full((4, 4, 3), 188, np.uint8), np.full((8, 3), level, np.float32)
    write_glb(tmp_path / "it.glb", trimesh.creation.box((0.05, 0.05, 0.08)), material, colors, texels)
    if not refused:
        assert build(tmp_path, "it.glb").parts[0].texture is not None
        return
    with pytest.raises(ValueError, match=r"colours of vertices beside a texture.*bake them"):
        build(tmp_path, "it.glb")


def test_a_reduced_texture_stays_where_it_was() -> None:
    """Merged vertices had the mean of their coordinates, though one keeps its place: on borders the texture moved."""
    across = np.linspace(0.0, 1.0, 301)
    x, y = (grid.ravel() for grid in np.meshgrid(across, across))
    squares = (np.arange(300)[:, None] * 301 + np.arange(300)).ravel()
    corners = squares[:, None] + np.array([0, 1, 302, 0, 302, 301])
    flat = Mesh(
        vertices=np.stack([x, y, np.zeros_like(x)], axis=1) * 0.06,
        faces=corners.reshape(-1, 3),
        uv=np.stack([x, y], axis=1),
    )
    small = mesh_reading._reduced(flat, 0.1)
    assert len(small.faces) < 0.2 * len(flat.faces)
    assert small.uv is not None
    moved = 0.06 * np.linalg.norm(small.uv - small.vertices[:, :2] / 0.06, axis=1)
    assert (moved.max() < 3e-4, moved.mean() < 1e-4) == (True, True), (moved.max(), moved.mean())


@pytest.mark.parametrize("kind", ["vertices", "triangles", "many triangles", "vertices with a material"])
def test_colours_of_a_scan_become_a_texture(folder: Path, kind: str) -> None:
    solid = trimesh.creation.torus(0.03, 0.01, major_sections=300 if kind == "many triangles" else 96)
    name = "scan.glb" if "material" in kind else "scan.ply"
    if "material" in kind:  # as Blender writes it
        linear = linear_from_srgb(painted(solid.vertices)[:, :3] / 255)
        write_glb(folder / name, solid, {}, (65535 * linear).round().astype(np.uint16))
    elif kind == "triangles":
        solid.visual.face_colors = painted(solid.triangles_center)
        solid.export(folder / name)
    else:
        solid.visual.vertex_colors = painted(solid.vertices)
        solid.export(folder / name)
    (part,) = build(folder, name, pieces=["box.stl"]).parts
    assert part.texture is not None
    assert part.color == (1, 1, 1)
    texture = colours_are_those_painted(part.mesh, part.texture)
    # A renderer that sees it small mixes neighbouring texels, which belong together.
    height, width, _ = texture.shape
    small = texture[: height // 8 * 8, : width // 8 * 8].reshape(height // 8, 8, width // 8, 8, 3)
    assert small.std(axis=(1, 3)).mean() < 12 < texture.std(axis=(0, 1)).mean()


def colours_are_those_painted(mesh: Mesh, content: bytes) -> np.ndarray:
    """Compare a texture with :func:`painted`, and return it (H, W, 3)."""
    assert mesh.uv is not None
    texture = np.asarray(Image.open(io.BytesIO(content)), np.float64)
    height, width, _ = texture.shape
    weight = np.random.default_rng(0).dirichlet((1, 1, 1), len(mesh.faces))
    points, uv = (np.einsum("nc,ncx->nx", weight, whole[mesh.faces]) for whole in (mesh.vertices, mesh.uv))
    at = [(1 - uv[:, 1]) * height - 0.5, uv[:, 0] * width - 0.5]  # pixels' centres are at halves, row 0 is on top
    for channel in range(3):
        seen = map_coordinates(texture[..., channel], at, order=1)
        error = np.abs(seen - painted(points)[:, channel])
        assert error.mean() < 4, channel
        assert np.quantile(error, 0.999) < 16, channel
    return texture


def test_a_texture_that_nothing_says_where_to_put_is_refused(tmp_path: Path) -> None:
    """The object was drawn in one colour."""
    box = trimesh.creation.box((0.05, 0.05, 0.08))
    lines = ["mtllib box.mtl", *("v {} {} {}".format(*each) for each in box.vertices), "usemtl painted"]
    (tmp_path / "box.obj").write_text("\n".join([*lines, *("f {} {} {}".format(*each) for each in box.faces + 1)]))
    (tmp_path / "box.mtl").write_text("newmtl painted\nKd 1 1 1\nmap_Kd paint.png\n")
    Image.new("RGB", (8, 8)).save(tmp_path / "paint.png")
    with pytest.raises(ValueError, match="a texture without texture coordinates"):
        build(tmp_path, "box.obj")


def test_a_material_without_area_makes_no_part(tmp_path: Path) -> None:
    """MuJoCo would refuse the scene; an exporter leaves such triangles where edges meet."""
    box = trimesh.creation.box((0.05, 0.05, 0.08))
    lines = ["mtllib it.mtl", *("v {} {} {}".format(*each) for each in box.vertices), "usemtl red"]
    lines += [*("f {} {} {}".format(*each) for each in box.faces + 1), "usemtl blue", "f 1 2 2"]
    (tmp_path / "it.obj").write_text("\n".join(lines))
    (tmp_path / "it.mtl").write_text("newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 1\n")
    assert [part.color for part in build(tmp_path, "it.obj").parts] == [(1, 0, 0)]


def test_a_scan_of_many_triangles_keeps_its_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: above 32,768, cells of the texture had no inside (a division by zero); far above, colours were wrong."""
    solid = trimesh.creation.torus(0.03, 0.01, major_sections=200, minor_sections=101)
    solid.visual.vertex_colors = painted(solid.vertices)
    mesh = Mesh(vertices=np.array(solid.vertices), faces=np.array(solid.faces))
    assert len(mesh.faces) > 40_000
    colours_are_those_painted(*baking.baked(mesh, solid))
    monkeypatch.setattr(baking, "_MOST_CELLS", 128)
    with pytest.raises(ValueError, match="32,768 at most have room in a texture"):
        baking.baked(mesh, solid)


def test_colours_of_vertices_that_are_all_the_same_are_the_parts(folder: Path) -> None:
    box = trimesh.creation.box((0.05, 0.05, 0.08))
    box.visual.vertex_colors = np.where(box.vertices[:, 2:] > 0, [200, 0, 0, 255], [0, 0, 200, 255])
    box.export(folder / "painted.ply")
    (part,) = build(folder, "painted.ply", color=[0.1, 0.2, 0.3]).parts
    assert part.color == (0.1, 0.2, 0.3)
    assert part.texture is None
    box.visual.vertex_colors = [255, 0, 0, 255]
    box.export(folder / "red.ply")
    (part,) = build(folder, "red.ply").parts
    assert part.color == (1.0, 0.0, 0.0)
    assert part.texture is None


def test_symmetries_that_nobody_declared_are_found(folder: Path) -> None:
    corners = [(0, 0), (0.04, 0), (0.04, 0.012), (0.012, 0.012), (0.012, 0.04), (0, 0.04)]
    trimesh.creation.extrude_polygon(shapely.Polygon(corners), 0.02).export(folder / "bracket.stl")
    half = {"discrete": [{"axis": [0, 0, 1], "degrees": 180}]}
    round_ = {"continuous": [[0, 0, 1]], "discrete": [{"axis": [1, 0, 0], "degrees": 180}]}
    for file, symmetries, found in (
        ("box.stl", {}, "a turn by 180 degrees about (1, 0, 0)"),
        ("box.stl", half, "a turn by 180 degrees about (1, 0, 0)"),
        ("box.stl", {"discrete": [*QUARTER["discrete"], {"axis": [1, 0, 0], "degrees": 180}]}, None),
        ("cylinder.ply", round_, None),
        ("cylinder.ply", {"continuous": [[0, 0, 1]]}, "a turn by 180 degrees about (1, 0, 0)"),
        ("bracket.stl", {}, "a turn by 180 degrees about (0.707, 0.707, 0)"),
    ):
        target = build(folder, file, origin="middle", symmetries=symmetries, pieces=[file])
        said = undeclared_symmetry(target)
        assert said == found or (said or "").replace("-", "") == found, (file, symmetries)
    handle = trimesh.creation.box((0.02, 0.01, 0.03)).apply_translation([0.03, 0, 0.01])
    trimesh.util.concatenate([trimesh.creation.cylinder(0.02, 0.06), handle]).export(folder / "jug.stl")
    assert undeclared_symmetry(build(folder, "jug.stl", pieces=["jug.stl"])) is None


def test_a_symmetry_that_changes_colours_is_noticed(folder: Path) -> None:
    """A quarter turn of a box with two pairs of sides; its texture is one colour to the left, another to the right."""
    half = {"discrete": [{"axis": [0, 0, 1], "degrees": 180}]}
    for right, symmetries, changes in (
        ([200, 30, 30], half, False), ([30, 30, 200], half, True), ([30, 30, 200], {}, False),
    ):  # fmt: skip
        texels = np.zeros((16, 16, 3), np.uint8)
        texels[:, :8], texels[:, 8:] = [200, 30, 30], right
        box = trimesh.creation.box((0.05, 0.05, 0.08)).subdivide()
        material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(texels))
        uv = box.vertices[:, :2] / 0.05 + 0.5
        box.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
        box.export(folder / "two.glb")
        assert symmetries_change_colors(build(folder, "two.glb", symmetries=symmetries)) == changes


@pytest.mark.parametrize(("right", "found"), [([200, 30, 30], True), ([30, 30, 200], False)])
def test_a_symmetry_that_nobody_declared_is_found_under_a_texture(right: list[int], found: bool, folder: Path) -> None:
    """A box of three lengths whose texture is one colour everywhere, or has a mark on 4 % of its surface that tells all
    its turns apart."""
    texels = np.full((16, 16, 3), [200, 30, 30], np.uint8)
    texels[:5, :4] = right
    box = trimesh.creation.box((0.05, 0.06, 0.08)).subdivide().subdivide()
    uv = box.vertices[:, :2] / [0.05, 0.06] + 0.5
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(texels))
    box.visual = trimesh.visual.TextureVisuals(uv=uv * 0.98 + 0.01, material=material)
    box.export(folder / "marked.glb")
    assert (undeclared_symmetry(build(folder, "marked.glb", symmetries={})) is not None) == found


def test_help_makes_no_mug(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "examples" / "scenes" / "make_mug.py")]
    for arguments, status in ((["--help"], 0), ([], 2)):
        done = subprocess.run([*script, *arguments], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True)
        assert done.returncode == status
    assert not list(tmp_path.iterdir())


def test_a_mug_keeps_its_texture_where_it_was(tmp_path: Path) -> None:
    script = ROOT / "examples" / "scenes" / "make_mug.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, env={"PYTHONPATH": str(ROOT)})
    pieces = sorted(path.name for path in tmp_path.glob("mug-piece-*.stl"))
    mug = build(tmp_path, "mug.obj", scale=0.001, pieces=pieces, origin="middle")
    (part,) = mug.parts
    assert part.texture is not None
    assert part.texture.startswith(b"\x89PNG")
    assert part.mesh.uv is not None
    top = part.mesh.vertices[:, 2] > 0.0299
    assert part.mesh.uv[top, 1].min() > 0.9, "the texture's upper edge is at the rim"
    assert len(mug.pieces) == len(pieces) == 14
    by_pattern = build(tmp_path, "mug.obj", scale=0.001, pieces="mug-piece-*.stl", origin="middle")
    assert {one.volume for one in by_pattern.pieces} == {one.volume for one in mug.pieces}
    assert [len(str(name)) for name in pieces] != sorted(len(str(name)) for name in pieces), "else no order is tried"


def scene_of(target: PoseObject, rotation: np.ndarray) -> tuple[Cameras, np.ndarray]:
    """Two cameras, and pixels (1, 2, K, 2) of the keypoints half a metre off."""
    K = np.array([[600.0, 0, 160], [0, 600, 120], [0, 0, 1]])
    side = rigid_transform(Rotation.from_euler("y", 80, degrees=True).as_matrix(), [0, 0, 0.5])
    T = np.stack([rigid_transform(np.eye(3), [0, 0, 0.5]), side])
    cameras = Cameras(torch.tensor(np.stack([K, K])[None]), torch.tensor(T[None]))
    return cameras, project((target.keypoints @ rotation.T)[None, None], Cameras(np.stack([K, K])[None], T[None]))


def test_cameras_that_see_different_look_alikes_are_made_to_agree(folder: Path) -> None:
    box = build(folder, "box.stl", keypoints=12, symmetries=QUARTER)
    rotation = Rotation.from_rotvec([0.3, 0.5, 0.2]).as_matrix()
    cameras, pixels = scene_of(box, rotation)
    onto = box.symmetries.permutations(box.keypoints)
    pixels[:, 1] = pixels[:, 1, onto[2]]  # the second camera takes it for half a turn further
    seen, points = torch.tensor(pixels), torch.tensor(box.keypoints)
    arguments = points, PointObservations(seen, torch.ones(seen.shape[:-1])), cameras, torch.zeros(3)
    found = solve_pose(*arguments, permutations=torch.tensor(onto)).pose.rotation.numpy()
    assert symmetric_distance(box.symmetries, rotation[None], found)[0] < 1e-4
    torn = solve_pose(*arguments).pose.rotation.numpy()
    assert symmetric_distance(box.symmetries, rotation[None], torn)[0] > 1e-3


def test_keypoints_of_an_image_are_compared_with_the_nearest_look_alike(folder: Path) -> None:
    box = build(folder, "box.stl", keypoints=12, symmetries=QUARTER)
    onto = torch.tensor(box.symmetries.permutations(box.keypoints))
    _, pixels = scene_of(box, np.eye(3))
    target = torch.tensor(pixels)
    seen = torch.stack([target[:, 0, onto[1]], target[:, 1, onto[3]]], dim=1)
    loss, chosen = symmetric_laplace_loss(PointOutput(seen, torch.zeros(seen.shape[:-1])), target, onto)
    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert chosen.tolist() == [[1, 3]]


def test_a_regression_is_compared_with_the_nearest_look_alike(folder: Path) -> None:
    box = build(folder, "box.stl", symmetries=QUARTER)
    motions = torch.tensor(box.symmetries.transforms())
    truth = torch.tensor(Rotation.random(6, rng=np.random.default_rng(2)).as_matrix())
    found = truth @ motions[3, :3, :3]
    nearest = nearest_symmetric_target(found, Pose(truth, torch.zeros(6, 3, dtype=torch.float64)), motions)
    torch.testing.assert_close(nearest.rotation, found)
    torch.testing.assert_close(nearest.position, torch.zeros_like(nearest.position))


def test_on_the_axis_of_a_cylinder_a_pose_and_its_certainty_are_found(folder: Path) -> None:
    cylinder = build(folder, "cylinder.ply", symmetries={"continuous": [[0, 0, 1]]})
    rotation = Rotation.from_rotvec([0.4, 0.5, 0.2]).as_matrix()
    cameras, pixels = scene_of(cylinder, rotation)
    seen = torch.tensor(pixels)
    points = torch.tensor(cylinder.keypoints)
    found = solve_pose(points, PointObservations(seen, torch.ones(seen.shape[:-1])), cameras, torch.zeros(3))
    assert symmetric_distance(cylinder.symmetries, rotation[None], found.pose.rotation.numpy())[0] < 1e-4
    assert torch.linalg.vector_norm(found.pose.position) < 1e-5
    assert found.deviation_across(torch.tensor(cylinder.symmetries.axes)).item() < 0.1 < found.rotation_deviation.item()


def bracket() -> trimesh.Trimesh:
    """An L of two arms, 60 mm long, 20 mm wide and high."""
    outline = [(0, 0), (0.06, 0), (0.06, 0.02), (0.02, 0.02), (0.02, 0.06), (0, 0.06)]
    return trimesh.creation.extrude_polygon(shapely.Polygon(outline), 0.02)


def test_a_body_that_is_not_convex_falls_into_convex_pieces_that_fill_it_and_no_more() -> None:
    pytest.importorskip("coacd")
    body = bracket()
    pieces, again = convex_pieces(body, 8), convex_pieces(body, 8)
    assert len(pieces) == 2
    assert all(np.array_equal(piece, other) for piece, other in zip(pieces, again, strict=True))
    hulls = [trimesh.convex.convex_hull(piece) for piece in pieces]
    assert sum(hull.volume for hull in hulls) == pytest.approx(body.volume, rel=0.01)
    corner = np.array([[0.05, 0.05, 0.01]])  # in the hull of the whole, between the arms
    assert not any(hull.contains(corner)[0] for hull in hulls)


def test_without_coacd_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coacd", None)
    assert len(convex_pieces(trimesh.creation.box((0.02, 0.03, 0.04)), 8)) == 1, "a convex body needs none"
    with pytest.raises(ValueError, match=r"pip install 'dactyl-vision\[meshes\]'"):
        convex_pieces(bracket(), 8)
