"""Training with exact transport at batch 512, coupled in a loader's worker or inside the step.

The bar is on the CPU time of the main process, receiving the batch included: what a coupling takes
from the training itself. The worker's time is its own core's. Wall time follows only where the
workers keep up, so it stands in the details, with the number of workers that would.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.network import Perceptron, make_network, normal
from benchmarks.timing import OURS, Result, ratios, take_turns
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

    def __getitem__(self, index: int) -> Tensor:
        generator = torch.Generator().manual_seed(index)
        x0 = torch.randn(self.x1.shape, generator=generator)
        return torch.stack([OptimalTransport()(x0, self.x1).source(x0), self.x1])


def data() -> Tensor:
    return normal(BATCH, DIMENSION, seed=1) ** 2


def coupled_batches() -> Iterator[Tensor]:
    """Give pairs without end, made by one worker."""
    return iter(DataLoader(CoupledPairs(data()), batch_size=None, num_workers=1))


def ours(network: Perceptron, pair: Tensor, generator: torch.Generator) -> Tensor:
    return FlowMatching()(network, pair[1], generator, x0=pair[0]).value


def ours_in_step(network: Perceptron, x1: Tensor, generator: torch.Generator) -> Tensor:
    return FlowMatching(coupling=OptimalTransport())(network, x1, generator).value


def uncoupled(network: Perceptron, x1: Tensor, generator: torch.Generator) -> Tensor:
    return FlowMatching()(network, x1, generator).value


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
    steps = {
        "without": partial(trainer(uncoupled).step, x1),
        OURS: partial(_step_on_next, trainer(ours), batches),
        IN_STEP: partial(trainer(ours_in_step).step, x1),
        "torchcfm": partial(trainer(torchcfm()).step, x1),
    }
    found = ratios(take_turns(steps, rounds), "without")
    return Result("step with transport", "x", 1.15, found, details=_wall(steps, found[IN_STEP]))


def trainer(loss: LossOf) -> Trainer:
    return Trainer(loss, make_network(DIMENSION, WIDTH))


def _step_on_next(trainer: Trainer, batches: Iterator[Tensor]) -> Tensor:
    return trainer.step(next(batches))


def _wall(steps: dict, in_step: float) -> dict[str, float]:
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
