"""Renderer ``unity``: samples are sent as values to a pool of Unity players that draws them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datagen.appearance.sample import Sample
from datagen.pictures.surroundings_pool import SurroundingsUse
from datagen.pictures.texture_pool import TextureUse
from datagen.render.base import RendererInfo, RenderOptions
from datagen.render.stage import Stage
from datagen.sim.cameras import mujoco_pose
from datagen.unity import records, wire
from datagen.unity.clutter_records import clutter_records, solid_count
from datagen.unity.environment import EnvironmentPicture
from datagen.unity.player_pool import PlayerPool
from datagen.unity.scene_export import export_scene
from vision.color import linear_from_srgb
from vision.errors import DactylError
from vision.io.png import png_bytes
from vision.scene.scene import Scene

_MAX_REPLY = 2**27  # bytes of images in one message, which a player, gRPC and Python hold at the same time
_MAX_MAPS = 64  # surroundings in one message: a player keeps as many again
_MAX_RECORDS = wire.MAX_REQUEST - 2**16  # bytes of values in one message, besides hashes and sizes


class UnityRenderer:
    """Renders samples of a scene with Unity. See :class:`datagen.render.base.Renderer`.

    Material colours are sent sRGB-encoded, as Unity expects them; light intensities are in Unity's own units.

    Attributes:
        info: engine, device and graphics interface as the player reports them.
        materials: materials in the order of ``Appearance``.

    Raises:
        DactylError: the player cannot be started, is of another version, or fails the probe.
    """

    def __init__(self, scene: Scene, options: RenderOptions) -> None:
        self._options = options
        self._sizes = tuple((camera.width, camera.height) for camera in scene.rig.cameras)
        self._stage = Stage(scene, options, "unity")
        compiled = self._stage.scene
        self.materials = compiled.materials
        self._pack = export_scene(compiled)
        self._bodies = np.array([compiled.model.body(body.name).id for body in self._pack.bodies])
        self._background = [n for n, material in enumerate(self.materials) if material.group == "background"]
        unity = options.unity
        self.batch_size = unity.player.players * unity.player.batch_size
        self._players = PlayerPool(unity.player, self._pack.encode(), self._sizes, unity.msaa)
        said = self._players.description
        protocol = f"protocol {wire.MAJOR}.{wire.MINOR}"
        self.info = RendererInfo(
            "unity", f"{said.get('engine', '?')}, {protocol}", said.get("device", "?"), said.get("api", "?")
        )

    def skip(self, count: int) -> None:
        """Do nothing: images do not depend on earlier ones."""

    def render(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Render images (B, C, H, W, 3), RGB, sRGB-encoded, row 0 at the top, cameras in rig order.

        Raises:
            DactylError: a sample is not of this scene or has too much clutter, or players keep failing.
        """
        contents = {key: _content(key) for key in {key for sample in samples for key in _pictures(sample)}}
        hashes = {key: content[0] for key, content in contents.items()}
        batches = [self._batch(part, hashes) for part in self._parts(samples)]
        images = self._players.draw(batches, dict(contents.values()))
        return images[0] if len(images) == 1 else np.concatenate(images)

    def close(self) -> None:
        """End the players; may be called twice."""
        self._players.close()

    def __enter__(self) -> UnityRenderer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _parts(self, samples: Sequence[Sample]) -> Iterator[list[Sample]]:
        """Split samples into parts that fit into one message each way, and whose pictures a player can keep."""
        image_bytes = 3 * sum(width * height for width, height in self._sizes)
        most = max(1, min(self._options.unity.player.batch_size, _MAX_REPLY // image_bytes))
        part: list[Sample] = []
        for sample in samples:
            if self._record_bytes([sample]) > _MAX_RECORDS:
                count = solid_count(sample.appearance.clutter)
                raise DactylError(f"sample {sample.index}: {count:,} solids of clutter are too many for one message")
            longer = [*part, sample]
            shown = {key for one in longer for key in _pictures(one)}
            maps = sum(isinstance(key, _Around) for key in shown)
            fits = len(shown) <= wire.MAX_PICTURES and maps <= _MAX_MAPS and len(longer) <= most
            if not fits or self._record_bytes(longer) > _MAX_RECORDS:
                yield part
                longer = [sample]
            part = longer
        yield part

    def _record_bytes(self, samples: Sequence[Sample]) -> int:
        counts = {
            "cameras": len(self._sizes),
            "bodies": len(self._bodies),
            "materials": len(self.materials),
            "lights": len(self._stage.scene.light_ids),
            "solids": max(solid_count(sample.appearance.clutter) for sample in samples),
            "frames": 1,
        }
        return len(samples) * sum(records.SECTIONS[name].itemsize * count for name, count in counts.items())

    def _batch(self, samples: Sequence[Sample], hashes: Mapping[_Key, int]) -> records.RenderBatch:
        model, scene, options = self._stage.model, self._stage.scene, self._options
        count = len(samples)
        cameras = np.zeros((count, len(scene.camera_ids)), records.CAMERA)
        bodies = np.zeros((count, len(self._bodies)), records.BODY)
        materials = np.zeros((count, len(self.materials)), records.MATERIAL)
        lights = np.zeros((count, len(scene.light_ids)), records.LIGHT)  # of type OFF
        solids = clutter_records([sample.appearance.clutter for sample in samples])
        frames = np.zeros(count, records.FRAME)
        materials["texture"] = [material.texture for material in self._pack.materials]
        materials["texture_scale"] = [material.texture_scale for material in self._pack.materials]
        lights["color"], lights["range"] = 1.0, options.unity.light_range
        lights["spot_deg"] = 2 * model.light_cutoff[scene.light_ids]  # MuJoCo's is half the cone
        frames["ambient"], frames["reflection"] = options.unity.ambient, options.unity.reflection
        frames["surroundings"], materials["visible"] = -1, 1
        shown = sorted({hashes[key] for sample in samples for key in _pictures(sample)})
        for row, sample in enumerate(samples):
            self._stage.set(sample)
            look, used = sample.appearance, scene.light_ids[: len(sample.appearance.light_position)]
            cameras[row] = self._cameras(sample)
            bodies["position"][row] = self._stage.data.xpos[self._bodies]
            bodies["quaternion"][row] = self._stage.data.xquat[self._bodies]
            materials["color"][row], materials["metallic"][row] = look.material_rgb, look.material_metallic
            materials["smoothness"][row] = look.material_glossiness
            for use in look.textures:
                index = shown.index(hashes[_Texture(use.source, use.name)])
                materials["texture"][row, use.material] = len(self._pack.textures) + index
                materials["texture_scale"][row, use.material] /= use.scale
            if (around := look.surroundings) is not None:
                frames["surroundings"][row] = shown.index(hashes[_Around(around.source, around.name, around.turn)])
                # As bright as the even light and the white surroundings that they replace.
                frames["radiance"][row] = around.brightness * linear_from_srgb(options.unity.ambient)
                frames["reflection"][row] *= around.brightness
                materials["visible"][row, self._background] = not around.bare
            on = lights[row, : len(used)]
            on["type"], on["intensity"] = records.LightType.SPOT, look.light_intensity
            on["position"], on["direction"] = look.light_position, model.light_dir[used]
            on["shadow"] = model.light_castshadow[used]
        return records.RenderBatch(
            cameras, bodies, materials, lights, solids, frames, self._sizes, tuple(shown), self._players.form,
            options.unity.msaa, options.shadow_map_size,
        )  # fmt: skip

    def _cameras(self, sample: Sample) -> np.ndarray:
        """Return records (C,) of the cameras of the sample to which the stage is set."""
        cameras = np.zeros(len(self._sizes), records.CAMERA)
        K = sample.appearance.camera_intrinsics
        cameras["position"], cameras["quaternion"] = mujoco_pose(sample.appearance.camera_extrinsics)
        cameras["focal"], cameras["centre"] = K[:, [0, 1], [0, 1]], K[:, :2, 2]
        for camera, record in enumerate(cameras):
            _, record["near"], record["far"] = self._stage.frustum(sample, camera)
        return cameras


class _Texture(NamedTuple):
    """Source and name of a texture."""

    source: str
    name: str


class _Around(NamedTuple):
    """Source, name and rotation of surroundings."""

    source: str
    name: str
    turn: float


_Key = _Texture | _Around


def _pictures(sample: Sample) -> list[_Key]:
    """Return the keys of the pictures that a sample shows."""
    look = sample.appearance
    textures: list[_Key] = [_Texture(use.source, use.name) for use in look.textures]
    return textures if (use := look.surroundings) is None else [*textures, _Around(use.source, use.name, use.turn)]


def _content(key: _Key) -> tuple[int, bytes]:
    """Return the hash and the bytes of a picture."""
    return _png(*key) if isinstance(key, _Texture) else _environment(*key)


@lru_cache(maxsize=512)
def _png(source: str, name: str) -> tuple[int, bytes]:
    """Return the PNG file of a sample's texture."""
    content = png_bytes(Image.fromarray(TextureUse(0, source, name).pixels().pixels), compress_level=1)
    return wire.content_hash(content), content


@lru_cache(maxsize=_MAX_MAPS)
def _environment(source: str, name: str, turn: float) -> tuple[int, bytes]:
    """Return the encoded picture of a sample's surroundings."""
    use = SurroundingsUse(source, name, turn, brightness=1.0, bare=False)
    content = EnvironmentPicture.of(use.surroundings().radiance).encode()
    return wire.content_hash(content), content
