"""Convolutions on the grid, and residual blocks that a vector modulates."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.network.padding import EdgePadding

GROUPS = 8


class GridConvolution(nn.Module):
    """A 3 x 3 convolution whose edges are those of the grid: beyond a pole is its other side."""

    def __init__(self, grid: Grid, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.pad = EdgePadding(grid)
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (batch, inputs, rows, columns)."""
        return self.convolution(self.pad(x))


class AdaptiveNorm(nn.Module):
    """Group normalisation whose scale and shift come from a vector (adaLN, Peebles, Xie, 2023)."""

    def __init__(self, channels: int, told: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(told, 2 * channels)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Normalise (batch, channels, ...) as the vector (batch, told) says."""
        scale, shift = self.modulation(vector)[..., None, None].chunk(2, dim=1)
        return torch.addcmul(shift, functional.group_norm(x, GROUPS), 1 + scale)


class ResidualBlock(nn.Module):
    """Two convolutions beside the identity; the second starts at zero."""

    def __init__(self, grid: Grid, channels: int, told: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(AdaptiveNorm(channels, told) for _ in range(2))
        self.first = GridConvolution(grid, channels, channels)
        self.second = GridConvolution(grid, channels, channels)
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        nn.init.zeros_(self.second.convolution.weight)
        nn.init.zeros_(self.second.convolution.bias)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Change (batch, channels, rows, columns) as the vector (batch, told) says."""
        inner = self.first(functional.silu(self.norms[0](x, vector)))
        inner = functional.silu(self.norms[1](inner, vector))
        return x + self.second(self.dropout(inner))
