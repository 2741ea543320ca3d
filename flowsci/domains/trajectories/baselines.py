"""Futures without learned networks: constant velocity, with a spread, and with a Gaussian."""

from dataclasses import asdict, dataclass
from math import log, pi

import numpy as np
import torch

from flowsci.domains.trajectories.frames import agent_frames
from flowsci.domains.trajectories.frames import constant_velocity as extrapolate
from flowsci.flow import sample_generators
from flowsci.flow.generators import normal

LEAST_SPREAD = 1e-4


@dataclass(frozen=True)
class Spread:
    """How far the mean velocity of a future lies from the last observed one: standard deviations.

    Speed is relative; climb is in the dataset's unit of length a step, None without a vertical.
    """

    heading_radians: float
    speed: float
    climb: float | None

    def summary(self) -> dict[str, float]:
        """Give the numbers by name."""
        return {name: round(value, 4) for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class OffsetGaussian:
    """A Gaussian with full covariance of what constant velocity misses, in the agent's frame.

    With F = steps * axes: `mean` (F,), `components` (F, F) in columns, their standard deviations
    `scale` (F,) in the dataset's unit of length; `raised` counts those below `LEAST_SPREAD` of the
    largest, which were set to that.
    """

    mean: torch.Tensor
    components: torch.Tensor
    scale: torch.Tensor
    raised: int

    @classmethod
    def fit(cls, observed: np.ndarray, future: np.ndarray) -> "OffsetGaussian":
        """Fit by maximum likelihood on windows (windows, steps, axes)."""
        offset = _offsets(observed, future)
        mean = offset.mean(dim=0)
        away = offset - mean
        variance, components = torch.linalg.eigh(away.T @ away / len(away))
        scale = variance.clamp_min(0).sqrt()
        least = LEAST_SPREAD * scale.max().clamp_min(torch.finfo(scale.dtype).tiny)
        return cls(mean, components, scale.clamp_min(least), int((scale < least).sum()))

    def log_density(self, observed: np.ndarray, future: np.ndarray) -> np.ndarray:
        """Give the log-density (windows,) of futures, in nats, of the unit of length to the -F."""
        z = (_offsets(observed, future) - self.mean) @ self.components / self.scale
        volume = self.scale.log().sum() + len(self.scale) * log(2 * pi) / 2
        return (-z.square().sum(-1) / 2 - volume).numpy()

    def step_log_density(self, observed: np.ndarray, future: np.ndarray) -> np.ndarray:
        """Give the log-density (windows, steps) of the position at each lead time alone."""
        shape = future.shape[-2:]
        away = (_offsets(observed, future) - self.mean).unflatten(-1, shape)
        factor = (self.components * self.scale).unflatten(0, shape)
        lower = torch.linalg.cholesky(factor @ factor.mT)
        z = torch.linalg.solve_triangular(lower, away.unsqueeze(-1), upper=False).squeeze(-1)
        volume = lower.diagonal(dim1=-2, dim2=-1).log().sum(-1) + shape[-1] * log(2 * pi) / 2
        return (-z.square().sum(-1) / 2 - volume).numpy()


def constant_velocity(observed: np.ndarray, steps: int) -> np.ndarray:
    """Go on with the last observed step: (windows, 1, steps, axes)."""
    return extrapolate(torch.from_numpy(observed), steps).numpy()[:, None]


def fit_spread(observed: np.ndarray, future: np.ndarray) -> Spread:
    """Fit the spread on training windows (windows, steps, axes).

    Squares are weighed by the squared speed: the heading of one who hardly moves says nothing.
    """
    frames = agent_frames(torch.from_numpy(observed))
    mean_velocity = torch.from_numpy(future[:, -1] - observed[:, -1]) / future.shape[1]
    along, across, *up = frames.turn_in(mean_velocity[:, None])[:, 0].unbind(-1)
    before = torch.linalg.vector_norm(frames.velocity[:, :2], dim=-1)
    weight = before.square() / before.square().sum().clamp_min(1e-30)
    ratio = torch.hypot(along, across) / before.clamp_min(1e-30)
    climb = [float((u - frames.velocity[:, 2]).square().mean().sqrt()) for u in up]
    return Spread(
        heading_radians=float((weight * torch.atan2(across, along).square()).sum().sqrt()),
        speed=float((weight * (ratio - 1).square()).sum().sqrt()),
        climb=climb[0] if climb else None,
    )


def sampled_constant_velocity(
    observed: np.ndarray, steps: int, samples: int, spread: Spread, seed: int
) -> np.ndarray:
    """Draw heading, speed and climb around the last ones: (windows, samples, steps, axes)."""
    past = torch.from_numpy(observed)
    frames = agent_frames(past)
    generators = sample_generators(seed, range(len(past)))
    noise = normal((len(past), samples, 3), generators, dtype=past.dtype)
    speed = torch.linalg.vector_norm(frames.velocity[:, :2], dim=-1)[:, None]
    turn = noise[..., 0] * spread.heading_radians
    length = speed * (1 + noise[..., 1] * spread.speed)
    parts = [length * turn.cos(), length * turn.sin()]
    if spread.climb is not None:
        parts.append(frames.velocity[:, None, 2] + noise[..., 2] * spread.climb)
    velocity = frames.turn_out(torch.stack(parts, -1))
    lead = torch.arange(1, steps + 1, dtype=past.dtype)[:, None]
    return (frames.origin[:, None, None] + lead * velocity[:, :, None]).numpy()


def _offsets(observed: np.ndarray, future: np.ndarray) -> torch.Tensor:
    """Give what constant velocity misses in the agent's frame: (windows, steps * axes)."""
    past, came = torch.from_numpy(observed), torch.from_numpy(future)
    frames = agent_frames(past)
    return frames.turn_in(came - frames.straight(came.shape[-2])).flatten(-2)
