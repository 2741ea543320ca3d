"""Frames of the agents: origin at the last observed position, first axis along the heading.

Positions are (..., agents, steps, 3): two horizontal axes and the vertical one. Everything here is
the same for a scene that is shifted or turned about the vertical.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Frames:
    """Where agents are and how they move at the last observed step.

    `origin` (..., agents, 3), `heading` (..., agents, 2) of length one, `velocity` (..., agents, 3)
    a step, by the difference of the last two observed positions.
    """

    origin: torch.Tensor
    heading: torch.Tensor
    velocity: torch.Tensor

    def turn_in(self, vectors: torch.Tensor) -> torch.Tensor:
        """Turn vectors (..., agents, steps, 3) of the world into the frame of their agent."""
        return _turn(vectors, self.heading[..., None, :], -1.0)

    def turn_out(self, vectors: torch.Tensor) -> torch.Tensor:
        """Turn vectors (..., agents, steps, 3) of the agents' frames into the world."""
        return _turn(vectors, self.heading[..., None, :], 1.0)

    def unsqueeze(self, dim: int) -> "Frames":
        """Insert a dimension of one before dimension `dim` (from 0) of all parts, to broadcast."""
        parts = (self.origin, self.heading, self.velocity)
        return Frames(*(part.unsqueeze(dim) for part in parts))


def agent_frames(observed: torch.Tensor) -> Frames:
    """Find frames from positions (..., agents, steps, 3); who stands still looks along axis 1."""
    velocity = observed[..., -1, :] - observed[..., -2, :]
    speed = torch.linalg.vector_norm(velocity[..., :2], dim=-1, keepdim=True)
    along_first_axis = torch.zeros_like(velocity[..., :2])
    along_first_axis[..., 0] = 1.0
    heading = torch.where(speed > 0, velocity[..., :2] / speed.clamp_min(1e-30), along_first_axis)
    return Frames(observed[..., -1, :], heading, velocity)


def constant_velocity(observed: torch.Tensor, steps: int) -> torch.Tensor:
    """Go on with the last observed step: (..., agents, steps, 3)."""
    frames = agent_frames(observed)
    lead = torch.arange(1, steps + 1, dtype=observed.dtype, device=observed.device)
    return frames.origin[..., None, :] + lead[:, None] * frames.velocity[..., None, :]


def relative_poses(frames: Frames) -> torch.Tensor:
    """Give position, heading and velocity of agent j as agent i sees them: (..., i, j, 8)."""
    away = frames.origin[..., None, :, :] - frames.origin[..., :, None, :]
    relative = frames.velocity[..., None, :, :] - frames.velocity[..., :, None, :]
    heading = frames.heading[..., None, :, :].expand(*away.shape[:-1], 2)
    flat = torch.zeros_like(away[..., :1])
    turned = torch.cat([heading, flat], dim=-1)
    parts = [frames.turn_in(part) for part in (away, relative, turned)]
    return torch.cat([*parts[:2], parts[2][..., :2]], dim=-1)


def _turn(vectors: torch.Tensor, heading: torch.Tensor, sign: float) -> torch.Tensor:
    cosine, sine = heading[..., 0], sign * heading[..., 1]
    x, y, *rest = vectors.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y, *rest], dim=-1)
