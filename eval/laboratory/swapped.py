"""Cameras whose pictures were exchanged, noticed by where the object's known pose projects to."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.laboratory.calibration import read_picture
from eval.laboratory.undistortion import Triplet, View
from vision.errors import DactylError
from vision.geometry.cameras import Rig, project
from vision.geometry.rotations import FloatArray
from vision.scene.objects import PoseObject

_SAMPLES = 40


def refuse_swapped(
    recording: Path, triplets: Sequence[Triplet], views: Mapping[str, View], rig: Rig, target: PoseObject
) -> None:
    """A :class:`DactylError` when the object's colours fit better where it projects to through other cameras.

    The colour of each visible face is looked up around its letter, in the pictures of every camera, at the places to
    which the pose projects through every calibration.
    """
    chosen = [triplets[int(n)] for n in np.linspace(0, len(triplets) - 1, min(_SAMPLES, len(triplets)))]
    cost = np.zeros((len(rig), len(rig)))  # pictures of, calibration of
    for triplet in chosen:
        for i, file in enumerate(triplet.files):
            picture = read_picture(file)
            for j, name in enumerate(rig.names):
                if (picture.shape[1], picture.shape[0]) == views[name].source:
                    cost[i, j] += _color_error(views[name](picture, file), views[name], triplet.pose, target)
                else:
                    cost[i, j] += 1.0
    cost /= len(chosen)
    orders = list(itertools.permutations(range(len(rig))))
    totals = [sum(cost[i, j] for i, j in enumerate(order)) for order in orders]
    best = orders[int(np.argmin(totals))]
    if best != orders[0] and min(totals) < 0.7 * totals[0]:
        swapped = [f"{rig.names[i]} shows what {rig.names[j]} should see" for i, j in enumerate(best) if i != j]
        raise DactylError(f"{recording}: cameras are swapped: {', '.join(swapped)}; exchange their CSV files")


def _color_error(picture: np.ndarray, view: View, pose: FloatArray, target: PoseObject) -> float:
    """Mean distance of chromaticities between visible faces as seen and as defined; 1 where nothing is in view."""
    eye = np.linalg.inv(view.transform)[:3, 3]
    errors = []
    for face in target.faces:
        corners = target.keypoints[list(face.corners)]
        normal = pose[:3, :3] @ np.asarray(face.normal)
        centre = pose[:3, :3] @ corners.mean(axis=0) + pose[:3, 3]
        toward = (eye - centre) / np.linalg.norm(eye - centre)
        if normal @ toward < 0.35:
            continue
        beside = 0.15 * corners.mean(axis=0) + 0.85 * corners  # near the corners, where no letter is
        pixels = project(beside @ pose[:3, :3].T + pose[:3, 3], view.matrix, view.transform)
        places = np.nan_to_num(pixels, nan=-1).astype(int)[:, ::-1]
        inside = ((places >= 0) & (places < picture.shape[0])).all(axis=1)
        seen = picture[tuple(places[inside].T)].astype(np.float64)
        if len(seen):
            color = np.asarray(face.color)
            chroma = seen / np.maximum(seen.sum(axis=1, keepdims=True), 1.0)
            errors.append(float(np.median(np.linalg.norm(chroma - color / color.sum(), axis=1))))
    return float(np.mean(errors)) if errors else 1.0
