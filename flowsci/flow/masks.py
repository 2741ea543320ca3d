"""Ragged systems as dense tensors: padding stays exactly zero, and every mean is over real entries.

A mask is bool, `(batch, n)`, True where an entry is real; None means that every entry is real.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flowsci.errors import FlowsciError

Dims = int | tuple[int, ...]


def expand(values: Tensor, like: Tensor) -> Tensor:
    """View `values` so that it broadcasts against `like` from the left.

    Serves masks `(batch, n)` and coefficients `(batch,)` alike, so that a batch as large as another
    dimension can't be mistaken for it. Raises when the leading dimensions differ.
    """
    shape, full = values.shape, like.shape
    dims = len(shape)
    if shape != full[:dims]:
        raise FlowsciError(f"shape {tuple(shape)} must be the leading dimensions of {tuple(full)}")
    return values.view(*shape, *(1,) * (len(full) - dims))


def check(mask: Tensor | None, x: Tensor) -> None:
    """Raise unless `mask` is None, or bool, fits `x` and has a real entry in each row."""
    if mask is None:
        return
    if mask.dtype is not torch.bool:
        raise FlowsciError(f"a mask must be bool, got {mask.dtype}; use `mask.bool()`")
    if mask.ndim < 1 or mask.shape != x.shape[: mask.ndim]:
        raise FlowsciError(
            f"mask of shape {tuple(mask.shape)} does not fit a state of shape {tuple(x.shape)}"
        )
    empty = ~mask.flatten(1).any(dim=1) if mask.ndim > 1 else ~mask
    if empty.any():
        rows = empty.nonzero().flatten().tolist()
        raise FlowsciError(
            f"mask of shape {tuple(mask.shape)} has no real entry in rows {rows[:10]}; "
            "drop these systems before batching"
        )


def zero_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """Put exact zeros where `mask` is False, whatever stood there (also NaN)."""
    if mask is None:
        return x
    return torch.where(expand(mask, x), x, torch.zeros((), dtype=x.dtype, device=x.device))


def masked_sum(x: Tensor, mask: Tensor | None, dim: Dims = 1) -> Tensor:
    """Sum the real entries of `x` over `dim`."""
    return zero_padding(x, mask).sum(dim)


def masked_mean(x: Tensor, mask: Tensor | None, dim: Dims = 1) -> Tensor:
    """Average the real entries of `x` over `dim`; no mean is over none of them after `check`."""
    if mask is None:
        return x.mean(dim)
    count = expand(mask, x).expand_as(x).sum(dim)
    return masked_sum(x, mask, dim) / count


def sample_sum(x: Tensor, mask: Tensor | None) -> Tensor:
    """Sum each sample over its real entries: `(batch, ...)` to `(batch,)`."""
    return zero_padding(x, mask).reshape(len(x), -1).sum(1)


def sample_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Average each sample over its real entries: `(batch, ...)` to `(batch,)`."""
    if x.ndim == 1:
        return zero_padding(x, mask)
    if mask is None:
        return x.flatten(1).mean(1)
    features = x.shape[mask.ndim :].numel()
    return zero_padding(x, mask).flatten(1).sum(1) / (mask.flatten(1).sum(1) * features)


def centre(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Move the centre of mass of the real entries `(batch, n, ...)` to zero; padding stays zero."""
    if x.ndim < 2:
        raise FlowsciError(f"centring needs a state (batch, n, ...), got {tuple(x.shape)}")
    if mask is None:
        return x - x.mean(1, keepdim=True)
    return zero_padding(x - masked_mean(zero_padding(x, mask), mask).unsqueeze(1), mask)
