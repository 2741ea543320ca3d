"""What a network said, converted once into velocity, clean state, noise and score.

`clean` is E[x1 | x_t], `noise` E[x0 | x_t], `velocity` E[dx_t/dt | x_t], `score` the gradient of
log p_t. The four are linear in each other for a path without latent noise. At the ends:

=========  ============================  ==============================
said       at t = 0                      at t = 1
=========  ============================  ==============================
velocity   all; noise = x (limit) [1]    all but score; clean = x
clean      all; noise = x                clean only (alpha = 0)
noise      noise, score (beta = 0)       all but score; clean = x
score      noise, score (beta = 0)       all; noise = source mean
=========  ============================  ==============================

[1] clean needs a path that leaves t = 0 with a speed (not `Polynomial` with a power above 1).
Where the information does not exist, the property raises; nothing is clamped. The score takes a
Gaussian source (`source_mean`, `source_std`) that is independent of x1 or conditioned upon; a
`source_std` of NaN says that the source is not Gaussian, and only the score raises.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.masks import expand
from flowsci.flow.paths import Coefficients, Path, check_finite_rate, check_pair


class Prediction(ABC):
    """A network's output `value` at state x `(batch, ...)` and times t `(batch,)` on a path."""

    def __init__(
        self,
        value: Any,
        x: Tensor,
        t: Tensor,
        path: Path,
        source_mean: Tensor | None = None,
        source_std: float = 1.0,
    ) -> None:
        self.value = value
        self.x = x
        self.t = t
        self.path = path
        self.source_mean = source_mean
        self.source_std = source_std

    @staticmethod
    @abstractmethod
    def target(x0: Tensor, x1: Tensor, t: Tensor, path: Path, z: Tensor | None = None) -> Any:
        """Return what the network should say for one pair of ends."""

    @property
    @abstractmethod
    def velocity(self) -> Tensor: ...

    @property
    @abstractmethod
    def clean(self) -> Tensor: ...

    @property
    @abstractmethod
    def noise(self) -> Tensor: ...

    @property
    def noise_scale(self) -> Tensor:
        """Standard deviation of the Gaussian part of x_t, broadcasting against x."""
        return self.coefficients.alpha * self.gaussian_std

    @property
    def whitened_score(self) -> Tensor:
        """`noise_scale` times the score: finite also where the score alone is not."""
        mean = self.source_mean
        centred = self.noise if mean is None else self.noise - mean
        return -centred / self.gaussian_std

    @property
    def score(self) -> Tensor:
        return self._divide(self.whitened_score, self.noise_scale, "score")

    @cached_property
    def coefficients(self) -> Coefficients:
        """The path's coefficients, broadcasting against x."""
        self._check_value()
        return self.path(self.t).expand(self.x)

    @classmethod
    def error(cls, output: Any, target: Any) -> Tensor:
        """Return the squared error of a network's output, `(batch, ...)`."""
        check_same_shape(output, target)
        error: Tensor = (output - target) ** 2
        return error

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Return the same kind of prediction with `function` of its value."""
        return self.replace(function(self.value))

    def at(self, t: Tensor) -> Self:
        """Return the prediction as if at other times, for coefficients such as `noise_scale`."""
        return type(self)(self.value, self.x, t, self.path, self.source_mean, self.source_std)

    def replace(self, value: Any) -> Self:
        """Return the same kind of prediction with another value (for guidance and projections)."""
        return type(self)(value, self.x, self.t, self.path, self.source_mean, self.source_std)

    def _check_value(self) -> None:
        if self.path.latent:
            raise FlowsciError(
                f"{type(self).__name__} on a path with latent noise tells {self._tells} only; "
                "use ActionDenoiserPrediction"
            )
        check_same_shape(self.value, self.x)

    @property
    def gaussian_std(self) -> float:
        """The source's standard deviation; raises for a source that is not Gaussian."""
        if math.isnan(self.source_std):
            raise FlowsciError("the source is not Gaussian: its score is not known")
        return self.source_std

    @property
    def _tells(self) -> str:
        return type(self).__name__.removesuffix("Prediction").lower()

    def _divide(self, numerator: Tensor, denominator: Tensor, what: str) -> Tensor:
        """Divide exactly, or say that the information is not there."""
        vanishing = denominator == 0
        if vanishing.any():
            at = self.t[vanishing.flatten()].flatten()[0].item()
            raise FlowsciError(
                f"the {what} at t = {at} can't be had from {type(self).__name__} on {self.path}: "
                "use a method or grid whose stages avoid this end, or a velocity prediction"
            )
        return numerator / denominator


def check_same_shape(value: Any, x: Tensor) -> None:
    """Raise unless a network's output has the state's shape."""
    if not isinstance(value, Tensor):
        raise FlowsciError(f"the network must return a tensor, got {type(value).__name__}")
    if value.shape != x.shape:
        raise FlowsciError(
            f"the network returned shape {tuple(value.shape)} for a state of {tuple(x.shape)}"
        )


