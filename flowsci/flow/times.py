"""Distributions of training times in [0, 1], with the weights that a biased draw needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
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


@dataclass(frozen=True)
class Beta(Times):
    """t from the beta distribution: `Beta(1.5, 1)` draws more near the data."""

    a: float
    b: float

    def __post_init__(self) -> None:
        check_positive(a=self.a, b=self.b)

    def sample(self, batch: int, generator: torch.Generator) -> Tensor:
        from scipy.special import betaincinv

        u = torch.rand(batch, generator=generator, device=generator.device, dtype=torch.float64)
        t = torch.from_numpy(betaincinv(self.a, self.b, u.cpu().numpy()))
        return t.to(generator.device, torch.float32)


@dataclass(frozen=True)
class ImportanceByLoss(Times):
    """More draws where the loss is large; `weights` keep its expectation (Nichol, Dhariwal, 2021).

    [0, 1] is cut into bins, drawn in proportion to the root of the mean squared loss seen in each,
    mixed with `floor` of a uniform draw so that no weight exceeds 1 / floor. A record: `observed`
    returns the next one. Bins without an observation count as the average of the others.
    """

    squares: Tensor
    counts: Tensor
    decay: float = 0.99
    floor: float = 0.1

    def __post_init__(self) -> None:
        if self.squares.shape != self.counts.shape or self.squares.ndim != 1:
            raise FlowsciError(
                f"squares {tuple(self.squares.shape)} and counts {tuple(self.counts.shape)} "
                "must both be (bins,)"
            )
        if not (0 < self.floor <= 1 and 0 <= self.decay < 1):
            raise FlowsciError(f"floor {self.floor} and decay {self.decay} must be shares")

    @classmethod
    def start(cls, bins: int = 64, decay: float = 0.99, floor: float = 0.1) -> ImportanceByLoss:
        """Return the record before any loss is seen: uniform."""
        return cls(torch.zeros(bins), torch.zeros(bins), decay, floor)

    @property
    def probabilities(self) -> Tensor:
        """The probability of each bin, `(bins,)`, summing to one."""
        seen = self.counts > 0
        bins = len(self.counts)
        if not seen.any():
            return torch.full_like(self.squares, 1 / bins)
        size = torch.sqrt(
            self.squares / torch.where(seen, self.counts, torch.ones_like(self.counts))
        )
        size = torch.where(seen, size, size[seen].mean())
        if not size.any():
            return torch.full_like(self.squares, 1 / bins)
        return (1 - self.floor) * size / size.sum() + self.floor / bins

    def sample(self, batch: int, generator: torch.Generator) -> Tensor:
        bins = torch.multinomial(self.probabilities, batch, replacement=True, generator=generator)
        u = torch.rand(batch, generator=generator, device=generator.device)
        return (bins + u) / len(self.counts)

    def weights(self, t: Tensor) -> Tensor:
        density = self.probabilities * len(self.counts)
        return (1 / density)[self._bins(t)].to(t)

    def observed(self, t: Tensor, losses: Tensor) -> ImportanceByLoss:
        """Return the record after losses `(batch,)` at times t `(batch,)`; old ones fade."""
        if t.shape != losses.shape:
            raise FlowsciError(f"times {tuple(t.shape)} and losses {tuple(losses.shape)} differ")
        bins, squares = self._bins(t), losses.detach().to(self.squares) ** 2
        return replace(
            self,
            squares=(self.decay * self.squares).index_add(0, bins, squares),
            counts=(self.decay * self.counts).index_add(0, bins, torch.ones_like(squares)),
        )

    def _bins(self, t: Tensor) -> Tensor:
        # t = 1 belongs to the last bin
        return (t.to(self.counts) * len(self.counts)).long().clamp(max=len(self.counts) - 1)
