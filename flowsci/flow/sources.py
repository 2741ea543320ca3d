"""Where x0 comes from: `source.sample(like, generators, mask, condition)` shaped like `like`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.generators import Generators, normal, uniform
from flowsci.flow.masks import centre, check, expand, sample_sum, zero_padding


class Source(ABC):
    """A distribution of x0; `gaussian` ones know their `moments`."""

    gaussian: ClassVar[bool] = False
    conditional: ClassVar[bool] = False
    """Whether a row's x0 belongs to that row's condition."""

    @abstractmethod
    def sample(
        self,
        like: Tensor,
        generators: Generators,
        mask: Tensor | None = None,
        condition: Any = None,
    ) -> Tensor:
        """Draw x0 with the shape, dtype and device of `like`; padding is exactly zero."""

    def standard_noise(self) -> Source:
        """Return the standard normal of the space that the source lives in, for latent noise."""
        return Gaussian()

    def moments(self, condition: Any = None) -> tuple[Tensor | None, float]:
        """Return mean (None is zero) and standard deviation of a Gaussian source, for the score.

        Raises for a source that is not Gaussian, where the score is not linear in the noise.
        """
        raise FlowsciError(f"{type(self).__name__} is not Gaussian: its score is not known")

    def moments_for_score(self, condition: Any = None) -> tuple[Tensor | None, float]:
        """Return the `moments` for a prediction, whose score raises for a deviation of NaN."""
        return self.moments(condition) if self.gaussian else (None, math.nan)

    def project(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the nearest state `(batch, ...)` that the source could have drawn."""
        return zero_padding(x, mask)

    def dimensions(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return how many dimensions the samples of a state `(batch, ...)` have, `(batch,)`."""
        return sample_sum(torch.ones_like(x), mask)

    def log_density(self, x: Tensor, mask: Tensor | None = None, condition: Any = None) -> Tensor:
        """Return the log density `(batch,)` at states on the source's support, over its dimensions.

        Raises for a source whose density is not known.
        """
        mean, std = self.moments(condition)
        squares = sample_sum((x if mean is None else x - mean.to(x)) ** 2, mask) / std**2
        return -0.5 * (squares + self.dimensions(x, mask) * math.log(2 * math.pi * std**2))


def check_positive(**values: float) -> None:
    """Raise unless every named value is positive and finite."""
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise FlowsciError(f"{name} must be positive, got {value}")


@dataclass(frozen=True)
class Gaussian(Source):
    """Independent normal values of standard deviation `std`."""

    gaussian: ClassVar[bool] = True
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

    gaussian: ClassVar[bool] = True
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

    def standard_noise(self) -> Source:
        return CentredGaussian()

    def project(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return centre(x, mask)

    def dimensions(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().dimensions(x, mask) - x.shape[2:].numel()

    def moments(self, condition: Any = None) -> tuple[Tensor | None, float]:
        return None, self.std


@dataclass(frozen=True)
class NormMatchedGaussian(Source):
    """A Gaussian whose mean norm is that of the data (Lee et al., 2025, on source distributions).

    `norm` is the mean Euclidean norm of a data sample. At sampling time `pruned(directions)` draws
    again while the cosine with one of the `directions` `(k, ...)`, in which data is sparse, exceeds
    `threshold`; training keeps every direction. Samples are whole: a mask raises.
    """

    norm: float
    directions: Tensor | None = None
    threshold: float = 1.0
    attempts: int = 1000

    def __post_init__(self) -> None:
        check_positive(norm=self.norm)

    @classmethod
    def fit(cls, data: Tensor) -> NormMatchedGaussian:
        """Match the mean norm of data `(count, ...)`."""
        return cls(float(data.flatten(1).norm(dim=1).mean()))

    def pruned(self, directions: Tensor, threshold: float) -> NormMatchedGaussian:
        """Return the source for sampling, without the neighbourhood of `directions` `(k, ...)`."""
        if not 0 < threshold < 1:
            raise FlowsciError(f"threshold is a cosine in (0, 1), got {threshold}")
        norms = directions.flatten(1).norm(dim=1)
        if not bool((norms > 0).all()):
            raise FlowsciError("a direction of length zero points nowhere: leave it out")
        units = directions / expand(norms, directions)
        return replace(self, directions=units, threshold=threshold)

    def sample(
        self,
        like: Tensor,
        generators: Generators,
        mask: Tensor | None = None,
        condition: Any = None,
    ) -> Tensor:
        if mask is not None:
            raise FlowsciError("NormMatchedGaussian is for samples of one size, without a mask")
        _, std = self._std(like)
        values = std * normal(like.shape, generators, like=like)
        rejected = self._rejected(values)
        for _ in range(self.attempts):
            if not bool(rejected.any()):
                return values
            values = self._again(values, rejected, generators, std)
            rejected = self._rejected(values)
        raise FlowsciError(
            f"{int(rejected.sum())} samples were rejected {self.attempts} times: "
            f"raise the threshold above {self.threshold} or give fewer directions"
        )

    def _std(self, like: Tensor) -> tuple[int, float]:
        """Return the dimension of a sample and the deviation that gives the mean norm."""
        size = like.shape[1:].numel()
        chi = math.sqrt(2) * math.exp(math.lgamma((size + 1) / 2) - math.lgamma(size / 2))
        return size, self.norm / chi

    def _rejected(self, values: Tensor) -> Tensor:
        if self.directions is None:
            return torch.zeros(len(values), dtype=torch.bool, device=values.device)
        if self.directions.shape[1:] != values.shape[1:]:
            raise FlowsciError(
                f"directions {tuple(self.directions.shape)} do not fit samples "
                f"{tuple(values.shape)}: give them as (k, ...)"
            )
        flat = values.flatten(1)
        cosines = flat @ self.directions.to(values).flatten(1).T / flat.norm(dim=1, keepdim=True)
        rejected: Tensor = (cosines > self.threshold).any(1)
        return rejected

    def _again(
        self, values: Tensor, rejected: Tensor, generators: Generators, std: float
    ) -> Tensor:
        """Draw the rejected rows once more, each from its own generator."""
        rows = rejected.nonzero().flatten()
        if not isinstance(generators, torch.Generator):
            generators = [generators[row] for row in rows.tolist()]
        fresh = std * normal(values[rows].shape, generators, like=values)
        return values.index_copy(0, rows, fresh)


@dataclass(frozen=True)
class StudentT(Source):
    """Multivariate Student-t: a Gaussian over the root of one chi^2 / degrees for each sample.

    Heavy tails for heavy-tailed data (Pandey et al., 2024); its entries are Student-t of `degrees`
    and `scale`, and uncorrelated.
    """

    degrees: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_positive(degrees=self.degrees, scale=self.scale)

    @classmethod
    def fit(cls, data: Tensor) -> StudentT:
        """Fit degrees and scale to the entries of data by maximum likelihood, location 0."""
        from scipy.optimize import minimize

        values = data.detach().flatten().double()
        check_positive(spread=float(values.abs().mean()))

        def loss(logs: Sequence[float]) -> float:
            law = torch.distributions.StudentT(math.exp(logs[0]), 0.0, math.exp(logs[1]))
            return -float(law.log_prob(values).mean())  # type: ignore[no-untyped-call]

        start = [math.log(5.0), math.log(float(values.abs().median()) + 1e-12)]
        found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-4})
        if not found.success:
            raise FlowsciError(f"no Student-t fits the data: {found.message}")
        return cls(math.exp(found.x[0]), math.exp(found.x[1]))

    def sample(
        self,
        like: Tensor,
        generators: Generators,
        mask: Tensor | None = None,
        condition: Any = None,
    ) -> Tensor:
        from scipy.special import chdtri

        check(mask, like)
        values = normal(like.shape, generators, like=like)
        u = uniform((len(like),), generators, dtype=torch.float64)
        # 1 - u lies in (0, 1]: the largest uniform number must not give a chi^2 of zero
        chi = torch.from_numpy(chdtri(self.degrees, (1 - u).numpy())) / self.degrees
        return zero_padding(self.scale * values / expand(chi.sqrt().to(values), values), mask)

    def log_density(self, x: Tensor, mask: Tensor | None = None, condition: Any = None) -> Tensor:
        size, nu = self.dimensions(x, mask), self.degrees
        squares = sample_sum(x**2, mask) / (nu * self.scale**2)
        volume = torch.lgamma((nu + size) / 2) - math.lgamma(nu / 2)
        volume = volume - size / 2 * math.log(nu * math.pi * self.scale**2)
        return volume - (nu + size) / 2 * torch.log1p(squares)


@dataclass(frozen=True)
class Categorical(Source):
    """Classes drawn from `probabilities` `(classes,)`, the same for every entry.

    `like` holds class indices (integers) or one-hot vectors (floating point, classes last).
    """

    probabilities: Tensor

    def __post_init__(self) -> None:
        p = self.probabilities
        if (
            p.ndim != 1
            or not bool((p >= 0).all())
            or not math.isclose(float(p.sum()), 1, rel_tol=1e-5)
        ):
            raise FlowsciError(f"probabilities (classes,) must sum to one, got {p.tolist()}")

    @classmethod
    def uniform(cls, classes: int) -> Categorical:
        """Return the source where every class is as likely."""
        return cls(torch.full((classes,), 1 / classes))

    @classmethod
    def masked(cls, classes: int) -> Categorical:
        """Return the source where every entry is the extra class `classes`, the mask."""
        return cls(torch.cat([torch.zeros(classes), torch.ones(1)]))

    @classmethod
    def marginal(cls, counts: Tensor) -> Categorical:
        """Return the source with the frequencies of the data, from counts `(classes,)`."""
        check_positive(total=float(counts.sum()))
        return cls(counts.double() / counts.sum())

    def sample(
        self,
        like: Tensor,
        generators: Generators,
        mask: Tensor | None = None,
        condition: Any = None,
    ) -> Tensor:
        check(mask, like)
        classes = len(self.probabilities)
        one_hot = like.is_floating_point()
        if one_hot and like.shape[-1] != classes:
            raise FlowsciError(f"{classes} classes do not fit one-hot states {tuple(like.shape)}")
        shape = like.shape[:-1] if one_hot else like.shape
        # not every device has double precision
        u = uniform(shape, generators, dtype=torch.float64)
        edges = self.probabilities.double().cpu().cumsum(0)
        index = torch.searchsorted(edges / edges[-1], u, right=True).to(like.device)
        if one_hot:
            return zero_padding(torch.nn.functional.one_hot(index, classes).to(like), mask)
        return zero_padding(index.to(like.dtype), mask)


def _itself(condition: Any) -> Any:
    return condition


@dataclass(frozen=True)
class ConditionPlusNoise(Source):
    """x0 = condition + std n: the flow starts at what is known (Albergo et al., 2024).

    For forecasting, super-resolution and in-painting. `select` takes the tensor shaped like x1 out
    of the condition.
    """

    gaussian: ClassVar[bool] = True
    conditional: ClassVar[bool] = True
    std: float
    select: Callable[[Any], Tensor] = _itself

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
        known = self._known(condition)
        if known.shape != like.shape:
            raise FlowsciError(
                f"the condition has shape {tuple(known.shape)}, the state {tuple(like.shape)}"
            )
        noise = self.std * normal(like.shape, generators, like=like)
        return zero_padding(known.to(like) + noise, mask)

    def moments(self, condition: Any = None) -> tuple[Tensor | None, float]:
        return self._known(condition), self.std

    def _known(self, condition: Any) -> Tensor:
        known = None if condition is None else self.select(condition)
        if not isinstance(known, Tensor):
            raise FlowsciError("ConditionPlusNoise needs a condition that gives a tensor")
        return known
