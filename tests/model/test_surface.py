import numpy as np
import pytest
import torch
from msgspec import structs
from scipy.spatial import ConvexHull, Delaunay
from scipy.spatial.transform import Rotation
from torch import Tensor

from tests.scenes import rig, scene
from vision.geometry.cameras import Cameras, project
from vision.geometry.poses import Pose
from vision.geometry.rotations import quaternion_from_rotation
from vision.networks.backbones import BackboneConfig
from vision.networks.heads import cell_centres
from vision.networks.losses import LossConfig
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig
from vision.networks.surface import SurfaceTargets
from vision.networks.windows import make_windows, to_image
from vision.objects.lettered import BoxFile, FaceLook


@pytest.mark.parametrize("name", ["block", "prism"])
def test_rays_meet_the_surface_where_the_camera_sees_it(name: str) -> None:
    target, side, cells = scene(name).object, 80, (20, 20)
    position, turn = np.array([1.03, 0.86, 0.15]), Rotation.random(random_state=1).as_matrix()
    matrices, transforms = rig(200).nominal.intrinsics, rig().nominal.extrinsics
    centre = torch.from_numpy(project(position[None], Cameras(matrices, transforms))[:, 0]).float()
    windows = make_windows(centre + 5, 90.0, side, torch.tensor([0.3, -0.5, 2.0]))[None]
    cameras = Cameras(torch.tensor(matrices)[None].float(), torch.tensor(transforms)[None].float())
    casting = SurfaceTargets(target)
    pose = Pose(torch.tensor(turn)[None].float(), torch.tensor(position)[None].float())
    points, hit = casting(windows, side, cells, cameras, pose)
    seen = to_image(windows[0], ((cell_centres(cells, torch.device("cpu")) + 1) * side / 2).expand(3, -1, -1)).numpy()
    for camera in range(3):
        outline = project(target.keypoints @ turn.T + position, Cameras(matrices[camera], transforms[camera]))
        inside = Delaunay(outline[ConvexHull(outline).vertices]).find_simplex(seen[camera]) >= 0
        found = hit[0, camera].numpy()
        assert (found != inside).sum() <= 2  # cells on the very edge
        surface = points[0, camera].numpy()[found] * casting.radius
        assert len(surface) > 30
        # They project to their cells, lie on the surface, and on the near side of the object.
        again = project(surface @ turn.T + position, Cameras(matrices[camera], transforms[camera]))
        np.testing.assert_allclose(again, seen[camera][found], atol=0.02)
        height = surface @ np.array([face.normal for face in target.faces]).T
        offsets = (target.keypoints @ np.array([face.normal for face in target.faces]).T).max(axis=0)
        np.testing.assert_allclose((height - offsets).max(axis=1), 0, atol=1e-5)
        normals = np.array([face.normal for face in target.faces])[(height - offsets).argmax(axis=1)] @ turn.T
        eye = -transforms[camera][:3, :3].T @ transforms[camera][:3, 3]
        assert (((eye - position) - surface @ turn.T) * normals).sum(axis=1).min() > -1e-4


class Unchanged:
    """The training's augmentation where it changes nothing."""

    def adjust_tone(self, images: Tensor) -> Tensor:
        return images

    def __call__(self, images: Tensor) -> Tensor:
        return images

    def cameras_known(self, count: int) -> Tensor:
        return torch.ones(count, 1, 1)

    def windows(self, centre: Tensor, side: Tensor | float, size: int) -> Tensor:
        return make_windows(centre, side, size)

    def scenes(self, shape: tuple[int, int], side: float, size: int) -> Tensor:
        return make_windows(torch.full((*shape, 2), side / 2), side, size)


def test_poses_that_look_alike_have_the_same_losses() -> None:
    """With the surface term, too: its targets are the points of the pose that an image matched."""
    looks = {sign + axis: FaceLook(color=(0.5, 0.5, 0.5)) for sign in "+-" for axis in "xyz"}
    plain = BoxFile(name="box", size=(0.05, 0.05, 0.08), mass=0.1, faces=looks).build()
    shown = structs.replace(scene("block", 64), object=plain)
    torch.manual_seed(0)
    model = build_model(ModelConfig("geometric", BackboneConfig("pyramid", width=8, blocks=1)), shown)
    turns = Rotation.from_matrix(plain.symmetries.rotations)
    poses = Rotation.random(rng=np.random.default_rng(0)) * turns
    count = len(turns)
    batch = {
        "images": torch.randint(0, 256, (1, 3, 3, 64, 64), dtype=torch.uint8).expand(count, -1, -1, -1, -1),
        "object_position": torch.tensor([[1.03, 0.86, 0.15]]).expand(count, -1),
        "object_quaternion": torch.tensor(quaternion_from_rotation(poses)).float(),
        "camera_intrinsics": torch.tensor(shown.rig.nominal.intrinsics).float().expand(count, -1, -1, -1),
        "camera_extrinsics": torch.tensor(shown.rig.nominal.extrinsics).float().expand(count, -1, -1, -1),
    }
    with torch.no_grad():
        without, within = (model.losses(batch, Unchanged(), LossConfig(surface=weight)) for weight in (0.0, 1.0))
    torch.testing.assert_close(without, without[:1].expand(count), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(within, within[:1].expand(count), rtol=1e-3, atol=1e-3)
    assert (within != without).all()
