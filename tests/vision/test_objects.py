"""Objects: closed convex solids, faces wound outward, letters upright, symmetries that are real."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trimesh
import yaml
from msgspec.structs import replace
from scipy.spatial import ConvexHull

from tests.scenes import scene
from vision.color import linear_from_srgb, srgb_from_linear
from vision.objects.lettered import LETTER_RELIEF, BoxFile, FaceLook
from vision.objects.pose_object import Mesh, Part, PoseObject
from vision.scene.load import SCENES


@pytest.fixture(params=["block", "prism"])
def subject(request: pytest.FixtureRequest) -> PoseObject:
    return scene(request.param).object


def test_faces_close_a_convex_solid(subject: PoseObject) -> None:
    """Euler's formula, and every edge between exactly two faces that run along it in opposite directions."""
    directed = [
        edge for face in subject.faces for edge in zip(face.corners, (*face.corners[1:], face.corners[0]), strict=True)
    ]
    assert len(set(directed)) == len(directed)
    assert {(b, a) for a, b in directed} == set(directed)
    assert len(subject.keypoints) - len(subject.edges) + len(subject.faces) == 2
    assert len(ConvexHull(subject.keypoints).vertices) == len(subject.keypoints)


def test_face_polygons_are_flat_outward_and_counter_clockwise(subject: PoseObject) -> None:
    for face in subject.faces:
        corners = subject.keypoints[list(face.corners)]
        normal = np.asarray(face.normal)
        heights = subject.keypoints @ normal
        np.testing.assert_allclose(heights[list(face.corners)], heights.max(), atol=1e-12)
        area = 0.5 * np.cross(corners, np.roll(corners, -1, axis=0)).sum(axis=0)
        assert area @ normal == pytest.approx(np.linalg.norm(area)), "wound counter-clockwise from outside"


def test_letters_stand_upright_in_their_faces(subject: PoseObject) -> None:
    parts = {part.name: part for part in subject.parts}
    for face in subject.faces:
        right = np.cross(face.up, face.normal)
        frame = np.stack([right, face.up, face.normal])
        np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(frame) == pytest.approx(1.0)
        # A letter must fit inside the face, and stands out of it by its relief.
        letter = parts[f"letter/{face.name}"].mesh.vertices
        corners = subject.keypoints[list(face.corners)]
        inward = np.cross(face.normal, np.roll(corners, -1, axis=0) - corners)
        assert min(((point - corners) * inward).sum(axis=1).min() for point in letter) > 0, face.name
        height = (letter - corners.mean(axis=0)) @ np.array(face.normal)
        np.testing.assert_allclose([height.min(), height.max()], [-LETTER_RELIEF, LETTER_RELIEF], atol=1e-12)


def test_faces_can_be_told_apart(subject: PoseObject) -> None:
    colors = np.array([face.color for face in subject.faces])
    assert (colors >= 0).all()
    assert (colors <= 1).all()
    distance = np.linalg.norm(colors[:, None] - colors[None], axis=-1) + 10 * np.eye(len(colors))
    assert distance.min() > 0.08
    shapes = {part.mesh.vertices.shape for part in subject.parts if part.name.startswith("letter/")}
    assert len(shapes) > len(subject.faces) / 2, "letters differ"


def test_parts_make_the_solid_and_pieces_its_shape(subject: PoseObject) -> None:
    solid = trimesh.util.concatenate(
        [
            trimesh.Trimesh(part.mesh.vertices, part.mesh.faces)
            for part in subject.parts
            if part.name.startswith("face/")
        ]
    )
    assert solid.volume == pytest.approx(ConvexHull(subject.keypoints).volume)
    (piece,) = subject.pieces
    extent = np.abs(subject.keypoints).max(axis=0)
    np.testing.assert_allclose(piece.size if piece.kind == "box" else np.abs(piece.vertices).max(axis=0), extent)


def test_edges_lie_between_the_faces_that_they_name(subject: PoseObject) -> None:
    for ends, normals in zip(subject.edges, subject.edge_normals, strict=True):
        for normal in normals:
            heights = subject.keypoints @ normal
            np.testing.assert_allclose(ends @ normal, heights.max(), atol=1e-12)
        assert not np.allclose(*normals)


def test_symmetries_map_the_corners_onto_themselves(subject: PoseObject) -> None:
    np.testing.assert_array_equal(subject.symmetries.rotations, np.eye(3)[None])
    assert subject.symmetries.trivial
    np.testing.assert_allclose(subject.shape_symmetries[0], np.eye(3), atol=1e-15)
    for rotation in subject.shape_symmetries:
        assert np.linalg.det(rotation) == pytest.approx(1.0)
        moved = subject.keypoints @ rotation.T
        nearest = np.linalg.norm(moved[:, None] - subject.keypoints[None], axis=-1).min(axis=1)
        assert nearest.max() < 1e-12
    distinct = np.unique(np.rint(subject.shape_symmetries * 1e6), axis=0)
    assert len(distinct) == len(subject.shape_symmetries)


