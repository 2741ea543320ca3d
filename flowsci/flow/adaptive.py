"""Adaptive steps, one size a sample: a hard sample does not slow, or spoil, the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.fields import Field
from flowsci.flow.generators import Generators
from flowsci.flow.masks import expand
from flowsci.flow.methods import Method, Tsitouras5, combine
from flowsci.flow.sources import check_positive
from flowsci.flow.steps import largest, select, velocity_of

ERROR_WEIGHTS = (
    -0.00178001105222577714,
    -0.0008164344596567469,
    0.007880878010261995,
    -0.1447110071732629,
    0.5823571654525552,
    -0.45808210592918697,
    1 / 66,
)
"""Fifth minus fourth order weights of Tsitouras (2011), the seventh for the slope at the end."""


@dataclass(frozen=True)
class Tsit5(Method):
    """Tsitouras' 5(4) pair (2011) with an error and a step size of its own for each sample.

    The largest error of a sample's entries is held below `absolute + relative |x|`; being a
    maximum, it does not depend on padding. Every sample is asked for until the last has arrived.
    Raises after `max_steps` steps between two times of the grid, and when the error is not finite.
    """

    relative: float = 1e-5
    absolute: float = 1e-6
    first: float = 0.1
    max_steps: int = 1000

    def __post_init__(self) -> None:
        check_positive(relative=self.relative, absolute=self.absolute, first=self.first)

    def step(
        self,
        field: Field,
        x: Any,
        t: Tensor,
        t_next: Tensor,
        condition: Any = None,
        generators: Generators | None = None,
    ) -> Any:
        size = self.first * (t_next - t)
        slope = velocity_of(field(x, t, condition))
        for _ in range(self.max_steps):
            h = torch.where(size.abs() < (t_next - t).abs(), size, t_next - t)
            arrives = h == t_next - t
            end = torch.where(arrives, t_next, t + h)
            proposal, slopes = self._try(field, x, t, end, h, slope, condition)
            error = self._error(x, proposal, slopes, h)
            _check_error(error, t)
            accepted = error <= 1
            x = select(accepted, proposal, x)
            slope = select(accepted, slopes[-1], slope)
            t = torch.where(accepted, end, t)
            if bool((t == t_next).all()):
                return x
            size = h * (0.9 * error.clamp(min=1e-8) ** -0.2).clamp(0.2, 5.0)
        left = int((t != t_next).sum())
        raise FlowsciError(
            f"Tsit5: {left} of {len(t)} samples did not arrive in {self.max_steps} steps, the last "
            f"at t = {float(t[t != t_next][0]):.6g}; raise max_steps or the tolerances"
        )

    def _try(
        self, field: Field, x: Any, t: Tensor, end: Tensor, h: Tensor, slope: Any, condition: Any
    ) -> tuple[Any, list[Any]]:
        """Return the state after h and the slopes of all seven stages."""
        slopes = [slope]
        for node, row in zip(Tsitouras5.nodes[1:], Tsitouras5.stages[1:], strict=True):
            # the end is given, as t + h may round to a time above it
            at = end if node == 1 else torch.add(t, h, alpha=node)
            slopes.append(velocity_of(field(combine(x, slopes, row, h), at, condition)))
        proposal = combine(x, slopes, Tsitouras5.weights, h)
        slopes.append(velocity_of(field(proposal, end, condition)))
        return proposal, slopes

    @torch.no_grad()
    def _error(self, x: Any, proposal: Any, slopes: list[Any], h: Tensor) -> Tensor:
        """Return each sample's largest error, in units of its tolerance, `(batch,)`."""
        if isinstance(x, Tensor):
            weighted = zip(ERROR_WEIGHTS, slopes, strict=True)
            error = expand(h, x) * sum(weight * slope for weight, slope in weighted)
            scale = self.absolute + self.relative * torch.maximum(x.abs(), proposal.abs())
            return largest(error / scale)
        every = [
            self._error(x[name], proposal[name], [slope[name] for slope in slopes], h) for name in x
        ]
        return torch.stack(every).amax(0)


def _check_error(error: Tensor, t: Tensor) -> None:
    if not bool(error.isfinite().all()):
        row = int((~error.isfinite()).nonzero()[0])
        raise FlowsciError(
            f"the field is not finite (NaN or inf) for sample {row} of {len(t)} in the step "
            f"from t = {float(t[row]):.6g}"
        )
