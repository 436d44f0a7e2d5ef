"""Object in MuJoCo's model: convex pieces that collide, or parts that a camera sees."""

from __future__ import annotations

import mujoco
import numpy as np

from datagen.sim.backgrounds import BOWL_WALL, FLOOR
from datagen.sim.materials import Material
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.io.png import png_pixels
from vision.objects.pose_object import Part, PoseObject
from vision.scene.scene import Scene

OBJECT = "object"
"""Name of its body, its joint and its first colliding geom; further geoms append a colon and a number."""
OBJECT_SIZES = tuple(0.95 + 0.005 * index for index in range(21))
"""Size factors of an object that is a mesh, with one mesh for each."""
TOUCHED_BY_OBJECT = 1 << 30
"""Contact bit by which the object touches the parts of a hand that would not meet its own bits."""
_SMOOTH_DEG = 40.0  # between the normals of triangles that a smooth surface rounds off
_THINNEST = 1e-7  # m: mean distance of a surface's planes from its centre, of which rounded coordinates leave 1e-9


def add_object(spec: mujoco.MjSpec, scene: Scene) -> mujoco.MjsBody:
    """Add the object's body with a free joint."""
    body: mujoco.MjsBody = spec.worldbody.add_body(name=OBJECT, pos=scene.workspace.start)
    body.add_joint(name=OBJECT, type=mujoco.mjtJoint.mjJNT_FREE, damping=[0.01, 0, 0])
    return body


def add_collision_shape(spec: mujoco.MjSpec, body: mujoco.MjsBody, target: PoseObject, sizes: bool) -> None:
    """Add the object's convex pieces, which share its mass by volume.

    Args:
        sizes: whether to add a mesh for each of ``OBJECT_SIZES``. They make most of the time that a compilation takes.

    Raises:
        DactylError: a piece has no volume.
    """
    try:
        volumes = np.array([piece.volume for piece in target.pieces])
    except ValueError as error:
        raise DactylError(f"object {target.name}: {error}") from None
    asked = TOUCHED_BY_OBJECT if any(geom.conaffinity & TOUCHED_BY_OBJECT for geom in spec.geoms) else 0
    for number, (piece, fraction) in enumerate(zip(target.pieces, volumes / volumes.sum(), strict=True)):
        name = OBJECT if number == 0 else f"{OBJECT}:{number}"
        geom = body.add_geom(name=name, mass=target.mass * fraction, condim=4)  # condim 4: torsional friction
        geom.contype |= asked
        if piece.kind == "box":
            geom.type, geom.size = mujoco.mjtGeom.mjGEOM_BOX, piece.size
        else:
            assert piece.vertices is not None
            spec.add_mesh(name=name, uservert=piece.vertices.ravel())
            geom.type, geom.meshname = mujoco.mjtGeom.mjGEOM_MESH, name
            # Worlds of a batch share vertices; if sizes are randomised, each world points to the mesh of its size.
            for index, size in enumerate(OBJECT_SIZES if sizes else ()):
                spec.add_mesh(name=f"{name}/{index}", uservert=size * piece.vertices.ravel())


def add_parts(spec: mujoco.MjSpec, body: mujoco.MjsBody, target: PoseObject) -> list[Material]:
    """Add the object's visible parts and return their materials. Its mass is arbitrary: it is only drawn."""
    body.mass, body.inertia, body.explicitinertial = 1.0, (1.0, 1.0, 1.0), True
    return [_add_part(spec, body, part) for part in target.parts]


def _add_part(spec: mujoco.MjSpec, body: mujoco.MjsBody, part: Part) -> Material:
    """Add a mesh with its own material, and return the material. All have the same name."""
    mesh, name = part.mesh, _free_name(spec, part.name)
    # MuJoCo requires four vertices, so that a lone triangle is drawn twice.
    copies = 2 if len(mesh.faces) == 1 else 1
    faces, triangles = np.repeat(mesh.faces, copies, axis=0), np.repeat(mesh.triangles, copies, axis=0)
    # Separate vertices for every triangle keep edges sharp, and texture coordinates on their side of a seam.
    normals = corner_normals(triangles) if part.smooth else np.repeat(_normals(triangles), 3, axis=0)
    own = np.arange(3 * len(faces))
    corners = spec.add_mesh(name=name, uservert=triangles.ravel(), usernormal=normals.ravel(), userface=own)
    material = spec.add_material(name=name, rgba=(*part.color, 1), metallic=0.1, roughness=0.9)
    if _is_flat(triangles):
        corners.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # MuJoCo refuses a solid without volume
    if part.texture is not None and mesh.uv is not None:
        corners.usertexcoord, corners.userfacetexcoord = mesh.uv[faces].ravel(), own
        _add_texture(spec, name, part.texture)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        material=name,
        density=0,
        contype=0,
        conaffinity=0,
        castshadow=part.casts_shadow,
    )
    return Material(name, "letter" if part.letter else "surface", part)


def _free_name(spec: mujoco.MjSpec, name: str) -> str:
    """Return a part's name in the model: its own, unless the hand or the background has something of that name."""
    while name in (FLOOR, BOWL_WALL) or any(find(name) for find in (spec.geom, spec.mesh, spec.material)):
        name = f"{OBJECT}/{name}"
    return name


def _is_flat(triangles: FloatArray) -> bool:
    """Return whether triangles (F, 3, 3) enclose no volume with their centre, up to rounding."""
    area = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1) / 2
    centre = (area[:, None] * triangles.mean(axis=1)).sum(axis=0) / area.sum()
    volume = np.abs(np.linalg.det(triangles - centre)).sum() / 6
    return bool(volume < _THINNEST * area.sum())


def _add_texture(spec: mujoco.MjSpec, name: str, png: bytes) -> None:
    """Add a texture from the content of a PNG file."""
    pixels = png_pixels(png)[::-1]  # MuJoCo's row 0 is at v = 0
    texture = spec.add_texture(
        name=name,
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        colorspace=mujoco.mjtColorSpace.mjCOLORSPACE_SRGB,
        width=pixels.shape[1],
        height=pixels.shape[0],
        nchannel=3,
    )
    texture.data = pixels.tobytes()


def corner_normals(triangles: FloatArray) -> FloatArray:
    """Return unit normals (3 F, 3) of the corners of triangles (F, 3, 3): the area-weighted mean over the triangles
    that meet there and whose normals differ by less than 40 degrees."""
    cross = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    flat = _normals(triangles)
    place = np.unique(triangles.reshape(-1, 3).round(7), axis=0, return_inverse=True)[1].reshape(-1)
    order = np.argsort(place, kind="stable")
    start, count = np.unique(place[order], return_index=True, return_counts=True)[1:]
    total = np.zeros((len(place), 3))
    face = np.repeat(np.arange(len(triangles)), 3)
    for step in range(int(count.max())):  # every corner with the step-th other one at its place
        present = step < count[place]
        mine = np.flatnonzero(present)
        other = face[order[start[place[mine]] + step]]
        alike = (flat[face[mine]] * flat[other]).sum(axis=1) > np.cos(np.deg2rad(_SMOOTH_DEG))
        total[mine[alike]] += cross[other[alike]]
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 0, total / np.maximum(length, 1e-30), flat[face])


def _normals(triangles: FloatArray) -> FloatArray:
    """Return unit normals (F, 3) of triangles (F, 3, 3), counter-clockwise from outside; zero for one without area."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    unit: FloatArray = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    return unit
