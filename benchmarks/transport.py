"""Training with exact transport at batch 512, coupled in a loader's worker or inside the step.

The bar is on the CPU time of the main process, receiving the batch included: what a coupling takes
from the training itself. The worker's time is its own core's. Wall time follows only where the workers
keep up, so it stands in the details, with the number of workers that would. Batches travel as
arrays: a pipe takes the main process half the time that tensors in shared memory do.
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
ENDLESS = 10**9


@dataclass(frozen=True)
class CoupledPairs(Dataset):
    """Pairs `(2, batch, dimension)` of source and data, drawn and coupled where a loader asks."""

    x1: Tensor

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(index)
        x0 = torch.randn(self.x1.shape, generator=generator)
        return torch.stack([OptimalTransport()(x0, self.x1).source(x0), self.x1]).numpy()


def data() -> Tensor:
    return normal(BATCH, DIMENSION, seed=1) ** 2


def coupled_batches() -> Iterator[Tensor]:
    """Give pairs without end, made by one worker."""
    pairs = CoupledPairs(data())
    loader = DataLoader(pairs, batch_size=None, num_workers=1, collate_fn=as_it_is)
    return map(torch.from_numpy, loader)


def as_it_is(batch: np.ndarray) -> np.ndarray:
    """Keep the loader from making a tensor of the array before it travels."""
    return batch


def ours() -> LossOf:
    """Give the loss for pairs that arrive coupled."""
    objective = FlowMatching()
    return lambda network, pair, generator: objective(network, pair[1], generator, x0=pair[0]).value


def torchcfm() -> LossOf:
    from torchcfm import ExactOptimalTransportConditionalFlowMatcher

    matcher = ExactOptimalTransportConditionalFlowMatcher(sigma=0.0)

    def loss(network: Perceptron, x1: Tensor, generator: torch.Generator) -> Tensor:
        t, x, velocity = matcher.sample_location_and_conditional_flow(torch.randn_like(x1), x1)
        return ((network(x, t) - velocity) ** 2).mean()

    return loss


def measure(rounds: int = 60) -> Result:
    """Give the main process's CPU time of a step in that of the same step without transport."""
    x1, batches = data(), coupled_batches()
    trainer, coupled = Trainer(make_network(DIMENSION, WIDTH)), ours()
    steps: dict[str, Contender] = {
        "without": partial(trainer.step, training.ours(), x1),
        OURS: lambda: trainer.step(coupled, next(batches)),
        IN_STEP: partial(trainer.step, training.ours(OptimalTransport()), x1),
        "torchcfm": partial(trainer.step, torchcfm(), x1),
    }
    found = ratios(take_turns(steps, rounds), "without")
    return Result("step with transport", "x", 1.15, found, details=_wall(steps, found[IN_STEP]))


def _wall(steps: Mapping[str, Contender], in_step: float) -> dict[str, float]:
    """Give the wall time of steps in a row, so that the worker has no pause to get ahead in."""

    def seconds(name: str) -> float:
        times = []
        for _ in range(3 * STEPS):
            start = time.perf_counter()
            steps[name]()
            times.append(time.perf_counter() - start)
        return median(times[STEPS:])

    return {
        "wall time with one worker, of the step without": seconds(OURS) / seconds("without"),
        "workers that keep up with these steps": in_step - 1,
    }
