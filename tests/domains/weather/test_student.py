"""The one-step ensemble: what it takes from a teacher, and what its loss teaches."""

import pytest
import torch

from flowsci.domains.weather.settings import FlowSettings, StudentSettings, WeatherSampling
from flowsci.domains.weather.student import WeatherStudent
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from tests.domains.weather.models import STATISTICS, UNET, batch, model


def student(**changes):
    torch.manual_seed(0)
    return WeatherStudent(UNET, StudentSettings(noise="matched", **changes), STATISTICS)


def test_a_student_keeps_its_teachers_mean_and_draws_in_one_call():
    teacher = model(flow=FlowSettings(noise="matched"))
    taught = student()
    taught.learn_from(teacher)
    given = batch(4)
    taught.network.train()
    taught.loss(taught.network, given, torch.Generator().manual_seed(0)).value.backward()
    torch.testing.assert_close(taught.network(given), teacher.network(given))
    held = [n for n, w in taught.network.named_parameters() if not w.requires_grad]
    assert all(w.grad is None for n, w in taught.network.named_parameters() if n in held)
    assert "carry" in held
    assert not any(name.startswith("flow.") for name in held)
    calls = []
    taught.network.flow.register_forward_hook(lambda *_: calls.append(1))
    taught.network.eval()
    wanted = WeatherSampling(samples=4, steps=1, task={"kind": "forecast"})
    given.pop("target")
    with torch.no_grad():
        drawn = taught.sample(taught.network, given, sample_generators(0, range(16)), wanted)
    assert drawn["fields"].shape == (4, 4, 1, 3, 8, 16)
    assert len(calls) == 1


def test_a_student_refuses_what_it_cannot_learn_from():
    with pytest.raises(FlowsciError, match="learns from a run"):
        student().learn_from(student())
    other = model(UNET.model_copy(update={"width": 16}))
    with pytest.raises(FlowsciError, match="same `network`"):
        student().learn_from(other)
    moved = {**STATISTICS, "anomaly_mean": [0.0, 1.0, -1.0]}
    with pytest.raises(FlowsciError, match=r"teacher: surface_pressure: .* Name a teacher"):
        student().learn_from(model(flow=FlowSettings(noise="matched"), statistics=moved))
    curved = model(flow=FlowSettings(path="energy"))
    with pytest.raises(FlowsciError, match=r"flow.path: the teacher's is 'energy'"):
        student().learn_from(curved)


def test_fair_crps_teaches_the_members_how_uncertain_they_are():
    """Residuals that nothing foretells, 1.6 times as large as the noise."""
    taught = student(members=4)
    taught.taught = True
    cases = batch(16)
    cases["previous"] = torch.zeros_like(cases["previous"])
    noise = taught.source(taught.network, cases)
    optimiser = torch.optim.Adam(taught.network.parameters(), lr=1e-2)
    taught.network.train()
    generator = torch.Generator().manual_seed(5)
    for step in range(30):
        cases["target"] = 0.8 * noise.sample(cases["target"], generator)
        loss = taught.loss(taught.network, cases, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.value.backward()
        optimiser.step()
    wanted = WeatherSampling(samples=16, steps=1, task={"kind": "forecast"})
    with torch.no_grad():
        drawn = taught.sample(taught.network, cases, sample_generators(0, range(256)), wanted)
    spread = (drawn["fields"].var(1) * taught.area).sum((-2, -1)).mean().sqrt()
    assert float(spread) == pytest.approx(0.8, rel=0.15)


def test_without_a_teacher_the_mean_learns_beside_the_members():
    alone = student()
    alone.network.train()
    loss = alone.loss(alone.network, batch(4), torch.Generator().manual_seed(0))
    assert {name: len(term) for name, term in loss.terms.items()} == {"mean": 2, "flow": 2}
