"""The files of a hand's model, an MJCF or a URDF.

They are checked before MuJoCo reads them: it blocks on pipes, and one line may expand to gigabytes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from vision.errors import DactylError
from vision.io.files import read_file, sha256

_MOST_BYTES = 16 << 20
_MOST_FILES = 64  # that include each other
_MOST_COPIES = 1_000  # of the contents of <replicate>
_MOST_CELLS = 1 << 20  # of a height field
_COMMENT = re.compile(b"<!--.*?-->", re.DOTALL)
"""Comments, in which MuJoCo accepts two hyphens although XML does not."""
_FOLDERS = ("assetdir", "meshdir", "texturedir")
"""Attributes of <compiler> that name folders; the later ones decide where both are given."""
_MESHES = (".stl", ".obj", ".msh")  # that MuJoCo reads


def is_urdf(root: ElementTree.Element, path: Path) -> bool:
    """Return whether the XML of a hand's model is a URDF rather than an MJCF; :class:`DactylError` if it is neither."""
    if root.tag not in ("mujoco", "robot"):
        raise DactylError(f"{path}: neither MJCF nor URDF but <{root.tag}>; check the path")
    return root.tag == "robot"


def read_xml(file: Path) -> ElementTree.Element:
    """Read a model's XML.

    Raises:
        DactylError: it is no XML, no file, longer than any model, or a xacro.
    """
    try:
        root = ElementTree.fromstring(_COMMENT.sub(b"", read_file(file, _MOST_BYTES, "model of a hand")))
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        raise DactylError(f"{file}: MuJoCo cannot read it: no XML ({error})") from None
    if root.tag == "robot" and any("xacro" in element.tag for element in root.iter()):
        raise DactylError(f"{file}: a xacro, from which ROS makes a URDF: xacro {file.name} > hand.urdf")
    return root


def urdf_mesh(name: str, urdf: Path) -> Path | None:
    """Return the file of a URDF's mesh: beside the URDF, in a folder that its name leads to, or, for
    ``package://name/...``, in the package of that name around the URDF; None if it is not there.

    Raises:
        DactylError: it is a pipe or device, or a mesh that MuJoCo does not read.
    """
    kind, _, inside = name.rpartition("://")
    package, _, rest = inside.partition("/")
    places = [urdf.parent / inside] if kind in ("", "file") else []
    if kind in ("package", "model"):
        around = [*urdf.resolve().parents]
        places = [folder / rest for folder in around if folder.name == package]
        places += [folder / package / rest for folder in around]
    places.append(urdf.parent / Path(inside).name)
    found = next((place for place in places if _is_file(place, urdf)), None)
    if found is not None and found.suffix.lower() not in _MESHES:
        raise DactylError(
            f"{urdf}: mesh {name}: MuJoCo reads {', '.join(_MESHES)}; convert it, and name the new file in the URDF"
        )
    return found


def model_files(path: Path) -> dict[str, Path]:
    """Return a model's files by their names in it: itself, included files, models that it attaches with their own
    files, meshes, textures and height fields.

    Missing files are left out: it is reported later which one is missing.

    Raises:
        DactylError: the file is neither MJCF nor URDF, it or one that it includes is no XML, names a pipe or device, or
            repeats something excessively.
    """
    return _files_of(path, {os.path.realpath(path)})


