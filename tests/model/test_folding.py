import pytest
import torch
from torch import nn

from vision.networks.backbones import BackboneConfig, build_backbone
from vision.networks.folding import fold_norms


@pytest.mark.parametrize(
    ("config", "left"),
    [
        (BackboneConfig("pyramid", width=8, blocks=2), 0),
        (BackboneConfig("paper"), 0),
        (BackboneConfig("resnet18"), 16),  # the blocks are torchvision's
        (BackboneConfig("pyramid", width=8, blocks=1, norm="group"), 0),
    ],
    ids=lambda value: f"{value.name}-{value.norm}" if isinstance(value, BackboneConfig) else None,
)
def test_a_folded_network_answers_as_before(config: BackboneConfig, left: int) -> None:
    generator = torch.Generator().manual_seed(0)
    tower = build_backbone(config)
    for module in tower.modules():
        if isinstance(module, nn.BatchNorm2d):  # as if it had been trained
            for tensor in (module.running_mean, module.bias, module.running_var, module.weight):
                assert tensor is not None
                tensor.data.uniform_(0.5, 1.5, generator=generator)
    images = torch.rand(2, 3, 64, 64, generator=generator)
    with torch.inference_mode():
        before = tower.eval()(images)
        fold_norms(tower)
        after = tower(images)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in tower.modules()) == left
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    assert (before - before.mean()).abs().max() > 0.1
