"""Categories as labels or as one-hot states, and variational flow matching.

Labels are int64 `(batch, ...)`; one-hot states and logits carry the categories last.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.generators import Generators, uniform
from flowsci.flow.predictions import CleanPrediction, check_same_shape


def one_hot(labels: Tensor, categories: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return labels `(batch, ...)` as unit vectors `(batch, ..., categories)`.

    Raises for labels that are not integers in [0, categories).
    """
    check_labels(labels, categories)
    states = torch.nn.functional.one_hot(labels, categories)
    return states.to(dtype or torch.get_default_dtype())


def draw(probabilities: Tensor, generators: Generators) -> Tensor:
    """Draw labels `(batch, ...)` from `(batch, ..., states)`, one uniform number each.

    A state of probability zero is never drawn. Rows sum to one up to rounding.
    """
    cumulative = probabilities.cumsum(-1)
    shape = probabilities.shape[:-1]
    level = uniform(shape, generators, like=probabilities).unsqueeze(-1)
    return (cumulative <= level * cumulative[..., -1:]).sum(-1)


def check_labels(labels: Tensor, states: int) -> None:
    """Raise unless labels are integers in [0, states)."""
    if labels.is_floating_point() or labels.is_complex() or labels.dtype is torch.bool:
        raise FlowsciError(f"labels must be integers, got {labels.dtype}")
    if labels.numel() and not (labels.min() >= 0 and labels.max() < states):
        low, high = int(labels.min()), int(labels.max())
        raise FlowsciError(f"labels must lie in [0, {states}), got {low} to {high}")


class VariationalPrediction(CleanPrediction):
    """The network said the logits of the end point's category, for one-hot states.

    Variational flow matching (CatFlow, Eijkelboom et al., 2024): trained by cross-entropy, and the
    velocity follows from the posterior mean. `FlowMatching(said=VariationalPrediction)` is its
    objective; padding of the one-hot states is zero.
    """

    @classmethod
    def error(cls, output: Any, target: Any) -> Tensor:
        """Return the cross-entropy `(batch, ...)` of logits with one-hot targets."""
        check_same_shape(output, target)
        return cross_entropy(output, target)

    @cached_property
    def clean(self) -> Tensor:
        return torch.softmax(self.value, dim=-1)

    @property
    def _mean(self) -> CleanPrediction:
        return CleanPrediction(
            self.clean, self.x, self.t, self.path, self.source_mean, self.source_std
        )

    @cached_property
    def noise(self) -> Tensor:
        return self._mean.noise

    @cached_property
    def velocity(self) -> Tensor:
        return self._mean.velocity

    def map(self, function: Callable[[Tensor], Tensor]) -> CleanPrediction:  # type: ignore[override]
        """Return a prediction with `function` of the posterior mean (a mask's zeros stay zeros)."""
        return self._mean.map(function)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return -sum target log softmax(logits) over the last dimension."""
    return -(target * torch.log_softmax(logits, dim=-1)).sum(-1)
