"""Futures of scenes: a student's one call, draws with their exact density, and an update."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import OURS, Result, take_turns
from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.flow import SceneFlow
from flowsci.domains.trajectories.modes import density_of
from flowsci.domains.trajectories.settings import (
    FlowSettings,
    NetworkSettings,
    SceneSampling,
    StudentSettings,
)
from flowsci.domains.trajectories.update import update
from flowsci.flow import sample_generators
from flowsci.runs import load_run

OBSERVED, PREDICTED, AGENTS, FUTURES = 8, 12, 11, 20
MANY, SCENES = 10_000, 32
ROUNDS = 30
PEDESTRIANS = Path(__file__).parents[1] / "config/runs/trajectories/eth_ucy_eth.yaml"


def statistics(axes: int = 2) -> dict[str, Any]:
    """Give the statistics of a made dataset: a random basis, scales of one."""
    generator = torch.Generator().manual_seed(0)
    size = PREDICTED * axes
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator))
    return {
        "observed_steps": OBSERVED,
        "predicted_steps": PREDICTED,
        "location_mean": [0.0] * axes,
        "location_scale": [1.0] * axes,
        "move_mean": [[0.0] * axes] * (OBSERVED - 1),
        "move_scale": [[1.0] * axes] * (OBSERVED - 1),
        "places": ["one"],
        "pace_mean": 1.0,
        "pace_floor": 0.2,
        "offset_mean": [0.0] * size,
        "offset_basis": basis.tolist(),
        "offset_scale": [1.0] * size,
    }


def scene(agents: int) -> dict[str, Tensor]:
    """Give one scene of walkers."""
    generator = torch.Generator().manual_seed(1)
    return {
        "observed": torch.randn(1, agents, OBSERVED, 2, generator=generator).cumsum(2),
        "mask": torch.ones(1, agents, dtype=torch.bool),
        "place": torch.full((1,), -1),
    }


def network() -> NetworkSettings:
    """Give the settings of the pedestrians' runs."""
    return load_run(PEDESTRIANS).settings.network


def measure_student() -> Result:
    """Time 20 futures of a scene of 11 agents, batch 1; beside it a teacher's ten calls."""
    batch, generators = scene(AGENTS), sample_generators(0, range(FUTURES))
    settings = SceneSampling(samples=FUTURES, steps=5, method="heun", densities=False)
    student = domain.model(network(), StudentSettings(), statistics())
    teacher = domain.model(network(), FlowSettings(), statistics())

    def sampler(model: SceneFlow) -> object:
        model.network.eval()
        return lambda: model.sample(model.network, batch, generators, settings)

    contenders = {OURS: sampler(student), "teacher, 10 calls": sampler(teacher)}
    with torch.inference_mode():
        seconds = take_turns(contenders, ROUNDS)
    values = {name: 1000 * median(times) for name, times in seconds.items()}
    return Result("trajectories_student", "ms", 2.0, values)


def measure_density() -> Result:
    """Time 10,000 joint futures of a scene of 11 agents, with each one's log-density."""
    model = domain.model(network(), FlowSettings(), statistics())
    batch = scene(AGENTS)
    with torch.inference_mode():
        context = model.network.eval().encode(batch)
        density = density_of(model.network.modes(context), context, model.basis)
        seconds = take_turns({OURS: lambda: density.draw(MANY, sample_generators(0, [0]))}, 10)
    return Result("trajectories_density", "s", 0.4, {OURS: median(seconds[OURS])})


def measure_update() -> Result:
    """Time an update of 10,000 futures of 11 agents with a new frame, a scene of 32 at once.

    Of futures that lie in memory step by step; beside it those that lie agent by agent, of which a
    frame is scattered over all of them, and one agent's.
    """
    generator = torch.Generator().manual_seed(0)
    by_agent = torch.randn(SCENES, MANY, AGENTS, PREDICTED, 2, generator=generator)
    by_step = by_agent.movedim(3, 0).contiguous().movedim(0, 3)
    one = by_agent[:, :, :1].contiguous()
    seen = torch.randn(SCENES, AGENTS, 2, generator=generator)
    contenders = {
        OURS: lambda: update(by_step, seen, 0.5, generator),
        "agent by agent": lambda: update(by_agent, seen, 0.5, generator),
        "one agent": lambda: update(one, seen[:, :1], 0.5, generator),
    }
    seconds = take_turns(contenders, ROUNDS)
    times = {name: 1000 * median(each) / SCENES for name, each in seconds.items()}
    details = {name: time for name, time in times.items() if name != OURS}
    return Result("trajectories_update", "ms", 0.6, {OURS: times[OURS]}, details=details)
