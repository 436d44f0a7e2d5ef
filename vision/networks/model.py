"""The network: images of all cameras in, the object's pose in the world out.

Two models behind one interface (:class:`vision.networks.pose_model.PoseModel`), and any that another package offers
under the entry point ``dactyl.models``. ``forward`` is what training compares with the truth, ``pose`` makes a
:class:`PosePrediction` of it, ``predict`` does both.

regression
    Table 12: one tower for all cameras, spatial softmax, two linear layers. With ``camera_input``, ours, it is also
    told how far each camera is from its nominal place; or that nobody knows, which is the nominal protocol.
geometric
    One tower for all cameras finds the object's corners in each image, with an expected error each; the pose follows
    from the cameras' calibration. With a window, a small locator finds the object in the whole image first and the
    tower sees only its surroundings, at full resolution. The locator also finds landmarks of the hand, from which
    nominal cameras are mended: the same weights serve both protocols.

Everything between the bytes of a picture and the pose is in a model, so that a checkpoint says without any other file
how images and targets are scaled. Each image that enters a tower is normalised to zero mean and unit variance, as in
the paper; contrast and noise come after that and only in training, hence the ``augment`` argument of ``forward``.
"""

from __future__ import annotations

from vision.networks.model_config import MODELS, ModelConfig
from vision.networks.pose_model import PoseModel
from vision.scene.scene import Scene


def build_model(config: ModelConfig, scene: Scene) -> PoseModel:
    """A network with random weights (from torch's default generator)."""
    model: PoseModel = MODELS.load(config.head)(config, scene)
    return model
