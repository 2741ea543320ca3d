"""Methods: one step from t to t_next, frozen records without memory.

Times are `(batch,)`; states are tensors `(batch, ...)` or mappings of names to them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.fields import Field
from flowsci.flow.generators import Generators
from flowsci.flow.steps import add, velocity_of


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

    order: ClassVar[int] = 1

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

    order: ClassVar[int]
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

    order = 2
    nodes = (0.0, 0.5)
    stages = ((), (0.5,))
    weights = (0.0, 1.0)


@dataclass(frozen=True)
class Heun(RungeKutta):
    """The explicit trapezoidal rule: second order."""

    order = 2
    nodes = (0.0, 1.0)
    stages = ((), (1.0,))
    weights = (0.5, 0.5)


@dataclass(frozen=True)
class RungeKutta4(RungeKutta):
    """The classical fourth-order method of Kutta (1901)."""

    order = 4
    nodes = (0.0, 0.5, 0.5, 1.0)
    stages = ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0))
    weights = (1 / 6, 1 / 3, 1 / 3, 1 / 6)


@dataclass(frozen=True)
class Tsitouras5(RungeKutta):
    """The fifth-order method of Tsitouras (2011) with fixed steps."""

    order = 5
    nodes = (0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0)
    stages = (
        (),
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (
            5.86145544294642,
            -12.92096931784711,
            8.159367898576159,
            -0.071584973281401,
            -0.028269050394068383,
        ),
    )
    weights = (
        0.09646076681806523,
        0.01,
        0.4798896504144996,
        1.379008574103742,
        -3.290069515436081,
        2.324710524099774,
    )


@dataclass(frozen=True)
class LastStep(Method):
    """One method on the way and another for the step that arrives at t = 1.

    For predictions that are singular there: `LastStep(Heun())` ends with Euler, as EDM does
    (Karras et al., 2022).
    """

    method: Method
    last: Method = field(default_factory=Euler)

    def step(
        self,
        field: Field,
        x: Any,
        t: Tensor,
        t_next: Tensor,
        condition: Any = None,
        generators: Generators | None = None,
    ) -> Any:
        method = self.last if bool((t_next == 1).any()) else self.method
        return method.step(field, x, t, t_next, condition, generators)


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
