"""Power by scale: spherical harmonics on the sphere, waves in a box, cosines on a region."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from scipy.fft import dctn

from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.harmonics import SphericalTransform

RESOLVED = 0.8
"""Share of the wavenumbers up to which spectra are judged: the grid cuts off the last ones."""


class Spectrum(Protocol):
    """Power of fields by wavenumber."""

    wavenumbers: np.ndarray
    label: str

    def power(self, fields: np.ndarray) -> np.ndarray:
        """Give the power (..., channel, wavenumber) of (..., channel, latitude, longitude)."""


class SphericalSpectrum:
    """Mean square of each degree; parts of a vector are multiplied by the cosine of latitude.

    A wind's parts are not smooth at a pole, where directions turn; times the cosine they are.
    """

    label = "degree of the spherical harmonic"

    def __init__(self, grid: Grid, l_max: int, vectors: Sequence[int]) -> None:
        self.transform = SphericalTransform(grid.latitudes, grid.longitudes, l_max)
        self.wavenumbers = np.arange(1, l_max + 1)
        self.cosine = np.cos(np.radians(grid.latitudes))[:, None]
        self.vectors = list(vectors)

    def power(self, fields: np.ndarray) -> np.ndarray:
        """Give the power of each degree from 1 on."""
        fields = np.array(fields, dtype=np.float32)
        fields[..., self.vectors, :, :] *= self.cosine
        return self.transform.power(torch.from_numpy(fields))[..., 1:].numpy()


class PlaneSpectrum:
    """Mean square of the waves whose number in the box rounds to each, up to a truncation."""

    label = "waves in the box"

    def __init__(self, grid: Grid, truncation: int) -> None:
        rows, columns = (len(axis) for axis in (grid.latitudes, grid.longitudes))
        y, x = np.fft.fftfreq(rows, 1 / rows)[:, None], np.fft.fftfreq(columns, 1 / columns)
        self.bins = np.hypot(y, x).round().astype(int)
        self.wavenumbers = np.arange(1, 1 + min(truncation, min(rows, columns) // 2 - 1))

    def power(self, fields: np.ndarray) -> np.ndarray:
        """Give the power of each wavenumber from 1 on."""
        squares = np.abs(np.fft.fft2(fields, norm="forward")) ** 2
        return _sums(squares, self.bins, len(self.wavenumbers))


class RegionSpectrum:
    """Mean square of cosine transforms by half waves along the region's shorter side.

    Denis, Cote and Laprise (2002): cosines don't take the jump between opposite edges for power.
    """

    label = "half waves along the shorter side"

    def __init__(self, grid: Grid) -> None:
        rows, columns = (len(axis) for axis in (grid.latitudes, grid.longitudes))
        least = min(rows, columns)
        y, x = np.arange(rows)[:, None] / rows, np.arange(columns) / columns
        self.bins = (np.hypot(y, x) * least).round().astype(int)
        self.cells = rows * columns
        self.wavenumbers = np.arange(1, least)

    def power(self, fields: np.ndarray) -> np.ndarray:
        """Give the power of each wavenumber from 1 on."""
        squares = dctn(fields, axes=(-2, -1), norm="ortho") ** 2 / self.cells
        return _sums(squares, self.bins, len(self.wavenumbers))


def spectrum_of(grid: Grid, statistics: Mapping[str, Any]) -> Spectrum:
    """Give the spectrum that fits a grid."""
    if grid.kind == "periodic":
        return PlaneSpectrum(grid, statistics["truncation"] or len(grid.latitudes))
    if not grid.is_global:
        return RegionSpectrum(grid)
    vectors = [i for i, channel in enumerate(statistics["channels"]) if channel["vector"]]
    finest = min(len(grid.latitudes) - 1, len(grid.longitudes) // 2 - 1)
    return SphericalSpectrum(grid, min(statistics["truncation"] or finest, finest), vectors)


def bands(wavenumbers: np.ndarray, width: int = 4) -> list[np.ndarray]:
    """Give the places of the wavenumbers that are judged, in bands of about `width`."""
    last = max(int(RESOLVED * len(wavenumbers)), 1)
    return np.array_split(np.arange(last), max(last // width, 1))


def band_ratios(power: np.ndarray, truth: np.ndarray, spectrum: Spectrum) -> np.ndarray:
    """Give power (..., channel, wavenumber) over the truth's by judged bands (..., band)."""
    grouped = bands(spectrum.wavenumbers)
    sums = [np.stack([p[..., band].sum(axis=-1) for band in grouped], -1) for p in (power, truth)]
    return sums[0] / sums[1]


def effective_resolution(ratio: np.ndarray, wavenumbers: np.ndarray, least: float = 0.5) -> float:
    """Give the last wavenumber up to which power keeps at least this share of the truth's.

    Zero where the first does not.
    """
    kept = int((ratio >= least).cumprod().sum())
    return float(wavenumbers[kept - 1]) if kept else 0.0


def _sums(squares: np.ndarray, bins: np.ndarray, count: int) -> np.ndarray:
    """Sum (..., rows, columns) over the cells of each bin, from 1 to `count`."""
    member = (bins.ravel()[:, None] == np.arange(1, count + 1)).astype(squares.dtype)
    return squares.reshape(*squares.shape[:-2], -1) @ member
