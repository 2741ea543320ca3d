"""Futures without learned parameters: constant velocity, and constant velocity with a spread."""

from dataclasses import asdict, dataclass

import numpy as np
import torch

from flowsci.domains.trajectories.frames import agent_frames
from flowsci.domains.trajectories.frames import constant_velocity as extrapolate
from flowsci.flow import sample_generators
from flowsci.flow.generators import normal


@dataclass(frozen=True)
class Spread:
    """How far the mean velocity of a future lies from the last observed one: standard deviations.

    Speed is relative, climb in km a step.
    """

    heading_radians: float
    speed: float
    climb_km: float

    def summary(self) -> dict[str, float]:
        """Give the numbers by name."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def constant_velocity(observed: np.ndarray, steps: int) -> np.ndarray:
    """Go on with the last observed step: (windows, 1, steps, 3)."""
    return extrapolate(torch.from_numpy(observed), steps).numpy()[:, None]


def fit_spread(observed: np.ndarray, future: np.ndarray) -> Spread:
    """Fit the spread on training windows (windows, steps, 3)."""
    frames = agent_frames(torch.from_numpy(observed))
    mean_velocity = torch.from_numpy(future[:, -1] - observed[:, -1]) / future.shape[1]
    along, across, up = frames.turn_in(mean_velocity[:, None])[:, 0].unbind(-1)
    before = torch.linalg.vector_norm(frames.velocity[:, :2], dim=-1)
    moving = before > 0
    ratio = torch.hypot(along, across)[moving] / before[moving]
    return Spread(
        heading_radians=float(torch.atan2(across, along).square().mean().sqrt()),
        speed=float((ratio - 1).square().mean().sqrt()),
        climb_km=float((up - frames.velocity[:, 2]).square().mean().sqrt()),
    )


def sampled_constant_velocity(
    observed: np.ndarray, steps: int, samples: int, spread: Spread, seed: int
) -> np.ndarray:
    """Draw heading, speed and climb around the last observed ones: (windows, samples, steps, 3)."""
    past = torch.from_numpy(observed)
    frames = agent_frames(past)
    generators = sample_generators(seed, range(len(past)))
    noise = normal((len(past), samples, 3), generators, dtype=past.dtype)
    speed = torch.linalg.vector_norm(frames.velocity[:, :2], dim=-1)[:, None]
    turn = noise[..., 0] * spread.heading_radians
    length = speed * (1 + noise[..., 1] * spread.speed)
    climb = frames.velocity[:, None, 2] + noise[..., 2] * spread.climb_km
    velocity = frames.turn_out(torch.stack([length * turn.cos(), length * turn.sin(), climb], -1))
    lead = torch.arange(1, steps + 1, dtype=past.dtype)[:, None]
    return (frames.origin[:, None, None] + lead * velocity[:, :, None]).numpy()
