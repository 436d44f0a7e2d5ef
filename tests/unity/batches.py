"""Made-up batches and packs."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from datagen.unity import records
from datagen.unity.scene_pack import PackBody, PackMaterial, PackPart, ScenePack


def random_batch(
    rng: np.random.Generator,
    samples: int,
    *,
    bodies: int = 2,
    materials: int = 3,
    lights: int = 4,
    solids: int = 2,
    sizes: tuple[tuple[int, int], ...] = ((5, 4), (3, 6), (2, 2)),
    pictures: tuple[int, ...] = (),
    form: records.Form = records.Form.RGB,
) -> records.RenderBatch:
    """Every value drawn, so that no two fields can be confused unseen; what a player checks is as it should be."""

    def drawn(dtype: np.dtype[np.void], *shape: int) -> np.ndarray:
        values = rng.normal(size=(*shape, dtype.itemsize // 4)).astype("<f4")
        return values.view(dtype).reshape(shape)

    cameras, shown = drawn(records.CAMERA, samples, len(sizes)), drawn(records.MATERIAL, samples, materials)
    clutter = drawn(records.SOLID, samples, solids)
    for name in ("focal", "near", "far"):
        cameras[name] = np.abs(cameras[name]) + 0.01
    cameras["far"] += cameras["near"]
    shown["texture"] = rng.integers(-1, 1 + len(pictures), shown.shape)
    clutter["shape"] = rng.integers(0, 4, clutter.shape)
    frames = drawn(records.FRAME, samples)
    frames["surroundings"] = -1
    return records.RenderBatch(
        cameras,
        drawn(records.BODY, samples, bodies),
        shown,
        drawn(records.LIGHT, samples, lights),
        clutter,
        frames,
        sizes,
        pictures,
        form,
        4,
        1024,
    )


def small_pack(bodies: tuple[str, ...] = ("world", "größe")) -> ScenePack:
    """Two bodies, three materials (one with a texture), two parts."""
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (3, 5, 3), dtype=np.uint8)).save(file, "PNG")

    def part(name: str, body: int, material: int, vertices: int) -> PackPart:
        positions, normals, uv = (rng.normal(size=(vertices, n)).astype("<f4") for n in (3, 3, 2))
        return PackPart(name, body, material, positions, normals, uv, rng.integers(0, vertices, (4, 3)).astype("<u4"))

    return ScenePack(
        bodies=tuple(PackBody(name, tuple(rng.normal(size=7).astype("<f4").tolist())) for name in bodies),
        textures=(("wood", file.getvalue()),),
        materials=(PackMaterial("a"), PackMaterial("b", (0.25, 0.5, 1.0), 0, (2.0, 0.5)), PackMaterial("c")),
        parts=(part("one", 0, 1, 6), part("two", 1, 2, 9)),
    )
