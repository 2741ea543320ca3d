"""What is fitted on validation: the spread, the mean's error, and its factors by degree."""

import pytest
import torch

from flowsci.domains.weather.calibration import mean_factor, room, spread_factor
from flowsci.domains.weather.settings import WeatherSampling
from flowsci.flow import sample_generators
from tests.domains.weather.models import BOX, REGION, STATISTICS, batch, model

GRIDS = {"globe": STATISTICS, "box": BOX, "region": REGION}


def test_the_spread_factor_makes_spread_and_skill_equal():
    generator = torch.Generator().manual_seed(0)
    members, cases = 8, 40000
    centre = 0.5 * torch.randn(cases, 1, generator=generator)
    truth = centre[:, 0] + torch.randn(cases, generator=generator)
    drawn = 0.6 * torch.randn(cases, members, generator=generator) + 0.8 * centre
    mean, variance = drawn.mean(1), drawn.var(1)
    moments = [part.mean() for part in (truth**2, truth * mean, mean**2, variance)]
    factor = spread_factor(*moments, members=members)
    skill = (truth - factor * mean).square().mean()
    spread = factor**2 * variance.mean() * (members + 1) / members
    assert float(spread / skill) == pytest.approx(1, rel=1e-4)
    assert factor > 1


@pytest.mark.parametrize("variance", [0.5, 0.15, 0.01])
def test_the_spread_factor_of_residuals_that_foretell_most_of_the_error(variance):
    # e = m + noise of deviation 0.3: nothing is gained by members far from m
    error, product, mean = torch.tensor([1.09]), torch.tensor([1.0]), torch.tensor([1.0])
    factors = torch.linspace(0.05, 3, 2000)
    skill = error - 2 * factors * product + factors.square() * mean
    gap = (skill - factors.square() * variance * 9 / 8).abs()
    found = float(spread_factor(error, product, mean, torch.tensor([variance]), members=8))
    nearest = float(factors[(gap < gap.min() + 1e-3).nonzero()[0]])
    assert found == pytest.approx(nearest, abs=0.05)


def test_calibration_finds_the_error_of_the_mean():
    built = model()
    cases = batch(64)
    said = built.foretell(built.network, cases).detach()
    cases["target"] = said + 0.3 * torch.randn_like(said)
    built.calibrate(built.network, [cases])
    found = built.network.residuals
    wanted = torch.full((3, 8), 0.3)
    torch.testing.assert_close(found.mean_spread[0], wanted, rtol=0.2, atol=0)
    assert (found.spread[0] != 1).all()
    # tasks that no case has are left alone
    assert (found.spread[1:] == 1).all()


def power_of_members(built, cases, **changes):
    wanted = WeatherSampling(samples=8, steps=4, method="heun", **changes)
    ids = range(8 * len(cases["target"]))
    with torch.no_grad():
        fields = built.sample(built.network, cases, sample_generators(1, ids), wanted)["fields"]
    return built.band.power(fields[:, :, 0]).mean((0, 1))


@pytest.mark.parametrize("grid", GRIDS)
def test_factors_are_found_by_degree_and_give_members_the_power_of_the_truth(grid):
    built = model(statistics=GRIDS[grid])
    # residuals that know nothing of the case, as those of a good mean
    for weight in built.network.flow.backbone.out.convolution.parameters():
        torch.nn.init.zeros_(weight)
    cases = batch(96, GRIDS[grid])
    with torch.no_grad():
        said = built.foretell(built.network, cases)
    slope = torch.linspace(0.95, 0.7, built.band.degrees).expand(3, -1)
    noise = torch.randn(said.shape, generator=torch.Generator().manual_seed(2))
    left = built.band.project(0.5 * noise)
    cases["target"] = built.band.scaled(said, slope) + left
    truth = built.band.power(cases["target"]).mean(0)
    built.calibrate(built.network, [cases])
    found = built.network.residuals
    # neighbouring degrees are fitted together
    torch.testing.assert_close(found.gain[0], slope, rtol=0, atol=0.12)
    raw, calibrated = (
        (power_of_members(built, cases, calibrated=value) / truth - 1).abs().mean()
        for value in (False, True)
    )
    assert calibrated < 0.5 * raw


def test_a_mean_of_nothing_and_a_residual_of_nothing_are_left_as_they_are():
    nothing = torch.zeros(2, 4)
    assert (mean_factor(nothing, nothing) == 1).all()
    assert (spread_factor(*[nothing] * 4, members=8) == 1).all()


@pytest.mark.parametrize("carried", [0.3, 0.8, 0.95])
@pytest.mark.parametrize("memory", [0.0, 0.25, 0.5])
def test_noise_that_remembers_keeps_the_power_of_a_linear_process(carried, memory):
    power = 1 / (1 - carried**2)
    share = torch.tensor(1 / (carried**2 * power))
    factor = float(room(memory, torch.tensor(carried), share)) * carried
    # of x' = a x + e, where e is a first-order autoregression of variance one
    found = (1 + factor * memory) / ((1 - factor**2) * (1 - factor * memory))
    assert found == pytest.approx(power, rel=0.1)
    if memory == 0:
        assert found == pytest.approx(power, rel=1e-6)


def test_calibration_finds_what_a_mean_carries_on_and_what_it_leaves(monkeypatch):
    built, cases = model(), batch(96)
    last = built.band.project(cases["previous"][:, -1])
    noise = torch.randn(last.shape, generator=torch.Generator().manual_seed(2))
    left = built.band.project(0.5 * noise)
    cases["target"] = 0.8 * last + left
    # it foretells a little too much
    monkeypatch.setattr(
        built,
        "foretell",
        lambda network, batch: 0.9 * built.band.project(batch["previous"][:, -1]),
    )
    built.calibrate(built.network, [cases])
    found, power = built.network.residuals, built.band.power
    torch.testing.assert_close(
        found.gain[0], torch.full_like(found.gain[0], 8 / 9), rtol=0.1, atol=0
    )
    torch.testing.assert_close(found.carried[0], 0.9 * found.gain[0], rtol=0.02, atol=0)
    share = power(left).mean(0) / (0.64 * power(last).mean(0))
    assert float(found.share[0].mean()) == pytest.approx(float(share.mean()), rel=0.2)
    # tasks that no case has are left alone
    assert not found.carried[1:].any()
    cases["has_previous"] = torch.zeros_like(cases["has_previous"])
    built.calibrate(built.network, [cases])
    assert not found.carried.any()


def test_room_for_noise_whose_effect_grows_stays_a_share_of_the_mean():
    # a geometric sum of what grows would have no end
    factors = room(0.9, torch.linspace(0, 2, 50), torch.tensor(0.02))
    assert (factors > 0).all()
    assert (factors <= 1).all()
    assert (factors.diff() < 0).all()
