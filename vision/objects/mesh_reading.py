"""Reading of mesh files by trimesh: their surface by material, with textures and texture coordinates."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vision.color import srgb_from_linear
from vision.geometry.rotations import FloatArray
from vision.io.png import png_bytes
from vision.objects.baking import baked
from vision.objects.mesh_files import (
    VERTEX_COLORS,
    checked_texture,
    is_transparent,
    make_resolver,
    material_fault,
    read_mesh_file,
    refuse_odd_geometry,
)
from vision.objects.mesh_reduction import reduced
from vision.objects.pose_object import Color, Mesh, Part, joined

SUFFIXES = (".obj", ".ply", ".stl", ".glb")
MOST_TRIANGLES = 20_000
"""Number of triangles to which larger meshes are reduced: a view of some hundred pixels shows no more."""
_ONE_COLOR = 0.03  # standard deviation of a channel up to which vertices count as one colour
_SAME_SHAPE = 2e-3  # of the bounding box's diagonal, by which a reduced mesh's surface may have moved
_WHITE = 0.98  # least level of colours that multiply a texture and do not show
_LONGEST_TEXTURE = 2048  # pixels; a larger one is halved


def read_geometries(path: Path) -> list[Any]:
    """Read the ``trimesh.Trimesh`` of every material in a file, in the file's coordinates.

    Raises:
        ValueError: the file does not exist, cannot be read, or has no triangles.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ValueError(f"file: {path.name}: expected one of {', '.join(SUFFIXES)}")
    content = read_mesh_file(path)
    import trimesh

    resolver = make_resolver(path.parent)

    def load(**options: Any) -> Any:
        return trimesh.load_scene(io.BytesIO(content), file_type=kind[1:], resolver=resolver, **options)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for geometry in load(skip_materials=True, process=False).geometry.values():
                if isinstance(geometry, trimesh.Trimesh):
                    refuse_odd_geometry(geometry)
            found = load().dump(concatenate=False)
        if kind == ".glb":
            for geometry in found:
                _encode_colors(geometry)
    except Exception as error:  # readers of broken files may raise anything
        raise ValueError(f"file: {path}: no mesh can be read: {' '.join(str(error).split()) or type(error)}") from None
    material = material_fault(content, resolver.materials) if kind == ".obj" else None
    if fault := next(iter(resolver.faults), material):
        raise ValueError(f"file: {path}: {fault}")
    meshes = [geometry for geometry in found if isinstance(geometry, trimesh.Trimesh) and len(geometry.faces)]
    if not meshes:
        raise ValueError(f"file: {path}: holds no triangles; is it cut short, or of another format than {kind}?")
    for mesh in meshes:
        if not np.isfinite(mesh.vertices).all():
            raise ValueError(f"file: {path}: a coordinate is not finite")
    return meshes


def _encode_colors(geometry: Any) -> None:
    """Encode the colours of a .glb's vertices and material as sRGB: by its standard they are linear, are multiplied
    with each other and the texture, and are white where they are not said."""
    from trimesh.visual.color import ColorVisuals, to_float

    material = getattr(geometry.visual, "material", None)
    factor = getattr(material, "baseColorFactor", None)
    linear = np.ones(3) if factor is None else to_float(factor)[:3]
    colors = geometry.vertex_attributes.pop(VERTEX_COLORS, None)
    textured = getattr(material, "baseColorTexture", None) is not None
    if colors is not None and textured and to_float(colors)[:, :3].min() < _WHITE:
        raise ValueError("colours of vertices beside a texture, which would be multiplied; bake them into the texture")
    if colors is not None and not textured:
        linear = linear * to_float(colors)[:, :3].clip(0, 1)
        geometry.visual = ColorVisuals(geometry, vertex_colors=srgb_from_linear(linear))
    elif material is not None:
        material.baseColorFactor = srgb_from_linear(linear)


