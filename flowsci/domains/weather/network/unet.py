"""A U-Net on the grid."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.network.blocks import AdaptiveNorm, GridConvolution, ResidualBlock
from flowsci.domains.weather.settings import UNetSettings


class UNet(nn.Module):
    """From features at full resolution to `outputs` channels, through halved grids and back.

    What comes up is added to what went down, which costs half of a convolution of both.
    """

    def __init__(self, settings: UNetSettings, grid: Grid, outputs: int, told: int) -> None:
        super().__init__()
        widths = [settings.width * factor for factor in settings.multipliers]

        def blocks(width: int) -> nn.ModuleList:
            one = (settings.blocks, grid, width, told, settings.dropout)
            return nn.ModuleList(ResidualBlock(*one[1:]) for _ in range(one[0]))

        self.down = nn.ModuleList(blocks(width) for width in widths)
        self.up = nn.ModuleList(blocks(width) for width in widths[:-1])
        steps = list(pairwise(widths))
        self.shrink = nn.ModuleList(GridConvolution(grid, a, b, stride=2) for a, b in steps)
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in steps)
        self.norm = AdaptiveNorm(widths[0], told)
        self.out = GridConvolution(grid, widths[0], outputs)
        nn.init.zeros_(self.out.convolution.weight)
        nn.init.zeros_(self.out.convolution.bias)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Map (batch, width, rows, columns) and (batch, told) to (batch, outputs, ...)."""
        skips = []
        for level, blocks in enumerate(self.down):
            for block in blocks:
                x = block(x, vector)
            if level < len(self.shrink):
                skips.append(x)
                x = self.shrink[level](x)
        for level in reversed(range(len(self.grow))):
            x = skips[level] + self._enlarge(self.grow[level](x), skips[level])
            for block in self.up[level]:
                x = block(x, vector)
        return self.out(functional.silu(self.norm(x, vector)))

    def _enlarge(self, x: Tensor, like: Tensor) -> Tensor:
        """Put four channels of a cell on its four finer cells; grids of odd size lose an edge."""
        fine = functional.pixel_shuffle(x, 2)
        return fine[..., : like.shape[-2], : like.shape[-1]]
