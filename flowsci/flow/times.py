"""Distributions of training times in [0, 1], with the weights that a biased draw needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from flowsci.flow.sources import check_positive


class Times(ABC):
    """A distribution of training times."""

    @abstractmethod
    def sample(self, batch: int, generator: torch.Generator) -> Tensor:
        """Draw times `(batch,)` in [0, 1], float32 on the generator's device."""

    def weights(self, t: Tensor) -> Tensor | None:
        """Return the weights `(batch,)` that make the loss unbiased, or None for all one."""
        return None


@dataclass(frozen=True)
class Uniform(Times):
    """Every time alike, in [0, 1)."""

    def sample(self, batch: int, generator: torch.Generator) -> Tensor:
        return torch.rand(batch, generator=generator, device=generator.device)


@dataclass(frozen=True)
class LogitNormal(Times):
    """t = sigmoid(mean + std n): more draws in the middle (Stable Diffusion 3, 2024)."""

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        check_positive(std=self.std)

    def sample(self, batch: int, generator: torch.Generator) -> Tensor:
        n = torch.randn(batch, generator=generator, device=generator.device)
        return torch.sigmoid(self.mean + self.std * n)
