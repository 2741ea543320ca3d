import math
from types import SimpleNamespace

import pytest
import torch

from flowsci.domains.molecules import domain
from flowsci.domains.molecules.equilibrium.chart import Chart
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators

from .made import prepared, run

EXACT = {"samples": 40, "steps": 12, "method": "runge_kutta_4"}


def model_of(scale: float = 0.0):
    """Give a model whose network is untrained, or has weights of some size."""
    torch.manual_seed(0)
    settings = run()
    model = domain.model(settings.network, settings.flow, prepared().statistics)
    if scale:
        for parameter in model.network.parameters():
            torch.nn.init.normal_(parameter, std=scale)
    model.network.double()
    return model


def drawn(model, count=40, seed=0):
    settings = run(sampling=EXACT | {"samples": count}).sampling
    with torch.no_grad():
        batch = {"id": torch.zeros(1, dtype=torch.float64)}
        samples = model.sample(
            model.network, batch, sample_generators(seed, range(count)), settings
        )
    return {name: values[0] for name, values in samples.items()}


def test_a_network_that_says_nothing_leaves_the_law_of_the_chart():
    model = model_of()
    samples = drawn(model)
    assert samples["sound"].all()
    states, log_volume = model.chart.encode(samples["positions"])
    expected = model.source.log_density(states) + log_volume
    torch.testing.assert_close(samples["log_density"], expected, atol=1e-3, rtol=0)


def test_weights_are_equal_where_the_energy_is_that_of_the_chart():
    """For a Gaussian beside independent torsions the weights are known: all the same."""
    model = model_of()
    samples = drawn(model)
    states, log_volume = model.chart.encode(samples["positions"])
    log_target = -0.5 * states[:, model.chart.circles :].square().sum(1) + log_volume
    weights = log_target - samples["log_density"]
    assert float(weights.std()) < 1e-3
    constant = model.chart.circles * math.log(2 * math.pi)
    constant += 0.5 * (model.chart.dimensions - model.chart.circles) * math.log(2 * math.pi)
    assert float(weights.mean()) == pytest.approx(constant, abs=1e-3)


def test_the_density_of_a_sample_is_that_of_its_positions():
    model = model_of(0.15)
    samples = drawn(model)
    settings = run(sampling=EXACT).sampling
    states, log_volume = model.chart.encode(samples["positions"])
    with torch.no_grad():
        again = model.likelihood(model.network, settings).log_density(states) + log_volume
    assert float((samples["log_density"] - model.source.log_density(states)).std()) > 0.05
    torch.testing.assert_close(again, samples["log_density"], atol=5e-3, rtol=0)


def test_the_density_over_positions_integrates_to_one():
    """The mean over samples of another law over positions, over the density, is one."""
    model = model_of(0.05)
    samples = drawn(model, 400)
    statistics = dict(prepared().statistics["chart"])
    statistics["factor"] = (0.93 * torch.tensor(statistics["factor"])).tolist()
    statistics["mean"] = (torch.tensor(statistics["mean"]) * 1.0005).tolist()
    marginals = torch.tensor(statistics["marginals"])
    statistics["marginals"] = (0.99 * marginals + 0.01 / marginals.shape[1]).tolist()
    statistics["centres"] = [centre + 0.02 for centre in statistics["centres"]]
    other = Chart(model.chart.matrix, statistics)
    states, log_volume = other.encode(samples["positions"][samples["sound"]])
    ratio = (
        model.source.log_density(states) + log_volume - samples["log_density"][samples["sound"]]
    ).exp()
    error = float(ratio.std()) / math.sqrt(len(ratio))
    assert 0.005 < error < 0.1
    assert float(ratio.sum()) / 400 == pytest.approx(1, abs=4 * error)


def test_samples_do_not_depend_on_their_batch():
    model = model_of(0.15)
    whole, part = drawn(model, 6), drawn(model, 3)
    for name, values in part.items():
        torch.testing.assert_close(values, whole[name][:3])


def test_training_finds_what_the_chart_does_not_know():
    torch.manual_seed(0)
    settings = run(network={"width": 32})
    batches = domain.batches(prepared(), settings, "train")
    model = domain.model(settings.network, settings.flow, prepared().statistics)
    optimiser = torch.optim.AdamW(model.network.parameters(), lr=5e-3)
    before = _shifted_loss(model, batches, 1000)
    for number in range(100):
        loss = _shifted_loss(model, batches, number)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = _shifted_loss(model, batches, 1000)
    assert float(after.detach()) < float(before.detach()) - 0.04


def _shifted_loss(model, batches, number):
    """Give the loss on states of which one coordinate lies elsewhere than the chart expects."""
    states = batches[number]["states"].clone()
    states[:, -1] += 2
    generator = torch.Generator().manual_seed(number)
    return model.loss(model.network, {"states": states}, generator).value


def test_a_teacher_is_refused():
    with pytest.raises(FlowsciError, match="teacher"):
        model_of().learn_from(SimpleNamespace())
