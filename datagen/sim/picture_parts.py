"""Parts of a model that only rendering needs: cameras, lights, blank textures, a sky."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from datagen.sim.cameras import mujoco_pose
from vision.scene.scene import Scene

LIGHTS = 6  # largest number that a sample uses (Table 9)
_LIGHT_DISTANCE = 1.3  # m


def add_white_textures(spec: mujoco.MjSpec, materials: Sequence[str], size: int) -> None:
    """Give a white texture of ``size`` x ``size`` texels to each material without a texture."""
    for material in materials:
        if spec.material(material).textures[mujoco.mjtTextureRole.mjTEXROLE_RGB]:
            continue
        spec.add_texture(
            name=f"drawn/{material}",
            type=mujoco.mjtTexture.mjTEXTURE_2D,
            width=size,
            height=size,
            nchannel=3,
            colorspace=mujoco.mjtColorSpace.mjCOLORSPACE_LINEAR,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
            rgb1=(1, 1, 1),
        )
        spec.material(material).textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = f"drawn/{material}"


def add_sky(spec: mujoco.MjSpec, size: int) -> None:
    """Add a cube map "sky" with faces of ``size`` x ``size`` texels."""
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        width=size,
        height=6 * size,
        nchannel=3,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
    )


def add_cameras_and_lights(spec: mujoco.MjSpec, scene: Scene) -> None:
    """Add the rig's cameras, "camera/<name>", and spot lights around the workspace, "light/<number>"."""
    positions, quaternions = mujoco_pose(scene.rig.nominal.extrinsics)
    for name, position, quaternion in zip(scene.rig.names, positions, quaternions, strict=True):
        spec.worldbody.add_camera(name=f"camera/{name}", pos=position, quat=quaternion)
    # Clip planes for cameras about 0.7 m away, independent of the extent that the compiler measures.
    centre = np.array(scene.workspace.light_centre)
    spec.stat.center, spec.stat.extent = centre, 1.0
    spec.visual.map.znear, spec.visual.map.zfar = 0.05, 10.0
    # The headlight follows the camera, so only its even fill is kept; the movable lights do the shading.
    spec.visual.headlight.active = mujoco.MjSpec().visual.headlight.active
    spec.visual.headlight.diffuse = spec.visual.headlight.specular = (0, 0, 0)
    spec.visual.headlight.ambient = (0.25, 0.25, 0.25)
    # Spot lights stand on a ring half-way up the upper half-sphere.
    for index in range(LIGHTS):
        azimuth = 2 * np.pi * index / LIGHTS
        direction = np.array([np.cos(azimuth), np.sin(azimuth), 1.0]) / np.sqrt(2)
        spec.worldbody.add_light(
            name=f"light/{index}",
            type=mujoco.mjtLightType.mjLIGHT_SPOT,
            pos=centre + _LIGHT_DISTANCE * direction,
            dir=-direction,
            diffuse=(0.15, 0.15, 0.15),
            specular=(0.1, 0.1, 0.1),
            intensity=10_000,  # candela, used by physically based renderers
            cutoff=30,
        )
