"""The source of images that a configuration names."""

from __future__ import annotations

from dataclasses import replace

from eval.estimation.config import EstimateConfig
from eval.laboratory.shots import Source, open_files, open_folder
from vision.scene.scene import Scene


def open_source(config: EstimateConfig, scene: Scene) -> Source:
    """Open the source of ``config``; ``scene`` is the network's.

    Raises:
        DactylError: images are missing, or not there for all cameras, or a dataset is of another scene.
    """
    if config.pictures is None:
        return open_files(config.cameras, scene.rig, config.picture_bits)
    source = open_folder(config.pictures, scene, config.tolerance_s, config.picture_bits)
    path = config.pictures / "calibration.json"
    if source.dataset is not None or not path.exists() or config.calibration is not None or config.lenses:
        return source
    unused = f"{path}: not used; --calibration {path} tells the network where the cameras are"
    return replace(source, remarks=(*source.remarks, unused))
