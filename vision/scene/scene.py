"""A scene: hand, object, cameras and surroundings as one value, which every file contains whole."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from vision.errors import DactylError
from vision.io.json_values import fingerprint
from vision.io.png import pixels_sha256
from vision.objects.pose_object import PoseObject
from vision.plain import Plain, alike, check_name, from_plain, to_plain, to_rounded
from vision.rigs.rig import Rig
from vision.scene.hand import Hand
from vision.scene.landmarks import Landmarks
from vision.scene.surroundings import Background, Workspace

_LONGEST_SIDE = 8192  # pixels: graphics cards draw no larger images


class Scene(Plain, frozen=True):
    """A scene as plain data, without a simulator; simulation models are compiled from it.

    Attributes:
        name: for titles and messages.
        hand: None if there is only an object.
        object: the object whose pose is estimated.
        rig: nominal cameras, in the order of the images.
        background: what lies below and behind.
        workspace: where the object is handled.
    """

    name: str
    hand: Hand | None
    object: PoseObject
    rig: Rig
    background: Background
    workspace: Workspace

    def check(self) -> None:
        check_name(self.name, "scene")
        for camera in self.rig.cameras:
            if max(size := (camera.width, camera.height)) > _LONGEST_SIDE:
                expected = f"expected at most {_LONGEST_SIDE} pixels, got {size[0]} x {size[1]}"
                raise ValueError(f"camera {camera.name}: width and height: {expected}")

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the whole scene, the same on every machine, wherever files lie: equal scenes have equal ones."""
        plain: dict[str, Any] = to_rounded(self)
        plain["object"]["parts"] = _by_pixels(self.object, plain["object"]["parts"])
        if self.hand is not None and self.hand.sha256 and self.hand.is_file:  # its content identifies it
            del plain["hand"]["source"]
        return fingerprint(plain)

    @property
    def landmarks(self) -> Landmarks | None:
        """Points of the hand for finding cameras; None without a hand, or without points that are fixed."""
        return None if self.hand is None else self.hand.landmarks

    @property
    def joints(self) -> int:
        """Number of the hand's joints, J; 0 without a hand."""
        return 0 if self.hand is None else len(self.hand.joints)

    @property
    def initial_joints(self) -> np.ndarray:
        """Joint positions of the hand at the start, (J,), radians or metres; empty without a hand."""
        return np.zeros(0) if self.hand is None else self.hand.start

    def identity(self) -> dict[str, str]:
        """Return the values by which configurations compare scenes."""
        return {"name": self.name, "sha256": self.fingerprint}

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Scene) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values from which :meth:`from_json` restores the same scene bit for bit."""
        plain: dict[str, Any] = to_plain(self)
        for part in plain["object"]["parts"]:
            if part["letter"] == _named_as_letter(part):
                del part["letter"]
        return plain

    @classmethod
    def from_json(cls, value: Any, where: str) -> Scene:
        """Return the scene of JSON values; :class:`DactylError` names their file, ``where``, and the wrong key."""
        return from_plain(_with_letters(value), cls, where)

    def with_rig(self, rig: Rig) -> Scene:
        """Return the same scene with other cameras."""
        return replace(self, rig=rig)


def _named_as_letter(part: dict[str, Any]) -> bool:
    """Return whether a stored part without the key ``letter`` is one. Files have this key only where it says something
    else than the part's name, so that files of our objects stay the same as before it was added."""
    return str(part.get("name")).startswith("letter/")


def _with_letters(value: Any) -> Any:
    """Return JSON values of a scene whose parts all have the key ``letter``; others as they are."""
    match value:
        case {"object": {"parts": [*parts]} as target}:
            named = [{"letter": _named_as_letter(part), **part} if isinstance(part, dict) else part for part in parts]
            return {**value, "object": {**target, "parts": named}}
    return value


PARTS = ("object", "rig", "hand", "background", "workspace")
_SEEN = ("object", "rig", "hand")  # the parts that a network's output depends on
_SEEN_OF_HAND = {"name", "joints", "landmarks"}  # its model and initial pose may change
_UNSEEN_OF_OBJECT = {"mass", "pieces", "shape_symmetries"}  # how it moves, and which turns data and policies use


def require_same(
    ours: Scene,
    theirs: Scene,
    what: str,
    parts: Sequence[str] = PARTS,
    *,
    to_a_network: bool = False,
    free: Collection[str] = (),
) -> None:
    """Raise DactylError, naming the part that differs, unless two scenes show the same, up to rounding errors.

    The location of a hand's model makes no difference, nor do the lenses of real images, which data and networks never
    see.

    Args:
        ours: the expected scene.
        theirs: the scene that was found.
        what: where it was found, for the message.
        parts: parts of the scenes to compare.
        to_a_network: whether to compare only what a network's output depends on: how the object looks, rig, and
            its knowledge of the hand.
        free: keys of the parts that may differ.
    """
    for part in _SEEN if to_a_network else parts:
        one, other = getattr(ours, part), getattr(theirs, part)
        compared, found = (_compared(each, to_a_network, free) for each in (one, other))
        if not alike(compared, found):
            key = next((key for key in {**compared, **found} if not alike(compared.get(key), found.get(key))), "")
            raise DactylError(f"{what}: {_difference(part, one, other, key)}; use what was made of the same scene")


def _compared(part: Any, seen: bool, free: Collection[str]) -> dict[str, Any]:
    """Return the compared values of a part of a scene, by key; empty for a missing part."""
    plain: dict[str, Any] = {} if part is None else to_plain(part)
    keys = plain.keys() - {*free}
    if isinstance(part, Hand):
        keys = keys & _SEEN_OF_HAND if seen else keys - {"source"}
    if isinstance(part, PoseObject):
        keys = keys - _UNSEEN_OF_OBJECT if seen else keys
        plain["parts"] = _by_pixels(part, plain["parts"])
    if isinstance(part, Rig):
        plain["cameras"] = [{**camera, "distortion": None} for camera in plain["cameras"]]
    return {key: value for key, value in plain.items() if key in keys}


def _by_pixels(target: PoseObject, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the plain parts of an object with the hash of a texture's pixels in its place: the bytes of a PNG file
    depend on who compressed it."""
    return [
        {**plain, "texture": None if part.texture is None else pixels_sha256(part.texture)}
        for part, plain in zip(target.parts, parts, strict=True)
    ]


def _difference(part: str, ours: Any, theirs: Any, key: str) -> str:
    if isinstance(ours, Rig) and isinstance(theirs, Rig):
        if ours.names != theirs.names:
            return f"cameras are {', '.join(theirs.names)}, expected {', '.join(ours.names)}"
        sizes = ([f"{camera.width}x{camera.height}" for camera in rig.cameras] for rig in (theirs, ours))
        for there, here in zip(*sizes, strict=True):
            if there != here:
                return f"image size is {there} pixels, expected {here} (image_size)"
        return "a nominal camera stands elsewhere or has another lens"
    names = ["none" if one is None else getattr(one, "name", "") for one in (theirs, ours)]
    return f"{part} is {names[0]}, expected {names[1]}" if names[0] != names[1] else f"{part}.{key} differs"
