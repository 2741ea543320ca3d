"""Events in the latents of a linear-Gaussian case, whose answers are known."""

import math

import pytest
import torch

from flowsci.domains.weather.events import LONGEST, Event, design_point, log_weights, observe
from flowsci.domains.weather.settings import EventTask, FlowSettings, WeatherSampling
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from tests.domains.weather.models import STATISTICS, batch, model

SIZE, OFFSET = 40, 0.3
BOX = {"south": 0, "north": 60, "west": 0, "east": 120}
PLAIN = 6000
"""Calls that plain sampling needs to be within 1.3 of 1 in 100, 19 times of 20."""


@pytest.fixture
def slope() -> torch.Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(1))


def draws(seed: int, count: int) -> torch.Tensor:
    return torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed))


def probability(values, weights, threshold):
    """Give the mean weight of values (members,) above a threshold, and its standard error."""
    hits = torch.where(values > threshold, weights.exp(), 0.0)
    return hits.mean(), hits.std() / len(hits) ** 0.5


def test_a_rare_event_at_a_tenth_of_plain_samplings_calls(slope):
    quantity = lambda z: OFFSET + z @ slope  # noqa: E731
    threshold = OFFSET + 2.326348 * float(slope.norm())
    shift = design_point(quantity, torch.zeros(1, SIZE), torch.tensor([threshold]))
    assert float(shift.norm()) == pytest.approx(2.326348, rel=1e-4)
    ratios = []
    for seed in range(20):
        # the design point asks for four values and slopes, which cost three calls each
        z = draws(seed, PLAIN // 10 - 12) + shift
        found, error = probability(quantity(z), log_weights(z, shift), threshold)
        ratios.append(float(found) / 0.01)
        assert abs(ratios[-1] - 1) < 6 * float(error) / 0.01
    assert max(ratios) < 1.3
    assert min(ratios) > 1 / 1.3
    assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.05)


def test_the_design_point_of_a_bent_quantity_lies_on_the_threshold(slope):
    quantity = lambda z: z @ slope + 0.02 * (z @ slope) ** 2  # noqa: E731
    point = design_point(quantity, torch.zeros(1, SIZE), torch.tensor([15.0]))
    assert float(quantity(point)) == pytest.approx(15, rel=1e-3)


def test_a_likely_event_is_drawn_as_it_comes(slope):
    quantity = lambda z: OFFSET + z @ slope  # noqa: E731
    origin = torch.zeros(2, SIZE)
    thresholds = OFFSET + float(slope.norm()) * torch.tensor([-1.0, 1.0])
    likely, rare = design_point(quantity, origin, thresholds)
    assert not likely.any()
    assert float(rare.norm()) == pytest.approx(1, rel=1e-4)
    z = draws(0, 2000) + likely
    found, _ = probability(quantity(z), log_weights(z, likely), float(thresholds[0]))
    assert float(found) == pytest.approx(0.841, abs=0.03)


def test_what_is_out_of_reach_is_sought_no_farther_than_it_can_be(slope):
    quantity = lambda z: OFFSET + z @ slope  # noqa: E731
    point = design_point(quantity, torch.zeros(1, SIZE), torch.tensor([1e6]))
    assert float(point.norm()) == pytest.approx(LONGEST, rel=1e-5)
    assert float(point @ slope) > 0


def test_nothing_is_sought_where_an_event_is_likely():
    asked = []

    def quantity(z):
        asked.append(z)
        return z.sum(1)

    design_point(quantity, torch.zeros(1, SIZE), torch.tensor([-3.0]))
    assert len(asked) == 1


def test_an_observation_gives_the_posterior_of_a_linear_gaussian_case(slope):
    error, observed, count = 2.0, 9.0, 20000
    quantity = lambda z: OFFSET + z @ slope  # noqa: E731
    noise = torch.randn(count, generator=torch.Generator().manual_seed(7))
    z = observe(quantity, draws(3, count), observed + error * noise, error)
    prior = float(slope.square().sum())
    gain = prior / (prior + error**2)
    values = quantity(z)
    assert float(values.mean()) == pytest.approx(OFFSET + gain * (observed - OFFSET), rel=0.03)
    assert float(values.std()) == pytest.approx(math.sqrt(prior * (1 - gain)), rel=0.03)
    across = z - torch.outer(z @ slope, slope) / prior
    assert float(across.square().sum(1).mean()) == pytest.approx(SIZE - 1, rel=0.03)


