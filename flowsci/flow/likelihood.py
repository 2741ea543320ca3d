"""Exact log-density by integrating the divergence along the flow.

d log p_t(x_t) / dt = - div v(x_t, t) along dx = v dt (Neural ODE, Chen et al., 2018; FFJORD,
Grathwohl et al., 2019). State and log-density are solved for as one mapping state, by any method
for ODEs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import field as setting
from typing import Any, NamedTuple

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow import grids
from flowsci.flow.adaptive import Tsit5
from flowsci.flow.divergence import Divergence, ExactDivergence
from flowsci.flow.fields import Field
from flowsci.flow.generators import Generators
from flowsci.flow.masks import check
from flowsci.flow.methods import Euler, LastStep, Method, RungeKutta, RungeKutta4
from flowsci.flow.solvers import solve
from flowsci.flow.sources import Gaussian, Source

ODE_METHODS = (Euler, RungeKutta, Tsit5)
OFF_SUPPORT = 1e-3


@dataclass(frozen=True)
class Density:
    """States `(batch, ...)`, and the log-density `(batch,)` in nats at the data end of the flow."""

    state: Tensor
    log_density: Tensor


@dataclass(frozen=True)
class Likelihood:
    """The density of a flow whose velocity is `field` and whose x0 comes from `source`.

    The density is over the dimensions of the source: real entries only where there is a mask
    `(batch, n)`, and with `CentredGaussian` over the subspace without a centre of mass, of
    (n - 1) d dimensions for n real entries, with the volume that the Euclidean metric gives it.
    The field is projected on that space, so that its trace is the subspace's.

    Gradients flow to the field, the condition and the state; under `torch.no_grad` only the
    divergence is differentiated, at much less cost. `grid` rises from 0 to 1, by default in 40
    equal steps. Methods are those for ODEs.
    """

    field: Field
    source: Source = setting(default_factory=Gaussian)
    divergence: Divergence = setting(default_factory=ExactDivergence)
    method: Method = setting(default_factory=RungeKutta4)
    grid: Tensor = setting(default_factory=lambda: grids.uniform(40))

    def __post_init__(self) -> None:
        method = self.method
        inner = (method.method, method.last) if isinstance(method, LastStep) else (method,)
        if not all(isinstance(part, ODE_METHODS) for part in inner):
            raise FlowsciError(f"a log-density needs a method for ODEs, {method} is none")
        if self.grid.ndim != 1 or len(self.grid) < 2 or not self._whole:
            raise FlowsciError("a log-density needs a grid (steps + 1,) that rises from 0 to 1")

    @property
    def _whole(self) -> bool:
        return bool(self.grid[0] == 0) and bool(self.grid[-1] == 1)

    def encode(
        self,
        x1: Tensor,
        *,
        condition: Any = None,
        mask: Tensor | None = None,
        generators: Generators | None = None,
    ) -> Density:
        """Return x0 and log p1 for data x1 `(batch, ...)`.

        Raises where x1 is off the source's support: padding that is not zero, or a centre of mass.
        """
        check(mask, x1)
        self._check_support(x1, mask)
        x0, growth = self._carry(x1, self.grid.flip(0), condition, mask, generators)
        return Density(x0, self.source.log_density(x0, mask, condition) + growth)

    def log_density(
        self,
        x1: Tensor,
        *,
        condition: Any = None,
        mask: Tensor | None = None,
        generators: Generators | None = None,
    ) -> Tensor:
        """Return log p1 `(batch,)` in nats for data x1 `(batch, ...)`."""
        return self.encode(x1, condition=condition, mask=mask, generators=generators).log_density

    def decode(
        self,
        x0: Tensor,
        *,
        condition: Any = None,
        mask: Tensor | None = None,
        generators: Generators | None = None,
    ) -> Density:
        """Return x1 and log p1 for source states x0 `(batch, ...)`, in one solve."""
        check(mask, x0)
        self._check_support(x0, mask)
        x1, growth = self._carry(x0, self.grid, condition, mask, generators)
        return Density(x1, self.source.log_density(x0, mask, condition) - growth)

    def sample(
        self,
        like: Tensor,
        generators: Generators,
        *,
        condition: Any = None,
        mask: Tensor | None = None,
    ) -> Density:
        """Draw samples shaped like `like` together with their log-density."""
        x0 = self.source.sample(like, generators, mask, condition)
        return self.decode(x0, condition=condition, mask=mask, generators=generators)

    def _carry(
        self,
        x: Tensor,
        grid: Tensor,
        condition: Any,
        mask: Tensor | None,
        generators: Generators | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the state at the end of the grid and the growth of its log-volume."""
        directions = self.divergence.directions(x, generators)
        both = _WithVolume(self, mask, directions)
        start = {"state": x, "log_volume": x.new_zeros(len(x))}
        end = solve(both, start, grid, self.method, condition=condition)
        return end["state"], end["log_volume"]

    def _check_support(self, x: Tensor, mask: Tensor | None) -> None:
        with torch.no_grad():
            off = (x - self.source.project(x, mask)).abs()
            if off.numel() and not bool((off <= OFF_SUPPORT * x.abs().max()).all()):
                raise FlowsciError(
                    f"a state {tuple(x.shape)} lies {float(off.max()):.3g} off the support of "
                    f"{self.source}: put it there with source.project(x, mask)"
                )


@dataclass(frozen=True)
class _WithVolume:
    """The field of a state together with the log-volume around it, which the divergence grows."""

    likelihood: Likelihood
    mask: Tensor | None
    directions: list[Tensor]

    def __call__(
        self, x: dict[str, Tensor], t: Tensor, condition: Any = None
    ) -> dict[str, _Velocity]:
        model, mask, differentiable = self.likelihood, self.mask, torch.is_grad_enabled()
        with torch.enable_grad():
            state = x["state"]
            state = state if state.requires_grad else state.detach().requires_grad_()
            inside = model.source.project(state, mask)
            velocity = model.source.project(model.field(inside, t, condition).velocity, mask)
            divergence = model.divergence(velocity, state, self.directions, differentiable)
        if not differentiable:
            velocity = velocity.detach()
        return {"state": _Velocity(velocity), "log_volume": _Velocity(divergence)}


class _Velocity(NamedTuple):
    velocity: Tensor


def bits_per_dimension(
    log_density: Tensor, dimensions: Tensor | int, bin_width: float = 1.0
) -> Tensor:
    """Return bits per dimension `(batch,)` from log-densities in nats, `(batch,)`.

    `dimensions` is that of `source.dimensions(x, mask)`. For data that was rounded to bins of
    `bin_width` (images in [-1, 1] of 256 levels: 2 / 255) and dequantised by uniform noise, this
    bounds the code length of the bins; with width 1 it is the differential one.
    """
    if not bin_width > 0:
        raise FlowsciError(f"bin_width must be positive, got {bin_width}")
    return -log_density / (dimensions * math.log(2)) - math.log2(bin_width)
