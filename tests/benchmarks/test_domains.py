"""The domains' measures time what they say, and the command runs them."""

import pytest
import torch

from benchmarks import domains, trajectories, weather
from benchmarks.timing import OURS
from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.settings import SceneSampling, StudentSettings
from flowsci.flow import sample_generators


def test_the_student_says_twenty_futures_of_eleven_agents():
    model = domain.model(
        trajectories.network(decoder_layers=1), StudentSettings(), trajectories.statistics()
    )
    settings = SceneSampling(samples=trajectories.FUTURES, steps=1)
    generators = sample_generators(0, range(trajectories.FUTURES))
    with torch.inference_mode():
        drawn = model.sample(model.network, trajectories.scene(11), generators, settings)
    assert drawn["positions"].shape == (1, 20, 11, 12, 2)


@pytest.mark.parametrize("name", domains.MEASURES)
def test_every_measure_gives_a_time(name, monkeypatch):
    monkeypatch.setattr(trajectories, "MANY", 50)
    for module in (trajectories, weather):
        monkeypatch.setattr(module, "ROUNDS", 2)
    result = domains.MEASURES[name]()
    assert result.name == name
    assert result.values[OURS] > 0
