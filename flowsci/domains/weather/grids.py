"""Grids: which rows and columns a field has, their areas, and what lies beyond their edges.

- `gaussian`: Gauss-Legendre latitudes, areas exact; `regular`: equal spacing, cells between the
  poles; `regular_poles`: equal spacing with a row on each pole;
- `region`: part of the sphere, or all longitudes between two latitudes;
- `periodic`: a doubly periodic plane; its coordinates are given in degrees of the box.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowsci.errors import FlowsciError

KINDS = ("gaussian", "regular", "regular_poles", "region", "periodic")
TOLERANCE_DEGREES = 1e-3


@dataclass(frozen=True, eq=False)
class Grid:
    """Rows from south to north and columns eastwards, in degrees; `wraps`: columns go all round."""

    kind: str
    latitudes: np.ndarray
    longitudes: np.ndarray
    row_weights: np.ndarray
    """Share of each row in the area; they sum to 1."""
    wraps: bool

    @classmethod
    def from_coordinates(
        cls, latitudes: Sequence[float] | np.ndarray, longitudes: Sequence[float] | np.ndarray
    ) -> "Grid":
        """Recognise a grid of the sphere; raise `FlowsciError` where it isn't one."""
        latitudes = np.asarray(latitudes, dtype=np.float64)
        longitudes = np.asarray(longitudes, dtype=np.float64)
        _check(latitudes, longitudes)
        wraps = _go_all_round(longitudes)
        kind = _kind(latitudes) if wraps else "region"
        if kind != "region" and len(longitudes) % 2:
            raise FlowsciError(
                f"The grid has {len(longitudes)} longitudes: an odd number has no cell on the "
                "other side of the pole. Interpolate it to an even number."
            )
        return cls(kind, latitudes, longitudes, _row_weights(kind, latitudes), wraps)

    @classmethod
    def periodic(cls, rows: int, columns: int) -> "Grid":
        """Give a doubly periodic plane, 360 degrees along each side."""
        latitudes, longitudes = (np.arange(n) * 360.0 / n for n in (rows, columns))
        return cls("periodic", latitudes, longitudes, np.full(rows, 1 / rows), True)

    @classmethod
    def of(cls, statistics: Mapping[str, Any]) -> "Grid":
        """Give the grid that a prepared dataset's statistics describe."""
        latitudes, longitudes = (np.array(statistics[n]) for n in ("latitude", "longitude"))
        if statistics["grid"] == "periodic":
            return cls.periodic(len(latitudes), len(longitudes))
        return cls.from_coordinates(latitudes, longitudes)

    @property
    def is_global(self) -> bool:
        """Tell whether the grid covers the sphere."""
        return self.kind in ("gaussian", "regular", "regular_poles")

    def is_same(self, other: "Grid", tolerance: float) -> bool:
        """Tell whether another grid has the same rows and columns, to `tolerance` degrees."""
        return self.kind == other.kind and all(
            len(a) == len(b) and bool(np.allclose(a, b, rtol=0, atol=tolerance))
            for a, b in (
                (self.latitudes, other.latitudes),
                (self.longitudes, other.longitudes),
            )
        )

    def say(self) -> str:
        """Say which grid this is, for messages."""
        latitudes, longitudes = self.latitudes, self.longitudes
        return (
            f"({self.kind}, {len(latitudes)} x {len(longitudes)}, {latitudes[0]:g} to "
            f"{latitudes[-1]:g} N, {longitudes[0]:g} to {longitudes[-1]:g} E)"
        )

    @property
    def largest_degree(self) -> int:
        """Largest degree whose spherical harmonics fields of a global grid determine."""
        rows = len(self.latitudes) - (1 if self.kind != "regular_poles" else 2)
        # most harmonics are zero on a pole; the shortest wave of a row has no sine
        return min(rows, (len(self.longitudes) - 1) // 2)

    @cached_property
    def area(self) -> np.ndarray:
        """Weights (latitude, longitude) of the cells; they sum to 1."""
        columns = len(self.longitudes)
        return np.repeat(self.row_weights[:, None] / columns, columns, axis=1)

    def pad(self, fields: Tensor, width: int, vectors: Tensor | None = None) -> Tensor:
        """Give fields (batch, channel, rows, columns) with `width` more cells along each side.

        Longitudes wrap; beyond a pole come the rows of its other side, where the channels in
        `vectors`, which hold a part of a horizontal vector, have the other sign. Edges of a region
        are repeated. The fields may be a coarser version of this grid.
        """
        if self.kind == "periodic":
            fields = torch.cat([fields[:, :, -width:], fields, fields[:, :, :width]], dim=2)
        elif self.kind == "region":
            south, north = fields[:, :, :1], fields[:, :, -1:]
            more = (-1, -1, width, -1)
            fields = torch.cat([south.expand(*more), fields, north.expand(*more)], dim=2)
        else:
            south, north = (self._beyond(fields, width, end, vectors) for end in (0, 1))
            fields = torch.cat([south, fields, north], dim=2)
        if self.wraps:
            return torch.cat([fields[..., -width:], fields, fields[..., :width]], dim=3)
        west, east = (
            fields[..., end].expand(-1, -1, -1, width) for end in (slice(1), slice(-1, None))
        )
        return torch.cat([west, fields, east], dim=3)

    def _beyond(self, fields: Tensor, width: int, end: int, vectors: Tensor | None) -> Tensor:
        skipped = int(self.kind == "regular_poles")
        if end == 0:
            rows = fields[:, :, skipped : skipped + width]
        else:
            stop = fields.shape[2] - skipped
            rows = fields[:, :, stop - width : stop]
        rows = rows.flip(2).roll(fields.shape[3] // 2, dims=3)
        if vectors is None or len(vectors) == 0:
            return rows
        sign = rows.new_ones(fields.shape[1], 1, 1)
        sign[vectors] = -1.0
        return rows * sign

    def coarsen(self, fields: Tensor, factor: int, valid: Tensor | None = None) -> Tensor:
        """Give the means by area (..., rows, columns) over blocks of `factor` cells a side.

        The last block of a side is smaller where `factor` doesn't divide it. `valid`
        (..., rows, columns) tells cells that have a value; a block without one gives 0.
        """
        along_rows = _block_means(tuple(self.row_weights.tolist()), factor).to(fields)
        along_columns = _block_means((1.0,) * len(self.longitudes), factor).to(fields)
        if valid is None:
            return along_rows @ fields @ along_columns.T
        valid = valid.to(fields)
        share = along_rows @ valid @ along_columns.T
        means = along_rows @ (fields * valid) @ along_columns.T
        return torch.where(share > 0, means / share.clamp(min=1e-9), 0.0)

    def refine(self, coarse: Tensor, factor: int) -> Tensor:
        """Interpolate block means (..., rows, columns) bilinearly between the blocks' centres.

        Beyond the outermost centres their values hold, except where longitudes wrap.
        """
        along_rows = _interpolation(len(self.latitudes), factor, self.kind == "periodic")
        along_columns = _interpolation(len(self.longitudes), factor, self.wraps)
        return along_rows.to(coarse) @ coarse @ along_columns.to(coarse).T

    def in_box(self, box: Any) -> np.ndarray:
        """Tell which cells (latitude, longitude) have their centre in a `settings.Box`."""
        # an edge that is meant to lie on a centre does
        south, north = box.south - TOLERANCE_DEGREES, box.north + TOLERANCE_DEGREES
        rows = (self.latitudes >= south) & (self.latitudes <= north)
        extent = ((box.east - box.west) % 360 or 360.0) + 2 * TOLERANCE_DEGREES
        columns = (self.longitudes - box.west + TOLERANCE_DEGREES) % 360 <= extent
        return rows[:, None] & columns[None]

    def nearest(self, latitude: float, longitude: float) -> tuple[int, int]:
        """Give row and column of the cell whose centre is nearest; raise if it lies outside."""
        row = int(np.abs(self.latitudes - latitude).argmin())
        apart = np.abs((self.longitudes - longitude + 180) % 360 - 180)
        column = int(apart.argmin())
        steps = np.abs(np.diff(self.latitudes)).max(), np.abs(np.diff(self.longitudes)).max()
        if abs(self.latitudes[row] - latitude) > steps[0] or apart[column] > steps[1]:
            raise FlowsciError(
                f"The place {latitude:g} N, {longitude:g} E lies outside the grid, which spans "
                f"{self.latitudes[0]:g} to {self.latitudes[-1]:g} N and {self.longitudes[0]:g} to "
                f"{self.longitudes[-1]:g} E."
            )
        return row, column


def gauss_latitudes(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Give Gauss-Legendre latitudes in degrees, ascending, and their weights, which sum to 1."""
    sines, weights = np.polynomial.legendre.leggauss(rows)
    return np.degrees(np.arcsin(sines)), weights / 2


def _check(latitudes: np.ndarray, longitudes: np.ndarray) -> None:
    for name, values in (("latitudes", latitudes), ("longitudes", longitudes)):
        if values.ndim != 1 or len(values) < 2:
            raise FlowsciError(
                f"A grid needs at least 2 {name} along an axis of their own; name a larger grid."
            )
        if not (np.diff(values) > 0).all():
            raise FlowsciError(
                f"The {name} of a grid must ascend, each once; sort them, and take the repeated "
                "out."
            )
    if np.abs(latitudes).max() > 90 + TOLERANCE_DEGREES:
        raise FlowsciError(
            f"Latitudes must lie between -90 and 90 degrees; one is {latitudes.min():g} or "
            f"{latitudes.max():g}. Give them in degrees."
        )


def _go_all_round(longitudes: np.ndarray) -> bool:
    steps = np.diff(np.append(longitudes, longitudes[0] + 360))
    return bool(np.ptp(steps) < TOLERANCE_DEGREES * 10)


def _kind(latitudes: np.ndarray) -> str:
    rows = len(latitudes)
    candidates = {
        "gaussian": gauss_latitudes(rows)[0],
        "regular": -90 + (np.arange(rows) + 0.5) * 180 / rows,
        "regular_poles": np.linspace(-90, 90, rows),
    }
    for kind, expected in candidates.items():
        if np.abs(latitudes - expected).max() < TOLERANCE_DEGREES:
            return kind
    return "region"


def _row_weights(kind: str, latitudes: np.ndarray) -> np.ndarray:
    if kind == "gaussian":
        return gauss_latitudes(len(latitudes))[1]
    between = (latitudes[1:] + latitudes[:-1]) / 2
    edges = np.concatenate(
        [
            [1.5 * latitudes[0] - 0.5 * latitudes[1]],
            between,
            [1.5 * latitudes[-1] - 0.5 * latitudes[-2]],
        ]
    )
    areas = np.diff(np.sin(np.radians(edges.clip(-90, 90))))
    return areas / areas.sum()


@cache
def _block_means(weights: tuple[float, ...], factor: int) -> Tensor:
    """Give the matrix (blocks, cells) of means by weight."""
    blocks = np.arange(len(weights)) // factor
    matrix = (blocks[None] == np.arange(blocks[-1] + 1)[:, None]) * np.array(weights)
    return torch.from_numpy(matrix / matrix.sum(1, keepdims=True))


@cache
def _interpolation(cells: int, factor: int, wraps: bool) -> Tensor:
    """Give the matrix (cells, blocks) of linear interpolation in the number of the cell."""
    blocks = np.arange(cells) // factor
    count = int(blocks[-1]) + 1
    centres = np.array([np.flatnonzero(blocks == b).mean() for b in range(count)])
    values = np.eye(count)
    if wraps and count > 1:
        centres = np.concatenate([[centres[-1] - cells], centres, [centres[0] + cells]])
        values = np.concatenate([values[-1:], values, values[:1]])
    columns = [np.interp(np.arange(cells), centres, values[:, b]) for b in range(count)]
    return torch.from_numpy(np.stack(columns, axis=1))
