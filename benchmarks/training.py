"""A training step: draw, blend, loss, backward pass and Adam, against the same written by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.network import Perceptron, make_network, normal
from benchmarks.timing import OURS, Contender, Result, ratios, take_turns
from flowsci.flow import Coupling, FlowMatching

STEPS = 10
LossOf = Callable[[Perceptron, Tensor, torch.Generator], Tensor]


class Trainer:
    """A network with its optimiser and generator; contenders share one and differ in their loss."""

    def __init__(self, network: Perceptron) -> None:
        self.network = network
        self.optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
        self.generator = torch.Generator().manual_seed(0)

    def step(self, loss_of: LossOf, batch: Tensor) -> Tensor:
        self.optimiser.zero_grad()
        loss = loss_of(self.network, batch, self.generator)
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    def steps(self, loss_of: LossOf, batch: Tensor) -> Tensor:
        """Make `STEPS` steps on one batch; give the last loss."""
        for _ in range(STEPS):
            loss = self.step(loss_of, batch)
        return loss


def by_hand(network: Perceptron, x1: Tensor, generator: torch.Generator) -> Tensor:
    t = torch.rand(len(x1), generator=generator)
    x0 = torch.randn(x1.shape, generator=generator)
    x = (1 - t)[:, None] * x0 + t[:, None] * x1
    return ((network(x, t) - (x1 - x0)) ** 2).mean()


def ours(coupling: Coupling | None = None) -> LossOf:
    objective = FlowMatching(coupling=coupling)
    return lambda network, x1, generator: objective(network, x1, generator).value


def peers() -> dict[str, LossOf]:
    """Give the losses of the peers that train, as their examples write them."""
    from flow_matching.path import AffineProbPath
    from flow_matching.path.scheduler import CondOTScheduler
    from torchcfm import ConditionalFlowMatcher

    matcher = ConditionalFlowMatcher(sigma=0.0)
    path = AffineProbPath(CondOTScheduler())

    def torchcfm(network: Perceptron, x1: Tensor, generator: torch.Generator) -> Tensor:
        x0 = torch.randn_like(x1)
        t, x, velocity = matcher.sample_location_and_conditional_flow(x0, x1)
        return ((network(x, t) - velocity) ** 2).mean()

    def flow_matching(network: Perceptron, x1: Tensor, generator: torch.Generator) -> Tensor:
        x0, t = torch.randn_like(x1), torch.rand(len(x1))
        found = path.sample(x_0=x0, x_1=x1, t=t)
        return ((network(found.x_t, t) - found.dx_t) ** 2).mean()

    return {"torchcfm": torchcfm, "flow_matching": flow_matching}


def measure(rounds: int = 200, batch: int = 64) -> Result:
    """Give the CPU time of a training step in that of a hand-written one."""
    losses = {"by hand": by_hand, OURS: ours(), **peers()}
    trainer, x1 = Trainer(make_network(2)), normal(batch, 2, seed=1)
    contenders: dict[str, Contender] = {
        name: partial(trainer.steps, loss_of, x1) for name, loss_of in losses.items()
    }
    seconds = take_turns(contenders, rounds)
    return Result("training step", "x", 1.05, ratios(seconds, "by hand"))
