"""The domains' measures time what they say, and the command runs them."""

import pytest
import torch

from benchmarks import domains, molecules, trajectories, weather
from benchmarks.timing import OURS
from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.settings import SceneSampling, StudentSettings
from flowsci.flow import sample_generators


def test_the_student_says_twenty_futures_of_eleven_agents():
    model = domain.model(trajectories.network(), StudentSettings(), trajectories.statistics())
    settings = SceneSampling(samples=trajectories.FUTURES, steps=1)
    generators = sample_generators(0, range(trajectories.FUTURES))
    with torch.inference_mode():
        drawn = model.sample(model.network, trajectories.scene(11), generators, settings)
    assert drawn["positions"].shape == (1, 20, 11, 12, 2)


def test_molecules_are_of_eighteen_atoms_and_all_weights_learn():
    batch, built = molecules.molecules(), molecules.model()
    assert batch["mask"].sum(1).tolist() == [18] * 64
    assert torch.equal(batch["bonds"], batch["bonds"].mT)
    before = [p.detach().clone() for p in built.network.parameters()]
    for step in (molecules.steps_of(built),) * 4:
        step()
    moved = [not torch.equal(p, q) for p, q in zip(built.network.parameters(), before, strict=True)]
    assert all(moved)


@pytest.mark.parametrize("name", domains.MEASURES)
def test_every_measure_gives_a_time(name, monkeypatch):
    monkeypatch.setattr(trajectories, "MANY", 50)
    for setting, value in {"BATCH": 3, "ATOMS": 5, "CALLS": 2, "ROUNDS": 2}.items():
        monkeypatch.setattr(molecules, setting, value)
    for module in (trajectories, weather):
        monkeypatch.setattr(module, "ROUNDS", 2)
    result = domains.MEASURES[name]()
    assert result.name == name
    assert result.values[OURS] > 0
