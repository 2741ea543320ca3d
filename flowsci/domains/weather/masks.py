"""Which cells are observed: masks of users, and random ones to train on."""

from functools import singledispatch

import torch
from torch import Tensor

from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.settings import BoxesMask, HalfGlobeMask, Section, StationsMask
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators

SPARSEST, DENSEST = 0.005, 0.25
"""Least and largest share of cells that hold a station in training."""


@singledispatch
def cells_of(mask: Section, grid: Grid, valid: Tensor) -> Tensor:
    """Tell which cells (rows, columns) a mask observes; `valid` (C, rows, columns)."""
    raise FlowsciError(f"There is no mask of the kind '{type(mask).__name__}'.")


@cells_of.register
def _(mask: HalfGlobeMask, grid: Grid, valid: Tensor) -> Tensor:
    columns = torch.arange(len(grid.longitudes)) < len(grid.longitudes) // 2
    return columns.expand(len(grid.latitudes), -1)


@cells_of.register
def _(mask: BoxesMask, grid: Grid, valid: Tensor) -> Tensor:
    cells = torch.stack([torch.from_numpy(grid.in_box(box)) for box in mask.boxes])
    for number, box in enumerate(cells):
        if not box.any():
            raise FlowsciError(
                f"sampling.task.mask.boxes: box number {number} (from 0) holds no cell; widen it, "
                "or leave it out."
            )
    return cells.any(0)


@cells_of.register
def _(mask: StationsMask, grid: Grid, valid: Tensor) -> Tensor:
    cells = torch.zeros(valid.shape[1:], dtype=torch.bool)
    if mask.stations is None:
        (generator,) = sample_generators(mask.seed, [0])
        share = torch.from_numpy(grid.area) * valid.any(0)
        if mask.count > (known := int((share > 0).sum())):
            raise FlowsciError(
                f"sampling.task.mask.count: {mask.count} stations are more than the {known} cells "
                "that have a value; draw fewer."
            )
        drawn = torch.multinomial(share.flatten(), mask.count, generator=generator)
        cells.view(-1)[drawn] = True
    else:
        for number, place in enumerate(mask.stations):
            try:
                row, column = grid.nearest(place.latitude, place.longitude)
            except FlowsciError as error:
                raise FlowsciError(
                    f"sampling.task.mask.stations: number {number} (from 0): {error} Leave it out."
                ) from None
            cells[row, column] = True
    return cells


def task_mask(grid: Grid, mask: Section, valid: Tensor) -> Tensor:
    """Tell what is observed (C, rows, columns): cells of the mask that have a value.

    Raises `FlowsciError` where that is nothing.
    """
    observed = cells_of(mask, grid, valid) & valid
    if not observed.any():
        raise FlowsciError(
            "sampling.task.mask: observes no cell that has a value. Choose other places."
        )
    return observed


def random_mask(grid: Grid, generator: torch.Generator) -> Tensor:
    """Draw cells (rows, columns): stations of any density, or a box of any size or its outside.

    At least one cell is drawn.
    """
    rows, columns = len(grid.latitudes), len(grid.longitudes)
    kind, south, west, height, width = torch.rand(5, generator=generator).tolist()
    if kind < 1 / 3:
        share = SPARSEST * (DENSEST / SPARSEST) ** south
        cells = torch.rand(rows, columns, generator=generator) < share
        cells[int(height * rows), int(width * columns)] = True
        return cells
    row = torch.arange(rows) - int(south * rows * (1 - height))
    inside_rows = (row >= 0) & (row < max(1, round(rows * (0.25 + 0.75 * height))))
    if kind < 2 / 3:
        # a band of longitudes, as half a globe is
        inside_rows = torch.ones(rows, dtype=torch.bool)
    column = (torch.arange(columns) - int(west * columns)) % columns
    inside = inside_rows[:, None] & (column < max(1, round(columns * (0.25 + 0.5 * width))))
    return inside if torch.rand(1, generator=generator) < 0.5 else ~inside
