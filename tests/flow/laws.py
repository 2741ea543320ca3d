"""Closed forms and statistics that the tests of solvers share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowsci.flow import GaussianField, GaussianMixtureField, Linear, Path

DOUBLE = torch.float64


def gaussian(path: Path | None = None, source_std: float = 1.0) -> GaussianField:
    mean = torch.tensor([1.0, -2.0], dtype=DOUBLE)
    return GaussianField(mean, torch.tensor([0.5, 0.8], dtype=DOUBLE), path, source_std)


def mixture(path: Path | None = None) -> GaussianMixtureField:
    means = torch.tensor([[2.0, 0.0], [-1.0, 1.5], [-1.0, -2.0]], dtype=DOUBLE)
    stds = torch.tensor([[0.4, 0.5], [0.6, 0.4], [0.5, 0.5]], dtype=DOUBLE)
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE)
    return GaussianMixtureField(means, stds, weights, path or Linear())


def line_mixture(path: Path | None = None) -> GaussianMixtureField:
    """A mixture in one dimension, whose flow keeps quantiles."""
    means = torch.tensor([[2.0], [-1.5]], dtype=DOUBLE)
    stds = torch.tensor([[0.5], [0.7]], dtype=DOUBLE)
    weights = torch.tensor([0.4, 0.6], dtype=DOUBLE)
    return GaussianMixtureField(means, stds, weights, path or Linear())


def line_quantile(field: GaussianMixtureField, x: Tensor) -> Tensor:
    """The distribution function of a one-dimensional mixture's data at x `(batch, 1)`."""
    normal = torch.distributions.Normal(field.means[:, 0], field.stds[:, 0])
    return (field.weights * normal.cdf(x)).sum(1)


def normals(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def kolmogorov(a: Tensor, b: Tensor) -> float:
    """The largest two-sample Kolmogorov-Smirnov statistic over eight directions of the plane.

    In units of its critical value at a level of 1e-4 for each direction: above 1 the two samples
    `(n, 2)`, `(m, 2)` are told apart.
    """
    angles = torch.arange(8, dtype=DOUBLE) * math.pi / 8
    directions = torch.stack([angles.cos(), angles.sin()])
    worst = 0.0
    for one, two in zip((a @ directions).T, (b @ directions).T, strict=True):
        edges = torch.cat([one, two]).sort().values
        below = [
            torch.searchsorted(values.sort().values, edges, right=True) / len(values)
            for values in (one, two)
        ]
        worst = max(worst, float((below[0] - below[1]).abs().max()))
    critical = math.sqrt(-math.log(1e-4 / 2) / 2 * (1 / len(a) + 1 / len(b)))
    return worst / critical
