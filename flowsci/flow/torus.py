"""Flows on angles: states `(batch, dimensions)` whose first entries lie on circles of 2 pi.

A path on a circle is a straight line on the real line that is wound onto it, from x0 to the nearest
of the points that are x1 (flow matching on tori: Chen and Lipman, 2024). A field that is periodic
in the angles moves them there without winding, so solvers and likelihoods are the usual ones, with
`Circular` as source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.generators import Generators, normal, uniform
from flowsci.flow.sources import Source

TURN = 2 * math.pi


def wound(angles: Tensor) -> Tensor:
    """Return the same angles in [-pi, pi)."""
    return torch.remainder(angles + math.pi, TURN) - math.pi


def nearest(x0: Tensor, x1: Tensor, circles: int) -> Tensor:
    """Return x1 with its first `circles` entries turned to lie within pi of those of x0."""
    if x0.shape != x1.shape:
        raise FlowsciError(f"states {tuple(x0.shape)} and {tuple(x1.shape)} must have one shape")
    turned = x0[:, :circles] + wound(x1[:, :circles] - x0[:, :circles])
    return torch.cat([turned, x1[:, circles:]], dim=1)


@dataclass(frozen=True)
class Circular(Source):
    """The first `circles` entries uniform on circles of 2 pi, the others standard normal."""

    circles: int

    def __post_init__(self) -> None:
        if self.circles < 0:
            raise FlowsciError(f"circles can't be negative, got {self.circles}")

    def sample(
        self,
        like: Tensor,
        generators: Generators,
        mask: Tensor | None = None,
        condition: Any = None,
    ) -> Tensor:
        self._check(like, mask)
        angles = TURN * uniform((len(like), self.circles), generators, like=like) - math.pi
        size = like.shape[1] - self.circles
        return torch.cat([angles, normal((len(like), size), generators, like=like)], dim=1)

    def log_density(self, x: Tensor, mask: Tensor | None = None, condition: Any = None) -> Tensor:
        """Return the log density `(batch,)`: of angles on the circle, wherever they are wound."""
        self._check(x, mask)
        rest = x[:, self.circles :]
        normals = -0.5 * (rest.square().sum(1) + rest.shape[1] * math.log(TURN))
        return normals - self.circles * math.log(TURN)

    def _check(self, x: Tensor, mask: Tensor | None) -> None:
        if mask is not None or x.ndim != 2 or x.shape[1] < self.circles:
            raise FlowsciError(
                f"Circular takes whole states (batch, dimensions) of {self.circles} angles at "
                f"least, got {tuple(x.shape)}{'' if mask is None else ' and a mask'}"
            )
