"""Flow maps: from the state at s to the state at t in one call, and reflow.

A flow map is `flow_map(x, s, t, condition) -> x`, times `(batch,)`. A one-step sampler is
`flow_map(x0, 0, 1)`; whatever learns a map (MeanFlow here, consistency and distillation alike)
gives the same signature, so that `jump` samples from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow import masks
from flowsci.flow.couplings import Coupling, check_rows_stay
from flowsci.flow.fields import Field, Network
from flowsci.flow.generators import Generators
from flowsci.flow.objectives import Loss
from flowsci.flow.paths import Linear, Path, check_pair
from flowsci.flow.predictions import check_same_shape
from flowsci.flow.solvers import Method, check_grid, grid_rows, solve
from flowsci.flow.sources import Gaussian, Source
from flowsci.flow.times import Times, Uniform


class FlowMap(Protocol):
    """What jumps: the state `(batch, ...)` at times s to that at times t, both `(batch,)`."""

    def __call__(self, x: Tensor, s: Tensor, t: Tensor, condition: Any = None) -> Tensor: ...


def jump(flow_map: FlowMap, x: Tensor, grid: Tensor, *, condition: Any = None) -> Tensor:
    """Carry a state along the times of `grid` `(steps + 1,)`, one call of the map a step.

    Raises and names the step when the state stops being finite.
    """
    check_grid(grid)
    for s, t in pairwise(grid_rows(grid, x)):
        x = flow_map(x, s, t, condition)
        if not x.isfinite().all():
            raise FlowsciError(
                f"the flow map is not finite (NaN or inf) from t = {float(s[0]):.6g} "
                f"to {float(t[0]):.6g}"
            )
    return x


@dataclass(frozen=True)
class AverageVelocityMap:
    """The flow map x + (t - s) u(x, s, t) of a network `(x, s, t, condition)` for u.

    u is the average velocity from s to t along the trajectory through x at s (MeanFlow).
    """

    network: Network

    def __call__(self, x: Tensor, s: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        average: Tensor = self.network(x, s, t, condition)
        check_same_shape(average, x)
        return x + masks.expand(t - s, x) * average


@dataclass(frozen=True)
class SolvedMap:
    """The flow map of a field, solved along `grid` of [0, 1] shrunk to [s, t] (one s and t).

    The truth that learned maps approximate.
    """

    field: Field
    grid: Tensor
    method: Method | None = None

    def __call__(self, x: Tensor, s: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        if not ((s == s[0]).all() and (t == t[0]).all()):
            raise FlowsciError("SolvedMap takes one s and one t for the whole batch")
        grid = s[0] + (t[0] - s[0]) * self.grid.to(s)
        return solve(self.field, x, grid, self.method, condition=condition)  # type: ignore[no-any-return]


class Derivative(ABC):
    """How du/ds along a trajectory is taken; the choice has a cost and an error."""

    @abstractmethod
    def __call__(
        self, average: Callable[[Tensor, Tensor], Tensor], x: Tensor, s: Tensor, velocity: Tensor
    ) -> Tensor:
        """Return the derivative of `average(x, s)` along (velocity, 1), without gradient."""


@dataclass(frozen=True)
class ForwardMode(Derivative):
    """Exact, by torch.func.jvp: the cost of about two forward passes.

    Every operation of the network needs a forward-mode rule (fused attention has none).
    """

    def __call__(
        self, average: Callable[[Tensor, Tensor], Tensor], x: Tensor, s: Tensor, velocity: Tensor
    ) -> Tensor:
        with torch.no_grad():
            derivative: Tensor = torch.func.jvp(average, (x, s), (velocity, torch.ones_like(s)))[1]
        return derivative


@dataclass(frozen=True)
class FiniteDifference(Derivative):
    """Central difference over +- `step` in time: two forward passes, any network, error O(step^2).

    At times nearer than `step` to 0 or 1 the difference is one-sided there, with error O(step).
    In float32 rounding adds about 1e-7 / step times the size of u. Dropout and the like would be
    differentiated too: the network must be deterministic.
    """

    step: float = 5e-3

    def __post_init__(self) -> None:
        if not 0 < self.step < 0.5:
            raise FlowsciError(f"step must lie in (0, 0.5), got {self.step}")

    def __call__(
        self, average: Callable[[Tensor, Tensor], Tensor], x: Tensor, s: Tensor, velocity: Tensor
    ) -> Tensor:
        back, ahead = s.clamp_max(self.step), (1 - s).clamp_max(self.step)
        with torch.no_grad():
            after = average(x + masks.expand(ahead, x) * velocity, s + ahead)
            before = average(x - masks.expand(back, x) * velocity, s - back)
            return (after - before) / masks.expand(ahead + back, x)


@dataclass(frozen=True)
class MeanFlow:
    """Learn the average velocity u(x, s, t) from data alone (MeanFlow, Geng et al., 2025).

    From (t - s) u = integral of v over [s, t] follows u = v(x_s, s) + (t - s) du/ds. The right
    side, with the pair's velocity for v and without gradient, is the target. (The paper's time runs
    from data to source; here s is where the state is, t >= s where it goes.) `times` is the law of
    both ends before they are sorted. A share `instant` of the samples has t = s, where the target
    is that of flow matching. Each sample's error is divided by (error + `offset`)^`power`, the
    paper's adaptive weight; power 0 is the plain square. The network is called as
    `network(x, s, t, condition)`.
    """

    path: Path = field(default_factory=Linear)
    source: Source = field(default_factory=Gaussian)
    times: Times = field(default_factory=Uniform)
    instant: float = 0.75
    derivative: Derivative = field(default_factory=ForwardMode)
    power: float = 1.0
    offset: float = 1e-3
    coupling: Coupling | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.instant <= 1 and self.power >= 0 and self.offset > 0):
            raise FlowsciError(
                "MeanFlow needs instant in [0, 1], power >= 0 and offset > 0, got "
                f"{self.instant}, {self.power}, {self.offset}"
            )
        if self.path.latent:
            raise FlowsciError("MeanFlow needs a path without latent noise")
        check_rows_stay(self.source, self.coupling)

    def __call__(
        self,
        network: Network,
        x1: Tensor,
        generator: torch.Generator,
        *,
        condition: Any = None,
        mask: Tensor | None = None,
        x0: Tensor | None = None,
    ) -> Loss:
        """Return the loss for data x1 `(batch, ...)`; x0 is drawn unless it is given."""
        masks.check(mask, x1)
        s, t, shares = self._interval(x1, generator)
        if x0 is None:
            x0 = self.source.sample(x1, generator, mask, condition)
        check_pair(x0, x1)
        if self.coupling is not None:
            x0 = self.coupling(x0, x1, condition, generator, mask).source(x0)
        x, velocity = self.path.interpolate(x0, x1, s), self.path.velocity(x0, x1, s)
        target = self._target(network, x, s, t, velocity, condition)
        average = network(x, s, t, condition)
        check_same_shape(average, x)
        per_sample = masks.sample_mean((average - target) ** 2, mask)
        weights = (per_sample.detach() + self.offset) ** -self.power
        weights = weights if shares is None else shares * weights
        return Loss((weights * per_sample).mean(), per_sample, times=s)

    def _interval(
        self, like: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Draw s <= t, equal for the share `instant`, and the weights of a biased draw of both."""
        batch = len(like)
        first, second = (self.times.sample(batch, generator).to(like) for _ in range(2))
        alike = torch.rand(batch, generator=generator, device=generator.device) < self.instant
        s = torch.minimum(first, second)
        t = torch.where(alike.to(s.device), s, torch.maximum(first, second))
        one, other = self.times.weights(first), self.times.weights(second)
        return s, t, None if one is None or other is None else one * other

    def _target(
        self,
        network: Network,
        x: Tensor,
        s: Tensor,
        t: Tensor,
        velocity: Tensor,
        condition: Any,
    ) -> Tensor:
        if self.instant == 1:
            return velocity

        def average(x: Tensor, s: Tensor) -> Tensor:
            value: Tensor = network(x, s, t, condition)
            return value

        slope = self.derivative(average, x, s, velocity)
        return velocity + masks.expand(t - s, x) * slope


@dataclass(frozen=True)
class Pairs:
    """Ends of a field's trajectories, row by row: x0 and x1 `(rows, ...)`."""

    x0: Tensor
    x1: Tensor


def rectify(
    field: Field,
    x0: Tensor,
    grid: Tensor,
    method: Method | None = None,
    *,
    condition: Any = None,
    generators: Generators | None = None,
) -> Pairs:
    """Solve a trained field from x0 and return the pairs for its reflow (Liu et al., 2023).

    Train anew on `FlowMatching(coupling=Given())(network, pairs.x1, generator, x0=pairs.x0)`, in
    batches of rows: the law of x1 stays, trajectories cross less, and fewer steps suffice.
    """
    with torch.no_grad():
        x1 = solve(field, x0, grid, method, condition=condition, generators=generators)
    return Pairs(x0, x1)
