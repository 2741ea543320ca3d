"""Futures as coefficients: principal components of the offset from constant velocity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flowsci.domains.trajectories.climb import ClimbChart
from flowsci.domains.trajectories.frames import Frames


@dataclass(frozen=True)
class OffsetBasis:
    """Principal components of the offset in the agents' frames, whitened.

    An offset counts in the agent's own unit, its pace + `floor` (in the dataset's unit of length),
    so that slow and fast agents look alike; `pace` is the mean one of the training agents. With
    F = steps * axes: `mean` (steps, axes) and orthonormal `components` (F, steps, axes), by falling
    variance, with their standard deviations `scale` (F,). Coefficients (..., C) of the first
    C <= F components have about unit variance.

    With a `chart`, for climbs, all this is of charted positions, and components are orthonormal
    where the vertical counts `chart.weight` times.
    """

    mean: Tensor
    components: Tensor
    scale: Tensor
    pace: Tensor
    floor: Tensor
    chart: ClimbChart | None = None

    @classmethod
    def of(cls, statistics: Mapping[str, Any]) -> "OffsetBasis":
        """Read the basis that preparation fitted on the training windows."""
        mean = torch.tensor(statistics["offset_mean"]).unflatten(
            0, (statistics["predicted_steps"], -1)
        )
        components = torch.tensor(statistics["offset_basis"]).T
        return cls(
            mean,
            components.reshape(-1, *mean.shape).contiguous(),
            torch.tensor(statistics["offset_scale"]),
            torch.tensor(statistics["pace_mean"]),
            torch.tensor(statistics["pace_floor"]),
            ClimbChart(**statistics["climb"]) if statistics.get("climb") else None,
        )

    @property
    def steps(self) -> int:
        """Number of predicted steps."""
        return len(self.mean)

    def to(self, like: Tensor) -> "OffsetBasis":
        """Give the basis on the device and in the precision of a tensor."""
        parts = (self.mean, self.components, self.scale, self.pace, self.floor)
        return OffsetBasis(*(part.to(like) for part in parts), self.chart)

    @property
    def weight(self) -> Tensor:
        """How much each axis (axes,) counts in the components."""
        return axis_weight(self.chart, self.mean)

    def unit(self, frames: Frames) -> Tensor:
        """Give the length (...) that an agent's offsets are counted in."""
        return frames.pace + self.floor.to(frames.pace)

    def offsets(self, frames: Frames, positions: Tensor) -> Tensor:
        """Give what constant velocity misses (..., steps, axes), in frame and unit of the agents.

        The leading dimensions of `frames` and `positions` agree, or broadcast.
        """
        charted = self.chart.encode(frames, positions) if self.chart else positions
        missed = frames.turn_in(charted - frames.straight(self.steps))
        return missed / self.unit(frames)[..., None, None]

    def expand(self, coefficients: Tensor) -> Tensor:
        """Give the offsets (..., steps, axes) of coefficients (..., C); what follows C is zero."""
        basis, count = self.to(coefficients), coefficients.shape[-1]
        offset = (coefficients * basis.scale[:count]) @ basis.components[:count].flatten(1)
        offset = offset.unflatten(-1, basis.mean.shape)
        return (offset / basis.weight if self.chart else offset) + basis.mean

    def coefficients(self, offsets: Tensor, components: int) -> Tensor:
        """Give the first coefficients (..., components) of offsets (..., steps, axes)."""
        basis = self.to(offsets)
        flat = basis.components[:components].flatten(1)
        away = offsets - basis.mean
        away = away * basis.weight if self.chart else away
        return away.flatten(-2) @ flat.T / basis.scale[:components]

    def encode(self, frames: Frames, positions: Tensor, components: int) -> Tensor:
        """Give the first coefficients (..., components) of positions (..., steps, axes)."""
        return self.coefficients(self.offsets(frames, positions), components)

    def decode(self, frames: Frames, coefficients: Tensor) -> Tensor:
        """Give the positions (..., steps, axes) of coefficients (..., C)."""
        offset = self.expand(coefficients) * self.unit(frames)[..., None, None]
        positions = frames.straight(self.steps) + frames.turn_out(offset)
        return self.chart.decode(frames, positions) if self.chart else positions


def axis_weight(chart: ClimbChart | None, like: Tensor) -> Tensor:
    """Give how much each axis (axes,) of `like` (..., axes) counts; the vertical of climbs more."""
    weight = like.new_ones(like.shape[-1])
    if chart is not None:
        weight[-1] = chart.weight
    return weight
