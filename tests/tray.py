"""A hand that has little in common with the Shadow hand: a tray with three fingers in it, from which nothing falls.

Three fingertips, six joints (one of them slides, two are moved by no servo) and five actuators (one of them a motor).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import trimesh

TIPS, JOINTS, ACTUATORS = 3, 6, 5

_HINGE = '<joint name="{}" axis="0 1 0" range="-0.7 0.7" damping="0.01" stiffness="{}"/>'
_SLIDE = '<joint name="slide" type="slide" axis="1 0 0" range="-0.01 0.01"/>'
_FINGER = """
      <body pos="{} 0.01">
        {}<geom type="capsule" fromto="0 0 0 0 0 0.03" size="0.007"/>
        <body name="{}" pos="0 0 0.03">{}<geom type="sphere" size="0.008"/></body>
      </body>"""
_HAND = f"""
<mujoco>
  <compiler angle="radian"/>
  <worldbody>
    <body name="tray" pos="0 0 0.2">
      <geom type="box" size="0.06 0.06 0.005"/>
      <geom type="box" size="0.005 0.06 0.04" pos="0.06 0 0.04"/>
      <geom type="box" size="0.005 0.06 0.04" pos="-0.06 0 0.04"/>
      <geom type="box" size="0.06 0.005 0.04" pos="0 0.06 0.04"/>
      <geom type="box" size="0.06 0.005 0.04" pos="0 -0.06 0.04"/>
      {_FINGER.format("0.03 0", _HINGE.format("a", 0), "first", _HINGE.format("b", 0))}
      {_FINGER.format("-0.03 0.02", _HINGE.format("c", 0), "second", _HINGE.format("loose", 0.1))}
      {_FINGER.format("-0.03 -0.02", _SLIDE, "third", _HINGE.format("pushed", 0.1))}
    </body>
  </worldbody>
  <actuator>
    <position joint="a" ctrlrange="-0.7 0.7" kp="0.3"/>
    <position joint="b" ctrlrange="-0.7 0.7" kp="0.3"/>
    <position joint="c" ctrlrange="-0.7 0.7" kp="0.3"/>
    <position joint="slide" ctrlrange="-0.01 0.01" kp="50"/>
    <motor joint="pushed" ctrlrange="-0.1 0.1"/>
  </actuator>
</mujoco>"""
_SCENE = """
hand: {{name: tray, source: tray.xml}}
object: {{kind: mesh, name: {0}, file: {0}.ply, pieces: [{0}.ply], origin: middle, mass: 0.05, symmetries: {1}}}
rig: {{cameras: [{{name: top, width: 64, height: 64, fovy_deg: 30, position: [0, 0.1, 0.7], look_at: [0, 0, 0.2]}}]}}
workspace: {{start: [0, 0, 0.25], light_centre: [0, 0, 0.2], lost_distance: 0.15, drop_height: 0.15}}
"""


def tray_scene(folder: Path, target: Literal["can", "pebble"]) -> Path:
    """Write the scene of the tray with a can, whose ends look alike, or a pebble, which looks the same in no two
    orientations: meshes, without flat sides that the program knows of."""
    (folder / "tray.xml").write_text(_HAND)
    if target == "can":
        mesh = trimesh.creation.cylinder(0.016, 0.05, sections=24)
        symmetries = "{continuous: [[0, 0, 1]], discrete: [{axis: [1, 0, 0], degrees: 180}]}"
    else:
        corners = [[-0.02, -0.02, -0.02], [0.03, 0, -0.02], [-0.02, 0.025, 0], [0, 0, 0.03]]
        mesh, symmetries = trimesh.convex.convex_hull(corners), "{}"
    mesh.export(folder / f"{target}.ply")
    path = folder / f"tray-{target}.yaml"
    path.write_text(_SCENE.format(target, symmetries))
    return path
