"""Hard constraints: a method that projects the state after each step of any method.

A projection is any `(x, t) -> x`, with t `(batch,)` the time that the state has arrived at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.fields import Field
from flowsci.flow.generators import Generators
from flowsci.flow.masks import expand
from flowsci.flow.methods import Method, OneCall
from flowsci.flow.paths import Path
from flowsci.flow.predictions import CleanPrediction, Prediction
from flowsci.flow.steps import parts, select

Projection = Callable[[Any, Tensor], Any]


@dataclass(frozen=True)
class Constrained(OneCall):
    """A method whose every step ends with a projection; within a step the state is free.

    A method of one call stays one, also in `Mixed`. `generators` and conditions pass through.
    """

    method: Method
    projection: Projection

    def step(
        self,
        field: Field,
        x: Any,
        t: Tensor,
        t_next: Tensor,
        condition: Any = None,
        generators: Generators | None = None,
    ) -> Any:
        moved = self.method.step(field, x, t, t_next, condition, generators)
        return self._project(moved, t_next)

    def advance(
        self,
        x: Any,
        prediction: Any,
        t: Tensor,
        t_next: Tensor,
        generators: Generators | None = None,
    ) -> Any:
        if not isinstance(self.method, OneCall):
            raise FlowsciError(f"{self.method} asks the field more than once: Mixed can't step it")
        return self._project(self.method.advance(x, prediction, t, t_next, generators), t_next)

    def _project(self, x: Any, t: Tensor) -> Any:
        projected = self.projection(x, t)
        before, after = ([part.shape for part in parts(state)] for state in (x, projected))
        if before != after:
            raise FlowsciError(f"the projection changed the shapes {before} to {after}")
        return projected


@dataclass(frozen=True)
class LinearConstraint:
    """A x = b for each sample's flattened state x, by the shortest move there.

    `matrix` is `(m, d)` with independent rows (others raise) and `value` `(m,)` or `(batch, m)`.
    As a projection it holds at every time (a centre of mass, say); a constraint of the data takes
    `along(path, x0)`, or `AtData`.
    """

    matrix: Tensor
    value: Tensor

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.value.shape[-1:] != self.matrix.shape[:1]:
            raise FlowsciError(
                f"a constraint takes a matrix (m, d) and a value (m,) or (batch, m), "
                f"got {tuple(self.matrix.shape)} and {tuple(self.value.shape)}"
            )
        rank = int(torch.linalg.matrix_rank(self.matrix.double()))
        if rank < len(self.matrix):
            raise FlowsciError(
                f"the rows of the constraint {tuple(self.matrix.shape)} have rank {rank}: "
                "drop those that follow from others"
            )

    @cached_property
    def _factors(self) -> tuple[Tensor, Tensor]:
        """Q and R' of the transposed matrix."""
        basis, triangle = torch.linalg.qr(self.matrix.double().T)
        return basis, triangle.T

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.towards(x, self.value.double())

    def measure(self, x: Tensor) -> Tensor:
        """Return A x, `(batch, m)`, in double precision."""
        flat = x.reshape(len(x), -1)
        if flat.shape[1] != self.matrix.shape[1]:
            raise FlowsciError(
                f"the constraint {tuple(self.matrix.shape)} does not fit a state {tuple(x.shape)}"
            )
        product: Tensor = flat.double() @ self.matrix.double().T
        return product

    def towards(self, x: Tensor, value: Tensor) -> Tensor:
        """Return the state nearest to x with A x = value."""
        basis, triangle = self._factors
        gap = value - self.measure(x)
        # the shortest solution of A m = gap with A' = Q R is m = Q R'^-1 gap
        move = (basis @ torch.linalg.solve_triangular(triangle, gap.T, upper=False)).T
        moved: Tensor = (x.double() + move.reshape(x.shape)).to(x.dtype)
        return moved

    def along(self, path: Path, x0: Tensor) -> Projection:
        """Return the projection on A x_t = alpha A x0 + beta b, which arrives at A x1 = b.

        x0 is the state that the solve starts from; without latent noise.
        """
        if path.latent:
            raise FlowsciError(f"{path} has latent noise: a constraint can't follow it")
        start = self.measure(x0)

        def project(x: Tensor, t: Tensor) -> Tensor:
            c = path(t.double())
            wanted = expand(c.alpha, start) * start + expand(c.beta, start) * self.value.double()
            return self.towards(x, wanted)

        return project


@dataclass(frozen=True)
class AtData:
    """A projection that holds at t = 1 only, and leaves the way there free."""

    projection: Projection

    def __call__(self, x: Any, t: Tensor) -> Any:
        arrived = t == 1
        if not bool(arrived.any()):
            return x
        return select(arrived, self.projection(x, t), x)


@dataclass(frozen=True)
class ProjectedField:
    """A field whose clean estimate is projected, so that every call aims at the constraint.

    The projection is given t = 1, the time of a clean state. For paths without latent noise; the
    velocity at t = 1 is not known (take methods that don't ask there, such as Euler or midpoint).
    """

    field: Field
    projection: Projection

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Prediction:
        said: Prediction = self.field(x, t, condition)
        clean = self.projection(said.clean, torch.ones_like(t))
        return CleanPrediction(clean, x, t, said.path, said.source_mean, said.source_std)
