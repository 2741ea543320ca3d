"""Arithmetic on states: a tensor `(batch, ...)` or a mapping of names to such tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.masks import expand


def add(x: Any, slope: Any, h: Tensor, weight: float = 1.0) -> Any:
    """Return x + weight h slope, for h `(batch,)`; raises when the shapes differ."""
    if isinstance(x, Tensor):
        if x.shape != slope.shape:
            raise FlowsciError(
                f"the field returned shape {tuple(slope.shape)} for a state of {tuple(x.shape)}"
            )
        return torch.addcmul(x, slope, expand(h, x), value=weight)
    return {name: add(part, slope[name], h, weight) for name, part in x.items()}


def velocity_of(prediction: Any) -> Any:
    """Return the velocity of a prediction, or of each in a mapping."""
    if isinstance(prediction, Mapping):
        return {name: part.velocity for name, part in prediction.items()}
    return prediction.velocity


def is_finite(x: Any) -> bool:
    """Return whether every value of a state is finite."""
    return all(bool(torch.isfinite(part).all()) for part in parts(x))


def parts(x: Any) -> list[Tensor]:
    """Return the tensors of a state; raise when it is none."""
    if isinstance(x, Tensor):
        return [x]
    if isinstance(x, Mapping) and x and all(isinstance(part, Tensor) for part in x.values()):
        return list(x.values())
    raise FlowsciError(f"a state is a tensor or a mapping of tensors, got {type(x).__name__}")


def batch_of(x: Any) -> int:
    """Return the batch size of a state; raise when its parts differ or have no batch."""
    sizes = {len(part) if part.ndim else 0 for part in parts(x)}
    if len(sizes) != 1 or 0 in sizes:
        shapes = [tuple(part.shape) for part in parts(x)]
        raise FlowsciError(f"a state needs one batch size in front of every part, got {shapes}")
    return sizes.pop()


def time_dtype(x: Any) -> tuple[torch.dtype, torch.device]:
    """Return the dtype and device of the times of a state: those of its first continuous part."""
    every = parts(x)
    for part in every:
        if part.is_floating_point():
            return part.dtype, part.device
    return torch.get_default_dtype(), every[0].device


def select(chosen: Tensor, x: Any, otherwise: Any) -> Any:
    """Return the rows of x where `chosen` `(batch,)`, and those of `otherwise` elsewhere."""
    if isinstance(x, Tensor):
        return torch.where(expand(chosen, x), x, otherwise)
    return {name: select(chosen, part, otherwise[name]) for name, part in x.items()}


def largest(x: Tensor) -> Tensor:
    """Return the largest magnitude of each sample, `(batch,)`; NaN stays NaN."""
    return x.abs() if x.ndim == 1 else x.abs().flatten(1).amax(1)
