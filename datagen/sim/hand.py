"""MuJoCo model of a scene's hand: the hand only, with names that the scene can rely on.

Models are read where they are installed and edited in memory; no asset is copied.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import mujoco
import numpy as np

from datagen.sim.backgrounds import FLOOR
from datagen.sim.hand_model import far_end, is_tip
from datagen.sim.hand_settings import compiler_weighs, forget_defaults, forget_world
from datagen.sim.menagerie import menagerie_file
from datagen.sim.model_files import is_urdf, model_digest, model_files, read_xml
from datagen.sim.objects import OBJECT
from datagen.sim.urdf import read_urdf
from vision.errors import DactylError, printable, shortened
from vision.scene.hand import Hand

_NUMBERS = (
    *("body_pos", "body_quat", "body_mass", "geom_pos", "geom_quat", "geom_size", "geom_friction", "jnt_pos"),
    *("jnt_range", "jnt_stiffness", "dof_armature", "dof_damping", "dof_frictionloss", "tendon_range"),
    *("actuator_gainprm", "actuator_biasprm", "actuator_gear", "actuator_ctrlrange"),
)
"""Arrays of a compiled model that must be finite."""
_MOST_BODIES = 1_000
_LONGEST_NAME = 200  # letters of a name in a model, with room for a prefix
_OURS = (OBJECT, FLOOR)  # names, or beginnings of names, of what a scene adds


def hand_file(hand: Hand) -> Path:
    """Return the file of a hand's model.

    Raises:
        DactylError: the package or the file is missing.
    """
    kind, _, rest = hand.source.partition(":")
    if kind == "package":
        module, _, inside = rest.partition("/")
        # To find a package within another, Python imports the outer one, and a scene file must not import anything.
        found = importlib.util.find_spec(module) if module.isidentifier() else None
        if found is None or found.origin is None:
            raise DactylError(f"hand {hand.name}: package {module} is not installed, it holds the hand's model")
        if Path(inside).is_absolute() or ".." in Path(inside).parts:
            raise DactylError(f"hand {hand.name}: source: '{inside}' is no file in the package {module}")
        path = Path(found.origin).parent / inside
    elif kind == "menagerie":
        path = menagerie_file(hand.name, rest)
    else:
        path = Path(hand.source)
    if not path.is_file():
        raise DactylError(f"hand {hand.name}: {path} is missing; install its package again, or check the path")
    return path


def load_hand(hand: Hand) -> mujoco.MjSpec:
    """Load the hand only: bodies, joints, tendons, actuators, sites, visual and collision geometry.

    Raises:
        DactylError: its model is missing, has changed since the scene was completed, cannot be read by MuJoCo, or lacks
            something that the scene names.
    """
    path = hand_file(hand)
    if not hand.sha256:
        model_files(path)  # refuses files on which MuJoCo would block
    elif model_digest(path) != hand.sha256:
        raise DactylError(
            f"hand {hand.name}: {path}, or a file that it names, has changed since these data were made; put it back "
            "(install the package of then), or collect states again"
        )
    root = read_xml(path)
    try:
        spec = read_urdf(root, path, hand) if is_urdf(root, path) else mujoco.MjSpec.from_file(str(path))
    except (ValueError, RuntimeError) as error:
        raise DactylError(f"{path}: MuJoCo cannot read it: {' '.join(str(error).split())}") from None
    if len(spec.bodies) > _MOST_BODIES:
        raise DactylError(
            f"hand {hand.name}: {path} has {len(spec.bodies):,} bodies; expected at most {_MOST_BODIES:,}: join those "
            "that do not move against each other"
        )
    spec.compiler.fusestatic = spec.compiler.discardvisual = False  # links keep their names and visual geometry
    for name in hand.remove:
        named = 0
        for find in (spec.body, spec.geom):  # in this order, because removing a body removes its geoms
            if (element := find(name)) is not None:
                spec.delete(element)
                named += 1
        if not named:
            raise DactylError(f"hand {hand.name}: remove: {path} has no body or geom '{name}'")
    # Sensors and their touch sites are not used: the environment reads joints and fingertips from the state.
    wanted = {hand.prefix + name for name in hand.fingertips}
    for element in (*_touch_sites(spec, wanted), *spec.sensors, *spec.lights, *spec.cameras, *spec.keys):
        spec.delete(element)
    _refuse_our_names(spec, hand)
    _refuse_odd_names(spec, hand)
    for element in (*spec.geoms, *spec.sites, *spec.tendons, *spec.flexes, *spec.skins):
        element.material = ""
    for element in (*spec.materials, *spec.textures):
        spec.delete(element)
    forget_defaults(spec)
    _name_all(spec, hand.prefix)
    _place(spec, hand)
    for joint in spec.joints:
        joint.armature = max(joint.armature, hand.armature or 0.0)
    tips = [body for body in spec.bodies if body.name in wanted and spec.site(body.name) is None]
    weighed = compiler_weighs(spec)
    massless = [body for body in spec.bodies[1:] if weighed or not body.explicitinertial]
    if tips or massless:
        model = whole_model(spec, hand)
        _keep_inertia(massless, model)
        for body in tips:
            body.add_site(name=body.name, pos=far_end(model, model.body(body.name).id))
    forget_world(spec)
    return spec


def _touch_sites(spec: mujoco.MjSpec, wanted: set[str]) -> list[mujoco.MjsSite]:
    """Return sites that only mark where a sensor feels touch.

    Excludes sites that are wanted or that something refers to, and a site that is its body's only one named as a
    fingertip, since a sensor may be placed on that very site.
    """
    sensed = {sensor.objname for sensor in spec.sensors if sensor.type == mujoco.mjtSensor.mjSENS_TOUCH}
    used = _referred_to(spec)
    tipped = {site.parent.name for site in spec.sites if is_tip(site.name) and site.name not in sensed}
    return [
        site
        for site in spec.sites
        if site.name in sensed - wanted - used and not (is_tip(site.name) and site.parent.name not in tipped)
    ]


def _referred_to(spec: mujoco.MjSpec) -> set[str]:
    """Return the names of elements that tendons, actuators and constraints hang on."""
    used = {wrap.target.name for tendon in spec.tendons for wrap in tendon.path if wrap.target is not None}
    used |= {name for each in spec.actuators for name in (each.target, each.refsite, each.slidersite)}
    return used | {name for each in spec.equalities for name in (each.name1, each.name2)}


def whole_model(spec: mujoco.MjSpec, hand: Hand) -> mujoco.MjModel:
    """Compile the hand alone.

    Raises:
        DactylError: MuJoCo cannot compile it, or a number of the model is not finite.
    """
    try:
        model = spec.copy().compile()
    except (ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise DactylError(f"hand {hand.name}: {hand_file(hand)}: MuJoCo cannot compile it: {said}") from None
    # MuJoCo compiles a model with NaN, with a warning at most.
    for key in _NUMBERS:
        if not np.isfinite(getattr(model, key)).all():
            raise DactylError(f"hand {hand.name}: {hand_file(hand)}: {key}: a number is not finite; mend the model")
    return model


def _refuse_our_names(spec: mujoco.MjSpec, hand: Hand) -> None:
    """Refuse names that a scene's object and background use."""
    for kind, elements in (("body", spec.bodies), ("joint", spec.joints), ("geom", spec.geoms), ("mesh", spec.meshes)):
        for element in elements:
            if element.name.split(":")[0].split("/")[0] in _OURS:
                raise DactylError(
                    f"hand {hand.name}: its model has a {kind} '{element.name}', as the scene's own is called; name it "
                    "in the hand's remove if it is no part of the hand, or rename it"
                )


