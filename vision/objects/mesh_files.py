"""Checks of mesh files from outside before trimesh reads them: size, referenced files, and content it would ignore.

trimesh reads any file that a path leads to, continues without a texture or material that it cannot open, and drops
vertices that are not numbers together with their triangles: an object would then look or collide as nobody intended.
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vision.errors import DactylError
from vision.io.decode import parse_json
from vision.io.files import read_file

_MOST_BYTES = 256 << 20  # a binary STL of five million triangles; trimesh takes four times as much memory
_MOST_NODES = 4_000  # in a .glb
_PICTURES = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "TGA", "GIF")
"""Texture formats that Pillow may assume; it would pass others to external programs."""
_MOST_PIXELS = 8192 * 8192
_NO_MATERIAL = "(null)"  # as exporters write it
_GLOSSY = "KHR_materials_pbrSpecularGlossiness"
_LOOKS = {"KHR_materials_unlit", _GLOSSY}
"""Extensions of glTF without which a file can still be read as intended."""
VERTEX_COLORS = "_COLOR_0"
"""Attribute by which trimesh reads the colours of a .glb's vertices: by their own name, it takes the low byte of 16
bits, and drops them beside a material."""


def read_mesh_file(path: Path) -> bytes:
    """Return the content of a mesh file; ValueError if it cannot be one."""
    try:
        if not os.path.lexists(path):
            raise DactylError(f"{path}: there is none; it is looked for beside the scene file")
        content = read_file(path, _MOST_BYTES, "mesh")
        return _read_whole(content, path.suffix.lower())
    except DactylError as error:
        raise ValueError(f"file: {error}") from None
    except ValueError as error:
        raise ValueError(f"file: {path}: no mesh can be read: {error}") from None


def make_resolver(folder: Path) -> Any:
    """Return a ``trimesh.resolvers.Resolver`` of the files beside a mesh. It collects refused files in ``faults``, and
    the names of materials in ``materials``.

    trimesh swallows exceptions of a resolver, so the caller has to check ``faults``.
    """
    from trimesh.resolvers import Resolver

    class Beside(Resolver):
        def __init__(self) -> None:
            self.faults: list[str] = []
            self.materials: set[str] = set()

        def get(self, key: str) -> bytes:
            try:
                content = _read_beside(folder, key.strip())
                self.materials.update(_names(content, "newmtl") if key.strip().lower().endswith(".mtl") else ())
                return content
            except (DactylError, ValueError) as error:
                self.faults.append(f"names '{key.strip()}': {error}")
                raise OSError(str(error)) from None

        def write(self, name: str, data: Any) -> None:
            raise NotImplementedError

        def namespaced(self, namespace: str) -> Any:
            raise NotImplementedError

        def keys(self) -> list[str]:
            return []

    return Beside()


def material_fault(content: bytes, known: set[str]) -> str | None:
    """Return what is wrong if an .obj uses a material that its .mtl file does not have: trimesh would draw it grey. One
    without a .mtl file is grey on purpose."""
    libraries = _names(content, "mtllib")
    if len(libraries) > 1:
        return f"names {len(libraries)} .mtl files, and only one would be read; join them"
    unknown = sorted(_names(content, "usemtl") - known - {_NO_MATERIAL}) if libraries else []
    if not unknown:
        return None
    has = f"it has {', '.join(sorted(known))}" if known else "it has none"
    return f"uses the material '{unknown[0]}', which its .mtl file does not have; {has}"


def checked_texture(image: Any) -> Any:
    """Decode an image that Pillow has opened to RGB; ValueError if it must not be decoded."""
    if image.format not in (None, *_PICTURES):
        raise ValueError(f"a texture in the format {image.format}; convert it to PNG or JPEG")
    if image.width * image.height > _MOST_PIXELS:
        raise ValueError(f"a texture of {image.width} x {image.height} pixels, which is too large; make it smaller")
    if is_clipped(image):
        raise ValueError("a texture of more than 8 bits a channel; convert it to 8 bits")
    try:
        return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"a texture that cannot be read ({error}); write it again") from None


def is_transparent(image: Any) -> bool:
    """Return whether a texel of an image that Pillow has opened is not opaque."""
    return "A" in image.getbands() and image.getchannel("A").getextrema()[0] < 255


def is_clipped(image: Any) -> bool:
    """Return whether Pillow, which has opened the image, would clip its values for RGB: they have more than 8 bits."""
    return bool(image.mode.startswith(("I", "F")))


def refuse_odd_geometry(geometry: Any) -> None:
    """Raise ValueError if a ``trimesh.Trimesh``, not yet processed, has numbers that trimesh would drop or wrap
    around."""
    faces, vertices = np.asarray(geometry.faces), np.asarray(geometry.vertices)
    if not np.isfinite(vertices).all():
        raise ValueError("a coordinate is not finite; export it again")
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise ValueError(f"a triangle has a corner outside of the {len(vertices):,} vertices; export it again")
    uv = getattr(getattr(geometry, "visual", None), "uv", None)
    if uv is not None and not np.isfinite(np.asarray(uv, np.float64)).all():
        raise ValueError("a texture coordinate is not finite; export it again")


def _read_beside(folder: Path, name: str) -> bytes:
    inside = PurePosixPath(name.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts or not inside.parts or ":" in inside.parts[0] or "\0" in name:
        raise ValueError("expected the name of a file beside it; copy the file there and write only its name")
    content, suffix = read_file(folder / inside, _MOST_BYTES, "file beside the mesh"), inside.suffix.lower()
    if suffix == ".mtl":
        return _utf8(content)
    if suffix != ".bin":
        _check_picture(content)
    return content


def _read_whole(content: bytes, suffix: str) -> bytes:
    """A mesh file as trimesh reads it; ValueError where it is cut short, or says what trimesh passes over."""
    if suffix == ".glb":
        about, rest = _parse_glb(content)
        _refuse_unread(about)
        return _with_readable_colors(about, rest)
    if suffix == ".obj":
        _refuse_odd_corners(content)
        return _utf8(content)
    if suffix == ".ply":
        header, end, rest = content.partition(b"end_header")
        return _utf8(header) + end + rest
    if suffix == ".stl":
        triangles = int.from_bytes(content[80:84], "little")
        if len(content) == 84 + 50 * triangles:
            return content
        if b"\0" in content:  # no text either
            raise ValueError(
                f"its header says {triangles:,} triangles, which take {84 + 50 * triangles:,} bytes, and it has "
                f"{len(content):,}; is it cut short?"
            )
        return _utf8(content)
    return content


def _names(text: bytes, keyword: str) -> set[str]:
    """Return what follows a keyword of .obj or .mtl files at the beginning of lines."""
    return {name.decode().strip() for name in re.findall(rb"^[ \t]*%s[ \t]+(\S.*)$" % keyword.encode(), text, re.M)}


def _refuse_odd_corners(text: bytes) -> None:
    """Raise ValueError if a triangle of an .obj names a vertex that does not exist. Vertices count from 1, from the end
    if negative; trimesh takes 0 for the last one."""
    count = len(re.findall(rb"^[ \t]*v[ \t]", text, re.M))
    corners = re.sub(rb"/\S*", b"", b" ".join(re.findall(rb"^[ \t]*f[ \t]+(.*)$", text, re.M)))
    try:
        numbers = np.array(corners.split(), np.int64)
    except ValueError:
        return  # no number: trimesh says so
    odd = numbers[(numbers == 0) | (np.abs(numbers) > count)]
    if len(odd):
        raise ValueError(f"a triangle has vertex {odd[0]}, and it has vertices 1 to {count:,}; export it again")


def _utf8(text: bytes) -> bytes:
    """Text in UTF-8; many programs write names and comments in Latin-1."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1").encode()
    return text


