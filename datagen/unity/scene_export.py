"""Export of a compiled MuJoCo model to a scene pack.

The geometry is taken from the compiled model: MuJoCo re-centres and rotates meshes, so the original files would not fit
the poses of a state.
"""

from __future__ import annotations

import mujoco
import numpy as np
from PIL import Image

from datagen.sim.geom_meshes import geom_mesh
from datagen.sim.objects import corner_normals
from datagen.sim.scene import SimScene
from datagen.sim.texture_coordinates import box_coordinates
from datagen.unity.scene_pack import PackBody, PackMaterial, PackPart, ScenePack
from vision.errors import DactylError
from vision.geometry.rotations import matrix_from_quaternion
from vision.io.png import png_bytes

_SHARP_COSINE = 0.8  # least cosine between a corner's normal and its triangle's, as in MuJoCo's OpenGL renderer
_VISIBLE_GROUPS = 3  # MuJoCo shows geom groups 0, 1 and 2 by default


def export_scene(scene: SimScene) -> ScenePack:
    """Export the visible geometry of a scene built for rendering, with materials in the order of ``scene.materials``.

    Raises:
        DactylError: a geom is a plane or a height field, or has a material that samples do not set.
    """
    model = scene.model
    geoms = [g for g in range(model.ngeom) if model.geom_group[g] < _VISIBLE_GROUPS]
    body_ids = sorted({int(model.geom_bodyid[g]) for g in geoms})
    textures = sorted({int(t) for t in model.mat_texid[scene.material_ids].ravel() if t >= 0})
    material_ids = [int(m) for m in scene.material_ids]
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    parts = []
    for geom in geoms:
        name = model.geom(geom).name or f"geom{geom}"
        if int(model.geom_matid[geom]) not in material_ids:
            raise DactylError(f"{name} has no material that a sample sets: give it one in datagen/sim/scene.py")
        body, material = int(model.geom_bodyid[geom]), int(model.geom_matid[geom])
        arrays = _in_body_frame(model, geom, *_triangles(model, geom))
        casts_shadow = bool(model.geom_castshadow[geom])
        parts.append(PackPart(name, body_ids.index(body), material_ids.index(material), *arrays, casts_shadow))
    return ScenePack(
        bodies=tuple(PackBody(model.body(b).name, (*data.xpos[b].tolist(), *data.xquat[b].tolist())) for b in body_ids),
        textures=tuple((model.texture(t).name or f"texture{t}", _png(model, t)) for t in textures),
        materials=tuple(
            PackMaterial(
                name, model.mat_rgba[m, :3].tolist(), _texture(model, m, textures), model.mat_texrepeat[m].tolist()
            )
            for name, m in zip(scene.materials, material_ids, strict=True)
        ),
        parts=tuple(parts),
    )


def _triangles(model: mujoco.MjModel, geom: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions (T, 3, 3), normals (T, 3, 3) and texture coordinates (T, 3, 2) of corners in a geom's frame."""
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX:
        positions, normals, uv = _box(model.vis.quality.numquads)
        return positions * model.geom_size[geom], normals, uv
    if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_MESH:
        shape = geom_mesh(model, geom)
        positions = shape.vertices[shape.faces]
        return positions, corner_normals(positions).reshape(positions.shape), box_coordinates(positions)
    mesh = int(model.geom_dataid[geom])
    faces = slice(model.mesh_faceadr[mesh], model.mesh_faceadr[mesh] + model.mesh_facenum[mesh])
    positions = model.mesh_vert[model.mesh_vertadr[mesh] + model.mesh_face[faces]]
    normals = model.mesh_normal[model.mesh_normaladr[mesh] + model.mesh_facenormal[faces]]
    if model.mesh_texcoordnum[mesh] == 0:
        normals = _sharp(positions, normals)
        return positions, normals, box_coordinates(positions)
    return positions, normals, model.mesh_texcoord[model.mesh_texcoordadr[mesh] + model.mesh_facetexcoord[faces]]


def _box(quads: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions (T, 3, 3), normals (T, 3, 3) and texture coordinates (T, 3, 2) of the cube [-1, 1]^3: its sides
    are divided and each shows a texture once, as in MuJoCo."""
    corner = np.linspace(-1, 1, quads + 1)
    u0, v0 = (grid.ravel() for grid in np.meshgrid(corner[:-1], corner[:-1]))
    u1, v1 = (grid.ravel() for grid in np.meshgrid(corner[1:], corner[1:]))
    square = np.stack([np.stack([u0, u1, u1, u0]), np.stack([v0, v0, v1, v1]), np.ones((4, quads**2))])  # (3, 4, Q)
    triangles = square.T[:, [[0, 1, 3], [1, 2, 3]]].reshape(-1, 3, 3)
    positions, normals, uv = [], [], []
    for turn in range(3):  # a cyclic change of axes keeps the winding; so does a reflection that also turns the order
        side = np.roll(triangles, turn, axis=2)
        for positive in (side, -side[:, ::-1]):
            positions.append(positive)
            normals.append(np.broadcast_to(np.round(positive.mean(axis=(0, 1))), side.shape))
            along = np.delete(np.arange(3), (turn + 2) % 3)  # the two axes of this side
            uv.append((1 + positive[..., along] * (1, -1)) / 2)
    return np.concatenate(positions), np.concatenate(normals), np.concatenate(uv)


def _sharp(positions: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return corner normals (T, 3, 3), replaced by the triangle's own normal if they are far from it.

    A mesh without normals gets averaged ones, also across edges; MuJoCo's OpenGL renderer keeps edges sharp.
    """
    flat = np.cross(positions[:, 1] - positions[:, 0], positions[:, 2] - positions[:, 0])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    sharp = (normals * flat[:, None]).sum(axis=2, keepdims=True) < _SHARP_COSINE
    return np.where(sharp, flat[:, None], normals)


def _in_body_frame(
    model: mujoco.MjModel, geom: int, positions: np.ndarray, normals: np.ndarray, uv: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return float32 positions, normals and uv of the distinct vertices, in the body's frame, and the triangles."""
    rotation = matrix_from_quaternion(model.geom_quat[geom])
    corners = np.concatenate([positions @ rotation.T + model.geom_pos[geom], normals @ rotation.T, uv], axis=2)
    vertices, corner_of = np.unique(corners.reshape(-1, 8).astype(np.float32), axis=0, return_inverse=True)
    return vertices[:, :3], vertices[:, 3:6], vertices[:, 6:], corner_of.reshape(-1, 3).astype(np.uint32)


def _texture(model: mujoco.MjModel, material: int, textures: list[int]) -> int:
    """Return the index in the pack of the texture that colours a material, or -1."""
    texture = int(model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB])
    return textures.index(texture) if texture >= 0 else -1


def _png(model: mujoco.MjModel, texture: int) -> bytes:
    height, width, channels = (int(size[texture]) for size in (model.tex_height, model.tex_width, model.tex_nchannel))
    if model.tex_type[texture] != mujoco.mjtTexture.mjTEXTURE_2D:
        raise DactylError(f"texture {model.texture(texture).name}: a scene pack holds flat (2d) textures only")
    start = int(model.tex_adr[texture])
    pixels = model.tex_data[start : start + height * width * channels].reshape(height, width, channels)
    return png_bytes(Image.fromarray(pixels[::-1, :, :3]))  # MuJoCo's row 0 is at v = 0
