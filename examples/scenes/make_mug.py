"""Make a mug with a handle and a printed texture: mug.obj, mug.mtl, mug.png and convex pieces, in the given folder.

    python examples/scenes/make_mug.py my-scene

It is in millimetres with z up, as a CAD program would write it, and 60 mm high. It needs this package
and trimesh.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image, ImageDraw, ImageFont

from vision.objects.glyphs import FONT

HEIGHT, RADIUS, WALL = 60.0, 24.0, 3.0
SEGMENTS = 64


def wall() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Revolve a profile of outside, rim, inside and bottom about z: vertices, faces, texture coordinates.

    u goes once around, v up the outside; vertices at the seam are duplicated.
    """
    half = HEIGHT / 2
    profile = np.array(
        [
            (0, -half),
            (RADIUS, -half),
            (RADIUS, half),
            (RADIUS - WALL, half),
            (RADIUS - WALL, WALL - half),
            (0, WALL - half),
        ]
    )
    height = [0.01, 0.02, 0.98, 0.99, 0.995, 0.998]  # the print is on the outside, with v from 0.02 to 0.98
    turn = np.linspace(0, 1, SEGMENTS + 1)
    angle = 2 * np.pi * turn
    vertices, uv = [], []
    for (radius, z), v in zip(profile, height, strict=True):
        vertices.append(np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full_like(angle, z)], axis=1))
        uv.append(np.stack([turn, np.full_like(turn, v)], axis=1))
    faces = []
    for ring in range(len(profile) - 1):
        for step in range(SEGMENTS):
            a, b = ring * (SEGMENTS + 1) + step, (ring + 1) * (SEGMENTS + 1) + step
            faces += [(a, a + 1, b + 1), (a, b + 1, b)]
    return np.concatenate(vertices), np.array(faces), np.concatenate(uv)


def handle() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make half of a torus beside the wall, with its ends inside the wall."""
    ring, tube = np.linspace(-0.55 * np.pi, 0.55 * np.pi, 25), np.linspace(0, 2 * np.pi, 17)
    along, around = np.meshgrid(ring, tube, indexing="ij")
    distance = 17.0 + 3.5 * np.cos(around)
    vertices = np.stack(
        [RADIUS - 0.5 + distance * np.cos(along), 3.5 * np.sin(around), distance * np.sin(along)], axis=-1
    )
    uv = np.broadcast_to([0.5, 0.005], (*along.shape, 2))  # one colour
    count = len(tube)
    a = (np.arange(len(ring) - 1)[:, None] * count + np.arange(count - 1)).ravel()
    faces = np.concatenate([np.stack([a, a + count + 1, a + count], 1), np.stack([a, a + 1, a + count + 1], 1)])
    return vertices.reshape(-1, 3), faces, uv.reshape(-1, 2)


def convex_pieces(count: int = 10) -> list[trimesh.Trimesh]:
    """Make the collision shape: the wall in ``count`` staves, the bottom, and the handle in three pieces."""
    staves = []
    for step in range(count):
        angle = 2 * np.pi / count * (step + np.array([0.0, 0.5, 1.0]))
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        staves.append(
            [(*(r * xy), z) for r in (RADIUS, RADIUS - WALL) for xy in ring for z in (-HEIGHT / 2, HEIGHT / 2)]
        )
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    rim = np.stack([RADIUS * np.cos(angle), RADIUS * np.sin(angle)], axis=1)
    bottom = [(*xy, z) for xy in rim for z in (-HEIGHT / 2, WALL - HEIGHT / 2)]
    arcs = handle()[0].reshape(25, 17, 3)
    arms = [arcs[part].reshape(-1, 3) for part in (slice(0, 9), slice(8, 17), slice(16, 25))]
    return [trimesh.convex.convex_hull(np.array(cloud)) for cloud in (*staves, bottom, *arms)]


def picture(width: int = 1024, height: int = 512) -> Image.Image:
    """Draw the texture: a cream ground, a red stripe below, a blue one above, and words between them."""
    image = Image.new("RGB", (width, height), (236, 226, 200))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, int(0.86 * height), width, int(0.95 * height)), fill=(196, 48, 40))
    draw.rectangle((0, int(0.06 * height), width, int(0.16 * height)), fill=(40, 84, 168))
    font = ImageFont.truetype(FONT, int(0.5 * height))
    for number, (word, color) in enumerate((("GOOD", (24, 24, 24)), ("DAY", (24, 110, 60)))):
        draw.text(((0.25 + 0.5 * number) * width, height / 2), word, fill=color, font=font, anchor="mm")
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder to write into; it is made if there is none")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    picture().save(folder / "mug.png")
    pieces = [wall(), handle()]
    first = np.cumsum([0, *(len(vertices) for vertices, _, _ in pieces)])
    lines = ["mtllib mug.mtl", "usemtl print"]
    lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for vertices, _, _ in pieces for x, y, z in vertices]
    lines += [f"vt {u:.5f} {v:.5f}" for _, _, uv in pieces for u, v in uv]
    for start, (vertices, faces, _) in zip(first, pieces, strict=False):
        faces = faces[trimesh.triangles.area(vertices[faces]) > 1e-6] + start + 1
        lines += ["f " + " ".join(f"{i}/{i}" for i in face) for face in faces]
    (folder / "mug.obj").write_text("\n".join(lines) + "\n")
    for number, piece in enumerate(convex_pieces()):
        piece.export(folder / f"mug-piece-{number}.stl")
    (folder / "mug.mtl").write_text("newmtl print\nKd 1 1 1\nmap_Kd mug.png\n")


if __name__ == "__main__":
    main()