@pytest.mark.parametrize("noise", ["white", "matched"])
def test_members_of_a_models_event_reach_it_and_weigh_what_they_should(noise):
    built = model(flow=FlowSettings(noise=noise))
    given = batch(2, steps=2)
    given.pop("target")
    task = {"kind": "event", "rollout_steps": 2, "channel": "surface_pressure", "region": BOX}
    plain = WeatherSampling(samples=64, steps=1, task={"kind": "forecast", "rollout_steps": 2})
    with torch.no_grad():
        free = built.sample(built.network, given, sample_generators(1, range(128)), plain)
    event = Event(built, EventTask(**task, threshold=0.0), STATISTICS)
    cells = event.weights(given["valid"][0])
    values = event.of(free["fields"][:, :, -1], given["future_climatology"][:, -1:], cells)
    threshold = float(values[0].quantile(0.9))
    wanted = WeatherSampling(samples=64, steps=1, task={**task, "threshold": threshold})
    with torch.no_grad():
        drawn = built.sample(built.network, given, sample_generators(2, range(128)), wanted)
    assert drawn["fields"].shape == free["fields"].shape
    assert (drawn["quantity"][0] > threshold).float().mean() > 0.25
    found, error = probability(drawn["quantity"][0], drawn["log_weight"][0], threshold)
    assert abs(float(found) - 0.1) < 4 * float(error) + 0.04
    assert drawn["region"].sum((1, 2)).tolist() == pytest.approx([1, 1])


def test_an_event_may_lie_below_a_threshold_and_plain_members_stand_beside_it():
    built, given = model(), batch(1)
    given.pop("target")
    task = {"kind": "event", "channel": "surface_pressure", "region": BOX}
    free, low = {"guided": False, "threshold": 0.0}, {"below": True}

    def drawn(samples, **changes):
        settings = WeatherSampling(samples=samples, steps=1, task={**task, **changes})
        generators = sample_generators(1, range(samples))
        with torch.no_grad():
            return built.sample(built.network, given, generators, settings)

    plain = drawn(256, **free)
    assert not plain["log_weight"].any()
    threshold = float(plain["quantity"][0].quantile(0.05))
    guided = drawn(64, threshold=threshold, **low)
    reached = guided["quantity"][0] < threshold
    assert 0.25 < reached.float().mean() < 0.75
    found = float((guided["log_weight"][0].exp() * reached).mean())
    assert found == pytest.approx(0.05, abs=0.03)
    assert guided["below"].tolist() == [1]


def test_thresholds_that_no_weather_passes_stop_nothing():
    built, given = model(), batch(1)
    given.pop("target")
    task = {"kind": "event", "channel": "surface_pressure", "region": BOX}
    for threshold in (1e5, -1e5):
        settings = WeatherSampling(samples=4, steps=1, task={**task, "threshold": threshold})
        with torch.no_grad():
            generators = sample_generators(1, range(4))
            drawn = built.sample(built.network, given, generators, settings)
        reached = drawn["quantity"] > threshold
        assert bool(reached.all()) == (threshold < 0)


def test_members_are_drawn_to_an_observation():
    built = model()
    given = batch(1)
    given.pop("target")
    task = {"kind": "event", "channel": "surface_pressure", "region": BOX}
    plain = WeatherSampling(samples=32, steps=1, task={"kind": "forecast"})
    with torch.no_grad():
        free = built.sample(built.network, given, sample_generators(1, range(32)), plain)
    event = Event(built, EventTask(**task, threshold=0.0), STATISTICS)
    cells = event.weights(given["valid"][0])
    values = event.of(free["fields"][:, :, -1], given["future_climatology"][:, -1:], cells)[0]
    spread = float(values.std())
    wanted = plain.model_copy(
        update={
            "task": EventTask(
                **task,
                observation=float(values.mean()) + spread,
                observation_error=0.1 * spread,
            )
        }
    )
    with torch.no_grad():
        drawn = built.sample(built.network, given, sample_generators(2, range(32)), wanted)
    found = drawn["quantity"][0]
    assert float(found.mean()) == pytest.approx(wanted.task.observation, abs=0.3 * spread)
    assert float(found.std()) < 0.5 * spread
    assert "threshold" not in drawn


def test_cells_without_a_value_are_no_part_of_an_event():
    built, given = model(), batch(1)
    channel = built.channels.index("surface_pressure")
    task = EventTask(kind="event", channel="surface_pressure", region=BOX, threshold=0.0)
    event, valid = Event(built, task, STATISTICS), given["valid"][0].clone()
    rows, columns = event.weights(valid).nonzero()[0].tolist()
    valid[channel, rows, columns] = 0
    cells = event.weights(valid)
    assert cells[rows, columns] == 0
    assert float(cells.sum()) == pytest.approx(1)
    with pytest.raises(FlowsciError, match="no cell of the box has a value of surface_pressure"):
        event.weights(torch.zeros_like(valid))


def test_an_event_of_no_cell_or_channel_is_refused():
    task = EventTask(channel="rain", region=BOX, threshold=1)
    with pytest.raises(FlowsciError, match="there is no 'rain'"):
        Event(model(), task, STATISTICS)
    between = {"south": 1, "north": 2, "west": 1, "east": 2}
    task = EventTask(channel="surface_pressure", region=between, threshold=1)
    with pytest.raises(FlowsciError, match=r"task\.region: no cell of the grid lies in the box"):
        Event(model(), task, STATISTICS)
