"""Stochastic methods that keep the marginals of the flow.

For any diffusion coefficient g, dx = (v + g^2 s / 2) dt + g dW has the marginals p_t of the flow
dx = v dt (SiT, Ma et al., 2024). The score s is infinite where the Gaussian part of x_t has no
width, sigma = 0; a prediction gives the finite `whitened_score` sigma s, and a diffusion gives
g^2 / (2 sigma), so that nothing is clamped.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.fields import Field
from flowsci.flow.generators import Generators, require
from flowsci.flow.masks import expand
from flowsci.flow.methods import Euler, Method, OneCall
from flowsci.flow.predictions import Prediction
from flowsci.flow.sources import Gaussian, Source, check_positive


class Diffusion(ABC):
    """How much noise an SDE adds at a time."""

    @abstractmethod
    def squared(self, prediction: Prediction) -> Tensor:
        """Return g^2 at the prediction's times, broadcasting against its state."""

    @abstractmethod
    def per_scale(self, prediction: Prediction) -> Tensor:
        """Return g^2 / (2 sigma), infinite where sigma alone is zero."""


@dataclass(frozen=True)
class Proportional(Diffusion):
    """g^2 = 2 rate sigma: dies out with the noise of the path, so that both ends are regular."""

    rate: float = 1.0

    def __post_init__(self) -> None:
        check_positive(rate=self.rate)

    def squared(self, prediction: Prediction) -> Tensor:
        return 2 * self.rate * prediction.noise_scale

    def per_scale(self, prediction: Prediction) -> Tensor:
        return torch.full_like(prediction.noise_scale, self.rate)


@dataclass(frozen=True)
class CustomDiffusion(Diffusion):
    """g as any elementwise function of t; a constant is `lambda t: torch.full_like(t, 0.5)`."""

    coefficient: Callable[[Tensor], Tensor]

    def squared(self, prediction: Prediction) -> Tensor:
        return expand(self.coefficient(prediction.t) ** 2, prediction.x)

    def per_scale(self, prediction: Prediction) -> Tensor:
        squared, sigma = self.squared(prediction), prediction.noise_scale
        return torch.where(squared == 0, torch.zeros_like(squared), squared / (2 * sigma))


@dataclass(frozen=True)
class _Noisy:
    """What stochastic methods share: their noise, standard and shaped by `noise` and `mask`."""

    noise: Source = field(default_factory=Gaussian, kw_only=True)
    mask: Tensor | None = field(default=None, kw_only=True)

    def draw(self, like: Tensor, generators: Generators | None) -> Tensor:
        generators = require(generators, type(self).__name__)
        return self.noise.sample(like, generators, self.mask)


@dataclass(frozen=True)
class EulerMaruyama(_Noisy, OneCall):
    """The simplest SDE step: drift and noise at t; never asks the field at t_next.

    `noise` and `mask` shape the noise: `CentredGaussian()` for states without a centre of mass.
    """

    diffusion: Diffusion = field(default_factory=Proportional)

    def advance(
        self,
        x: Tensor,
        prediction: Prediction,
        t: Tensor,
        t_next: Tensor,
        generators: Generators | None = None,
    ) -> Tensor:
        h = _rising(t, t_next, x)
        drift = _regular_drift(self.diffusion, prediction)
        noise = torch.sqrt(h * self.diffusion.squared(prediction)) * self.draw(x, generators)
        return x + h * drift + noise


@dataclass(frozen=True)
class StochasticHeun(_Noisy, Method):
    """Heun's rule for the SDE: the drift is averaged over both ends of the step, weak order 2.

    Where the drift at t_next is infinite (sigma = 0, but not g), the drift at t stands for it.
    """

    diffusion: Diffusion = field(default_factory=Proportional)

    def step(
        self,
        field: Field,
        x: Tensor,
        t: Tensor,
        t_next: Tensor,
        condition: Any = None,
        generators: Generators | None = None,
    ) -> Tensor:
        h = _rising(t, t_next, x)
        here = field(x, t, condition)
        drift = _regular_drift(self.diffusion, here)
        squared = self.diffusion.squared(here) + self.diffusion.squared(here.at(t_next))
        noise = torch.sqrt(h / 2 * squared) * self.draw(x, generators)
        guess = x + h * drift + noise
        there, regular = _drift(self.diffusion, field(guess, t_next, condition))
        return x + h / 2 * (drift + torch.where(regular, there, drift)) + noise


def _drift(diffusion: Diffusion, prediction: Prediction) -> tuple[Tensor, Tensor]:
    """Return v + g^2 s / 2, and where it is finite (elsewhere the second term is left out)."""
    rate = diffusion.per_scale(prediction)
    regular = rate.isfinite()
    rate = torch.where(regular, rate, torch.zeros_like(rate))
    return prediction.velocity + rate * prediction.whitened_score, regular


def _regular_drift(diffusion: Diffusion, prediction: Prediction) -> Tensor:
    drift, regular = _drift(diffusion, prediction)
    if not bool(regular.all()):
        at = float(prediction.t[~regular.flatten()][0])
        raise FlowsciError(
            f"{diffusion} adds noise at t = {at:.6g}, where the path has none and the score is "
            "infinite: use Proportional, or start the grid later"
        )
    return drift


def _rising(t: Tensor, t_next: Tensor, x: Tensor) -> Tensor:
    h = t_next - t
    if not bool((h > 0).all()):
        raise FlowsciError("stochastic methods go from source to data: give a rising grid")
    return expand(h, x)


