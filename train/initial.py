"""Initial weights of a training other than random ones: from another scene, other images, or a shorter training."""

from __future__ import annotations

from vision.errors import DactylError
from vision.io.files import sha256
from vision.io.json_values import differences, to_jsonable
from vision.network_files import read_model, weights_file
from vision.networks.pose_model import PoseModel


def begin_from(model: PoseModel, weights: str) -> str:
    """Copy into ``model`` every tensor of given weights that fits it by name and shape; the others stay random.

    A network for another object has another last layer if the number of keypoints differs; all layers before it are
    copied.

    Args:
        model: not trained yet; changed in place.
        weights: name of shipped weights, or a checkpoint's path.

    Returns:
        A description of what was copied and what is initialised at random.

    Raises:
        DactylError: the weights do not exist, or have another tower.
    """
    source = read_model(weights_file(weights))
    ours, given = model.state_dict(), source.state_dict()
    # A model's own buffers describe the images that it was trained or measured on, not the new ones.
    measured = {name for name, _ in model.named_buffers(recurse=False)}
    learned = [name for name in ours if name not in measured]
    taken = [name for name in learned if name in given and given[name].shape == ours[name].shape]
    there, here = (to_jsonable(each.config.backbone) for each in (source, model))
    # Not every difference shows in names and shapes: a shorter tower, other strides.
    if other := differences(there, here, "model.backbone."):
        raise DactylError(
            f"init: {weights}: its tower is another ({'; '.join(other)}); choose the model.backbone that it was "
            "trained with"
        )
    model.load_state_dict({name: given[name] for name in taken}, strict=False)
    fresh = sorted({name.split(".", 1)[0] for name in set(learned) - set(taken)})
    return f"begins from {weights}" + (f"; at random: {', '.join(fresh)}" if fresh else "")


def identity(weights: str) -> str:
    """Return the identity of given weights, wherever they are: the SHA-256 of their file.

    Raises:
        DactylError: the weights do not exist.
    """
    try:
        return sha256(weights_file(weights))
    except OSError as error:
        raise DactylError(
            f"init: {weights}: {error.strerror or error}; give the name of shipped weights (block) or a checkpoint"
        ) from error
