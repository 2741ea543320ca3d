"""The network of the measures: small, so that what surrounds it shows."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Perceptron(nn.Module):
    """Three linear layers, `width` wide, on the state `(batch, dimension)` and the time."""

    def __init__(self, dimension: int, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dimension + 1, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, dimension),
        )

    def forward(self, x: Tensor, t: Tensor, condition: object = None) -> Tensor:
        return self.layers(torch.cat([x, t[:, None]], dim=1))


def make_network(dimension: int, width: int = 64) -> Perceptron:
    """Make the same network at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Perceptron(dimension, width)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Draw the same standard normal values at every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
