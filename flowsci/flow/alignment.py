"""Optimal rotations and permutations of point systems, for a whole batch at once.

Rotations follow Kabsch (1976): one batched singular value decomposition, with the sign that keeps
the rotation proper, so that a molecule is never turned into its mirror image. Permutations are
linear assignments within equal classes (atoms of one element, agents of one kind).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow import masks

P = ParamSpec("P")


def _in_all_digits(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Keep positions out of autocast: its products of 16 bits would move atoms by hundredths."""

    @wraps(function)
    def whole(*args: P.args, **given: P.kwargs) -> Tensor:
        tensors = [value for value in (*args, *given.values()) if isinstance(value, Tensor)]
        with torch.autocast(tensors[0].device.type, enabled=False):
            return function(*args, **given)

    return whole


@_in_all_digits
def rotation_between(
    mobile: Tensor, target: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """Return the proper rotations `(batch, d, d)` that bring `mobile` closest to `target`.

    Both are `(batch, n, d)`; `weights` (masses, say) and `mask` are `(batch, n)`. Each system is
    centred first, so that `rotate(centred mobile, rotation)` has the least weighted sum of squared
    distances to the centred target. Where several rotations are optimal (fewer than d - 1
    independent directions), one of them is returned. Raises for shapes that differ and for weights
    that are negative or sum to zero.
    """
    shares = _shares(mobile, target, mask, weights)
    mobile, target = masks.zero_padding(mobile, mask), masks.zero_padding(target, mask)
    # centring one side is enough: the other's mean meets weights that sum to zero
    covariance = (shares * (mobile - _mean(mobile, shares))).mT @ target
    _check_finite(covariance)
    left, _, right = torch.linalg.svd(covariance)
    sign = torch.det(left @ right)[:, None, None].sign()
    left = torch.cat([left[..., :-1], sign * left[..., -1:]], dim=-1)
    return torch.bmm(left, right).transpose(1, 2)


@_in_all_digits
def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate `(batch, n, d)` systems by `(batch, d, d)` rotations about the origin."""
    return x @ rotation.mT


def superpose(
    mobile: Tensor, target: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """Move `mobile` rigidly onto `target`: the least root mean square distance; padding is zero."""
    rotation = rotation_between(mobile, target, mask, weights)
    shares = _shares(mobile, target, mask, weights)
    mobile, target = masks.zero_padding(mobile, mask), masks.zero_padding(target, mask)
    moved = rotate(mobile - _mean(mobile, shares), rotation) + _mean(target, shares)
    return masks.zero_padding(moved, mask)


def permutation_between(
    mobile: Tensor, target: Tensor, mask: Tensor | None = None, classes: Tensor | None = None
) -> Tensor:
    """Return the permutations `(batch, n)` that bring `mobile` closest to `target`.

    Entry k of the target is matched with entry `permutation[:, k]` of the mobile system, of the
    same class (`classes` `(batch, n)` holds for both systems); padding stays in its place. The sum
    of squared distances is the least there is. Raises for shapes that differ and for NaN.
    """
    from scipy.optimize import linear_sum_assignment

    _check_systems(mobile, target, mask)
    mobile, target = masks.zero_padding(mobile, mask), masks.zero_padding(target, mask)
    # the squared lengths are the same for every permutation
    costs = -torch.bmm(target, mobile.mT).detach().cpu().double()
    _check_finite(costs)
    apart = _apart(mobile, mask, classes)
    if apart is not None:
        costs = costs.masked_fill(apart.cpu(), float("inf"))
    rows = [torch.from_numpy(linear_sum_assignment(cost)[1]) for cost in costs.numpy()]
    return torch.stack(rows).to(mobile.device)


def permute(x: Tensor, permutation: Tensor) -> Tensor:
    """Take the entries of `(batch, n, ...)` in the order of `permutation` `(batch, n)`."""
    return x.gather(1, masks.expand(permutation, x).expand_as(x))


def _apart(x: Tensor, mask: Tensor | None, classes: Tensor | None) -> Tensor | None:
    """Which entries `(batch, n, n)` may not be matched; an entry may always stay where it is."""
    if mask is None and classes is None:
        return None
    apart = torch.zeros(x.shape[0], x.shape[1], x.shape[1], dtype=torch.bool, device=x.device)
    if classes is not None:
        if classes.shape != x.shape[:2]:
            raise FlowsciError(
                f"classes of shape {tuple(classes.shape)} do not fit systems {tuple(x.shape)}"
            )
        apart |= classes[:, :, None] != classes[:, None, :]
    if mask is not None:
        apart |= ~(mask[:, :, None] & mask[:, None, :])
    apart.diagonal(dim1=1, dim2=2).fill_(False)
    return apart


def _shares(mobile: Tensor, target: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
    """Weights `(batch, n, 1)` that are zero in the padding and sum to one."""
    _check_systems(mobile, target, mask)
    if weights is None:
        weights = mobile.new_ones(mobile.shape[:2])
    elif weights.shape != mobile.shape[:2]:
        raise FlowsciError(
            f"weights of shape {tuple(weights.shape)} do not fit systems {tuple(mobile.shape)}"
        )
    weights = masks.zero_padding(weights.to(mobile.dtype), mask)
    total = weights.sum(1, keepdim=True)
    if not ((weights >= 0).all() and (total > 0).all()):
        raise FlowsciError("weights must not be negative and must sum to more than zero")
    return (weights / total).unsqueeze(-1)


def _mean(x: Tensor, shares: Tensor) -> Tensor:
    return (shares * x).sum(1, keepdim=True)


def _check_systems(mobile: Tensor, target: Tensor, mask: Tensor | None) -> None:
    if mobile.shape != target.shape or mobile.ndim != 3:
        raise FlowsciError(
            "alignment takes two states (batch, n, d) of one shape, "
            f"got {tuple(mobile.shape)} and {tuple(target.shape)}"
        )
    masks.check(mask, mobile)


def _check_finite(values: Tensor) -> None:
    finite = values.isfinite().flatten(1).all(1)
    if not finite.all():
        rows = (~finite).nonzero().flatten().tolist()
        raise FlowsciError(f"systems {rows[:10]} hold NaN or infinite entries and can't be aligned")
