"""Where x0 comes from: `source.sample(like, generators, mask, condition)` shaped like `like`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.generators import Generators, normal
from flowsci.flow.masks import centre, check, zero_padding


class Source(ABC):
    """A distribution of x0."""

    @abstractmethod
    def sample(
        self,
        like: Tensor,
        generators: Generators,
        mask: Tensor | None = None,
        condition: Any = None,
    ) -> Tensor:
        """Draw x0 with the shape, dtype and device of `like`; padding is exactly zero."""

    def moments(self, condition: Any = None) -> tuple[Tensor | None, float]:
        """Return mean (None is zero) and standard deviation of a Gaussian source, for the score.

        Raises for a source that is not Gaussian, where the score is not linear in the noise.
        """
        raise FlowsciError(f"{type(self).__name__} is not Gaussian: its score is not known")


def check_positive(**values: float) -> None:
    """Raise unless every named value is positive and finite."""
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise FlowsciError(f"{name} must be positive, got {value}")


@dataclass(frozen=True)
class Gaussian(Source):
    """Independent normal values of standard deviation `std`."""

    std: float = 1.0

    def __post_init__(self) -> None:
        check_positive(std=self.std)

    def sample(
        self,
        like: Tensor,
        generators: Generators,
        mask: Tensor | None = None,
        condition: Any = None,
    ) -> Tensor:
        check(mask, like)
        values = normal(like.shape, generators, like=like)
        return zero_padding(values if self.std == 1 else self.std * values, mask)

    def moments(self, condition: Any = None) -> tuple[Tensor | None, float]:
        return None, self.std


@dataclass(frozen=True)
class CentredGaussian(Source):
    """Normal positions `(batch, n, ...)` with the centre of mass of the real entries at zero.

    The standard normal of the subspace without translations (Equivariant Diffusion, Hoogeboom et
    al., 2022), times `std`.
    """

    std: float = 1.0

    def __post_init__(self) -> None:
        check_positive(std=self.std)

    def sample(
        self,
        like: Tensor,
        generators: Generators,
        mask: Tensor | None = None,
        condition: Any = None,
    ) -> Tensor:
        check(mask, like)
        return centre(self.std * normal(like.shape, generators, like=like), mask)

    def moments(self, condition: Any = None) -> tuple[Tensor | None, float]:
        return None, self.std
