"""Ensembles on a grid of T21: a step of training, a flow's calls, a student's one."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.timing import OURS, Result, take_turns
from flowsci.domains.weather import domain
from flowsci.domains.weather.flow import WeatherFlow
from flowsci.domains.weather.grids import gauss_latitudes
from flowsci.domains.weather.settings import (
    FlowSettings,
    StudentSettings,
    UNetSettings,
    WeatherSampling,
)
from flowsci.flow import sample_generators
from flowsci.training.devices import flushed_denormals
from flowsci.training.muon import Muon

ROWS, COLUMNS, CHANNELS, TRUNCATION = 32, 64, 6, 22
BATCH, MEMBERS = 8, 16
ROUNDS = 10
DEMO, SMALL = UNetSettings(), UNetSettings(width=40)
"""The demo's, and the least width whose two streams have 0.65 M weights together."""


def statistics() -> dict[str, Any]:
    """Give the statistics of a made dataset at T21: a temperature, winds and three other fields."""
    winds = {1: ("u", 2), 2: ("v", 1)}
    channels = [
        {"name": f"field_{number}", "units": "1", "vector": None, "partner": None}
        | dict(zip(("vector", "partner"), winds.get(number, (None, None)), strict=True))
        for number in range(CHANNELS)
    ]
    return {
        "grid": "gaussian",
        "latitude": gauss_latitudes(ROWS)[0].tolist(),
        "longitude": (np.arange(COLUMNS) * 360 / COLUMNS).tolist(),
        "truncation": TRUNCATION,
        "step_hours": 12,
        "anomaly_mean": [0.0] * CHANNELS,
        "anomaly_spread": [1.0] * CHANNELS,
        "channels": channels,
    }


def batch(cases: int) -> dict[str, Tensor]:
    """Give forecasts of a day from random fields."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(cases, *shape, generator=generator)

    space = (ROWS, COLUMNS)
    nothing = torch.zeros(cases, CHANNELS, *space)
    return {
        "id": torch.arange(cases),
        "previous": normal(2, CHANNELS, *space),
        "has_previous": torch.ones(cases),
        "climatology": normal(CHANNELS, *space),
        "static": normal(6, *space),
        "times": normal(5),
        "valid": torch.ones_like(nothing),
        "observed": nothing,
        "observed_mask": nothing,
        "coarse": nothing,
        "coarse_factor": torch.zeros(cases),
        "target": normal(CHANNELS, *space),
        "future_climatology": normal(1, CHANNELS, *space),
        "future_times": normal(1, 5),
    }


def model(flow: FlowSettings | StudentSettings, network: UNetSettings = DEMO) -> WeatherFlow:
    """Give a network, that of the demo if none is named, with untrained weights."""
    return domain.model(network, flow, statistics())


def measure_training() -> Result:
    """Time a step with AdamW at batch 8; Muon and the demo's network stand beside it."""
    steps = {
        OURS: _step(_adamw, SMALL),
        "muon": _step(_muon, SMALL),
        "demo": _step(_adamw, DEMO),
        "demo_muon": _step(_muon, DEMO),
    }
    with flushed_denormals():
        seconds = take_turns(steps, ROUNDS)
    times = {name: 1000 * median(each) for name, each in seconds.items()}
    details = {"parameters": _count(SMALL), "demo_parameters": _count(DEMO)}
    details |= {name: value for name, value in times.items() if name != OURS}
    return Result("weather_training", "ms", 110.0, {OURS: times[OURS]}, details=details)


def _adamw(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)


def _muon(network: nn.Module) -> torch.optim.Optimizer:
    return Muon(network, lr=1e-4, weight_decay=0)


def _count(network: UNetSettings) -> int:
    return sum(weight.numel() for weight in model(FlowSettings(), network).network.parameters())


def _step(
    optimiser: Callable[[nn.Module], torch.optim.Optimizer], settings: UNetSettings
) -> Callable[[], None]:
    built, cases = model(FlowSettings(), settings), batch(BATCH)
    network = built.network.train()
    moves = optimiser(network)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        moves.zero_grad(set_to_none=True)
        built.loss(network, cases, generator).value.backward()
        moves.step()

    return step


def measure_ensemble() -> Result:
    """Time 16 members of a start by a flow's eight calls."""
    return _ensemble("weather_ensemble", 1.1, FlowSettings(), steps=4, method="heun")


def measure_student() -> Result:
    """Time 16 members of a start by a student's one call."""
    return _ensemble("weather_student", 0.2, StudentSettings(), steps=1, method="euler")


def _ensemble(
    name: str, bar: float, flow: FlowSettings | StudentSettings, steps: int, method: str
) -> Result:
    built, start = model(flow), batch(1)
    built.network.eval()
    settings = WeatherSampling(samples=MEMBERS, steps=steps, method=method)

    def sample() -> object:
        generators = sample_generators(0, range(MEMBERS))
        return built.sample(built.network, start, generators, settings)

    with torch.inference_mode():
        seconds = take_turns({OURS: sample}, ROUNDS)
    return Result(name, "s", bar, {OURS: median(seconds[OURS])})
