"""Importance weights: what a flow with a density gives for a target known up to its constant.

Boltzmann generators and Stochastic Normalizing Flows (Wu, Köhler, Noé, 2020) draw x from the model
with its log-density and weigh it by target over model. All is done on logarithms `(samples,)`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowsci.errors import FlowsciError


def log_weights(log_target: Tensor, log_density: Tensor) -> Tensor:
    """Return log target minus log model density, for samples of the model, `(samples,)`.

    The target needs no constant; -inf (outside of its support) is allowed there. For a stochastic
    path, `log_density` is the source's minus the log ratio of backward to forward probabilities.
    """
    if log_target.shape != log_density.shape or log_target.ndim != 1:
        raise FlowsciError(
            f"log-densities must both be (samples,), got {tuple(log_target.shape)} and "
            f"{tuple(log_density.shape)}"
        )
    return _checked(log_target - log_density)


def normalised(log_weights: Tensor) -> Tensor:
    """Return the weights that sum to one, `(samples,)`."""
    return torch.softmax(_checked(log_weights), dim=0)


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """Return (sum w)^2 / sum w^2, from 1 to the number of samples (Kish, 1965)."""
    values = _checked(log_weights)
    return torch.exp(2 * torch.logsumexp(values, 0) - torch.logsumexp(2 * values, 0))


def log_normaliser(log_weights: Tensor) -> Tensor:
    """Return the logarithm of the mean weight: of the target's constant, whose mean is unbiased."""
    return torch.logsumexp(_checked(log_weights), 0) - math.log(len(log_weights))


def weighted_mean(values: Tensor, log_weights: Tensor) -> Tensor:
    """Return the self-normalised mean under the target of values `(samples, ...)`."""
    if len(values) != len(log_weights):
        raise FlowsciError(f"{len(values)} values and {len(log_weights)} weights differ")
    weights = normalised(log_weights)
    # shares of whole numbers, or of true and false, are none themselves
    values = values if values.is_floating_point() else values.to(weights)
    mean: Tensor = torch.tensordot(weights.to(values), values, dims=1)
    return mean


def resample(log_weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` indices in proportion to the weights, by systematic resampling.

    Sample i comes floor or ceil of `count` times its normalised weight times (Kitagawa, 1996).
    """
    edges = normalised(log_weights).double().cumsum(0)
    start = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device)
    levels = (torch.arange(count, dtype=torch.float64) + start.cpu()) / count
    return torch.searchsorted(edges / edges[-1], levels.to(edges.device), right=True)


def _checked(log_weights: Tensor) -> Tensor:
    finite_or_zero = (log_weights < math.inf).all()
    if log_weights.ndim != 1 or not finite_or_zero or bool((log_weights == -math.inf).all()):
        raise FlowsciError(
            f"log-weights (samples,) must be numbers below infinity, not all -inf; got shape "
            f"{tuple(log_weights.shape)}, {int((~(log_weights < math.inf)).sum())} NaN or infinite"
        )
    return log_weights
