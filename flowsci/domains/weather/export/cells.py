"""Edges and areas of grid cells."""

from typing import Any

import numpy as np
import xarray as xr

EARTH_RADIUS_M = 6_371_229.0
"""Radius of the sphere of numerical weather prediction (GRIB edition 1)."""


def latitude_edges(arrays: xr.Dataset) -> np.ndarray:
    """Give the edges of the rows (latitude, 2) in degrees, south before north.

    On a whole sphere they enclose exactly the rows' share of its area, as the weights of a Gaussian
    grid ask for; on a region they lie half-way between the rows.
    """
    if arrays.attrs["grid"] == "region":
        return _between(arrays["latitude"].values, least=-90.0, most=90.0)
    share = arrays["area"].values.sum(axis=1)
    sines = np.clip(np.concatenate([[-1.0], 2 * np.cumsum(share) - 1]), -1, 1)
    edges = np.degrees(np.arcsin(sines))
    return np.stack([edges[:-1], edges[1:]], axis=1)


def longitude_edges(arrays: xr.Dataset) -> np.ndarray:
    """Give the edges of the columns (longitude, 2) in degrees, west before east."""
    return _between(arrays["longitude"].values)


def cell_areas(arrays: xr.Dataset) -> np.ndarray:
    """Give the areas of the cells (latitude, longitude) in m2."""
    sines = np.sin(np.radians(latitude_edges(arrays)))
    widths = np.radians(np.diff(longitude_edges(arrays), axis=1)[:, 0])
    return EARTH_RADIUS_M**2 * np.diff(sines, axis=1) * widths


def _between(centres: np.ndarray, **limits: Any) -> np.ndarray:
    half = np.diff(centres) / 2
    low = centres - np.concatenate([half[:1], half])
    high = centres + np.concatenate([half, half[-1:]])
    edges = np.stack([low, high], axis=1)
    return np.clip(edges, limits["least"], limits["most"]) if limits else edges
