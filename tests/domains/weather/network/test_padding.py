"""Padding with a short way back is the grid's padding, values and gradients."""

import numpy as np
import pytest
import torch

from flowsci.domains.weather.grids import Grid, gauss_latitudes
from flowsci.domains.weather.network.padding import EdgePadding

GRIDS = {
    "gaussian": Grid.from_coordinates(gauss_latitudes(8)[0], np.arange(16) * 22.5),
    "poles": Grid.from_coordinates(np.linspace(-90, 90, 9), np.arange(16) * 22.5),
    "region": Grid.from_coordinates(np.linspace(40, 47, 8), np.arange(16) * 1.0),
    "periodic": Grid.periodic(8, 16),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("size", [(9, 16), (4, 8)])
def test_padding_is_the_grids(grid, size):
    pad = EdgePadding(grid)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    padded = pad(x)
    torch.testing.assert_close(padded, grid.pad(x, 1))
    weights = torch.randn_like(padded)
    found, wanted = (
        torch.autograd.grad((y * weights).sum(), x)[0] for y in (padded, grid.pad(x, 1))
    )
    torch.testing.assert_close(found, wanted)
    assert torch.autograd.gradgradcheck(pad, x[:1, :1].detach().requires_grad_())
