"""Climbs as a chart: altitudes that rise at bounded rates, as altitudes without any bound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from flowsci.domains.trajectories.frames import Frames
from flowsci.domains.trajectories.record import METRES
from flowsci.errors import FlowsciError

LEVELS_M = 304.8
"""Cruising and cleared levels are whole thousands of feet."""


@dataclass(frozen=True)
class ClimbChart:
    """Altitudes (the last axis) <-> charted altitudes, for agents that climb.

    A step's climb r lies in (0, most), its charted one u anywhere:
    r = width (softplus(u / width) - softplus((u - most) / width)).
    Both are alike but within a few widths of the bounds, so straight flight stays straight.
    `width`, `least` and `most` are lengths a step, `levels` is the length between flight levels,
    all in the dataset's unit. `weight` is how much the vertical counts beside the horizontal where
    principal components are sought.
    """

    width: float
    least: float
    most: float
    levels: float
    weight: float = 4.0

    features: ClassVar[int] = 3
    """What `place` says."""

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> "ClimbChart | None":
        """Read the chart of a dataset from its attributes; None where it is not one of climbs."""
        climb = attributes.get("climb")
        if climb is None:
            return None
        metres = metres_of(attributes["axes"], attributes["length_unit"])
        step = attributes["step_seconds"] / metres
        rates = ("width_m_s", "level_rate_m_s", "most_rate_m_s")
        return cls(*(climb[name] * step for name in rates), LEVELS_M / metres)

    def encode(self, frames: Frames, positions: Tensor) -> Tensor:
        """Chart positions (..., steps, axes); `changes` counts what that can't keep."""
        rates = self._rates(frames, positions)[0].clamp(self.least, self.most - self.least)
        below, above = -rates / self.width, (rates - self.most) / self.width
        unbound = rates + self.width * (_log_of_rest(below) - _log_of_rest(above))
        return _with_altitude(frames, positions, unbound)

    def decode(self, frames: Frames, charted: Tensor) -> Tensor:
        """Give positions (..., steps, axes) that never sink and never climb faster than `most`."""
        unbound = _path(frames, charted).diff(dim=-1)
        upper = softplus((unbound - self.most) / self.width)
        rates = self.width * (softplus(unbound / self.width) - upper)
        # of large numbers the difference is rounded
        return _with_altitude(frames, charted, rates.clamp(0.0, self.most))

    def place(self, frames: Frames) -> Tensor:
        """Say where the last altitude lies between levels, as features (..., 3).

        A sine and a cosine of its place, and log(1 + steps to the next level at the last rate).
        """
        altitude, rate = frames.origin[..., -1], frames.velocity[..., -1]
        angle = 2 * torch.pi / self.levels * altitude
        steps = torch.remainder(-altitude, self.levels) / rate.clamp_min(self.least)
        return torch.stack([angle.sin(), angle.cos(), steps.log1p()], dim=-1)

    def changes(self, frames: Frames, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Say what charting changes at positions (..., steps, axes).

        The largest change of an altitude that makes it rise (...), and which steps (..., steps)
        then climb less than `least`, or more than `most - least`.
        """
        rates, moved = self._rates(frames, positions)
        return moved, rates < self.least, rates > self.most - self.least

    def _rates(self, frames: Frames, positions: Tensor) -> tuple[Tensor, Tensor]:
        path = _path(frames, positions)
        rising = monotone(path)
        return rising.diff(dim=-1), (rising - path).abs().amax(-1)


def metres_of(axes: Sequence[str], unit: str) -> float:
    """Give the metres of a unit of length; raise `FlowsciError` where there are no altitudes."""
    if unit not in METRES or len(axes) != 3:
        raise FlowsciError(
            f"windows.climb: needs three axes in km, m or foot, and has {', '.join(axes)} in "
            f"{unit}. Remove the section."
        )
    return METRES[unit]


def monotone(path: Tensor) -> Tensor:
    """Give the rising path (..., steps) from the first altitude that is nearest at its farthest.

    Isotonic regression in the largest distance, of what lies above the start: the mean of the
    running maximum and the running minimum from behind (Robertson, Wright and Dykstra, 1988).
    """
    above = path.maximum(path[..., :1])
    highest = above.cummax(dim=-1).values
    lowest = above.flip(-1).cummin(dim=-1).values.flip(-1)
    return (highest + lowest) / 2


def between(path: Tensor, times: Tensor) -> Tensor:
    """Read a path (..., steps) at times (n,), in steps from its first point: (..., n).

    Straight from step to step, so that it rises wherever the path does, at no other rates. Raises
    `FlowsciError` outside of the path.
    """
    last = path.shape[-1] - 1
    if times.min() < 0 or times.max() > last:
        raise FlowsciError(f"lead times must lie between 0 and {last} steps.")
    before = times.floor().long().clamp(0, last - 1)
    share = (times - before).to(path)
    return path[..., before] + share * (path[..., before + 1] - path[..., before])


def _path(frames: Frames, positions: Tensor) -> Tensor:
    """Give the altitudes (..., 1 + steps) from the last observed one on."""
    altitude = positions[..., -1]
    start = frames.origin[..., -1:].expand(*altitude.shape[:-1], 1)
    return torch.cat([start, altitude], dim=-1)


def _with_altitude(frames: Frames, positions: Tensor, climbs: Tensor) -> Tensor:
    altitude = frames.origin[..., -1:] + climbs.cumsum(dim=-1)
    return torch.cat([positions[..., :-1], altitude.unsqueeze(-1)], dim=-1)


def _log_of_rest(logarithm: Tensor) -> Tensor:
    """Give log(1 - exp(x)) of negative x."""
    return torch.log(-torch.expm1(logarithm))
