"""Summary of a parsed scene file in words and tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table

from vision.geometry.cameras import in_image, project
from vision.geometry.rotations import FloatArray
from vision.objects.pose_object import PoseObject
from vision.rigs.rig import Camera
from vision.scene.framing import pixels_across
from vision.scene.hand import Hand
from vision.scene.scene import Scene
from vision.solvers.landmarks import locate_landmarks


@dataclass(frozen=True)
class SceneConfig:
    """Which scene to show.

    Attributes:
        scene: its name in configs/scenes, or a file.
        output: PNG of the sheet: every camera's image with the parsed scene drawn over it, and the cameras around the
            scene; null for scene-NAME.png in the current folder.
        renderer: renderer of the images; null for no sheet.
    """

    scene: str
    output: Path | None = None
    renderer: Literal["filament", "classic"] | None = "filament"

    def __post_init__(self) -> None:
        if self.output is not None and self.output.suffix.lower() != ".png":
            raise ValueError(f"output: expected a file that ends in .png, got {self.output}")


def scene_table(scene: Scene) -> Table:
    """Return a table of the scene's parts in readable words and units."""
    table = Table(show_header=False, title=f"scene {scene.name}", title_justify="left")
    for key, value in (_hand_facts(scene.hand) | _object_facts(scene.object)).items():
        table.add_row(key, value)
    ground, work = scene.background, scene.workspace
    where = "" if ground.kind == "none" else f" at a height of {ground.centre[2]:g} m"
    table.add_row("background", f"{ground.kind}{where}")
    dropped = "never" if work.drop_height is None else f"below {work.drop_height:g} m"
    table.add_row(
        "workspace",
        f"starts at {_point(work.start)} m; dropped {dropped}; lost {work.lost_distance:g} m from there; "
        f"lights aim at {_point(work.light_centre)} m",
    )
    return table


def landmark_points(scene: Scene) -> FloatArray:
    """Return the hand's landmarks at its initial pose, (L, 3), metres, world frame; empty without landmarks."""
    hand = scene.hand
    if hand is None or hand.landmarks is None:
        return np.zeros((0, 3))
    angles = torch.from_numpy(hand.start[list(hand.landmark_joints)])[None]
    return np.asarray(locate_landmarks(hand.landmarks, angles)[0][0].numpy())


def inside(camera: Camera, points: FloatArray) -> NDArray[np.bool_]:
    """Return which world points (N, 3) project into a camera's image, ignoring occlusion, (N,)."""
    return in_image(project(points, camera), camera.width, camera.height)


def _hand_facts(hand: Hand | None) -> dict[str, str]:
    if hand is None:
        return {"hand": "none: the object only"}
    facts = {
        "hand": f"{hand.name}, {hand.source}",
        "joints": f"{len(hand.joints)}: {', '.join(hand.joints)}",
        "actuators": f"{len(hand.actuators)}: {', '.join(hand.actuators)}",
        "fingertips": ", ".join(hand.fingertips) or "none",
    }
    if hand.landmarks is not None:
        hinges = ", ".join(hand.landmarks.joints) or "none"
        facts["landmarks"] = f"{len(hand.landmarks.points)} points; moved by: {hinges}"
    return facts


def _object_facts(target: PoseObject) -> dict[str, str]:
    extent = 1000 * np.ptp(target.mesh.vertices, axis=0)
    parts = [
        f"{part.name} ({len(part.mesh.faces):,} triangles{', textured' if part.texture else ''})"
        for part in target.parts
        if not part.letter
    ]
    letters = sum(part.letter for part in target.parts)
    found = target.symmetries
    what = [f"{len(found.rotations)} rotations"] if len(found.rotations) > 1 else []
    what += [f"any turn about ({_point(tuple(axis))})" for axis in found.axes]
    return {
        "object": f"{target.name}: {' x '.join(f'{side:.1f}' for side in extent)} mm, diameter "
        f"{1000 * target.diameter:.1f} mm, {1000 * target.mass:.1f} g",
        "parts": ", ".join(parts) + (f", {letters} letters" if letters else ""),
        "collision": f"{len(target.pieces)} convex: {', '.join(piece.kind for piece in target.pieces[:8])}"
        + (", ..." if len(target.pieces) > 8 else ""),
        "keypoints": f"{len(target.keypoints)}; errors are taken over {len(target.points):,} points",
        "symmetries": " and ".join(what) or "none: every orientation looks different",
    }


def camera_table(scene: Scene) -> Table:
    """Return a table of what each camera sees of the object at its start, and of the landmarks."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("camera", "pixels", "view (°)", "position (m)", "away", "across", "inside", "landmarks"):
        table.add_column(heading)
    points, start = scene.object.points + scene.workspace.start, np.array(scene.workspace.start)
    landmarks = landmark_points(scene)
    for camera in scene.rig.cameras:
        angles = np.rad2deg(2 * np.arctan2((camera.width, camera.height), 2 * np.diag(camera.intrinsics)[:2]))
        table.add_row(
            camera.name + (f" ({camera.distortion.model})" if camera.distortion else ""),
            f"{camera.width}x{camera.height}",
            f"{angles[0]:.1f}x{angles[1]:.1f}",
            _point(tuple(camera.position)),
            f"{np.linalg.norm(camera.position - start):.2f} m",
            f"{pixels_across(scene, camera):.0f} px",
            f"{100 * inside(camera, points).mean():.0f} %",
            f"{inside(camera, landmarks).sum()}/{len(landmarks)}",
        )
    return table


def _point(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