def test_the_block_is_the_published_one() -> None:
    block = scene("block").object
    file = yaml.safe_load((SCENES / "objects" / "block.yaml").read_text())
    assert {name: look["letter"] for name, look in file["faces"].items()} == {
        "+x": "N", "-x": "P", "+y": "O", "-y": "E", "+z": "A", "-z": "I",
    }  # fmt: skip
    np.testing.assert_allclose(np.ptp(block.keypoints, axis=0), 0.057)
    assert len(block.edges) == 12
    assert len(block.shape_symmetries) == 24
    assert block.diameter == pytest.approx(0.057 * np.sqrt(3))
    by_name = {face.name: face for face in block.faces}
    np.testing.assert_allclose(linear_from_srgb(by_name["+x"].color), (0.29, 0.54, 0.00), atol=1e-12)
    assert by_name["+z"].up == (0, -1, 0)


def test_the_prism_is_octagonal() -> None:
    prism = scene("prism").object
    assert sorted(len(face.corners) for face in prism.faces) == [4] * 8 + [8] * 2
    assert len(prism.keypoints) == 16
    assert len(prism.edges) == 24
    assert len(prism.shape_symmetries) == 16
    volume = ConvexHull(prism.keypoints).volume
    block = scene("block").object
    assert prism.mass / volume == pytest.approx(block.mass / ConvexHull(block.keypoints).volume), "of one material"


def test_srgb_encoding_round_trips_and_is_monotone() -> None:
    linear = np.linspace(0.0, 1.0, 1001)
    encoded = srgb_from_linear(linear)
    np.testing.assert_allclose(linear_from_srgb(encoded), linear, atol=1e-12)
    assert (np.diff(encoded) > 0).all()
    assert srgb_from_linear(0.5) == pytest.approx(0.7353569)  # a published value of the curve


PLAIN = {name: FaceLook(color=(0.5, 0.5, 0.5)) for name in ("+x", "-x", "+y", "-y", "+z", "-z")}


def test_a_box_without_letters_has_the_symmetries_of_its_sides() -> None:
    def count(size: tuple[float, float, float], **looks: FaceLook) -> tuple[int, int]:
        box = BoxFile(name="box", size=size, mass=0.1, faces=PLAIN | looks).build()
        return len(box.symmetries.rotations), len(box.shape_symmetries)

    assert count((0.05, 0.05, 0.05)) == (24, 24)
    assert count((0.05, 0.05, 0.08)) == (8, 8)
    assert count((0.05, 0.06, 0.08)) == (4, 4)
    red = FaceLook(color=(1.0, 0.0, 0.0))
    assert count((0.05, 0.05, 0.05), **{"+z": red}) == (4, 24)
    assert count((0.05, 0.05, 0.05), **{"+z": red, "-z": red}) == (8, 24)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": (57.0, 57.0, 57.0)}, "millimetres"),
        ({"faces": {"+x": FaceLook(color=(0, 0, 0))}}, "faces: expected"),
        ({"faces": PLAIN | {"+x": FaceLook(color=(0, 0, 0), letter="N")}}, "no letter height"),
        ({"faces": PLAIN | {"+x": FaceLook(color=(0, 0, 2))}}, r"lie in \[0, 1\]"),
        ({"faces": PLAIN | {"+x": FaceLook(color=(0, 0, 0), up=(1, 0, 0))}}, "up must be"),
        ({"mass": -1.0}, "mass"),
    ],
)
def test_an_impossible_box_is_refused(changes: dict[str, Any], words: str) -> None:
    keys: dict[str, Any] = {"name": "box", "size": (0.05, 0.05, 0.05), "mass": 0.1, "faces": PLAIN, **changes}
    with pytest.raises(ValueError, match=words):
        BoxFile(**keys).build()


def test_what_one_part_has_twice_is_no_wall() -> None:
    """Triangles of a file that are drawn from both sides, against walls between parts that adjoin."""
    block, box = scene("block").object, trimesh.creation.box((0.05, 0.06, 0.07))
    both = np.concatenate([box.faces, box.faces[:4, ::-1]])
    part = Part(name="box", color=(1, 1, 1), mesh=Mesh(box.vertices, both))
    assert len(replace(block, faces=(), parts=(part,)).mesh.faces) == len(both)
    mirrored = box.vertices * [-1, 1, 1] + np.array([0.05, 0, 0])  # which divides the wall into the same triangles
    beside = Part(name="beside", color=(1, 1, 1), mesh=Mesh(mirrored, box.faces[:, ::-1]))
    wall = (box.vertices[both][:, :, 0] > 0.0249).all(axis=1).sum() + 2
    assert len(replace(block, faces=(), parts=(part, beside)).mesh.faces) == len(both) + len(box.faces) - wall
