"""Named time grids: float64 tensors `(steps + 1,)` from exactly 0 to exactly 1."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.paths import Path, VariancePreserving


def uniform(steps: int) -> Tensor:
    """Space the times equally."""
    if steps < 1:
        raise FlowsciError(f"a grid needs at least one step, got {steps}")
    return torch.linspace(0, 1, steps + 1, dtype=torch.float64)


def cosine(steps: int) -> Tensor:
    """t = (1 - cos(pi u)) / 2 for uniform u: short steps at both ends."""
    return torch.sin(uniform(steps) * (math.pi / 2)) ** 2


def middle(steps: int) -> Tensor:
    """t = arccos(1 - 2 u) / pi for uniform u, the inverse of `cosine`: short in the middle."""
    return torch.acos(1 - 2 * uniform(steps)) / math.pi


def central(steps: int, power: float = 0.4) -> Tensor:
    """t = u^power / (u^power + (1 - u)^power): below 1, long first and last steps in few calls."""
    if not power > 0:
        raise FlowsciError(f"power must be positive, got {power}")
    u = uniform(steps)
    return u**power / (u**power + (1 - u) ** power)


def shifted(steps: int, shift: float = 3.0) -> Tensor:
    """t = u / (u + shift (1 - u)): shift > 1 spends more steps near the source (SD3, 2024)."""
    if not shift > 0:
        raise FlowsciError(f"shift must be positive, got {shift}")
    u = uniform(steps)
    return u / (u + shift * (1 - u))


def log_snr(steps: int, path: Path | None = None, bound: float = 6.0) -> Tensor:
    """Space the inner times equally in log(beta / alpha) of `path`, within +- `bound` (DPM-Solver).

    The ends, where it is infinite, are exactly 0 and 1. The default path is `VariancePreserving`.
    """
    path = path or VariancePreserving()
    u = uniform(steps)
    if steps == 1:
        return u
    levels = torch.linspace(-bound, bound, steps + 1, dtype=torch.float64)[1:-1]
    return torch.cat([u[:1], path.time_at(torch.sigmoid(levels)), u[-1:]])


GRIDS: dict[str, Callable[..., Tensor]] = {
    "uniform": uniform,
    "central": central,
    "cosine": cosine,
    "log_snr": log_snr,
    "middle": middle,
    "shifted": shifted,
}
