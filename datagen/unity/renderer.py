"""The renderer `unity`: samples become values on the wire, a crew of Unity players draws them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datagen.render.base import RendererInfo, RenderOptions, Sample, refuse_clutter
from datagen.render.stage import Stage
from datagen.sim.cameras import mujoco_pose, vertical_field_of_view
from datagen.unity import wire
from datagen.unity.crew import Crew
from datagen.unity.scene_export import export_scene
from vision.errors import DactylError
from vision.scene.rig import Rig
from vision.scene.scene import Scene


class UnityRenderer:
    """The hand with one object, drawn by Unity. See :class:`datagen.render.base.Renderer`.

    Material colours go over sRGB-encoded, as Unity takes them; light intensities are in Unity's own units.

    Attributes:
        info: what really draws, as the player says.
        materials: names, in the order of `Appearance`.

    Raises:
        DactylError: the player cannot be started, is of another version, or fails the probe.
    """

    reusable = True

    def __init__(self, scene: Scene, options: RenderOptions) -> None:
        self._options = options
        _require_centred(scene.rig)
        self._rig = scene.rig
        self._stage = Stage(scene, options)
        compiled = self._stage.scene
        self.materials = compiled.materials
        self._pack = export_scene(compiled)
        self._bodies = np.array([compiled.model.body(body.name).id for body in self._pack.bodies])
        unity = options.unity
        self.batch_size = unity.player.players * unity.player.batch_size
        self._crew = Crew(unity.player, self._pack.encode(), len(scene.rig), scene.rig.width, unity.msaa)
        said = self._crew.description
        protocol = f"protocol {wire.MAJOR}.{wire.MINOR}"
        self.info = RendererInfo(
            "unity", f"{said.get('engine', '?')}, {protocol}", said.get("device", "?"), said.get("api", "?")
        )

    def skip(self, count: int) -> None:
        """Nothing: pictures do not depend on those before."""

    def render(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Images (B, C, H, W, 3), RGB, sRGB-encoded, row 0 at the top, cameras in rig order.

        Raises:
            DactylError: a sample is not of this scene, or players keep failing.
        """
        size = self._options.unity.player.batch_size
        batches = [self._batch(samples[first : first + size]) for first in range(0, len(samples), size)]
        images = self._crew.draw(batches)
        return images[0] if len(images) == 1 else np.concatenate(images)

    def close(self) -> None:
        """End the players; twice does no harm."""
        self._crew.close()

    def __enter__(self) -> UnityRenderer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _batch(self, samples: Sequence[Sample]) -> wire.RenderBatch:
        model, scene, options = self._stage.model, self._stage.scene, self._options
        count = len(samples)
        cameras = np.zeros((count, len(scene.camera_ids)), wire.CAMERA)
        bodies = np.zeros((count, len(self._bodies)), wire.BODY)
        materials = np.zeros((count, len(self.materials)), wire.MATERIAL)
        lights = np.zeros((count, len(scene.light_ids)), wire.LIGHT)  # of type OFF
        frames = np.zeros(count, wire.FRAME)
        cameras["near"], cameras["far"] = np.array([model.vis.map.znear, model.vis.map.zfar]) * model.stat.extent
        materials["texture"] = [material.texture for material in self._pack.materials]
        materials["texture_scale"] = [material.texture_scale for material in self._pack.materials]
        lights["color"], lights["range"] = 1.0, options.unity.light_range
        lights["spot_deg"] = 2 * model.light_cutoff[scene.light_ids]  # MuJoCo's is half the cone
        frames["ambient"], frames["reflection"] = options.unity.ambient, options.unity.reflection
        for row, sample in enumerate(samples):
            refuse_clutter(sample, "unity")
            self._stage.set(sample)
            look, used = sample.appearance, scene.light_ids[: len(sample.appearance.light_position)]
            cameras["position"][row], cameras["quaternion"][row] = mujoco_pose(look.camera_extrinsics)
            cameras["fovy_deg"][row] = vertical_field_of_view(look.camera_intrinsics, self._rig.height)
            bodies["position"][row] = self._stage.data.xpos[self._bodies]
            bodies["quaternion"][row] = self._stage.data.xquat[self._bodies]
            materials["color"][row], materials["metallic"][row] = look.material_rgb, look.material_metallic
            materials["smoothness"][row] = look.material_glossiness
            on = lights[row, : len(used)]
            on["type"], on["intensity"] = wire.LightType.SPOT, look.light_intensity
            on["position"], on["direction"] = look.light_position, model.light_dir[used]
            on["shadow"] = model.light_castshadow[used]
        return wire.RenderBatch(
            cameras, bodies, materials, lights, frames, self._rig.width, self._rig.height, self._crew.form,
            options.unity.msaa, options.shadow_map_size,
        )  # fmt: skip


def _require_centred(rig: Rig) -> None:
    """The protocol has a vertical field of view and one size of image for each batch."""
    for camera in rig.cameras:
        K = camera.intrinsics
        middle = np.array([camera.width, camera.height]) / 2
        if not camera.width == camera.height == rig.width:
            raise DactylError(f"camera {camera.name}: renderer unity draws square images of one size; use filament")
        if abs(K[0, 0] / K[1, 1] - 1) > 1e-3 or np.abs(K[:2, 2] - middle).max() > 0.5:
            raise DactylError(
                f"camera {camera.name}: renderer unity draws square pixels and centred images alone; use filament"
            )
