"""How a state moves from source (t = 0) to data (t = 1): x_t = alpha x0 + beta x1 + gamma z.

Stochastic Interpolants (Albergo, Boffi, Vanden-Eijnden, 2023) and SiT (Ma et al., 2024), with time
running from source to data. A path has exact ends: alpha goes from 1 to 0, beta from 0 to 1. The
derivatives of alpha and beta are finite everywhere; that of gamma may be infinite at the ends.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.masks import expand

TimeFunction = Callable[[Tensor], Tensor]

END_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The coefficients of a path and their derivatives in t, each shaped like t."""

    alpha: Tensor
    beta: Tensor
    gamma: Tensor
    d_alpha: Tensor
    d_beta: Tensor
    d_gamma: Tensor

    def expand(self, like: Tensor) -> Coefficients:
        """View every coefficient `(batch,)` so that it broadcasts against `like` `(batch, ...)`."""
        return Coefficients(
            expand(self.alpha, like),
            expand(self.beta, like),
            expand(self.gamma, like),
            expand(self.d_alpha, like),
            expand(self.d_beta, like),
            expand(self.d_gamma, like),
        )

    @property
    def share(self) -> Tensor:
        """beta / (alpha + beta): the signal-to-noise ratio on a scale from 0 to 1."""
        return self.beta / (self.alpha + self.beta)

    @property
    def determinant(self) -> Tensor:
        """alpha beta' - alpha' beta: where it is zero, a velocity does not tell x0 from x1."""
        return self.alpha * self.d_beta - self.d_alpha * self.beta


