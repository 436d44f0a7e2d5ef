"""Plain data cannot be changed by accident: whoever holds a scene's arrays holds read-only ones, of the stated type."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import pytest
from msgspec.structs import asdict, replace

from tests.scenes import scene
from vision.errors import DactylError
from vision.objects.lettered import _dihedral_rotations
from vision.plain import ArrayOf, Plain, Vectors, from_plain, to_plain


class Marked(Plain, frozen=True):
    points: Vectors
    corners: Annotated[np.ndarray, ArrayOf((None, 2), "int64")] | None = None


def arrays(value: Any) -> Iterator[np.ndarray]:
    """All arrays in plain data, at any depth."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Plain):
        yield from arrays(tuple(asdict(value).values()))
    elif isinstance(value, (tuple, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from arrays(inner)


def test_no_array_of_a_scene_can_be_changed() -> None:
    block = scene("block")
    hand = block.hand
    assert hand is not None
    derived = (*block.rig.nominal, hand.start, block.object.mesh_colors, *arrays(block.object.mesh))
    for array in (*arrays(block), *derived, _dihedral_rotations(8)):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_the_nominal_cameras_that_are_handed_out_stay_the_scenes() -> None:
    rig = scene("block").rig
    with pytest.raises(ValueError, match="read-only"):
        rig.nominal.extrinsics[0, :3, 3] += 0.05
    np.testing.assert_array_equal(rig.nominal.extrinsics[0], rig.cameras[0].extrinsics)


def test_a_value_does_not_follow_the_array_that_it_was_made_of() -> None:
    given = np.ones((2, 3))
    marked = Marked(points=given)
    given[0] = 7.0
    assert (marked.points == 1.0).all()
    assert given.flags.writeable


@pytest.mark.parametrize(
    "remade",
    [
        lambda marked: from_plain(to_plain(marked), Marked, "there"),
        lambda marked: pickle.loads(pickle.dumps(marked)),
        copy.deepcopy,
        lambda marked: replace(marked, points=[[1, 2, 3]]),
    ],
)
def test_however_it_is_made_its_arrays_are_read_only_and_of_the_stated_type(remade: Any) -> None:
    made = Marked(points=[[1, 2, 3]], corners=np.zeros((1, 2), np.int32))  # type: ignore[arg-type]
    for marked in (made, remade(made)):
        assert marked.points.dtype == np.float64
        assert marked.corners is not None
        assert marked.corners.dtype == np.int64
        assert not any(array.flags.writeable for array in arrays(marked))


def test_an_empty_list_is_an_array_of_no_points() -> None:
    assert from_plain({"points": []}, Marked, "there").points.shape == (0, 3)


@pytest.mark.parametrize("points", [[[1.0, 2.0]], [1.0, 2.0, 3.0], [["a", "b", "c"]], [[np.nan, 0.0, 0.0]]])
def test_an_array_that_does_not_fit_is_refused_by_name(points: Any) -> None:
    with pytest.raises(ValueError, match="points: expected"):
        Marked(points=points)
    if points != [[np.nan, 0.0, 0.0]]:  # which is refused by its own place
        with pytest.raises(DactylError, match="there: points: expected"):
            from_plain({"points": points}, Marked, "there")


def test_no_class_leaves_the_check_of_arrays_out() -> None:
    """A class checks itself in ``check``: with its own ``__post_init__``, its arrays would stay writable."""
    kinds = [Plain]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert len(kinds) > 15
    assert all(kind.__post_init__ is Plain.__post_init__ for kind in kinds)
