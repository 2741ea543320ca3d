"""What every network must do on its grid, whatever its weights."""

import pytest
import torch

from flowsci.domains.weather.settings import TransformerSettings, UNetSettings
from tests.domains.weather.models import COLUMNS, REGION, STATISTICS, batch, model

NETWORKS = {
    "unet": UNetSettings(width=8, multipliers=[1, 2], patch=1),
    "patches": UNetSettings(width=8, multipliers=[1, 2], patch=2),
    "transformer": TransformerSettings(width=16, layers=2, heads=2),
}


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("statistics", [STATISTICS, REGION], ids=["sphere", "region"])
def test_both_streams_give_fields_of_the_grid(settings, statistics):
    network = model(settings, statistics=statistics).network
    cases = batch(statistics=statistics)
    mean = network(cases)
    assert mean.shape == cases["target"].shape
    t = torch.tensor([0.0, 0.4, 1.0])
    velocity = network(cases, cases["target"], t, mean)
    assert velocity.shape == mean.shape
    shared = network.velocity(cases["target"], t, network.context(cases, mean))
    torch.testing.assert_close(velocity, shared)


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_every_weight_but_the_other_streams_is_reached(settings):
    network = model(settings).network
    cases = batch()
    (
        network(cases).sum() + network(cases, cases["target"], torch.rand(3), cases["target"]).sum()
    ).backward()
    unreached = [n for n, w in network.named_parameters() if w.grad is None or not w.grad.any()]
    assert all(name.startswith("known.") for name in unreached), unreached
    cases["coarse"] = torch.randn_like(cases["coarse"])
    network(cases).sum().backward()
    assert network.known[0].convolution.weight.grad.any()


@pytest.mark.parametrize("name", ["unet", "patches"])
def test_turning_the_sphere_turns_the_forecast(name):
    network = model(NETWORKS[name]).network
    cases = batch()
    quarter = COLUMNS // 4
    turned = {
        n: p.roll(quarter, -1) if p.ndim > 2 and n != "future_times" else p
        for n, p in cases.items()
    }
    torch.testing.assert_close(
        network(turned), network(cases).roll(quarter, -1), rtol=1e-4, atol=1e-5
    )


def test_a_pole_is_no_edge():
    network = model(NETWORKS["unet"]).network
    with torch.no_grad():
        fields = torch.zeros(1, 3, 8, 16)
        fields[:, 0, -1, 3] = 1.0
        stem = network.state(fields)
    # the cell beyond the pole, half a circle away, is a neighbour; one a quarter away is none
    assert stem[0, :, -1, 11].abs().sum() > 0
    assert stem[0, :, -1, 7].abs().sum() == 0


def test_winds_change_sign_beyond_a_pole():
    network = model(NETWORKS["unet"]).network
    for channel, sign in ((0, 1), (1, -1), (2, -1)):
        fields = torch.zeros(1, 3, 8, 16)
        fields[:, channel, -1, 11] = 1.0
        beyond = network.state(fields)[0, :, -1, 3]
        # the kernel's row beyond the pole sees the cell itself, with its sign
        kernel = network.state.convolution.weight[:, channel, 2, 1]
        torch.testing.assert_close(beyond, sign * kernel)


def test_noise_alone_moves_as_gaussian_theory_says():
    network = model().network
    cases = batch()
    torch.nn.init.zeros_(network.flow.backbone.out.convolution.weight)
    torch.nn.init.zeros_(network.flow.backbone.out.convolution.bias)
    x, t = cases["target"], torch.tensor([0.0, 0.5, 1.0])
    velocity = network(cases, x, t, x)
    torch.testing.assert_close(velocity, torch.tensor([-1.0, 0.0, 1.0])[:, None, None, None] * x)
