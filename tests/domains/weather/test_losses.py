"""Errors of fields against what they are by definition."""

import numpy as np
import pytest
import torch

from flowsci.domains.weather.grids import gauss_latitudes
from flowsci.domains.weather.harmonics import SphericalTransform
from flowsci.domains.weather.losses import amplitude_and_decorrelation, area_mean, fair_crps

TRANSFORM = SphericalTransform(gauss_latitudes(16)[0], np.arange(32) * 11.25, 12)


def fields(count=2, seed=0):
    draws = torch.randn(count, 3, 16, 32, generator=torch.Generator().manual_seed(seed))
    return TRANSFORM.project(draws)


def test_fair_crps_is_its_definition_and_that_of_scores():
    import xarray
    from scores.probability import crps_for_ensemble

    members, truth = fields(5).unsqueeze(0), fields(1, seed=1)
    found = fair_crps(members, truth)
    given = xarray.DataArray(members[0].numpy(), dims=("member", "c", "y", "x"))
    wanted = crps_for_ensemble(
        given,
        xarray.DataArray(truth[0].numpy(), dims=("c", "y", "x")),
        "member",
        method="fair",
        preserve_dims=["c", "y", "x"],
    )
    torch.testing.assert_close(
        found[0], torch.from_numpy(wanted.values).float(), rtol=1e-4, atol=1e-5
    )


def test_the_amplitudes_error_knows_amplitudes_from_phases():
    truth = fields()
    none = amplitude_and_decorrelation(truth, truth, TRANSFORM)
    torch.testing.assert_close(none, torch.zeros_like(none), rtol=0, atol=1e-5)
    power = TRANSFORM.power(truth).sum(-1)
    half = amplitude_and_decorrelation(truth / 2, truth, TRANSFORM)
    torch.testing.assert_close(half, power / 4, rtol=1e-3, atol=1e-5)
    opposite = amplitude_and_decorrelation(-truth, truth, TRANSFORM)
    torch.testing.assert_close(opposite, 4 * power, rtol=1e-3, atol=1e-5)


def test_the_amplitudes_error_prefers_no_faint_forecast():
    """Of an uncorrelated forecast the squared error is least at zero, this one's not."""
    truth, other = fields(64), fields(64, seed=9)
    scales = (0.0, 0.5, 1.0)
    ours = [amplitude_and_decorrelation(s * other, truth, TRANSFORM).mean() for s in scales]
    square = [(s * other - truth).square().mean() for s in scales]
    assert square[0] < square[1] < square[2]
    assert ours[2] - ours[0] < 0.6 * (square[2] - square[0]) * 1.5
    assert ours[1] - ours[0] < (square[1] - square[0])


def test_cells_without_a_value_weigh_nothing():
    area = torch.full((2, 2), 0.25)
    values = torch.tensor([[[[1.0, 2.0], [3.0, 100.0]]]])
    valid = torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])
    assert area_mean(values, area, {"valid": valid}).tolist() == pytest.approx([2.0])
    assert area_mean(values, area, {}).tolist() == pytest.approx([26.5])
