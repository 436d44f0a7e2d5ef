"""The hand as plain data: the location of its model, and the parts of it that the program uses by name.

Whatever a scene file leaves out (joints, actuators, fingertips, landmarks) is read from the model when the scene is
loaded for simulation: ``datagen.sim.complete``. Datasets and checkpoints contain the completed hand.
"""

from __future__ import annotations

import functools

import numpy as np

from vision.plain import Plain, Vector3, check_name, read_only
from vision.scene.landmarks import Landmarks

_NAMED = ("package", "menagerie")  # sources that are no paths


class Nail(Plain, frozen=True):
    """A spot behind a fingernail, which hides that finger's motion-capture marker when it is touched.

    Attributes:
        body: body of the model, without the prefix.
        position: metres, in the body's frame.
    """

    body: str
    position: Vector3


class Hand(Plain, frozen=True):
    """A robot hand, or an arm with one.

    Attributes:
        name: for titles and messages.
        source: its model, an MJCF or a URDF: a file, relative to the file that contains this,
            ``package:module/path/in/it.xml``, or ``menagerie:folder/file.xml`` of MuJoCo Menagerie.
        sha256: of that file and everything it references (includes, meshes) when the scene was completed; empty before.
        prefix: prefix of every name in the model, left out in all names here.
        remove: bodies and geoms of the model that are not part of the hand (full names).
        visual_group: group of the visible geoms; null if all are visible.
        collision_group: group of the colliding geoms; null if the model's own contact bits decide.
        position: metres, of its root in the world; null as in the model.
        quaternion: w x y z, of the root; null as in the model.
        joints: names of all its joints in the order of states; empty before it is completed.
        actuators: names of its actuators in the order of actions; empty before it is completed.
        fingertips: names of sites or bodies at the ends of its fingers.
        initial_pose: joint angles at the start (radians, or metres of slides) by joint; unnamed joints start at zero,
            or at the nearest limit.
        armature: least inertia of every joint, kg m^2 (kg of slides): that of motor and gear, as felt behind the gear;
            null as in the MJCF, or as suits the servos of a URDF's joints. Without it, a hand whose links are light for
            its motors becomes unstable at steps of 8 ms.
        effort: greatest force of the servos that move a URDF's joints, N m (N for slides); null as in the URDF.
        wrist: joints that ``locked_wrist`` locks.
        nails: one for each fingertip, in their order; or none.
        backlash: logarithm of how fast each actuator's tendon takes up its slack, 1 / (rad s), downwards and upwards;
            null for almost no backlash.
        landmarks: points for finding the cameras; null if no part of the hand is fixed.
    """

    name: str
    source: str
    sha256: str = ""
    prefix: str = ""
    remove: tuple[str, ...] = ()
    visual_group: int | None = None
    collision_group: int | None = None
    position: Vector3 | None = None
    quaternion: tuple[float, float, float, float] | None = None
    joints: tuple[str, ...] = ()
    actuators: tuple[str, ...] = ()
    fingertips: tuple[str, ...] = ()
    initial_pose: dict[str, float] = {}  # noqa: RUF012 (msgspec copies it)
    armature: float | None = None
    effort: float | None = None
    wrist: tuple[str, ...] = ()
    nails: tuple[Nail, ...] = ()
    backlash: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    landmarks: Landmarks | None = None

    def check(self) -> None:
        check_name(self.name, "hand")
        if self.quaternion is not None and not any(self.quaternion):
            raise ValueError("quaternion: must not be zero")
        if self.armature is not None and not 0 <= self.armature <= 1:
            raise ValueError(f"armature: expected 0 to 1 kg m^2, got {self.armature:g}")
        if self.effort is not None and not 0 < self.effort <= 1000:
            raise ValueError(f"effort: expected up to 1000 N m (N for slides), got {self.effort:g}")
        if self.nails and len(self.nails) != len(self.fingertips):
            raise ValueError(f"nails: {len(self.nails)}, fingertips: {len(self.fingertips)}; give one for each or none")
        if self.backlash is not None and self.actuators:
            down, up = self.backlash
            if not len(down) == len(up) == len(self.actuators):
                raise ValueError(f"backlash: two lists of {len(self.actuators)} numbers, got {len(down)}, {len(up)}")
        named = {*self.initial_pose, *self.wrist, *(() if self.landmarks is None else self.landmarks.joints)}
        if self.joints and (unknown := sorted(named - {*self.joints})):
            raise ValueError(f"joint '{unknown[0]}' is none of the hand's: {', '.join(self.joints)}")

    @property
    def is_file(self) -> bool:
        """Whether ``source`` is the path of a file, which differs between folders and machines."""
        return self.source.partition(":")[0] not in _NAMED

    @functools.cached_property
    def start(self) -> np.ndarray:
        """Joint positions at the start, (J,), in the order of ``joints``; read-only."""
        return read_only(np.array([self.initial_pose.get(name, 0.0) for name in self.joints]))

    @functools.cached_property
    def landmark_joints(self) -> tuple[int, ...]:
        """Indices of the joints that are the landmarks' hinges."""
        return () if self.landmarks is None else tuple(map(self.joints.index, self.landmarks.joints))
