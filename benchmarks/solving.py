"""Solver overhead: 100 Euler steps of a small network, against a bare loop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmarks.network import Perceptron, make_network, normal
from benchmarks.timing import OURS, Contender, Result, ratios, take_turns
from flowsci.flow import Euler, Linear, NetworkField, solve
from flowsci.flow.grids import uniform


@dataclass(frozen=True)
class Problem:
    """A network, the states `(batch, dimension)` to start from, and the number of steps."""

    network: Perceptron
    x: Tensor
    steps: int = 100


def make_problem(batch: int = 64, dimension: int = 2) -> Problem:
    return Problem(make_network(dimension), normal(batch, dimension))


@torch.no_grad()
def bare(problem: Problem) -> Tensor:
    x, step = problem.x, 1 / problem.steps
    for index in range(problem.steps):
        x = x + step * problem.network(x, torch.full((len(x),), index * step))
    return x


@torch.no_grad()
def ours(problem: Problem) -> Tensor:
    field = NetworkField(problem.network, Linear())
    return solve(field, problem.x, uniform(problem.steps), Euler())


def peers(problem: Problem) -> dict[str, Contender]:
    """Give each peer's Euler method on the same grid; torchcfm has no solver of its own."""
    return {
        "flow_matching": partial(_flow_matching, problem),
        "torchdiffeq": partial(_torchdiffeq, problem),
        "torchode": partial(_torchode, problem),
    }


def measure(rounds: int = 60) -> Result:
    """Give the CPU time of each solver in that of the bare loop."""
    problem = make_problem()
    contenders = {"bare": partial(bare, problem), OURS: partial(ours, problem), **peers(problem)}
    seconds = take_turns(contenders, rounds)
    return Result("solver overhead", "x", 1.10, ratios(seconds, "bare"), below_peers=True)


def _flow_matching(problem: Problem) -> Tensor:
    from flow_matching.solver import ODESolver

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return problem.network(x, t.expand(len(x)))

    grid = torch.linspace(0, 1, problem.steps + 1)
    return ODESolver(velocity).sample(problem.x, step_size=None, method="euler", time_grid=grid)


@torch.no_grad()
def _torchdiffeq(problem: Problem) -> Tensor:
    from torchdiffeq import odeint

    def velocity(t: Tensor, x: Tensor) -> Tensor:
        return problem.network(x, t.expand(len(x)))

    return odeint(velocity, problem.x, torch.linspace(0, 1, problem.steps + 1), method="euler")[-1]


@torch.no_grad()
def _torchode(problem: Problem) -> Tensor:
    import torchode

    batch = len(problem.x)
    term = torchode.ODETerm(lambda t, x: problem.network(x, t), with_stats=False)
    start, end = torch.zeros(batch), torch.ones(batch)
    ivp = torchode.InitialValueProblem(problem.x, start, end)
    solver = torchode.AutoDiffAdjoint(
        torchode.Euler(term), torchode.FixedStepController(), max_steps=problem.steps + 1
    )
    return solver.solve(ivp, term, dt0=torch.full((batch,), 1 / problem.steps)).ys[:, -1]