@dataclass(frozen=True)
class Renoising(_Noisy, OneCall):
    """Take the state apart into clean state and noise, renew part of the noise, put it together.

    The coefficients of clean state and noise stay those of the path at t_next; subclasses give the
    renewed share of the noise's standard deviation. Noise that training paired with the data is
    paired again with the clean state by `pair(noise, clean)`. That keeps the law of a pairing that
    moves the noise by symmetries of its law: `Aligned` turns and permutes, and turned noise mixed
    with fresh noise is Gaussian noise, turned.
    """

    pair: Callable[[Tensor, Tensor], Tensor] | None = field(default=None, kw_only=True)

    @property
    def renews(self) -> bool:
        """Tell whether any noise is renewed; else the step is deterministic."""
        return True

    @abstractmethod
    def renewed(self, prediction: Prediction, t_next: Tensor) -> Tensor:
        """Return the renewed share, in [0, 1], broadcasting against the state."""

    def advance(
        self,
        x: Tensor,
        prediction: Prediction,
        t: Tensor,
        t_next: Tensor,
        generators: Generators | None = None,
    ) -> Tensor:
        if prediction.path.latent:
            raise FlowsciError(f"{type(self).__name__} takes a path without latent noise")
        after = prediction.path(t_next).expand(x)
        noise = prediction.noise
        if self.renews:
            _rising(t, t_next, x)
            noise = self._mixed(noise, prediction, t_next, generators)
        return after.beta * prediction.clean + after.alpha * noise

    def _mixed(
        self,
        noise: Tensor,
        prediction: Prediction,
        t_next: Tensor,
        generators: Generators | None,
    ) -> Tensor:
        share, mean = self.renewed(prediction, t_next), prediction.source_mean
        kept = noise if mean is None else noise - mean
        fresh = prediction.gaussian_std * self.draw(noise, generators)
        mixed = torch.sqrt(1 - share**2) * kept + share * fresh
        mixed = mixed if mean is None else mean + mixed
        return mixed if self.pair is None else self.pair(mixed, prediction.clean)


@dataclass(frozen=True)
class _Partly(Renoising):
    """Renewal by a share that is a setting: none for eta = 0."""

    eta: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise FlowsciError(f"eta must lie in [0, 1], got {self.eta}")

    @property
    def renews(self) -> bool:
        return self.eta > 0


@dataclass(frozen=True)
class CoefficientPreserving(_Partly):
    """Renew the share sin(eta pi / 2) of the noise at every step (CPS, Wang and Yu, 2025).

    Exact where the predicted noise is the true one (a point of data); the noise added does not
    shrink with the step, so for the marginals of the flow in many steps take `DDIM`.
    """

    def renewed(self, prediction: Prediction, t_next: Tensor) -> Tensor:
        share = torch.full_like(prediction.t, math.sin(self.eta * math.pi / 2))
        return expand(share, prediction.x)


@dataclass(frozen=True)
class DDIM(_Partly):
    """eta = 0 is the deterministic DDIM, eta = 1 ancestral sampling (Song, Meng, Ermon, 2021)."""

    def renewed(self, prediction: Prediction, t_next: Tensor) -> Tensor:
        before, after = prediction.path(prediction.t), prediction.path(t_next)
        ratio = (after.alpha * before.beta) / (before.alpha * after.beta)
        return expand(self.eta * torch.sqrt(1 - ratio**2), prediction.x)


@dataclass(frozen=True)
class ExponentialRenoising(Renoising):
    """Keep (alpha_next / alpha)^rate of the noise: stable in few steps, whatever the rate.

    The step of the SDE with g^2 = -2 rate std^2 alpha d(alpha)/dt that is exact while the clean
    state stands still. On the linear path from standard noise its limit of many steps is that of
    `EulerMaruyama(Proportional(rate))`, which takes steps below sigma / rate.
    """

    rate: float = 1.0

    def __post_init__(self) -> None:
        check_positive(rate=self.rate)

    def renewed(self, prediction: Prediction, t_next: Tensor) -> Tensor:
        ratio = prediction.path(t_next).alpha / prediction.path(prediction.t).alpha
        # where alpha does not fall, up to rounding, nothing is renewed
        return expand(torch.sqrt((1 - ratio ** (2 * self.rate)).clamp_min(0)), prediction.x)


@dataclass(frozen=True)
class PredictorCorrector(_Noisy, Method):
    """A step of any method, then Langevin steps at t_next (Song et al., 2021).

    A correction moves by `strength`^2 sigma^2 times the score: nothing happens where sigma = 0.
    The field is asked once more for each.
    """

    predictor: Method = field(default_factory=Euler)
    corrections: int = 1
    strength: float = 0.1

    def __post_init__(self) -> None:
        check_positive(strength=self.strength)
        if self.corrections < 0:
            raise FlowsciError(f"corrections can't be negative, got {self.corrections}")

    def step(
        self,
        field: Field,
        x: Tensor,
        t: Tensor,
        t_next: Tensor,
        condition: Any = None,
        generators: Generators | None = None,
    ) -> Tensor:
        x = self.predictor.step(field, x, t, t_next, condition, generators)
        for _ in range(self.corrections):
            prediction = field(x, t_next, condition)
            sigma = prediction.noise_scale
            if not bool(sigma.any()):
                return x
            push = self.strength**2 * sigma * prediction.whitened_score
            x = x + push + math.sqrt(2) * self.strength * sigma * self.draw(x, generators)
        return x
