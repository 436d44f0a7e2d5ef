import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull, Delaunay
from scipy.spatial.transform import Rotation

from tests.scenes import rig, scene
from vision.geometry.cameras import Cameras, project
from vision.networks.heads import cell_centres
from vision.networks.surface import SurfaceTargets
from vision.networks.windows import make_windows, to_image


@pytest.mark.parametrize("name", ["block", "prism"])
def test_rays_meet_the_surface_where_the_camera_sees_it(name: str) -> None:
    target, side, cells = scene(name).object, 80, (20, 20)
    position, turn = np.array([1.03, 0.86, 0.15]), Rotation.random(random_state=1).as_matrix()
    matrices, transforms = rig(200).nominal.intrinsics, rig().nominal.extrinsics
    centre = torch.from_numpy(project(position[None], matrices, transforms)[:, 0]).float()
    windows = make_windows(centre + 5, 90.0, side, torch.tensor([0.3, -0.5, 2.0]))[None]
    cameras = Cameras(torch.tensor(matrices)[None].float(), torch.tensor(transforms)[None].float())
    casting = SurfaceTargets(target)
    points, hit = casting(
        windows, side, cells, cameras, torch.tensor(position)[None].float(), torch.tensor(turn)[None].float()
    )
    seen = to_image(windows[0], ((cell_centres(cells, torch.device("cpu")) + 1) * side / 2).expand(3, -1, -1)).numpy()
    for camera in range(3):
        outline = project(target.keypoints @ turn.T + position, matrices[camera], transforms[camera])
        inside = Delaunay(outline[ConvexHull(outline).vertices]).find_simplex(seen[camera]) >= 0
        found = hit[0, camera].numpy()
        assert (found != inside).sum() <= 2  # cells on the very edge
        surface = points[0, camera].numpy()[found] * casting.radius
        assert len(surface) > 30
        # They project to their cells, lie on the surface, and on the near side of the object.
        again = project(surface @ turn.T + position, matrices[camera], transforms[camera])
        np.testing.assert_allclose(again, seen[camera][found], atol=0.02)
        height = surface @ np.array([face.normal for face in target.faces]).T
        offsets = (target.keypoints @ np.array([face.normal for face in target.faces]).T).max(axis=0)
        np.testing.assert_allclose((height - offsets).max(axis=1), 0, atol=1e-5)
        normals = np.array([face.normal for face in target.faces])[(height - offsets).argmax(axis=1)] @ turn.T
        eye = -transforms[camera][:3, :3].T @ transforms[camera][:3, 3]
        assert (((eye - position) - surface @ turn.T) * normals).sum(axis=1).min() > -1e-4
