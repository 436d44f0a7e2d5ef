import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.networks.windows import cut, make_windows, to_image, window_scale


def test_a_window_over_the_whole_image_is_the_image() -> None:
    image = torch.rand(1, 3, 40, 40)
    torch.testing.assert_close(cut(image, make_windows(torch.tensor([[20.0, 20.0]]), 40, 40), 40), image)


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
        torch.testing.assert_close(cut(image, window, 32)[0, :2, row, column], expected, atol=2e-3, rtol=0)
    assert window_scale(window).item() == pytest.approx(side / 32, rel=1e-5)


def test_outside_of_the_image_is_zero() -> None:
    window = make_windows(torch.tensor([[-100.0, -100.0]]), 40, 32)
    assert not cut(torch.ones(1, 3, 80, 80), window, 32).any()


def test_a_positive_roll_turns_the_window_from_right_to_down() -> None:
    window = make_windows(torch.tensor([[20.0, 20.0]]), 40, 40, torch.tensor([math.pi / 2]))
    torch.testing.assert_close(to_image(window, torch.tensor([[[40.0, 20.0]]])), torch.tensor([[[20.0, 40.0]]]))
