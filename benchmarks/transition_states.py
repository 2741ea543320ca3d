"""Transition states: ten calls of the network for a batch of reactions."""

from __future__ import annotations

from statistics import median

import torch
from torch import Tensor

from benchmarks.timing import OURS, Result, take_turns
from flowsci.domains.transition_states import domain
from flowsci.domains.transition_states.settings import (
    FlowSettings,
    NetworkSettings,
    ReactionSampling,
)
from flowsci.domains.transition_states.stress import start_between
from flowsci.flow import sample_generators

ELEMENTS = [1, 6, 7, 8]
REACTIONS, ATOMS, CALLS = 32, 16, 10
ROUNDS = 15
BAR_MS = 10.0
"""A hundred transition states a second."""


def reactions() -> dict[str, Tensor]:
    """Give made reactions of the mean size of RDB7: atoms on a line that folds."""
    generator = torch.Generator().manual_seed(0)
    walk = torch.randn(REACTIONS, ATOMS, 3, generator=generator).cumsum(1)
    product = walk + 0.5 * torch.randn(walk.shape, generator=generator)
    mask = torch.ones(REACTIONS, ATOMS, dtype=torch.bool)
    numbers = torch.randint(len(ELEMENTS), mask.shape, generator=generator)
    chain = torch.diag(torch.ones(ATOMS - 1), 1)
    return {
        "mask": mask,
        "atomic_numbers": torch.tensor(ELEMENTS)[numbers],
        "orders": (chain + chain.T).expand(REACTIONS, 2, -1, -1),
        "reactant": walk,
        "product": product,
        "start": start_between(walk, product, mask),
    }


def measure() -> Result:
    """Time a transition state at ten calls, in a batch of 32, and at one call."""
    network = NetworkSettings(width=128, pair_width=48, layers=4)
    model = domain.model(network, FlowSettings(), {"atomic_numbers": ELEMENTS})
    model.network.eval()
    batch, generators = reactions(), sample_generators(0, range(REACTIONS))

    def sampler(calls: int) -> object:
        settings = ReactionSampling(samples=1, steps=calls)
        return lambda: model.sample(model.network, batch, generators, settings)

    with torch.inference_mode():
        seconds = take_turns({OURS: sampler(CALLS), "1 call": sampler(1)}, ROUNDS)
    values = {name: 1000 * median(times) / REACTIONS for name, times in seconds.items()}
    return Result("transition_states", "ms", BAR_MS, values)