def _files_of(path: Path, seen: set[str]) -> dict[str, Path]:
    """Return :func:`model_files` of a model, adding the XML files that it reads to those ``seen`` before."""
    waiting, folders = [path], list[tuple[str, Path]]()
    files, named = {path.name: path}, list[tuple[str, str, Path]]()
    for file in waiting:
        root = read_xml(file)
        if file == path and is_urdf(root, path):
            meshes = {mesh.get("filename", "") for mesh in root.iter("mesh")}
            found = ((name, urdf_mesh(name, path)) for name in sorted(meshes))
            return files | {name: place for name, place in found if place is not None}
        for element in root.iter():
            folders += ((key, path.parent / element.attrib[key]) for key in _FOLDERS if key in element.attrib)
        for key, name in _files(root):
            if key != "include":
                named.append((key, name, file))
            around = (*sorted(folder for _, folder in folders), path.parent)
            for place in _places(name, file, around) if key == "include" else ():
                if os.path.realpath(place) not in seen:
                    seen.add(os.path.realpath(place))
                    files[name] = place
                    waiting.append(place)
        if len(seen) > _MOST_FILES:
            raise DactylError(f"{path}: includes more than {_MOST_FILES} files; join them")
        _refuse_excess(root, 1, file)
    # Last, because the folders of meshes and textures may be named in a file that is included later.
    for key, name, file in named:
        unlikely = {"mesh": "texturedir", "texture": "meshdir"}.get(key)
        ranked = sorted(folders, key=lambda each: (each[0] != unlikely, _FOLDERS.index(each[0])), reverse=True)
        # A folder that the model names is the one that is read, even if a file of that name lies beside the XML, too.
        for place in _places(name, file, (*(folder for _, folder in ranked), path.parent))[:1]:
            files.setdefault(name, place)
            if key == "model" and os.path.realpath(place) not in seen:
                seen.add(os.path.realpath(place))
                files |= {f"{name}: {inner}": found for inner, found in _files_of(place, seen).items()}
    return files


def model_digest(path: Path) -> str:
    """Return the SHA-256 of all files of a model and of their names in it, independent of their location.

    Raises:
        DactylError: as :func:`model_files`, or one of them cannot be read.
    """
    digest = hashlib.sha256()
    for name, place in sorted(model_files(path).items()):
        try:
            digest.update(f"{name}\0{sha256(place)}\n".encode())
        except OSError as error:
            raise DactylError(f"{place}: {error.strerror or error}") from None
    return digest.hexdigest()


def _files(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for element in root.iter():
        yield from ((element.tag, value) for key, value in element.attrib.items() if key.startswith("file"))


def _places(name: str, file: Path, folders: Iterable[Path]) -> list[Path]:
    """Return where a file that ``file`` names exists, among all places where MuJoCo may look for it, in the order of
    the folders, with that of ``file`` last."""
    candidates = dict.fromkeys(folder / name for folder in (*folders, file.parent))
    return [place for place in candidates if _is_file(place, file)]


def _is_file(place: Path, file: Path) -> bool:
    """Return whether it is a regular file; refuse pipes and devices, on which MuJoCo would block."""
    try:
        there, regular, folder = place.exists(), place.is_file(), place.is_dir()
    except (OSError, ValueError):  # not a possible file name: MuJoCo reports it
        return False
    if there and not regular and not folder:
        raise DactylError(f"{file}: names {place}, which is no file but a pipe or device; put a file there")
    return regular


def _refuse_excess(element: ElementTree.Element, copies: float, file: Path) -> None:
    """Refuse excessive repetition, walking the tree with an explicit stack; the XML parsers limit its depth."""
    waiting = [(element, copies)]
    while waiting:
        each, times = waiting.pop()
        if each.tag == "replicate":
            times *= _number(each, "count")
        if times > _MOST_COPIES:
            raise DactylError(f"{file}: <replicate> makes more than {_MOST_COPIES:,} copies; lower its count")
        if each.tag == "hfield" and _number(each, "nrow") * _number(each, "ncol") > _MOST_CELLS:
            raise DactylError(f"{file}: a height field of more than {_MOST_CELLS:,} cells; lower nrow and ncol")
        waiting += ((child, times) for child in each)


def _number(element: ElementTree.Element, key: str) -> float:
    """Return a numeric attribute, at least 1; 1 if it is not a number, which MuJoCo reports."""
    try:
        return max(1.0, float(element.get(key, 1)))
    except ValueError:
        return 1.0
