"""From source to data: `solve(field, x, grid, method)`; a method is one step and no memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.fields import Field
from flowsci.flow.generators import Generators, restore_states, save_states
from flowsci.flow.steps import add, batch_of, is_finite, time_dtype, velocity_of


class Method(ABC):
    """One step from t to t_next; times are `(batch,)`, states tensors or mappings of them."""

    @abstractmethod
    def step(
        self,
        field: Field,
        x: Any,
        t: Tensor,
        t_next: Tensor,
        condition: Any = None,
        generators: Generators | None = None,
    ) -> Any:
        """Return the state at t_next."""


class OneCall(Method):
    """A method that asks the field once a step, so that `Mixed` can share the call."""

    @abstractmethod
    def advance(
        self,
        x: Any,
        prediction: Any,
        t: Tensor,
        t_next: Tensor,
        generators: Generators | None = None,
    ) -> Any:
        """Return the state at t_next from the prediction at x and t."""

    def step(
        self,
        field: Field,
        x: Any,
        t: Tensor,
        t_next: Tensor,
        condition: Any = None,
        generators: Generators | None = None,
    ) -> Any:
        return self.advance(x, field(x, t, condition), t, t_next, generators)


@dataclass(frozen=True)
class Euler(OneCall):
    """x + h v: first order."""

    def advance(
        self,
        x: Any,
        prediction: Any,
        t: Tensor,
        t_next: Tensor,
        generators: Generators | None = None,
    ) -> Any:
        return add(x, velocity_of(prediction), t_next - t)


@dataclass(frozen=True)
class RungeKutta(Method):
    """An explicit Runge-Kutta method; subclasses are their Butcher tableau."""

    nodes: ClassVar[tuple[float, ...]]
    stages: ClassVar[tuple[tuple[float, ...], ...]]
    weights: ClassVar[tuple[float, ...]]

    def step(
        self,
        field: Field,
        x: Any,
        t: Tensor,
        t_next: Tensor,
        condition: Any = None,
        generators: Generators | None = None,
    ) -> Any:
        h = t_next - t
        slopes: list[Any] = []
        for node, row in zip(self.nodes, self.stages, strict=True):
            at = t_next if node == 1 else torch.add(t, h, alpha=node) if node else t
            slopes.append(velocity_of(field(combine(x, slopes, row, h), at, condition)))
        return combine(x, slopes, self.weights, h)


def combine(x: Any, slopes: list[Any], weights: tuple[float, ...], h: Tensor) -> Any:
    """Return x + h sum_i weights_i slopes_i."""
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            x = add(x, slope, h, weight)
    return x


@dataclass(frozen=True)
class Midpoint(RungeKutta):
    """The explicit midpoint rule: second order, never asks the field at t_next."""

    nodes = (0.0, 0.5)
    stages = ((), (0.5,))
    weights = (0.0, 1.0)


@dataclass(frozen=True)
class Heun(RungeKutta):
    """The explicit trapezoidal rule: second order."""

    nodes = (0.0, 1.0)
    stages = ((), (1.0,))
    weights = (0.5, 0.5)


@dataclass(frozen=True)
class RungeKutta4(RungeKutta):
    """The classical fourth-order method of Kutta (1901)."""

    nodes = (0.0, 0.5, 0.5, 1.0)
    stages = ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0))
    weights = (1 / 6, 1 / 3, 1 / 3, 1 / 6)


@dataclass(frozen=True)
class Mixed(Method):
    """Step each named component of a mapping state by its own method, with one field call.

    The field returns a mapping of predictions. Components draw in the order of `methods`.
    """

    methods: Mapping[str, OneCall]

    def step(
        self,
        field: Field,
        x: Any,
        t: Tensor,
        t_next: Tensor,
        condition: Any = None,
        generators: Generators | None = None,
    ) -> Any:
        predictions = field(x, t, condition)
        for name, found in (("state", x), ("prediction", predictions)):
            if not isinstance(found, Mapping) or set(found) != set(self.methods):
                names = sorted(found) if isinstance(found, Mapping) else type(found).__name__
                raise FlowsciError(f"Mixed steps {sorted(self.methods)}, the {name} has {names}")
        return {
            name: method.advance(x[name], predictions[name], t, t_next, generators)
            for name, method in self.methods.items()
        }


def solve(
    field: Field,
    x: Any,
    grid: Tensor,
    method: Method | None = None,
    *,
    condition: Any = None,
    generators: Generators | None = None,
) -> Any:
    """Carry a state `(batch, ...)`, or a mapping of them, along the times of `grid` `(steps + 1,)`.

    The grid lies in [0, 1] and is strictly monotone; a falling grid goes from data to source.
    Raises and names the step when the field or the state stops being finite.
    """
    method = method or Euler()
    check_grid(grid)
    times = grid_rows(grid, x)
    states = save_states(generators)
    start = x
    for t, t_next in pairwise(times):
        x = method.step(field, x, t, t_next, condition, generators)
    if not is_finite(x):
        restore_states(generators, states)
        raise FlowsciError(_find_failure(field, start, times, method, condition, generators))
    return x


def check_grid(grid: Tensor) -> None:
    """Raise unless a grid is one-dimensional, strictly monotone and within [0, 1]."""
    if grid.ndim != 1 or len(grid) < 2:
        raise FlowsciError(f"a grid has shape (steps + 1,), got {tuple(grid.shape)}")
    values = grid.tolist()
    if not (all(0 <= value <= 1 for value in values)):
        raise FlowsciError(f"grid times must lie in [0, 1], got {min(values)} to {max(values)}")
    signs = {(b > a) - (b < a) for a, b in pairwise(values)}
    if signs not in ({1}, {-1}):
        raise FlowsciError("grid times must rise, or fall, at every step")


def grid_rows(grid: Tensor, x: Any) -> tuple[Tensor, ...]:
    """Return each time of the grid as a tensor `(batch,)` of the state's dtype and device."""
    batch, dtype, device = batch_of(x), *time_dtype(x)
    return grid.to(device, dtype).unsqueeze(1).expand(-1, batch).unbind(0)


def _find_failure(
    field: Field,
    x: Any,
    times: tuple[Tensor, ...],
    method: Method,
    condition: Any,
    generators: Generators | None,
) -> str:
    """Solve once more with a check a step, and say where it fails."""
    steps = len(times) - 1
    if not is_finite(x):
        return "the state at the start of the solve is not finite (NaN or inf)"
    for index in range(steps):
        x = method.step(field, x, times[index], times[index + 1], condition, generators)
        if not is_finite(x):
            at, to = float(times[index][0]), float(times[index + 1][0])
            return (
                f"the state is not finite (NaN or inf) after step {index + 1} of {steps}, "
                f"from t = {at:.6g} to {to:.6g}: the field returned NaN or inf there"
            )
    return f"the state is not finite (NaN or inf) after {steps} steps"


METHODS: dict[str, type[Method]] = {
    "euler": Euler,
    "midpoint": Midpoint,
    "heun": Heun,
    "runge_kutta_4": RungeKutta4,
}
"""Methods by name, for settings."""