def _check_picture(content: bytes) -> None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=_PICTURES) as image:
            checked_texture(image)
    except UnidentifiedImageError:
        raise ValueError("no picture that can be read; convert it to PNG or JPEG") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"a texture that is too large ({error}); make it smaller") from None


def _parse_glb(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return a .glb's description and what follows it."""
    if content[:4] != b"glTF" or len(content) < 20:
        raise ValueError("not a .glb: its first letters are not glTF")
    (size,) = struct.unpack("<I", content[12:16])
    about = parse_json(content[20 : 20 + size].rstrip(b" \0"), "its header")
    if not isinstance(about, dict):
        raise ValueError("not a .glb: its header is no mapping")
    return about, content[20 + size :]


def _with_readable_colors(about: dict[str, Any], rest: bytes) -> bytes:
    """Return a .glb whose vertices' colours are called :data:`VERTEX_COLORS`, and whose materials are said once:
    trimesh mixes one with what is written beside it for programs that do not know its extension."""
    for material in map(_mapping, _list(about, "materials")):
        if _GLOSSY in _mapping(material.get("extensions")):
            material.pop("pbrMetallicRoughness", None)
    for mesh in _list(about, "meshes"):
        for primitive in _list(_mapping(mesh), "primitives"):
            attributes = _mapping(_mapping(primitive).get("attributes"))
            if "COLOR_0" in attributes:
                attributes[VERTEX_COLORS] = attributes.pop("COLOR_0")
    header = json.dumps(about).encode()
    header += b" " * (-len(header) % 4)
    return b"glTF" + struct.pack("<III4s", 2, 20 + len(header) + len(rest), len(header), b"JSON") + header + rest


def _refuse_unread(about: dict[str, Any]) -> None:
    """Raise ValueError if a .glb needs something that trimesh ignores, or lets a few nodes expand to millions."""
    if needed := sorted({str(name) for name in _list(about, "extensionsRequired")} - _LOOKS):
        raise ValueError(f"needs the extension {needed[0]} of glTF, which is not read; export it without")
    if any(isinstance(each, dict) and "sparse" in each for each in _list(about, "accessors")):
        raise ValueError("has sparse accessors, which are not read; export it without")
    for material in map(_mapping, _list(about, "materials")):
        glossy = _mapping(_mapping(material.get("extensions")).get(_GLOSSY))
        metallic = _mapping(material.get("pbrMetallicRoughness"))
        for texture in (_mapping(metallic.get("baseColorTexture")), _mapping(glossy.get("diffuseTexture"))):
            if "KHR_texture_transform" in _mapping(texture.get("extensions")):
                raise ValueError(
                    "moves a texture by the extension KHR_texture_transform of glTF, which is not read; apply the "
                    "mapping to the texture coordinates, and export it again"
                )
            if texture.get("texCoord", 0) != 0:
                raise ValueError(
                    f"places a texture by TEXCOORD_{texture['texCoord']}, and only TEXCOORD_0 is read; make these "
                    "coordinates its first, and export it again"
                )
    nodes = _list(about, "nodes")
    children = [child for node in nodes if isinstance(node, dict) for child in _list(node, "children")]
    if len(nodes) > _MOST_NODES:
        raise ValueError(f"has {len(nodes):,} nodes, at most {_MOST_NODES:,} are read; join its meshes")
    if len(set(map(str, children))) < len(children):
        raise ValueError("its nodes are no tree: one is there twice; export it again")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(about: dict[str, Any], key: str) -> list[Any]:
    found = about.get(key, [])
    if not isinstance(found, list):
        raise ValueError(f"{key}: expected a list")
    return found
