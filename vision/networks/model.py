"""The network: images of all cameras in, the object's pose in the world out.

Two models share one interface (:class:`vision.networks.pose_model.PoseModel`); other packages add theirs under the
entry point ``dactyl.models``. ``forward`` returns what training compares with the truth, ``pose`` turns it into a
:class:`PosePrediction`, and ``predict`` does both.

regression
    Table 12: one tower for all cameras, spatial softmax, two linear layers. With ``camera_input``, our addition, it
    also receives each camera's displacement from its nominal pose, or that it is unknown, which is the nominal
    protocol.
geometric
    One tower for all cameras finds the object's corners in each image, with an expected error each; the pose follows
    from the cameras' calibration. With a window, a small locator first finds the object in the whole image, and the
    tower sees only its surroundings, in all the detail that the window's size allows. The locator also finds landmarks
    of the hand, from which nominal cameras are corrected: the same weights serve both protocols.

Everything between an image's bytes and the pose is part of the model, so that a checkpoint alone determines how images
and targets are scaled. Each image that enters a tower is normalised to zero mean and unit variance, as in the paper.
Contrast and noise are applied after that and only in training, hence the ``augment`` argument of ``forward``.
"""

from __future__ import annotations

from vision.networks.model_config import MODELS, ModelConfig
from vision.networks.pose_model import PoseModel
from vision.scene.scene import Scene


def build_model(config: ModelConfig, scene: Scene) -> PoseModel:
    """Build a network with random weights (from torch's default generator)."""
    model: PoseModel = MODELS.load(config.head)(config, scene)
    return model
