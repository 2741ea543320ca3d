"""Training with exact transport at batch 512, coupled in a loader's worker or inside the step.

The bar is on the CPU time of the main process, receiving the pairing included: what a coupling
takes from the training itself. The worker's time is its own core's: it works ahead while the other
contenders have their turns. Wall time follows only where the workers keep up, so it stands in the
details, with the number of workers that would.

The worker sends the indices of its pairings alone: the source is drawn again from the batch's own
seed. They go as an array, ten batches at a time, since a message costs a twentieth of such a step
and a tensor in shared memory twice that.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks import training
from benchmarks.network import Perceptron, make_network, normal
from benchmarks.timing import OURS, Contender, Result, ratios, take_turns
from benchmarks.training import STEPS, LossOf, Trainer
from flowsci.flow import FlowMatching, OptimalTransport

BATCH, DIMENSION, WIDTH = 512, 32, 256
IN_STEP = "flowsci in step"
ENDLESS = 10**6


def data() -> Tensor:
    return normal(BATCH, DIMENSION, seed=1) ** 2


def source(number: int) -> Tensor:
    """Draw the source of a batch, the same wherever it is asked for."""
    return normal(BATCH, DIMENSION, seed=number)


@dataclass(frozen=True)
class Pairings(Dataset):
    """The source indices `(STEPS, batch)` of a block of batches, computed where a loader asks."""

    x1: Tensor

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, block: int) -> np.ndarray:
        coupling, numbers = OptimalTransport(), range(STEPS * block, STEPS * (block + 1))
        return np.stack([coupling(source(n), self.x1).source_index.numpy() for n in numbers])


def coupled_sources() -> Iterator[Tensor]:
    """Give the sources of batch after batch, paired with the data by one worker."""
    loader = DataLoader(Pairings(data()), batch_size=None, num_workers=1, collate_fn=as_it_is)
    indices = (torch.from_numpy(index) for block in loader for index in block)
    for number, index in enumerate(indices):
        yield source(number)[index]


def as_it_is(index: np.ndarray) -> np.ndarray:
    """Keep the loader from making a tensor of the array before it travels."""
    return index


def torchcfm() -> LossOf:
    from torchcfm import ExactOptimalTransportConditionalFlowMatcher

    matcher = ExactOptimalTransportConditionalFlowMatcher(sigma=0.0)

    def loss(network: Perceptron, x1: Tensor, generator: torch.Generator) -> Tensor:
        t, x, velocity = matcher.sample_location_and_conditional_flow(torch.randn_like(x1), x1)
        return ((network(x, t) - velocity) ** 2).mean()

    return loss


def measure(rounds: int = 20) -> Result:
    """Give the main process's CPU time of a step in that of the same step without transport."""
    x1, sources = data(), coupled_sources()
    trainer, objective = Trainer(make_network(DIMENSION, WIDTH)), FlowMatching()

    def coupled(network: Perceptron, x1: Tensor, generator: torch.Generator) -> Tensor:
        return objective(network, x1, generator, x0=next(sources)).value

    steps: dict[str, Contender] = {
        "without": partial(trainer.steps, training.ours(), x1),
        OURS: partial(trainer.steps, coupled, x1),
        IN_STEP: partial(trainer.steps, training.ours(OptimalTransport()), x1),
        "torchcfm": partial(trainer.steps, torchcfm(), x1),
    }
    found = ratios(take_turns(steps, rounds), "without")
    return Result("step with transport", "x", 1.15, found, details=_wall(steps, found[IN_STEP]))


def _wall(steps: Mapping[str, Contender], in_step: float) -> dict[str, float]:
    """Give the wall time of turns in a row, so that the worker has no pause to get ahead in."""

    def seconds(name: str) -> float:
        times = []
        for _ in range(8):
            start = time.perf_counter()
            steps[name]()
            times.append(time.perf_counter() - start)
        return median(times[5:])

    return {
        "wall time with one worker, of the step without": seconds(OURS) / seconds("without"),
        "workers that keep up with these steps": in_step - 1,
    }
