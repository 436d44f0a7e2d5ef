"""The network of the geometric model: corners of the object and landmarks of the hand in each image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vision.errors import DactylError
from vision.networks.backbones import BackboneConfig, build_backbone
from vision.networks.geometric_output import GeometricOutput, points_in_image, unflattened
from vision.networks.heads import PointHead, PointOutput
from vision.networks.model_config import MOST_WINDOWS, ModelConfig
from vision.networks.pose_model import PoseModel
from vision.networks.preprocessing import Augment, preprocess
from vision.networks.several_windows import SCENE_ROLL_DEG, WINDOW_ROLL_DEG, averaged, roll_fractions
from vision.networks.windows import crop, crop_around, make_windows
from vision.scene.framing import window_sides
from vision.scene.scene import Scene
from vision.solvers.given import PointObservations

LANDMARK_DOUBT = 3.0
"""Factor by which landmarks are trusted less than their scales suggest: errors of neighbours are correlated, and count
as one. With the shipped network half-trained, factors from 2 to 4 gave the same errors, 1 a position error larger by a
fifth, and 3 deviations that matched the errors."""
_MUCH_REDUCED = 1.5  # image pixels per pixel of a window beyond which detail that the camera shows is lost


class PointNetwork(PoseModel):
    """Base class that finds points in the images of any number of cameras; subclasses turn them into poses.

    Attributes:
        keypoints: (K, 3) metres, object frame: the points to find.
        permutations: (S, K) the keypoint onto which each of the object's symmetries takes each one; None without
            symmetries.
        landmarks: the hand's landmarks; None without.
    """

    keypoints: Tensor
    permutations: Tensor | None

    def __init__(self, config: ModelConfig, scene: Scene) -> None:
        super().__init__(config, scene)
        self.register_buffer("keypoints", torch.tensor(self.object.keypoints), persistent=False)
        symmetries = self.object.symmetries
        several = len(symmetries.rotations) > 1
        permutations = torch.tensor(symmetries.permutations(self.object.keypoints)) if several else None
        self.register_buffer("permutations", permutations, persistent=False)
        self.landmarks = scene.landmarks
        self.tower = build_backbone(config.backbone)
        self.head = PointHead(self.tower.channels, len(self.keypoints))
        self.surface = nn.Conv2d(self.tower.channels, 4, 1)
        if config.window is not None:
            self.window_count = config.window.count
            small = BackboneConfig("pyramid", width=config.window.locator_width, blocks=1, norm=config.backbone.norm)
            self.locator_tower = build_backbone(small)
            count = 0 if self.landmarks is None else len(self.landmarks.points)
            self.locator_head = PointHead(self.locator_tower.channels, 1 + count)
            self.window_sides = window_sides(scene, config.window.side)

    def use_windows(self, count: int) -> None:
        if self.config.window is None:
            super().use_windows(count)
        if not 1 <= count <= MOST_WINDOWS:
            raise DactylError(f"windows: expected 1 to {MOST_WINDOWS}, got {count}")
        self.window_count = count

    def forward(
        self,
        images: Tensor,
        augment: Augment | None = None,
        windows: Tensor | None = None,
        scenes: Tensor | None = None,
    ) -> GeometricOutput:
        """Find corners in images (B, C, 3, H, W) uint8: in ``window_count`` windows of each, averaged, or in one in
        training and if any of the other arguments is given.

        Args:
            augment: applied to the input of the towers.
            windows: (B, C, 2, 3) windows of the tower (:mod:`vision.networks.windows`); around the object as the
                locator finds it when None.
            scenes: (B, C, 2, 3) windows of ``locator_size`` for the locator; the whole images when None.
        """
        one = any(given is not None for given in (augment, windows, scenes))
        if self.training or one or self.window_count == 1:
            return self._look(images, augment, windows, scenes)
        fraction = torch.tensor(roll_fractions(self.window_count), device=images.device)[:, None, None]
        fraction = fraction.expand(self.window_count, *images.shape[:2]).flatten(0, 1)
        assert self.config.window is not None
        size = self.config.window.locator_size
        scenes = _whole_images(self.scene_sides(fraction.shape), size, fraction * math.radians(SCENE_ROLL_DEG))
        seen = self._look(images, scenes=scenes, roll=fraction * math.radians(WINDOW_ROLL_DEG))
        assert seen.centre is not None
        assert seen.landmarks is not None
        corners, centre, landmarks = (
            averaged(found, self.window_count, permutations)
            for found, permutations in ((seen.corners, self.permutations), (seen.centre, None), (seen.landmarks, None))
        )
        return GeometricOutput(corners, centre, landmarks, None, seen.windows[: images.shape[0]])

    def _look(
        self,
        images: Tensor,
        augment: Augment | None = None,
        windows: Tensor | None = None,
        scenes: Tensor | None = None,
        roll: Tensor | None = None,
    ) -> GeometricOutput:
        """Find corners in one window of each image; arguments as in :meth:`forward`.

        Args:
            roll: (window_count * B, C) radians by which the windows around the object are rolled, with as many
                ``scenes``: first one of each image, then another of each, and so on.
        """
        shape, times = (images.shape[:2], 1) if roll is None else (roll.shape, self.window_count)
        flat = self._check(images)
        window, centre, landmarks = self.config.window, None, None
        if window is None:
            windows = _whole_images(self.scene_sides(shape), self.input_size).flatten(0, 1)
        else:
            found = self._locate(flat, None if scenes is None else scenes.flatten(0, 1), shape, augment, times)
            centre, landmarks = found[:, :1], found[:, 1:]
            around = make_windows(
                centre.pixels[:, 0].detach(),
                self.sides(shape).flatten(),
                window.size,
                None if roll is None else roll.flatten(),
            )
            windows = around if windows is None else windows.flatten(0, 1)
        corners, features = self._find(flat, windows, shape[1], augment, times)
        return GeometricOutput(
            unflattened(corners, shape),
            None if centre is None else unflattened(centre, shape),
            None if landmarks is None else unflattened(landmarks, shape),
            self.surface(features).float().unflatten(0, shape) if self.training else None,
            windows.unflatten(0, shape),
        )

    def scene_sides(self, shape: Sequence[int]) -> Tensor:
        """Return the sides (B, C) of the squares that the locator sees, image pixels, in images of shape (B, C)."""
        sides = torch.tensor(self.image_sides(shape[1]), dtype=torch.float32, device=self.keypoints.device)
        return sides.expand(shape[0], shape[1])

    def sides(self, shape: Sequence[int]) -> Tensor:
        """Return the sides (B, C) of the windows around the object, image pixels, for images of ``shape`` (B, C)."""
        sides = torch.tensor(self._usual_sides(shape[1]), dtype=torch.float32, device=self.keypoints.device)
        return sides.expand(shape[0], shape[1])

    def _usual_sides(self, cameras: int) -> Sequence[float]:
        """Return the side of each camera's window, image pixels; the largest for other cameras than the rig's."""
        sides = self.window_sides
        return sides if cameras == len(sides) else [max(sides)] * cameras

    def advice(self) -> Iterator[str]:
        window, names = self.config.window, self.scene.rig.names
        if window is None:
            return
        widest = int(np.argmax(self.window_sides))
        if (side := self.window_sides[widest]) > _MUCH_REDUCED * window.size:
            yield (
                f"model.window.size: windows around the object are {side:.0f} pixels wide in camera {names[widest]}, "
                f"reduced to {window.size}; a larger size keeps detail, at a cost that grows with its square"
            )

    @property
    def input_size(self) -> int:
        """Side of the tower's input in pixels."""
        window = self.config.window
        return (self.config.image_size or self.image_side) if window is None else window.size

    def _locate(
        self, images: Tensor, scenes: Tensor | None, shape: Sequence[int], augment: Augment | None, times: int
    ) -> PointOutput:
        """Return the object's centre and the landmarks (N, 1 + L), image pixels, as seen in scenes (N, 2, 3) of the
        images, where ``shape`` is (N / C, C)."""
        assert self.config.window is not None
        size = self.config.window.locator_size
        seen = self._whole(images, shape[1], size)
        ratio = (self.scene_sides(shape) / size).flatten()[:, None]
        if scenes is not None:  # it may lie partly outside the image
            seen = crop(seen, scenes / ratio[..., None], size, "border", times)
        found = self.locator_head(self.locator_tower(preprocess(seen, augment)), size)
        if scenes is None:
            return PointOutput(found.pixels * ratio[..., None], found.log_scale + ratio.log())
        return points_in_image(found, scenes)

    def _find(
        self, images: Tensor, windows: Tensor, cameras: int, augment: Augment | None, times: int
    ) -> tuple[PointOutput, Tensor]:
        """Return corners (N, K) in image pixels, and the tower's features, from whole images of so many cameras and
        windows (N, 2, 3)."""
        size = self.input_size
        if self.config.window is None:
            seen = self._whole(images, cameras, size)
        else:
            seen = crop_around(images, windows, size, self._usual_sides(cameras), times)
        features = self.tower(preprocess(seen, augment))
        return points_in_image(self.head(features, size), windows), features

    def observations(self, output: GeometricOutput) -> tuple[PointObservations, PointObservations | None]:
        """Return corners and landmarks in the form that solvers take; no landmarks without a window."""
        corners = PointObservations(output.corners.pixels, output.corners.log_scale.exp())
        if output.landmarks is None:
            return corners, None
        return corners, PointObservations(output.landmarks.pixels, LANDMARK_DOUBT * output.landmarks.log_scale.exp())

    def exported(self, output: GeometricOutput) -> dict[str, Tensor]:
        corners, landmarks = self.observations(output)
        found = {"pixels": corners.pixels, "scale": corners.scale}
        if landmarks is None:
            return found
        return found | {"landmarks": landmarks.pixels, "landmark_scale": landmarks.scale}


def _whole_images(sides: Tensor, size: int, roll: Tensor | None = None) -> Tensor:
    """Return windows (..., 2, 3) of ``size`` pixels of whole images of ``sides`` (...) pixels, rolled by ``roll`` (...)
    radians."""
    return make_windows((sides / 2)[..., None].expand(*sides.shape, 2), sides, size, roll)
