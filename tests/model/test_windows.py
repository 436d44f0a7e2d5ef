import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.scenes import scene
from vision.networks.backbones import BackboneConfig
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig, WindowConfig
from vision.networks.windows import crop, crop_around, make_windows, to_image, window_scale


def test_a_window_over_the_whole_image_is_the_image() -> None:
    image = torch.rand(1, 3, 40, 40)
    torch.testing.assert_close(crop(image, make_windows(torch.tensor([[20.0, 20.0]]), 40, 40), 40), image)


@given(
    x=st.floats(20, 60),
    y=st.floats(20, 60),
    side=st.floats(16, 60),
    roll=st.floats(-math.pi, math.pi),
    column=st.integers(8, 23),
    row=st.integers(8, 23),
)
def test_what_a_window_shows_is_where_it_says(
    x: float, y: float, side: float, roll: float, column: int, row: int
) -> None:
    # An image whose colours are its own coordinates is cut and rolled; each window pixel must show its image pixel.
    ticks = torch.arange(80) + 0.5
    image = torch.stack([*torch.meshgrid(ticks, ticks, indexing="xy"), torch.zeros(80, 80)])[None]
    window = make_windows(torch.tensor([[x, y]]), side, 32, torch.tensor([roll]))
    expected = to_image(window, torch.tensor([[[column + 0.5, row + 0.5]]]))[0, 0]
    if (expected > 1).all() and (expected < 79).all():
        torch.testing.assert_close(crop(image, window, 32)[0, :2, row, column], expected, atol=2e-3, rtol=0)
    assert window_scale(window).item() == pytest.approx(side / 32, rel=1e-5)


def test_outside_of_the_image_is_zero() -> None:
    window = make_windows(torch.tensor([[-100.0, -100.0]]), 40, 32)
    assert not crop(torch.ones(1, 3, 80, 80), window, 32).any()


def test_a_positive_roll_turns_the_window_from_right_to_down() -> None:
    window = make_windows(torch.tensor([[20.0, 20.0]]), 40, 40, torch.tensor([math.pi / 2]))
    torch.testing.assert_close(to_image(window, torch.tensor([[[40.0, 20.0]]])), torch.tensor([[[20.0, 40.0]]]))


@pytest.mark.parametrize("side", [60.0, 100.0, 170.0, 330.0])
def test_a_window_averages_all_pixels_that_it_spans(side: float) -> None:
    """Of white noise, as much is left as of the mean of all pixels under one of the window's, not of any four."""
    noise = 20.0 * torch.randn(2 * 2, 3, 400, 400, generator=torch.Generator().manual_seed(0))
    windows = make_windows(torch.tensor([200.3, 199.6]).expand(4, 2), side, 80)
    spanned = max(1.0, math.floor(side / 80)) ** 2
    assert float(crop_around(noise, windows, 80, (side, side)).std()) < 1.05 * 20.0 / math.sqrt(spanned)


def test_reduced_windows_show_what_they_say_in_cameras_of_all_sizes() -> None:
    """Images whose colours are their coordinates, with sides that no factor divides; factors 1, 3 and 4."""
    height, width, sides = 391, 403, (70.0, 250.0, 330.0)
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    images = torch.stack([columns, rows, torch.ones(height, width)]).expand(2 * 3, -1, -1, -1)
    centre = torch.tensor([[150.0, 170.0], [200.0, 180.0], [210.0, 190.0]]).repeat(2, 1)
    windows = make_windows(centre, torch.tensor(sides).repeat(2), 80, torch.full((6,), 0.3))
    found = crop_around(images, windows, 80, sides)
    ticks = torch.arange(80) + 0.5
    pixels = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), dim=-1).flatten(0, 1)
    expected = to_image(windows, pixels.expand(6, -1, -1))
    inside = ((expected > 8) & (expected < torch.tensor([width - 8, height - 8]))).all(dim=-1)
    assert inside.float().mean() > 0.8
    torch.testing.assert_close(found[:, :2].flatten(2).mT[inside], expected[inside], atol=5e-2, rtol=0)


def test_a_tower_sees_no_pattern_that_is_finer_than_its_pixels() -> None:
    """Images of 640 pixels, whose windows have four pixels for each of the tower's: a chequerboard averages out."""
    block = scene("block", 640)
    config = ModelConfig(
        head="geometric",
        backbone=BackboneConfig("pyramid", width=8, blocks=1),
        window=WindowConfig(size=48, locator_size=32),
    )
    model = build_model(config, block).eval()
    seen: list[torch.Tensor] = []
    model.tower.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    coarse = torch.randint(60, 190, (1, 3, 3, 40, 40), generator=torch.Generator().manual_seed(0))
    plain = coarse.repeat_interleave(16, dim=-1).repeat_interleave(16, dim=-2)
    ticks = torch.arange(640)
    chequered = plain + 50 * (1 - 2 * ((ticks[:, None] + ticks) % 2))
    windows = make_windows(torch.full((1, 3, 2), 320.0), model.sides((1, 3)), 48)
    with torch.no_grad():
        for images in (plain, chequered):
            model(images.to(torch.uint8), windows=windows)
    torch.testing.assert_close(*seen, atol=1e-3, rtol=0)