class VelocityPrediction(Prediction):
    """The network said dx_t/dt."""

    value: Tensor

    @staticmethod
    def target(x0: Tensor, x1: Tensor, t: Tensor, path: Path, z: Tensor | None = None) -> Tensor:
        return path.velocity(x0, x1, t, z)

    @property
    def velocity(self) -> Tensor:
        return self.value

    @cached_property
    def clean(self) -> Tensor:
        c = self.coefficients
        at_data = c.alpha == 0
        numerator = torch.where(at_data, self.x, c.alpha * self.value - c.d_alpha * self.x)
        return self._divide(numerator, torch.where(at_data, c.beta, c.determinant), "clean state")

    @cached_property
    def noise(self) -> Tensor:
        c = self.coefficients
        at_source = c.beta == 0
        numerator = torch.where(at_source, self.x, c.d_beta * self.x - c.beta * self.value)
        return self._divide(numerator, torch.where(at_source, c.alpha, c.determinant), "noise")


class CleanPrediction(Prediction):
    """The network said the data end x1 (a denoiser)."""

    value: Tensor

    @staticmethod
    def target(x0: Tensor, x1: Tensor, t: Tensor, path: Path, z: Tensor | None = None) -> Tensor:
        return x1

    @property
    def clean(self) -> Tensor:
        return self.value

    @cached_property
    def noise(self) -> Tensor:
        c = self.coefficients
        return self._divide(self.x - c.beta * self.value, c.alpha, "noise or velocity")

    @cached_property
    def velocity(self) -> Tensor:
        c = self.coefficients
        return c.d_alpha * self.noise + c.d_beta * self.value


class NoisePrediction(Prediction):
    """The network said the source end x0 (epsilon of the diffusion literature)."""

    value: Tensor

    @staticmethod
    def target(x0: Tensor, x1: Tensor, t: Tensor, path: Path, z: Tensor | None = None) -> Tensor:
        return x0

    @property
    def noise(self) -> Tensor:
        return self.value

    @cached_property
    def clean(self) -> Tensor:
        c = self.coefficients
        return self._divide(self.x - c.alpha * self.noise, c.beta, "clean state or velocity")

    @cached_property
    def velocity(self) -> Tensor:
        c = self.coefficients
        return c.d_alpha * self.noise + c.d_beta * self.clean


class ScorePrediction(NoisePrediction):
    """The network said the score of p_t; its target is that of denoising score matching."""

    @staticmethod
    def target(x0: Tensor, x1: Tensor, t: Tensor, path: Path, z: Tensor | None = None) -> Tensor:
        """Return -x0 / alpha, for a standard normal source; raises at t = 1."""
        alpha = path(t).alpha
        if (alpha == 0).any():
            raise FlowsciError("the score's target is infinite at t = 1: draw times below 1")
        return -x0 / expand(alpha, x0)

    @property
    def score(self) -> Tensor:
        return self.value

    @cached_property
    def noise(self) -> Tensor:
        offset = -self.coefficients.alpha * self.gaussian_std**2 * self.value
        return offset if self.source_mean is None else self.source_mean + offset


class ActionDenoiserPrediction(Prediction):
    """The network said a pair: action E[alpha' x0 + beta' x1 | x_t] and denoiser E[z | x_t].

    The parametrisation of Stochastic Interpolants for paths with latent noise, which makes
    velocity and score known together. Raises where gamma' is infinite (velocity) or gamma is zero
    (score).
    """

    value: tuple[Tensor, Tensor]

    @staticmethod
    def target(
        x0: Tensor, x1: Tensor, t: Tensor, path: Path, z: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_pair(x0, x1)
        c = path(t)
        action = expand(c.d_alpha, x1) * x0 + expand(c.d_beta, x1) * x1
        return action, path.require_latent(z, x1)

    @classmethod
    def error(cls, output: Any, target: Any) -> Tensor:
        """Return the sum of the squared errors of action and denoiser, `(batch, ...)`."""
        _check_two(output)
        return super().error(output[0], target[0]) + super().error(output[1], target[1])

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return self.replace((function(self.action), function(self.denoiser)))

    @property
    def action(self) -> Tensor:
        return self.value[0]

    @property
    def denoiser(self) -> Tensor:
        return self.value[1]

    @cached_property
    def velocity(self) -> Tensor:
        rate = self.coefficients.d_gamma
        check_finite_rate(rate, expand(self.t, self.x))
        return self.action + rate * self.denoiser

    @cached_property
    def clean(self) -> Tensor:
        return self._without_latent.clean

    @cached_property
    def noise(self) -> Tensor:
        return self._without_latent.noise

    @property
    def noise_scale(self) -> Tensor:
        return self.coefficients.gamma

    @property
    def whitened_score(self) -> Tensor:
        return -self.denoiser

    @cached_property
    def _without_latent(self) -> VelocityPrediction:
        x = self.x - self.coefficients.gamma * self.denoiser
        return VelocityPrediction(self.action, x, self.t, self.path.without_latent())

    def _check_value(self) -> None:
        if not self.path.latent:
            raise FlowsciError(f"{self.path} has no latent noise: use VelocityPrediction")
        _check_two(self.value)
        check_same_shape(self.action, self.x)
        check_same_shape(self.denoiser, self.x)


def _check_two(value: Any) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise FlowsciError("the network must return the tuple (action, denoiser)")
