"""Fewer digits change a forecast a little, and its precision outside not at all."""

import torch

from flowsci.domains.weather.precision import LowPrecision

from .models import batch, model
from .test_flow import conditions, draw, settings


def test_bfloat16_changes_samples_by_its_rounding():
    built, given = model(), conditions(steps=2)
    exact = draw(built, given, settings(steps=2))
    rounded = draw(built, given, settings(steps=2, precision="bfloat16"))
    assert all(part.dtype == torch.float32 for part in rounded.values())
    change = (rounded["fields"] - exact["fields"]).square().mean().sqrt()
    size = exact["fields"].square().mean().sqrt()
    assert 1e-5 * size < change < 0.05 * size


def test_all_but_the_products_is_the_network_s_own():
    network = model().network
    low = LowPrecision(network)
    assert low.residuals is network.residuals
    with torch.no_grad():
        assert low(batch()).dtype == torch.float32