def make_parts(geometries: list[Any], color: Color | None, smooth: bool) -> tuple[Part, ...]:
    """Make one part for each material that has an area.

    Args:
        geometries: from :func:`read_geometries`, in the object's frame.
        color: replaces the file's.
        smooth: as in :class:`vision.objects.pose_object.Part`.
    """
    looks: dict[tuple[Color, bytes | None], list[tuple[FloatArray, np.ndarray, FloatArray | None]]] = {}
    scans = []
    geometries = [geometry for geometry in geometries if geometry.area > 0]  # MuJoCo refuses the others
    for geometry in geometries:
        if color is None and _many_colored(geometry):
            scans.append(geometry)
            continue
        texture, uv = _texture(geometry)
        factor = getattr(getattr(geometry.visual, "material", None), "baseColorFactor", None)
        own = (1.0, 1.0, 1.0) if texture is not None and factor is None else color or _color(geometry)
        corners = np.asarray(geometry.vertices, np.float64), np.asarray(geometry.faces, np.int64), uv
        looks.setdefault((color or own, texture), []).append(corners)
    fraction = min(1.0, MOST_TRIANGLES / sum(len(geometry.faces) for geometry in geometries))
    meshes = [(_reduced(_joined(pieces), fraction), look, texture) for (look, texture), pieces in looks.items()]
    for scan in scans:
        corners = np.asarray(scan.vertices, np.float64), np.asarray(scan.faces, np.int64), None
        mesh, texture = baked(_reduced(_joined([corners]), fraction), scan)
        meshes.append((mesh, (1.0, 1.0, 1.0), texture))
    return tuple(
        Part(name=f"surface/{number}", mesh=mesh, color=look, texture=texture, smooth=smooth)
        for number, (mesh, look, texture) in enumerate(meshes)
    )


def _many_colored(geometry: Any) -> bool:
    """Return whether vertices or triangles have differing colours of their own, as scanners write them."""
    visual = getattr(geometry, "visual", None)
    if visual is None or visual.kind not in ("vertex", "face"):
        return False
    return bool((np.asarray(visual.vertex_colors, np.float64)[:, :3] / 255).std(axis=0).max() > _ONE_COLOR)


def _joined(pieces: list[tuple[FloatArray, np.ndarray, FloatArray | None]]) -> Mesh:
    vertices, faces = joined([(vertices, faces) for vertices, faces, _ in pieces])
    return Mesh(
        vertices=vertices,
        faces=faces,
        uv=None if pieces[0][2] is None else np.concatenate([uv for _, _, uv in pieces if uv is not None]),
    )


def _reduced(mesh: Mesh, fraction: float) -> Mesh:
    """Return a mesh with that fraction of the triangles. A vertex gets the texture coordinates of the nearest of those
    that were merged to it: they lie on one side of the texture's seams, because vertices are separate across them."""
    if fraction >= 1:
        return mesh
    tolerance = _SAME_SHAPE * float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    vertices, faces, onto = reduced(mesh.vertices, mesh.faces, fraction, tolerance)
    uv = None
    if mesh.uv is not None:
        nearest_first = np.lexsort((np.linalg.norm(mesh.vertices - vertices[onto], axis=1), onto))
        merged, first = np.unique(onto[nearest_first], return_index=True)
        uv = np.zeros((len(vertices), 2))
        uv[merged] = mesh.uv[nearest_first[first]]
    return Mesh(vertices=vertices, faces=faces.astype(np.int64), uv=uv)


def _texture(geometry: Any) -> tuple[bytes | None, FloatArray | None]:
    """Return the content of a PNG file and texture coordinates (V, 2), or None for both."""
    from PIL import Image

    visual = getattr(geometry, "visual", None)
    material, uv = getattr(visual, "material", None), getattr(visual, "uv", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if image is None:
        return None, None
    if uv is None or len(uv) != len(geometry.vertices):
        raise ValueError("file: a texture without texture coordinates (vt, TEXCOORD_0); export them, or leave it out")
    if getattr(material, "alphaMode", None) in ("MASK", "BLEND") and is_transparent(image):
        raise ValueError(
            "file: a texture is transparent in places, and surfaces are drawn opaque; cut the mesh out there, or make "
            "its material opaque (alphaMode OPAQUE)"
        )
    image = checked_texture(image)
    while max(image.size) > _LONGEST_TEXTURE:
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.BOX)
    return png_bytes(image), np.asarray(uv, np.float64)


def _color(geometry: Any) -> Color:
    """Return the material's colour, or the mean colour of all vertices."""
    visual = geometry.visual
    material = getattr(visual, "material", None)
    if material is not None:
        value = np.asarray(material.main_color, np.float64)[:3] / 255
    elif visual.kind in ("vertex", "face"):
        value = np.asarray(visual.vertex_colors, np.float64)[:, :3].mean(axis=0) / 255
    else:
        value = np.full(3, 0.7)
    red, green, blue = (float(channel) for channel in np.clip(value, 0, 1))
    return red, green, blue
