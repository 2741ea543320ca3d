"""Log-likelihood in 32-D over 100 Euler steps, against a bare loop over the velocity alone.

The ratio depends on the batch: the overhead of single operations makes an estimate dear for small
ones, and a whole trace cheap. The bars are for batch 512 and batch 64; the others are details.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.network import make_network, normal
from benchmarks.solving import Problem, bare
from benchmarks.timing import OURS, Contender, Result, ratios, take_turns
from flowsci.flow import Euler, ExactDivergence, Hutchinson, Likelihood, Linear, NetworkField
from flowsci.flow.divergence import Divergence
from flowsci.flow.grids import uniform

STEPS, DIMENSION = 100, 32


def make_problem(batch: int, dimension: int = DIMENSION) -> Problem:
    return Problem(make_network(dimension), normal(batch, dimension), STEPS)


@torch.no_grad()
def ours(problem: Problem, divergence: Divergence) -> Tensor:
    field = NetworkField(problem.network, Linear())
    grid = uniform(problem.steps)
    likelihood = Likelihood(field, divergence=divergence, method=Euler(), grid=grid)
    return likelihood.log_density(problem.x, generators=torch.Generator().manual_seed(0))


def flow_matching(problem: Problem, exact: bool) -> Tensor:
    from flow_matching.solver import ODESolver

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return problem.network(x, t.expand(len(x)))

    return ODESolver(velocity).compute_likelihood(
        problem.x,
        standard_normal,
        step_size=None,
        time_grid=torch.linspace(1, 0, problem.steps + 1),
        exact_divergence=exact,
    )[1]


@torch.no_grad()
def estimate_by_hand(problem: Problem) -> Tensor:
    x, change, step = problem.x, torch.zeros(len(problem.x)), -1 / problem.steps
    probe = 1 - 2 * (torch.rand(x.shape) < 0.5).to(x)
    for index in range(problem.steps):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            velocity = problem.network(x, torch.full((len(x),), 1 + index * step))
            (slopes,) = torch.autograd.grad(velocity, x, probe)
        x = x.detach() + step * velocity.detach()
        change = change + step * (slopes * probe).sum(1)
    return standard_normal(x) + change


def standard_normal(x: Tensor) -> Tensor:
    return -(x.square() + math.log(2 * math.pi)).flatten(1).sum(1) / 2


def measure_estimate(rounds: int = 20) -> Result:
    """Give the CPU time with Hutchinson's estimate in that of the velocity alone."""

    def contenders(problem: Problem) -> dict[str, Contender]:
        return {
            OURS: partial(ours, problem, Hutchinson()),
            "by hand": partial(estimate_by_hand, problem),
            "flow_matching": partial(flow_matching, problem, exact=False),
        }

    return _measure("Hutchinson likelihood", 2.7, contenders, (512, 256, 64), rounds)


def measure_exact(rounds: int = 6) -> Result:
    """Give the CPU time with the exact trace in that of the velocity alone."""

    def contenders(problem: Problem) -> dict[str, Contender]:
        return {
            OURS: partial(ours, problem, ExactDivergence()),
            "flow_matching": partial(flow_matching, problem, exact=True),
        }

    return _measure("exact trace in 32-D", 27.0, contenders, (64, 256), rounds)


def _measure(
    name: str,
    bar: float,
    contenders: Callable[[Problem], dict[str, Contender]],
    batches: tuple[int, ...],
    rounds: int,
) -> Result:
    """Judge at the first batch size; the others are details."""
    found = {}
    for batch in batches:
        problem = make_problem(batch)
        velocity = {"velocity": partial(bare, problem)}
        found[batch] = ratios(take_turns({**velocity, **contenders(problem)}, rounds), "velocity")
    details = {
        f"{contender} at batch {batch}": value
        for batch in batches[1:]
        for contender, value in found[batch].items()
    }
    return Result(name, "x", bar, found[batches[0]], details=details)
