"""Futures as coefficients: principal components of the offset from constant velocity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flowsci.domains.trajectories.frames import Frames


@dataclass(frozen=True)
class OffsetBasis:
    """Principal components of the offset in the agents' frames, whitened.

    With F = steps * axes: `mean` (steps, axes) in the dataset's unit of length, `components`
    (F, steps, axes), orthonormal, by falling variance, and their standard deviations `scale` (F,).
    Coefficients (..., C) of the first C <= F components have about unit variance.
    """

    mean: Tensor
    components: Tensor
    scale: Tensor

    @classmethod
    def of(cls, statistics: Mapping[str, Any]) -> "OffsetBasis":
        """Read the basis that preparation fitted on the training windows."""
        mean = torch.tensor(statistics["offset_mean"])
        components = torch.tensor(statistics["offset_basis"]).T
        shape = (statistics["predicted_steps"], len(mean) // statistics["predicted_steps"])
        return cls(
            mean.reshape(shape),
            components.reshape(-1, *shape).contiguous(),
            torch.tensor(statistics["offset_scale"]),
        )

    @property
    def steps(self) -> int:
        """Number of predicted steps."""
        return len(self.mean)

    def to(self, like: Tensor) -> "OffsetBasis":
        """Give the basis on the device and in the precision of a tensor."""
        return OffsetBasis(*(part.to(like) for part in (self.mean, self.components, self.scale)))

    def encode(self, frames: Frames, positions: Tensor, components: int) -> Tensor:
        """Give the first coefficients (..., components) of positions (..., steps, axes).

        The leading dimensions of `frames` and `positions` agree, or broadcast.
        """
        basis = self.to(positions)
        offset = frames.turn_in(positions - self._straight(frames)) - basis.mean
        flat = basis.components[:components].flatten(1)
        return offset.flatten(-2) @ flat.T / basis.scale[:components]

    def decode(self, frames: Frames, coefficients: Tensor) -> Tensor:
        """Give positions (..., steps, axes) of coefficients (..., C), what follows C being zero."""
        basis = self.to(coefficients)
        count = coefficients.shape[-1]
        flat = basis.components[:count].flatten(1)
        offset = (coefficients * basis.scale[:count]) @ flat + basis.mean.flatten()
        return self._straight(frames) + frames.turn_out(offset.unflatten(-1, basis.mean.shape))

    def _straight(self, frames: Frames) -> Tensor:
        """Go on with the last velocity: (..., steps, axes)."""
        lead = torch.arange(1, self.steps + 1).to(frames.origin)
        return frames.origin.unsqueeze(-2) + lead[:, None] * frames.velocity.unsqueeze(-2)
