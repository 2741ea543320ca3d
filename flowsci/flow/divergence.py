"""The divergence of a velocity: the trace of its Jacobian, exact or estimated.

Rows of a batch are taken to be independent (no batch normalisation): the derivative of a sum over
the batch is then each sample's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.generators import Generators, normal, require, uniform

CACHED = 2**16
"""Entries of a batched pass above which a CPU's cache overflows and time a row grows."""


class Divergence(ABC):
    """How a divergence is had from reverse-mode differentiation."""

    @abstractmethod
    def directions(self, like: Tensor, generators: Generators | None) -> list[Tensor]:
        """Return the probes shaped like the state `(batch, ...)`, drawn once for a trajectory."""

    @abstractmethod
    def __call__(
        self, velocity: Tensor, x: Tensor, directions: list[Tensor], create_graph: bool
    ) -> Tensor:
        """Return the divergence `(batch,)` of a velocity `(batch, ...)` that depends on x."""


@dataclass(frozen=True)
class ExactDivergence(Divergence):
    """The whole Jacobian of each sample by batched backward passes, `rows` of it at a time.

    Memory grows with the rows; None takes all of them, or on a CPU as many as fit its cache. With
    one row there is a pass for each entry, which also serves networks whose operations can't be
    batched (`torch.vmap`).
    """

    rows: int | None = None

    def __post_init__(self) -> None:
        _check_count(rows=self.rows or 1)

    def directions(self, like: Tensor, generators: Generators | None) -> list[Tensor]:
        return []

    def __call__(
        self, velocity: Tensor, x: Tensor, directions: list[Tensor], create_graph: bool
    ) -> Tensor:
        size = x[0].numel()
        rows = self.rows or (max(1, CACHED // x.numel()) if x.device.type == "cpu" else size)
        starts = range(0, size, rows)
        parts = []
        for start in starts:
            count = min(rows, size - start)
            units = torch.zeros(count, size, dtype=x.dtype, device=x.device)
            units.diagonal(start).fill_(1)
            units = units.view(count, 1, *x.shape[1:]).expand(count, *x.shape)
            keep = create_graph or start != starts[-1]
            if count == 1:
                slopes = pull_back(velocity, x, units[0], create_graph, keep)[None]
            else:
                slopes = pull_back(velocity, x, units, create_graph, keep, batched=True)
            parts.append(slopes.reshape(count, len(x), size).diagonal(start, 0, 2).sum(1))
        return torch.stack(parts).sum(0)


@dataclass(frozen=True)
class Hutchinson(Divergence):
    """The mean of e . J e over random probes, one reverse pass each: unbiased (Hutchinson, 1989).

    Probes are signs (Rademacher), the least variance there is for independent entries, or normal
    (`gaussian`). They stay the same along a trajectory (FFJORD, Grathwohl et al., 2019), so that
    the log-density is unbiased and smooth in time.
    """

    probes: int = 1
    gaussian: bool = False

    def __post_init__(self) -> None:
        _check_count(probes=self.probes)

    def directions(self, like: Tensor, generators: Generators | None) -> list[Tensor]:
        generators = require(generators, "Hutchinson")
        return [self._draw(like, generators) for _ in range(self.probes)]

    def _draw(self, like: Tensor, generators: Generators) -> Tensor:
        if self.gaussian:
            return normal(like.shape, generators, like=like)
        return 1 - 2 * (uniform(like.shape, generators, like=like) < 0.5).to(like)

    def __call__(
        self, velocity: Tensor, x: Tensor, directions: list[Tensor], create_graph: bool
    ) -> Tensor:
        estimates = []
        for index, probe in enumerate(directions, start=1):
            keep = create_graph or index < len(directions)
            slopes = pull_back(velocity, x, probe, create_graph, keep)
            estimates.append(torch.linalg.vecdot(_rows(slopes), _rows(probe)))
        return estimates[0] if len(estimates) == 1 else torch.stack(estimates).mean(0)


def pull_back(
    velocity: Tensor,
    x: Tensor,
    directions: Tensor,
    create_graph: bool,
    retain_graph: bool,
    batched: bool = False,
) -> Tensor:
    """Return the transposed Jacobian times directions, each shaped like x.

    Raises where the velocity does not know that it depends on x.
    """
    if not velocity.requires_grad:
        raise FlowsciError(
            "the velocity can't be differentiated by the state: the field detaches it, runs under "
            "no_grad or inference_mode, or does not depend on it"
        )
    return torch.autograd.grad(
        velocity,
        x,
        directions,
        retain_graph=retain_graph,
        create_graph=create_graph,
        is_grads_batched=batched,
        materialize_grads=True,
    )[0]


def _rows(x: Tensor) -> Tensor:
    return x if x.ndim == 2 else x.reshape(len(x), -1)


def _check_count(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise FlowsciError(f"{name} must be at least 1, got {value}")
