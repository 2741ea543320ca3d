"""Molecules of 18 atoms on one thread: views of training, and molecules drawn."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import OURS, Result, take_turns
from flowsci.domains.molecules import domain
from flowsci.domains.molecules.flow import MoleculeFlow
from flowsci.domains.molecules.settings import FlowSettings, MoleculesSampling, NetworkSettings
from flowsci.flow import sample_generators
from flowsci.training.devices import flushed_denormals
from flowsci.training.muon import Muon

ATOMS, BATCH, CALLS = 18, 64, 20
STATISTICS: dict[str, Any] = {"atomic_numbers": [1, 6, 7, 8, 9], "charges": [-1, 0, 1]}
VIEWS_A_SECOND, MOLECULES_A_SECOND = 300, 50
ROUNDS = 10


def molecules() -> dict[str, Tensor]:
    """Make a batch of molecules of one size; their chemistry does not matter to the clock."""
    generator = torch.Generator().manual_seed(0)
    orders = torch.randint(0, 4, (BATCH, ATOMS, ATOMS), generator=generator).triu(1)
    return {
        "mask": torch.ones(BATCH, ATOMS, dtype=torch.bool),
        "atomic_numbers": torch.tensor([1, 6, 7, 8])[
            torch.randint(0, 4, (BATCH, ATOMS), generator=generator)
        ],
        "charges": torch.zeros(BATCH, ATOMS, dtype=torch.int64),
        "bonds": orders + orders.mT,
        "positions": torch.randn(BATCH, ATOMS, 3, generator=generator),
    }


def model() -> MoleculeFlow:
    """Build the small network with its flow."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built: MoleculeFlow = domain.model(NetworkSettings(), FlowSettings(), STATISTICS)
    return built


def steps_of(built: MoleculeFlow) -> Callable[[], None]:
    """Give a step of training: noise, alignment, loss, gradient, clipping and optimiser."""
    batch, generator = molecules(), torch.Generator().manual_seed(0)
    optimiser = Muon(built.network, lr=1e-4, weight_decay=0.01)

    def step() -> None:
        loss = built.loss(built.network, batch, generator)
        optimiser.zero_grad()
        loss.value.backward()
        torch.nn.utils.clip_grad_norm_(built.network.parameters(), 1.0)
        optimiser.step()

    return step


def measure_training() -> Result:
    """Time a view of training, in half of which the network is asked twice."""
    step = steps_of(model())

    def four() -> None:
        for _ in range(4):
            step()

    with flushed_denormals():
        seconds = take_turns({OURS: four}, ROUNDS)[OURS]
    value = 1000 * median(seconds) / (4 * BATCH)
    details = {"views a second": 1000 / value}
    return Result("molecules_training", "ms", 1000 / VIEWS_A_SECOND, {OURS: value}, details=details)


def measure_sampling() -> Result:
    """Time a molecule drawn in 20 calls."""
    built, mask = model(), {"mask": molecules()["mask"]}
    built.network.eval()
    settings = MoleculesSampling(samples=1, steps=CALLS, conditions={"molecules": BATCH})

    def draw() -> None:
        with torch.inference_mode():
            generators = sample_generators(0, range(BATCH))
            built.sample(built.network, mask, generators, settings)

    value = 1000 * median(take_turns({OURS: draw}, ROUNDS)[OURS]) / BATCH
    details = {"molecules a second": 1000 / value}
    bar = 1000 / MOLECULES_A_SECOND
    return Result("molecules_sampling", "ms", bar, {OURS: value}, details=details)
