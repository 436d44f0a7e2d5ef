"""Objects: closed convex solids, faces wound outward, letters upright, symmetries that are real."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from vision.errors import DactylError
from vision.scene.objects import OBJECTS, PoseObject, get_object, linear_from_srgb, srgb_from_linear


@pytest.fixture(params=sorted(OBJECTS))
def subject(request: pytest.FixtureRequest) -> PoseObject:
    return get_object(request.param)


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
    for face in subject.faces:
        frame = np.stack([face.right, face.up, face.normal])
        np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(frame) == pytest.approx(1.0)
        # A square as high as the letter must fit inside the face.
        half = face.letter_height / 2
        corners = subject.keypoints[list(face.corners)]
        centre = corners.mean(axis=0)
        inward = np.cross(face.normal, np.roll(corners, -1, axis=0) - corners)
        for x, y in ((-half, -half), (half, half), (-half, half), (half, -half)):
            point = centre + x * face.right + y * np.asarray(face.up)
            assert ((point - corners) * inward).sum(axis=1).min() > 0, face.name


def test_faces_can_be_told_apart(subject: PoseObject) -> None:
    assert len({face.letter for face in subject.faces}) == len(subject.faces)
    colors = np.array([face.color for face in subject.faces])
    assert (colors >= 0).all()
    assert (colors <= 1).all()
    distance = np.linalg.norm(colors[:, None] - colors[None], axis=-1) + 10 * np.eye(len(colors))
    assert distance.min() > 0.08


def test_symmetries_map_the_corners_onto_themselves(subject: PoseObject) -> None:
    np.testing.assert_array_equal(subject.symmetries, np.eye(3)[None])
    np.testing.assert_allclose(subject.shape_symmetries[0], np.eye(3), atol=1e-15)
    for rotation in subject.shape_symmetries:
        assert np.linalg.det(rotation) == pytest.approx(1.0)
        moved = subject.keypoints @ rotation.T
        nearest = np.linalg.norm(moved[:, None] - subject.keypoints[None], axis=-1).min(axis=1)
        assert nearest.max() < 1e-12
    distinct = np.unique(np.rint(subject.shape_symmetries * 1e6), axis=0)
    assert len(distinct) == len(subject.shape_symmetries)


def test_the_block_is_the_published_one() -> None:
    block = get_object("block")
    assert {(face.name, face.letter) for face in block.faces} == {
        ("+x", "N"), ("-x", "P"), ("+y", "O"), ("-y", "E"), ("+z", "A"), ("-z", "I"),
    }  # fmt: skip
    np.testing.assert_allclose(np.ptp(block.keypoints, axis=0), 0.057)
    assert len(block.edges) == 12
    assert len(block.shape_symmetries) == 24
    assert block.diameter == pytest.approx(0.057 * np.sqrt(3))
    by_name = {face.name: face for face in block.faces}
    np.testing.assert_allclose(linear_from_srgb(by_name["+x"].color), (0.29, 0.54, 0.00), atol=1e-12)
    assert by_name["+z"].up == (0, -1, 0)


def test_the_prism_is_octagonal() -> None:
    prism = get_object("prism")
    assert sorted(len(face.corners) for face in prism.faces) == [4] * 8 + [8] * 2
    assert len(prism.keypoints) == 16
    assert len(prism.edges) == 24
    assert len(prism.shape_symmetries) == 16
    volume = ConvexHull(prism.keypoints).volume
    block = get_object("block")
    assert prism.mass / volume == pytest.approx(block.mass / ConvexHull(block.keypoints).volume), "of one material"


def test_srgb_encoding_round_trips_and_is_monotone() -> None:
    linear = np.linspace(0.0, 1.0, 1001)
    encoded = srgb_from_linear(linear)
    np.testing.assert_allclose(linear_from_srgb(encoded), linear, atol=1e-12)
    assert (np.diff(encoded) > 0).all()
    assert srgb_from_linear(0.5) == pytest.approx(0.7353569)  # a published value of the curve


def test_an_unknown_object_names_the_known_ones() -> None:
    with pytest.raises(DactylError, match="block, prism"):
        get_object("sphere")
