"""Cells beyond a grid's edges, copied with a cheap way back for gradients.

The same as `Grid.pad` of scalars, which says where each cell comes from; its own backward pass
fills a whole field with zeros for each edge, and takes a tenth of a training step.
"""

import torch
from torch import Tensor, nn

from flowsci.domains.weather.grids import Grid


class EdgePadding(nn.Module):
    """Features (batch, channel, rows, columns) with one more cell along each side."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self.known: dict[tuple[int, int, torch.device], tuple[Tensor, Tensor]] = {}

    def forward(self, features: Tensor) -> Tensor:
        """Pad features of this grid, or of a coarser version of it."""
        rows, columns = features.shape[-2:]
        key = rows, columns, features.device
        if key not in self.known:
            self.known[key] = self._edges(rows, columns, features.device)
        return _Padded.apply(features, *self.known[key])

    def _edges(self, rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Give the places of the new cells among the padded ones, and of those they copy."""
        cells = torch.arange(rows * columns, dtype=torch.float64).view(1, 1, rows, columns)
        origin = self.grid.pad(cells, 1)[0, 0].long()
        new = torch.ones_like(origin, dtype=torch.bool)
        new[1:-1, 1:-1] = False
        places = new.flatten().nonzero().flatten()
        return places.to(device), origin.flatten()[places].to(device)


class _Padded(torch.autograd.Function):
    @staticmethod
    def forward(
        context: torch.autograd.function.FunctionCtx, x: Tensor, new: Tensor, origin: Tensor
    ) -> Tensor:
        context.save_for_backward(new, origin)
        padded = x.new_empty(*x.shape[:2], x.shape[2] + 2, x.shape[3] + 2)
        padded[:, :, 1:-1, 1:-1] = x
        padded.flatten(2)[..., new] = x.flatten(2).index_select(2, origin)
        return padded

    @staticmethod
    def backward(
        context: torch.autograd.function.FunctionCtx, gradient: Tensor
    ) -> tuple[Tensor, None, None]:
        new, origin = context.saved_tensors
        inner = gradient[:, :, 1:-1, 1:-1].contiguous()
        back = inner.flatten(2).index_add(2, origin, gradient.flatten(2).index_select(2, new))
        return back.view(inner.shape), None, None
