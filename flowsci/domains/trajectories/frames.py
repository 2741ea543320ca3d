"""Frames of the agents: origin at the last observed position, first axis along the heading.

Positions are (..., agents, steps, axes): two horizontal axes, and a vertical one or none.
Everything here is the same for a scene that is shifted, and for one that is turned about the
vertical if each of its agents has moved in an observed step. Who has not has no direction of its
own and looks along the first axis of the world, which all who see it are told.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Frames:
    """Where agents are and how they move at the last observed step.

    `origin` (..., agents, axes), `heading` (..., agents, 2) of length one, `velocity` (..., agents,
    axes) a step, by the difference of the last two observed positions, `pace` (..., agents), the
    mean length of the observed steps.
    """

    origin: Tensor
    heading: Tensor
    velocity: Tensor
    pace: Tensor

    def turn_in(self, vectors: Tensor) -> Tensor:
        """Turn vectors (..., agents, steps, axes) of the world into the frame of their agent."""
        return _turn(vectors, self.heading[..., None, :], -1.0)

    def turn_out(self, vectors: Tensor) -> Tensor:
        """Turn vectors (..., agents, steps, axes) of the agents' frames into the world."""
        return _turn(vectors, self.heading[..., None, :], 1.0)

    def straight(self, steps: int) -> Tensor:
        """Go on with the last observed step: (..., agents, steps, axes)."""
        lead = torch.arange(1, steps + 1, dtype=self.origin.dtype, device=self.origin.device)
        return self.origin[..., None, :] + lead[:, None] * self.velocity[..., None, :]

    def unsqueeze(self, dim: int) -> "Frames":
        """Insert a dimension of one before dimension `dim` (from 0) of all parts, to broadcast."""
        return Frames(*(part.unsqueeze(dim) for part in self.parts))

    def __getitem__(self, index: Tensor) -> "Frames":
        """Select along the first dimension of all parts."""
        return Frames(*(part[index] for part in self.parts))

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give origin, heading, velocity and pace."""
        return self.origin, self.heading, self.velocity, self.pace


def agent_frames(observed: Tensor) -> Frames:
    """Find frames from positions (..., agents, steps, axes).

    Who stands still in the last step looks where the last moving step led; who never moved, along
    the first axis.
    """
    moves = observed.diff(dim=-2)
    speeds = torch.linalg.vector_norm(moves[..., :2], dim=-1)
    steps = torch.arange(1, speeds.shape[-1] + 1, device=observed.device)
    last = (steps * (speeds > 0)).argmax(dim=-1)[..., None, None]
    course = moves[..., :2].gather(-2, last.expand(*last.shape[:-1], 2)).squeeze(-2)
    speed = torch.linalg.vector_norm(course, dim=-1, keepdim=True)
    first_axis = torch.eye(2, dtype=observed.dtype, device=observed.device)[0]
    heading = torch.where(speed > 0, course / speed.clamp_min(1e-30), first_axis)
    pace = torch.linalg.vector_norm(moves, dim=-1).mean(dim=-1)
    return Frames(observed[..., -1, :], heading, moves[..., -1, :], pace)


def constant_velocity(observed: Tensor, steps: int) -> Tensor:
    """Go on with the last observed step: (..., agents, steps, axes)."""
    return agent_frames(observed).straight(steps)


def relative_poses(frames: Frames) -> Tensor:
    """Give position, velocity and heading of agent j as agent i sees them.

    (..., i, j, 2 axes + 2): away, relative velocity, heading.
    """
    places = torch.stack([frames.origin, frames.velocity], dim=-2)
    apart = places[..., None, :, :, :] - places[..., :, None, :, :]
    heading = frames.heading[..., None, :, None, :].expand(*apart.shape[:-2], 1, 2)
    flat = torch.cat([apart[..., :2], heading], dim=-2)
    turned = _turn(flat, frames.heading[..., :, None, None, :], -1.0)
    if apart.shape[-1] == 2:
        return turned.flatten(-2)
    lengths = torch.cat([turned[..., :2, :], apart[..., 2:]], dim=-1)
    return torch.cat([lengths.flatten(-2), turned[..., 2, :]], dim=-1)


def _turn(vectors: Tensor, heading: Tensor, sign: float) -> Tensor:
    cosine, sine = heading[..., 0], sign * heading[..., 1]
    x, y, *up = vectors.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y, *up], dim=-1)
