"""Times as features."""

import torch
from torch import Tensor, nn


class TimeFeatures(nn.Module):
    """Times (batch,) in [0, 1] as features (batch, width): waves, then an MLP."""

    def __init__(self, width: int, waves: int = 16) -> None:
        super().__init__()
        frequencies = torch.pi / 2 * torch.arange(1, waves + 1)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.mlp = nn.Sequential(nn.Linear(2 * waves, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        angles = t.unsqueeze(-1) * self.frequencies.to(t)
        return self.mlp(torch.cat([angles.sin(), angles.cos()], dim=-1))
