"""Errors of fields: by exact areas, by degree of spherical harmonics, and of ensembles."""

import torch
from torch import Tensor

from flowsci.domains.contract import Batch
from flowsci.domains.weather.harmonics import SphericalTransform


def area_mean(values: Tensor, area: Tensor, batch: Batch) -> Tensor:
    """Average (batch, channel, rows, columns) over channels and area (rows, columns): (batch,).

    Cells that a batch's `valid` (batch, channel, rows, columns) leaves out weigh nothing.
    """
    if "valid" not in batch:
        return (values * area).sum((-2, -1)).mean(1)
    weight = batch["valid"].to(values) * area
    return (values * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))


def amplitude_and_decorrelation(
    said: Tensor, truth: Tensor, transform: SphericalTransform
) -> Tensor:
    """Give the error of amplitudes plus that of phases, summed over degrees: (batch, channel).

    (|a| - |b|)^2 + 2 max(|a|^2, |b|^2) (1 - coherence) for each degree, with |a|^2 its power. The
    mean square error, |a|^2 + |b|^2 - 2 |a| |b| coherence, is smallest for too small an amplitude
    where phases are uncertain, and punishes a displaced feature twice; this is not (AMSE, Subich
    et al., 2025).
    """
    a, b = (transform.analyse(fields) for fields in (said, truth))
    powers = [_over_orders(c.abs().square()) for c in (a, b)]
    cross = _over_orders((a * b.conj()).real)
    # the roots' gradients are infinite where a degree is empty
    first, second = ((power + 1e-12).sqrt() for power in powers)
    coherence = cross / (first * second)
    apart = 2 * torch.maximum(*powers) * (1 - coherence)
    return ((first - second).square() + apart).sum(-1)


def fair_crps(members: Tensor, truth: Tensor) -> Tensor:
    """Give the fair CRPS (batch, ...) of members (batch, members, ...) (Ferro, 2014).

    mean |x - y| - sum |x - x'| / (2 m (m - 1)): its expectation does not depend on the number m.
    """
    count = members.shape[1]
    error = (members - truth.unsqueeze(1)).abs().mean(1)
    ordered = members.sort(dim=1).values
    ranks = torch.arange(1 - count, count, 2, device=members.device, dtype=members.dtype)
    spread = torch.tensordot(ranks, ordered.movedim(1, 0), dims=1)
    return error - spread / (count * (count - 1))


def _over_orders(squares: Tensor) -> Tensor:
    return 2 * squares.sum(-1) - squares[..., 0]
