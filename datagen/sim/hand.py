"""The Shadow Dexterous Hand of gymnasium-robotics, stripped to what one purpose needs.

The installed package's MJCF and meshes are read in place and edited in memory; no asset is copied. Each
visible link (a body with a visual mesh) gets a material of its own, so that neighbouring links can differ in
colour.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import fast_simplification
import mujoco
import numpy as np
import trimesh

from vision.errors import DactylError

PREFIX = "robot0:"  # of every name in the hand's MJCF
WRIST_JOINTS = ("WRJ1", "WRJ0")
FINGERTIPS = ("fftip", "mftip", "rftip", "lftip", "thtip")  # sites at the ends of the distal links

# Joint angles (rad) in which the hand cups an object on its palm, the initial pose of gymnasium-robotics'
# manipulation tasks to three decimals. Joints that are not listed start at zero.
CUPPED_POSE = {
    "WRJ1": -0.165, "WRJ0": -0.320,
    "FFJ3": 0.143, "FFJ2": 0.320, "FFJ1": 0.713, "FFJ0": 0.671,
    "MFJ2": 0.315, "MFJ1": 0.766, "MFJ0": 0.732,
    "RFJ2": 0.367, "RFJ1": 0.712, "RFJ0": 0.670,
    "LFJ4": 0.053, "LFJ3": -0.136, "LFJ2": 0.399, "LFJ1": 0.742, "LFJ0": 0.704,
    "THJ4": 0.004, "THJ3": 0.551, "THJ2": -0.015, "THJ1": -0.002, "THJ0": -0.789,
}  # fmt: skip

_SMALLEST_MESH = 60  # triangles; reducing a mesh below this saves little and spoils a fingertip's shape
_NAIL_RADIUS = 0.008  # m, of the spot behind a fingernail that hides its marker when touched
_VISUAL_GROUP, _COLLISION_GROUP = 1, 4  # geom groups of the hand's MJCF


def load_hand() -> mujoco.MjSpec:
    """The hand alone: bodies, joints, tendons, actuators, fingertip sites, visual and collision geometry.

    Raises:
        DactylError: gymnasium-robotics is not installed or has no hand model.
    """
    path = _assets() / "hand" / "manipulate_block.xml"
    if not path.is_file():
        raise DactylError(f"{path} is missing: reinstall gymnasium-robotics")
    spec = mujoco.MjSpec.from_file(str(path))
    for name in ("object", "target", "floor0"):
        spec.delete(spec.body(name))
    spec.delete(spec.geom("floor0"))
    # Touch sensors and their sites serve no one: the environment reads joints and fingertips from the state.
    touch_sites = [site for site in spec.sites if site.name.startswith(f"{PREFIX}Tch_")]
    for element in (*spec.sensors, *spec.lights, *touch_sites):
        spec.delete(element)
    # Millimetre boxes without a mesh, hidden inside the thumb: invisible, but they would collide.
    for name in ("V_thbase", "V_thhub"):
        spec.delete(spec.geom(PREFIX + name))
    for geom in spec.geoms:
        geom.material = ""
    for element in (*spec.materials, *spec.textures):
        spec.delete(element)
    return spec


def keep_collision_geometry(spec: mujoco.MjSpec) -> None:
    """Remove the visual geoms and their meshes."""
    _delete_geoms(spec, _VISUAL_GROUP)


def keep_visual_geometry(spec: mujoco.MjSpec, mesh_fraction: float) -> list[str]:
    """Remove the collision geoms, reduce the visual meshes, and give each link the material "link/<body>".

    Args:
        mesh_fraction: share of each mesh's triangles to keep, in (0, 1]; small meshes keep more.

    Returns:
        The materials' names in the order of the body tree.
    """
    for pair in list(spec.pairs):
        spec.delete(pair)
    _delete_geoms(spec, _COLLISION_GROUP)
    if mesh_fraction < 1:
        for mesh in spec.meshes:
            path = (_assets() / "hand" / spec.meshdir / mesh.file).resolve()
            vertices, faces = _reduced_mesh(path, mesh_fraction)
            mesh.file = ""
            mesh.uservert, mesh.userface = vertices.ravel(), faces.ravel()
    names = []
    for geom in spec.geoms:
        name = f"link/{geom.parent.name.removeprefix(PREFIX)}"
        if name not in names:
            spec.add_material(name=name, rgba=(0.3, 0.3, 0.3, 1), metallic=0.15, roughness=0.5)
            names.append(name)
        geom.material = name
    return names


def add_nail_sensors(spec: mujoco.MjSpec) -> None:
    """A touch sensor behind each fingernail, "nail/<finger>" in the order of `FINGERTIPS`: where motion capture has
    its markers, which whatever touches there hides."""
    for tip in FINGERTIPS:
        finger = tip.removesuffix("tip")
        # Distal links point along z. Fingers bend towards -y, the thumb towards -x: nails are on the other side.
        position = (0.009, 0, 0.021) if finger == "th" else (0, 0.007, 0.02)
        body = spec.body(f"{PREFIX}{finger}distal")
        site = body.add_site(name=f"nail/{finger}", pos=position, size=[_NAIL_RADIUS] * 3)
        spec.add_sensor(
            name=f"nail/{finger}",
            type=mujoco.mjtSensor.mjSENS_TOUCH,
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            objname=site.name,
        )


def lock_wrist(spec: mujoco.MjSpec) -> None:
    """Hold both wrist joints at their cupped angles (the paper's locked wrist); they stay in the state."""
    for name in WRIST_JOINTS:
        equality = spec.add_equality(name=f"lock_{name}", type=mujoco.mjtEq.mjEQ_JOINT, name1=PREFIX + name)
        equality.data[0] = CUPPED_POSE[name]


def _assets() -> Path:
    package = importlib.util.find_spec("gymnasium_robotics")
    if package is None or package.origin is None:
        raise DactylError("gymnasium-robotics is not installed: run `make setup`, it holds the hand's model")
    return Path(package.origin).parent / "envs" / "assets"


def _delete_geoms(spec: mujoco.MjSpec, group: int) -> None:
    for geom in [geom for geom in spec.geoms if geom.group == group]:
        spec.delete(geom)
    used = {geom.meshname for geom in spec.geoms}
    for mesh in [mesh for mesh in spec.meshes if mesh.name not in used]:
        spec.delete(mesh)


@functools.cache
def _reduced_mesh(path: Path, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3), in the file's units, and triangles (F, 3): about `fraction` of the file's triangles.

    Quadric edge collapse without random choices: the same file and fraction give the same mesh.
    """
    mesh = trimesh.load_mesh(path)
    fraction = min(1.0, max(fraction, _SMALLEST_MESH / len(mesh.faces)))
    vertices, faces = fast_simplification.simplify(
        np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32), target_reduction=1 - fraction
    )
    return vertices, faces
