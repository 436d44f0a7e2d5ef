"""Scenes by name or file.

A scene file is YAML. Its hand, object and rig are given inline, or by the names of files beside it (``hands/NAME.yaml``
and so on), of ours, or of parts that another installed package offers by entry point.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from msgspec.structs import replace

from vision.configuration import strict_yaml
from vision.configuration.config_files import CONFIGS
from vision.errors import DactylError
from vision.io.decode import parse_json
from vision.io.files import read_file
from vision.io.kept import KeptWhileFilesStay
from vision.objects.lettered import BoxFile, PrismFile
from vision.objects.meshes import MeshFile
from vision.objects.pose_object import PoseObject
from vision.plain import Plain, from_plain
from vision.registry import Registry
from vision.rigs.rig import Rig
from vision.rigs.rig_files import RigFile
from vision.rigs.rig_readers import read_rig
from vision.scene.hand import Hand
from vision.scene.scene import Scene
from vision.scene.surroundings import Background, Workspace

SCENES = CONFIGS / "scenes"
"""Folder of the scenes that ship with the program."""

HANDS = Registry("hand", "dactyl.hands", {}, Hand)
OBJECTS = Registry("object", "dactyl.objects", {}, PoseObject)
"""Parts of other packages: functions without arguments that return a ``Hand`` or a ``PoseObject``."""

_MOST_BYTES = 1 << 26  # of JSON: a scene with its meshes
_MOST_YAML_BYTES = 1 << 18  # YAML is read a thousand times slower
_ObjectFile = BoxFile | PrismFile | MeshFile


class SceneFile(Plain, frozen=True):
    """Content of a scene file; hand, object and rig as mappings or names."""

    hand: Any
    object: Any
    rig: Any
    workspace: Workspace
    background: Background = Background()
    name: str | None = None


@KeptWhileFilesStay
def load_scene(source: str) -> Scene:
    """Load the scene of that name in ``configs/scenes``, or of that file (YAML, or the JSON that datasets contain).

    It is read again if a file that it consists of has changed. Its hand is not completed yet: ``datagen.sim.complete``
    reads the rest from the hand's model.

    Raises:
        DactylError: there is no such scene, or it is invalid; the message names file and key.
    """
    path = Path(source)
    if path.suffix not in (".yaml", ".yml", ".json"):
        known = sorted(found.stem for found in SCENES.glob("*.yaml"))
        if source not in known:
            raise DactylError(f"no scene '{source}': give a file (.yaml), or one of {', '.join(known)}")
        path = SCENES / f"{source}.yaml"
    content = _read(path)
    if path.suffix == ".json":
        return Scene.from_json(content, str(path))
    file = from_plain(content, SceneFile, str(path))
    hand = None if file.hand is None else _part(file.hand, path, "hands", HANDS, Hand)
    target = _part(file.object, path, "objects", OBJECTS, _ObjectFile)
    rig = _rig(file.rig, path)
    scene: Scene = _built(
        lambda: Scene(
            name=path.stem if file.name is None else file.name,
            hand=hand,
            object=target,
            rig=rig,
            background=file.background,
            workspace=file.workspace,
        ),
        str(path),
    )
    return scene


def check_scene(source: str) -> None:
    """Raise a ValueError, as a configuration's own checks do, unless the scene exists and can be read."""
    try:
        load_scene(source)
    except DactylError as error:
        raise ValueError(f"scene: {error}") from None


def _part(value: Any, scene: Path, folder: str, registry: Registry | None, kind: Any) -> Any:
    """Return a part given in the scene file, in its own file, or by another package."""
    if not isinstance(value, str):
        where = f"{scene}: {folder.removesuffix('s')}"
        return _finished(from_plain(value, kind, where), scene.parent, where)
    places = [scene.parent / value] if value.endswith((".yaml", ".yml")) else []
    places += [parent / folder / f"{value}.yaml" for parent in (scene.parent, SCENES)]
    for path in places:
        if _is_file(path):
            return _finished(from_plain(_read(path), kind, str(path)), path.parent, str(path))
    if registry is not None and value in registry.names():
        return registry.build(value)
    there = sorted(path.stem for path in (SCENES / folder).glob("*.yaml"))
    there += list(registry.names()) if registry is not None else []
    what = folder.removesuffix("s")
    if value.lower().endswith((".xml", ".mjcf", ".urdf", ".obj", ".ply", ".stl", ".glb")):
        expected = f"a YAML file that describes the {what} and names this one (docs/own-scene.md)"
    else:
        expected = f"a file beside it, or one of {', '.join(there)}"
    raise DactylError(f"{scene}: {what}: no {what} '{value}': give {expected}")


def _rig(value: Any, scene: Path) -> Rig:
    """Return the rig given in the scene file, in its own file, or in a calibration beside the scene file."""
    place = scene.parent / value if isinstance(value, str) else None
    calibration = place is not None and place.suffix in (".yaml", ".yml", ".json") and _is_file(place)
    if place is not None and calibration and (found := read_rig(place)) is not None:
        return found
    file: RigFile = _part(value, scene, "rigs", None, RigFile)
    rig: Rig = _built(lambda: file.build(scene.parent), f"{scene}: rig")
    return rig


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # not a valid file name
        return False


def _finished(file: Any, folder: Path, where: str) -> Any:
    """Build an object from its description, or complete a hand's path, relative to ``folder``; return a rig's file as
    it is."""
    if isinstance(file, Hand) and file.is_file:
        return replace(file, source=os.path.realpath(folder / file.source))
    if isinstance(file, MeshFile):
        return _built(lambda: file.build(folder), where)
    return _built(file.build, where) if isinstance(file, BoxFile | PrismFile) else file


def _built(build: Callable[[], Any], where: str) -> Any:
    try:
        return build()
    except ValueError as error:
        raise DactylError(f"{where}: {error}") from None


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".json":
            return parse_json(read_file(path, _MOST_BYTES, "scene"), path)
        return strict_yaml.load(read_file(path, _MOST_YAML_BYTES, "scene").decode())
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise DactylError(f"{path}: {' '.join(str(error).split())}") from None
