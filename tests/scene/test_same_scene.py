"""Which scenes are taken for the same, and what is said of others."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from tests.scenes import scene
from vision.errors import DactylError
from vision.geometry.distortion import Lens
from vision.io.png import png_bytes
from vision.rigs.rig import Rig
from vision.scene.scene import Scene, require_same

BLOCK = scene("block")


def with_hand(**changes: object) -> Scene:
    assert BLOCK.hand is not None
    return replace(BLOCK, hand=replace(BLOCK.hand, **changes))


def said(theirs: Scene, to_a_network: bool = False) -> str:
    with pytest.raises(DactylError) as error:
        require_same(BLOCK, theirs, "there", to_a_network=to_a_network)
    return str(error.value)


def test_a_model_may_lie_elsewhere() -> None:
    """As on another machine."""
    require_same(BLOCK, with_hand(source="/home/other/hand.xml"), "there")


def test_a_network_asks_for_joints_and_landmarks_not_for_the_models_file() -> None:
    changed = with_hand(sha256=64 * "0")
    require_same(BLOCK, changed, "there", to_a_network=True)
    require_same(BLOCK, with_hand(armature=0.1, initial_pose={}), "there", to_a_network=True)
    assert "hand.sha256 differs" in said(changed)  # of states and datasets it is asked
    assert "hand.landmarks differs" in said(with_hand(landmarks=None), to_a_network=True)


def test_a_moved_project_goes_on() -> None:
    """Found: states in a folder that was renamed "were begun with another configuration"."""
    here, there = (with_hand(source=f"/home/{user}/hand.xml") for user in ("one", "other"))
    assert here.identity() == there.identity()
    assert here.identity() != with_hand(source=here.hand.source, sha256=64 * "0").identity()  # type: ignore[union-attr]
    # A package's name says which hand is meant, and before completion the path is all there is.
    assert BLOCK.identity() != here.identity()
    unread = [with_hand(source=f"/home/{user}/hand.xml", sha256="") for user in ("one", "other")]
    assert unread[0].identity() != unread[1].identity()


def test_a_network_asks_how_an_object_looks_not_how_it_moves() -> None:
    target = BLOCK.object
    heavier = replace(BLOCK, object=replace(target, mass=2 * target.mass))
    for changed in (heavier, replace(BLOCK, object=replace(target, shape_symmetries=target.shape_symmetries[:1]))):
        require_same(BLOCK, changed, "there", to_a_network=True)
        assert "object." in said(changed)  # of states and datasets it is asked
    other = replace(BLOCK, object=replace(target, keypoints=target.keypoints * 1.1))
    assert "object.keypoints differs" in said(other, to_a_network=True)


def test_a_texture_is_its_pixels_whoever_compressed_them() -> None:
    """Found: with another version of Pillow the same mesh was another object."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (8, 4, 3), np.uint8)

    def textured(image: np.ndarray, **options: object) -> Scene:
        (first, *others) = BLOCK.object.parts
        mesh = replace(first.mesh, uv=np.zeros((len(first.mesh.vertices), 2)))
        part = replace(first, mesh=mesh, texture=png_bytes(Image.fromarray(image), **options))
        return replace(BLOCK, object=replace(BLOCK.object, parts=(part, *others)))

    one, other = textured(pixels, compress_level=0), textured(pixels, compress_level=9)
    assert one.object.parts[0].texture != other.object.parts[0].texture
    assert one == other
    require_same(one, other, "there")
    for changed in (255 - pixels, pixels.reshape(4, 8, 3)):
        assert textured(changed) != one
        with pytest.raises(DactylError, match=r"object\.parts differs"):
            require_same(one, textured(changed), "there", to_a_network=True)


def test_what_differs_is_named() -> None:
    assert "hand is none, expected shadow" in said(replace(BLOCK, hand=None), to_a_network=True)
    assert "object is prism, expected block" in said(replace(BLOCK, object=scene("prism").object))
    assert "image size is 100x100 pixels, expected 200x200" in said(BLOCK.with_rig(BLOCK.rig.resized(100)))


def test_lenses_of_real_pictures_make_no_difference() -> None:
    """Nothing that is drawn or learned depends on them."""
    bent = [replace(camera, distortion=Lens(coefficients=(-0.2, 0.0, 0.0, 0.0))) for camera in BLOCK.rig.cameras]
    require_same(BLOCK, BLOCK.with_rig(Rig(cameras=tuple(bent))), "there")
    require_same(BLOCK, BLOCK.with_rig(Rig(cameras=tuple(bent))), "there", to_a_network=True)
    moved = [replace(camera, extrinsics=bent[0].extrinsics) for camera in bent]
    assert "stands elsewhere" in said(BLOCK.with_rig(Rig(cameras=tuple(moved))))


def test_scenes_of_another_processor_are_the_same() -> None:
    """Its kernels round differently: in the last digits of a camera's pose, and of a mesh's vertices. Found: on an AMD
    EPYC the shipped weights refused whatever was rendered there."""

    def off_by(error: float) -> Scene:
        """Off in the places of the cameras, which are lists in files, and in letters' vertices, which are packed."""
        moved = np.ones((4, 4))
        moved[:3, 3] += error
        cameras = tuple(replace(each, extrinsics=each.extrinsics * moved) for each in BLOCK.rig.cameras)
        parts = tuple(
            replace(each, mesh=replace(each.mesh, vertices=each.mesh.vertices * (1 + error)))
            for each in BLOCK.object.parts
        )
        return replace(BLOCK, object=replace(BLOCK.object, parts=parts), rig=Rig(cameras=cameras))

    rounded, other = off_by(3e-16), off_by(1e-6)
    assert rounded.to_json() != BLOCK.to_json()
    assert (rounded, rounded.identity()) == (BLOCK, BLOCK.identity())
    require_same(BLOCK, rounded, "there")
    assert other != BLOCK
    assert "object.parts differs" in said(other.with_rig(BLOCK.rig))
    assert "a nominal camera stands elsewhere" in said(BLOCK.with_rig(other.rig))