def _refuse_odd_names(spec: mujoco.MjSpec, hand: Hand) -> None:
    """Refuse names that records of states or images may not hold: the collected data could not be read again."""
    kinds = {"body": spec.bodies, "joint": spec.joints, "site": spec.sites, "actuator": spec.actuators}
    for kind, elements in kinds.items():
        for element in elements:
            if not element.name.isprintable() or len(element.name) > _LONGEST_NAME:
                raise DactylError(
                    f"hand {hand.name}: its model has the {kind} '{shortened(printable(element.name), 60)}'; expected "
                    f"at most {_LONGEST_NAME} printable letters: rename it"
                )


def _name_all(spec: mujoco.MjSpec, prefix: str) -> None:
    """Name unnamed elements by their number, because states and materials are found by name."""
    for kind, elements in (("body", spec.bodies), ("joint", spec.joints), ("actuator", spec.actuators)):
        for number, element in enumerate(elements):
            if not element.name:
                element.name = f"{prefix}{kind}{number}"


def _place(spec: mujoco.MjSpec, hand: Hand) -> None:
    """Give the hand's root the pose that the scene states."""
    if hand.position is None and hand.quaternion is None:
        return
    roots = spec.worldbody.bodies
    if len(roots) != 1:
        names = ", ".join(body.name for body in roots) or "none"
        raise DactylError(
            f"hand {hand.name}: position and quaternion need one root body, the model has {names}; "
            "remove what is no part of the hand"
        )
    used = _referred_to(spec) | {hand.prefix + name for name in hand.fingertips}
    geoms = [geom for geom in spec.worldbody.geoms if geom.type != mujoco.mjtGeom.mjGEOM_PLANE]  # a plane is a floor
    left = [f"geom '{geom.name}'" if geom.name else "geom without a name" for geom in geoms]
    left += [f"site '{site.name}'" for site in spec.worldbody.sites if site.name in used]
    if left:
        raise DactylError(
            f"hand {hand.name}: position and quaternion move the body '{roots[0].name}', but not what stands beside it "
            f"in <worldbody>: {', '.join(left)}; put that into the body, or name what is no part of the hand in remove"
        )
    (root,) = roots
    if root.frame is not None:  # which would move it once more
        found = whole_model(spec, hand).body(root.name)
        root.set_frame(spec.worldbody.add_frame())
        root.pos, root.quat = found.pos, found.quat
        root.alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
    if hand.position is not None:
        root.pos = hand.position
    if hand.quaternion is not None:
        root.alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
        root.quat = hand.quaternion


def _keep_inertia(bodies: list[mujoco.MjsBody], model: mujoco.MjModel) -> None:
    """Make the mass of bodies' geometry explicit, so that they keep it when part of the geometry is removed."""
    for body in bodies:
        found = model.body(body.name)
        if found.mass[0] > 0:
            body.fullinertia = np.full(6, np.nan)
            body.mass, body.inertia = found.mass[0], found.inertia
            body.ipos, body.iquat = found.ipos, found.iquat
            body.explicitinertial = True