class Path(ABC):
    """A path from source to data; subclasses give `coefficients`."""

    @property
    def latent(self) -> bool:
        """Whether the path adds noise of its own (gamma is not zero everywhere)."""
        return False

    def without_latent(self) -> Path:
        """Return the same path with gamma = 0."""
        return self

    @abstractmethod
    def coefficients(self, t: Tensor) -> Coefficients:
        """Return the coefficients at times t of any shape, trusted to lie in [0, 1]."""

    def latent_rate(self, t: Tensor) -> Tensor:
        """Return gamma gamma' at times t, also where gamma' alone is infinite."""
        c = self.coefficients(t)
        return c.gamma * c.d_gamma

    def time_at(self, share: Tensor) -> Tensor:
        """Return the time at which beta / (alpha + beta) is `share`, in [0, 1]; both ends exact."""
        low, high = torch.zeros_like(share), torch.ones_like(share)
        for _ in range(54):
            middle = (low + high) / 2
            below = self.coefficients(middle).share < share
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return torch.where(share == 0, low.new_zeros(()), high)

    def __call__(self, t: Tensor) -> Coefficients:
        """Return the coefficients at times t of any shape; raise for times outside [0, 1]."""
        check_times(t)
        return self.coefficients(t)

    def interpolate(self, x0: Tensor, x1: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        """Return x_t for ends `(batch, ...)`, times `(batch,)` and latent noise z like x0."""
        check_pair(x0, x1)
        check_times(t)
        return self.blend(x0, x1, t, z)

    def blend(self, x0: Tensor, x1: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        """Return x_t like `interpolate`, for ends and times that are checked already."""
        c = self.coefficients(t)
        x = expand(c.alpha, x1) * x0 + expand(c.beta, x1) * x1
        return x + expand(c.gamma, x1) * self.require_latent(z, x1) if self.latent else x

    def velocity(self, x0: Tensor, x1: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        """Return dx_t/dt for ends `(batch, ...)`, times `(batch,)` and latent noise z like x0.

        Raises where gamma' is infinite (the ends of `TwoSidedNoise`).
        """
        check_pair(x0, x1)
        c = self(t)
        v = expand(c.d_alpha, x1) * x0 + expand(c.d_beta, x1) * x1
        if not self.latent:
            return v
        check_finite_rate(c.d_gamma, t)
        return v + expand(c.d_gamma, x1) * self.require_latent(z, x1)

    def require_latent(self, z: Tensor | None, like: Tensor) -> Tensor:
        """Return the latent noise, or raise when it is missing or of another shape."""
        if z is None:
            raise FlowsciError(f"{type(self).__name__} has latent noise: pass z like x0")
        check_pair(z, like)
        return z


def check_times(t: Tensor) -> None:
    """Raise unless every time lies in [0, 1] (NaN does not)."""
    low, high = torch.aminmax(t)
    first, last = low.item(), high.item()
    if not (first >= 0 and last <= 1):
        raise FlowsciError(f"times must lie in [0, 1], got {first} to {last}")


def check_pair(x0: Tensor, x1: Tensor) -> None:
    """Raise unless both ends have the same shape."""
    if x0.shape != x1.shape:
        raise FlowsciError(
            f"the ends of a path must have one shape, got {tuple(x0.shape)} and {tuple(x1.shape)}"
        )


def check_finite_rate(d_gamma: Tensor, t: Tensor) -> None:
    """Raise where the latent noise changes infinitely fast."""
    if not d_gamma.isfinite().all():
        at = t.expand_as(d_gamma)[~d_gamma.isfinite()].flatten()[0].item()
        raise FlowsciError(
            f"the latent noise changes infinitely fast at t = {at}: draw times inside (0, 1), "
            "or use SmoothNoise"
        )


@dataclass(frozen=True)
class Linear(Path):
    """alpha = 1 - t, beta = t: straight lines (Flow Matching, Lipman et al., 2023)."""

    def coefficients(self, t: Tensor) -> Coefficients:
        one, zero = torch.ones_like(t), torch.zeros_like(t)
        return Coefficients(1 - t, t, zero, -one, one, zero)

    def time_at(self, share: Tensor) -> Tensor:
        return share

    def blend(self, x0: Tensor, x1: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        return torch.lerp(x0, x1, expand(t, x1).to(x1.dtype))

    def velocity(self, x0: Tensor, x1: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        check_pair(x0, x1)
        return x1 - x0


@dataclass(frozen=True)
class Trigonometric(Path):
    """alpha = cos(pi t / 2), beta = sin(pi t / 2): a quarter circle (GVP of SiT)."""

    def coefficients(self, t: Tensor) -> Coefficients:
        half = math.pi / 2
        # the sine of the distance to the far end is exactly zero there, the cosine is not
        alpha, beta = torch.sin(half * (1 - t)), torch.sin(half * t)
        zero = torch.zeros_like(t)
        return Coefficients(alpha, beta, zero, -half * beta, half * alpha, zero)

    def time_at(self, share: Tensor) -> Tensor:
        return torch.atan2(share, 1 - share) * (2 / math.pi)


@dataclass(frozen=True)
class Spherical(Path):
    """Spherical interpolation (Shoemake, 1985), which keeps the energy E |x_t|^2.

    alpha = sin((1 - t) angle) / sin(angle), beta = sin(t angle) / sin(angle), with `correlation`,
    between -1 and 1, the cosine of the angle: alpha^2 + beta^2 + 2 alpha beta correlation = 1, so
    that ends of equal energy and this correlation (successive states of a flow, say) have it in
    between too. Independent ends, correlation 0, are those of `Trigonometric`; the straight path
    loses half of their energy midway.
    """

    correlation: float = 0.0

    def __post_init__(self) -> None:
        if not -1 < self.correlation < 1:
            raise FlowsciError(f"correlation must lie between -1 and 1, got {self.correlation}")

    def coefficients(self, t: Tensor) -> Coefficients:
        angle = math.acos(self.correlation)
        size = math.sin(angle)
        alpha, beta = torch.sin(angle * (1 - t)) / size, torch.sin(angle * t) / size
        rate, zero = angle / size, torch.zeros_like(t)
        d_alpha, d_beta = -rate * torch.cos(angle * (1 - t)), rate * torch.cos(angle * t)
        return Coefficients(alpha, beta, zero, d_alpha, d_beta, zero)


@dataclass(frozen=True)
class VariancePreserving(Path):
    """The linear noise schedule of DDPM and score SDEs, alpha^2 + beta^2 = 1, with exact ends.

    With s = 1 - t and k(s) = exp(-rate s^2 / 4): beta = (k(s) - k(1)) / (1 - k(1)), the zero
    terminal signal-to-noise rescaling of Lin et al. (2024). `rate` is beta_max, beta_min is 0, so
    that the derivatives are finite at both ends.
    """

    rate: float = 20.0

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise FlowsciError(f"rate must be positive, got {self.rate}")

    def coefficients(self, t: Tensor) -> Coefficients:
        s, w = 1 - t, self.rate / 4
        gain = 1 / -math.expm1(-w)
        beta = torch.expm1(w * t * (2 - t)) / math.expm1(w)
        # alpha = s root: the factor s is kept apart, so that alpha' is exact at t = 1
        root = torch.sqrt(gain * w * _expm1_ratio(w * s**2) * (1 + beta))
        slope = 2 * w * gain * torch.exp(-w * s**2)
        zero = torch.zeros_like(t)
        return Coefficients(s * root, beta, zero, -beta * slope / root, slope * s, zero)

    def time_at(self, share: Tensor) -> Tensor:
        alpha = (1 - share) / torch.hypot(share, 1 - share)
        beta = share / torch.hypot(share, 1 - share)
        w = self.rate / 4
        # 1 - beta from alpha, exact near the data where beta rounds to one
        s = torch.sqrt(-torch.log1p(alpha**2 / (1 + beta) * math.expm1(-w)) / w)
        return torch.where(share == 0, torch.zeros_like(s), 1 - s)


def _expm1_ratio(u: Tensor) -> Tensor:
    """(1 - exp(-u)) / u, 1 at u = 0."""
    safe = torch.where(u == 0, torch.ones_like(u), u)
    return torch.where(u == 0, 1 - u / 2, -torch.expm1(-safe) / safe)


@dataclass(frozen=True)
class Polynomial(Path):
    """alpha = 1 - t^power, beta = t^power; `power` is at least 1.

    With a power above 1 the velocity vanishes at t = 0 and does not tell the clean state there.
    """

    power: float = 2.0

    def __post_init__(self) -> None:
        if not self.power >= 1:
            raise FlowsciError(f"power must be at least 1, got {self.power}")

    def coefficients(self, t: Tensor) -> Coefficients:
        beta, d_beta = t**self.power, self.power * t ** (self.power - 1)
        zero = torch.zeros_like(t)
        return Coefficients(1 - beta, beta, zero, -d_beta, d_beta, zero)

    def time_at(self, share: Tensor) -> Tensor:
        return share ** (1 / self.power)


@dataclass(frozen=True)
class LatentNoise(Path):
    """A path with latent noise gamma(t) z added to another path; subclasses give `noise`."""

    path: Path = field(default_factory=Linear)
    scale: float = 1.0

    @property
    def latent(self) -> bool:
        return True

    def without_latent(self) -> Path:
        return self.path

    def __post_init__(self) -> None:
        if self.path.latent:
            raise FlowsciError(f"{self.path} has latent noise already")
        if not self.scale > 0:
            raise FlowsciError(f"scale must be positive, got {self.scale}")

    @abstractmethod
    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return gamma and its derivative for scale 1."""

    def coefficients(self, t: Tensor) -> Coefficients:
        c = self.path.coefficients(t)
        gamma, d_gamma = self.noise(t)
        gamma, d_gamma = self.scale * gamma, self.scale * d_gamma
        return Coefficients(c.alpha, c.beta, gamma, c.d_alpha, c.d_beta, d_gamma)


@dataclass(frozen=True)
class TwoSidedNoise(LatentNoise):
    """gamma = scale sqrt(t (1 - t)), a Brownian bridge: no noise at either end.

    gamma' is +inf at t = 0 and -inf at t = 1, where `velocity` raises.
    """

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        gamma = torch.sqrt(t * (1 - t))
        return gamma, (1 - 2 * t) / (2 * gamma)

    def latent_rate(self, t: Tensor) -> Tensor:
        return self.scale**2 * (1 - 2 * t) / 2


@dataclass(frozen=True)
class SmoothNoise(LatentNoise):
    """gamma = scale sin^2(pi t): no noise at either end, and a finite derivative everywhere."""

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        # measured from the nearer end, so that both ends are exactly zero
        near = torch.minimum(t, 1 - t)
        d_gamma = math.pi * torch.sin(2 * math.pi * near)
        return torch.sin(math.pi * near) ** 2, torch.where(t <= 0.5, d_gamma, -d_gamma)


@dataclass(frozen=True)
class OneSidedNoise(LatentNoise):
    """gamma = scale (1 - t): noise at the source only, whose law is blurred by N(0, scale^2)."""

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, -torch.ones_like(t)


@dataclass(frozen=True)
class CustomPath(Path):
    """A user's own path from elementwise functions of t; derivatives by autodiff.

    Raises when the ends are wrong: alpha must go from 1 to 0, beta from 0 to 1 (to 1e-6), with
    finite derivatives, and gamma must be 0 at t = 1. Rounding at the ends (a cosine that misses its
    zero) is taken away, so that no conversion divides by it.
    """

    alpha: TimeFunction
    beta: TimeFunction
    gamma: TimeFunction | None = None

    @property
    def latent(self) -> bool:
        return self.gamma is not None

    def without_latent(self) -> Path:
        return CustomPath(self.alpha, self.beta)

    def __post_init__(self) -> None:
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        c = self.coefficients(ends)
        _check_ends("alpha", c.alpha, [1.0, 0.0])
        _check_ends("beta", c.beta, [0.0, 1.0])
        _check_ends("gamma", c.gamma, [float(c.gamma[0]), 0.0])
        for name, slope in (("alpha", c.d_alpha), ("beta", c.d_beta)):
            if not slope.isfinite().all():
                raise FlowsciError(f"the derivative of {name} at t = 0, 1 is {slope.tolist()}")

    def coefficients(self, t: Tensor) -> Coefficients:
        alpha, d_alpha = _with_derivative(self.alpha, t)
        beta, d_beta = _with_derivative(self.beta, t)
        alpha, beta = (
            _exact(_exact(alpha, t, 0, 1), t, 1, 0),
            _exact(_exact(beta, t, 0, 0), t, 1, 1),
        )
        if self.gamma is None:
            zero = torch.zeros_like(t)
            return Coefficients(alpha, beta, zero, d_alpha, d_beta, zero)
        gamma, d_gamma = _with_derivative(self.gamma, t)
        return Coefficients(alpha, beta, _exact(gamma, t, 1, 0), d_alpha, d_beta, d_gamma)


def _exact(values: Tensor, t: Tensor, end: int, wanted: int) -> Tensor:
    """Return the values with what rounding left at one end taken away; the slope is kept."""
    rounding = (values - wanted).detach()
    rounded = (t == end) & (rounding.abs() <= END_TOLERANCE)
    return values - torch.where(rounded, rounding, torch.zeros_like(rounding))


def _check_ends(name: str, values: Tensor, expected: list[float]) -> None:
    wanted = torch.tensor(expected, dtype=values.dtype)
    if not torch.allclose(values, wanted, rtol=0, atol=END_TOLERANCE):
        raise FlowsciError(f"{name} at t = 0, 1 is {values.tolist()}, but a path needs {expected}")


def _with_derivative(function: TimeFunction, t: Tensor) -> tuple[Tensor, Tensor]:
    value, slope = torch.func.jvp(function, (t.contiguous(),), (torch.ones(t.shape).to(t),))[:2]
    return value, slope
