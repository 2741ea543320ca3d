"""Fields known in closed form, for tests, documentation and users' own checks.

The data is Gaussian or a Gaussian mixture, x0 an independent Gaussian of standard deviation
`source_std`, so that x_t is a mixture with means beta mu_k and diagonal variances
alpha^2 source_std^2 + beta^2 sigma_k^2 + gamma^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.masks import expand
from flowsci.flow.paths import Coefficients, Linear, Path, check_times
from flowsci.flow.predictions import Prediction


@dataclass(frozen=True)
class GaussianMixtureField:
    """The exact field of data from a mixture of K diagonal Gaussians.

    `means` and `stds` are `(K, ...)` with the shape of one sample, `weights` `(K,)` sum to one.
    A std of 0 is a point of data, whose field raises at t = 1.
    """

    means: Tensor
    stds: Tensor
    weights: Tensor
    path: Path = field(default_factory=Linear)
    source_std: float = 1.0

    def __post_init__(self) -> None:
        count = len(self.means)
        if self.stds.shape != self.means.shape or self.weights.shape != (count,):
            raise FlowsciError(
                f"means {tuple(self.means.shape)}, stds {tuple(self.stds.shape)} and weights "
                f"{tuple(self.weights.shape)} must be (K, ...), (K, ...) and (K,)"
            )
        if not bool((self.stds >= 0).all()):
            raise FlowsciError("stds can't be negative")
        if not torch.isclose(self.weights.sum(), torch.ones((), dtype=self.weights.dtype)):
            raise FlowsciError(f"weights must sum to one, got {self.weights.sum().item()}")

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Prediction:
        return AnalyticPrediction(self, x, t, self.path, None, self.source_std)

    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        """Return log p_t(x) `(batch,)` for x `(batch, ...)` and t `(batch,)`."""
        c = self._coefficients(x, t)
        variance = self._variance(c)
        pull = (x.unsqueeze(1) - c.beta * self.means) / variance
        return torch.logsumexp(self._joint(pull, variance), dim=1)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` samples of the data, `(count, ...)`."""
        kind = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        shape = (count, *self.means.shape[1:])
        noise = torch.randn(shape, generator=generator, dtype=self.means.dtype)
        return self.means[kind] + self.stds[kind] * noise

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the gradient of log p_t at x."""
        return self(x, t).score

    def clean(self, x: Tensor, t: Tensor) -> Tensor:
        """Return E[x1 | x_t]."""
        return self(x, t).clean

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return E[dx_t/dt | x_t]; latent noise enters by gamma gamma', finite at the ends."""
        return self(x, t).velocity

    def pull(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Coefficients]:
        """Return each component's share `(batch, K, ...)` and minus its score, and coefficients."""
        c = self._coefficients(x, t)
        variance = self._variance(c)
        pull = (x.unsqueeze(1) - c.beta * self.means) / variance
        return expand(torch.softmax(self._joint(pull, variance), dim=1), pull), pull, c

    def _coefficients(self, x: Tensor, t: Tensor) -> Coefficients:
        check_times(t)
        return self.path.coefficients(t).expand(x.unsqueeze(1))

    def _variance(self, c: Coefficients) -> Tensor:
        variance = c.alpha**2 * self.source_std**2 + c.beta**2 * self.stds**2 + c.gamma**2
        if not bool((variance > 0).all()):
            raise FlowsciError("points of data (a std of 0) have no density at t = 1")
        return variance

    def _joint(self, pull: Tensor, variance: Tensor) -> Tensor:
        """Return log weight and density of each component, `(batch, K)`."""
        terms = -0.5 * (pull**2 * variance + torch.log(2 * math.pi * variance))
        return self.weights.log() + (terms if terms.ndim == 2 else terms.flatten(2).sum(2))


class GaussianField(GaussianMixtureField):
    """The exact field of data from one Gaussian of `mean` and `std`, shaped like one sample."""

    def __init__(
        self, mean: Tensor, std: Tensor, path: Path | None = None, source_std: float = 1.0
    ) -> None:
        one = torch.ones(1, dtype=mean.dtype, device=mean.device)
        super().__init__(mean[None], std[None], one, path or Linear(), source_std)

    def transport(self, x: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Carry x `(batch, ...)` from times t to t_next `(batch,)` along the exact flow."""
        here, there = self._coefficients(x, t), self._coefficients(x, t_next)
        gain = torch.sqrt(self._variance(there) / self._variance(here))
        moved = there.beta * self.means + gain * (x.unsqueeze(1) - here.beta * self.means)
        return moved.squeeze(1)


class AnalyticPrediction(Prediction):
    """The prediction of an analytic field: every quantity from its closed form, at every t."""

    value: GaussianMixtureField

    @staticmethod
    def target(x0: Tensor, x1: Tensor, t: Tensor, path: Path, z: Tensor | None = None) -> Tensor:
        raise FlowsciError("an analytic field has nothing to learn")

    @cached_property
    def velocity(self) -> Tensor:
        (share, pull, c), data = self._parts, self.value
        latent = expand(self.path.latent_rate(self.t), pull)
        rate = c.alpha * c.d_alpha * self.source_std**2 + c.beta * c.d_beta * data.stds**2 + latent
        return (share * (c.d_beta * data.means + rate * pull)).sum(1)

    @cached_property
    def clean(self) -> Tensor:
        (share, pull, c), data = self._parts, self.value
        return (share * (data.means + c.beta * data.stds**2 * pull)).sum(1)

    @cached_property
    def score(self) -> Tensor:
        share, pull, _ = self._parts
        return -(share * pull).sum(1)

    @cached_property
    def _parts(self) -> tuple[Tensor, Tensor, Coefficients]:
        return self.value.pull(self.x, self.t)

    @cached_property
    def noise(self) -> Tensor:
        return -self.coefficients.alpha * self.source_std**2 * self.score

    @property
    def noise_scale(self) -> Tensor:
        c = self.coefficients
        return torch.sqrt((c.alpha * self.source_std) ** 2 + c.gamma**2)

    @property
    def whitened_score(self) -> Tensor:
        return self.noise_scale * self.score

    def _check_value(self) -> None:
        """A closed form is right by construction, latent noise included."""
