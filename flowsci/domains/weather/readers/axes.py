"""Which dimension of a variable is what, by CF's attributes or by its customary name."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from flowsci.errors import FlowsciError

NAMES = {
    "latitude": ("latitude", "lat", "nav_lat"),
    "longitude": ("longitude", "lon", "nav_lon"),
    "time": ("time", "valid_time", "t"),
    "level": ("level", "plev", "lev", "pressure_level", "isobaricInhPa", "pressure", "height"),
}
STANDARD_NAMES = {
    "latitude": ("latitude",),
    "longitude": ("longitude",),
    "time": ("time",),
    "level": ("air_pressure",),
}
UNITS = {
    "latitude": ("degrees_north", "degree_north", "degrees_N", "degree_N"),
    "longitude": ("degrees_east", "degree_east", "degrees_E", "degree_E"),
}
PRESSURES = {"pa": 0.01, "hpa": 1.0, "mbar": 1.0, "millibar": 1.0, "millibars": 1.0, "mb": 1.0}
SURFACE_PASCAL = 2000.0


def find_axis(variable: xr.DataArray, axis: str) -> str | None:
    """Find the dimension of a variable that is its latitude, longitude, time or level."""
    for dimension in variable.dims:
        attributes = variable[dimension].attrs if dimension in variable.coords else {}
        if _says(attributes, axis) or str(dimension) in NAMES[axis]:
            return str(dimension)
    return None


def with_level(variable: xr.DataArray) -> xr.DataArray:
    """Give a variable an axis of one level where its level is a scalar coordinate."""
    if find_axis(variable, "level") is not None:
        return variable
    for name, coordinate in variable.coords.items():
        if not coordinate.ndim and (
            _says(coordinate.attrs, "level") or str(name) in NAMES["level"]
        ):
            return variable.expand_dims(name)
    return variable


def _says(attributes: Mapping[str, Any], axis: str) -> bool:
    if attributes.get("standard_name") in STANDARD_NAMES[axis]:
        return True
    units = str(attributes.get("units", ""))
    if axis == "time":
        return " since " in units
    if axis == "level":
        return units.lower() in PRESSURES
    return units in UNITS[axis]


def levels_hpa(level: xr.DataArray) -> np.ndarray:
    """Give the levels of a coordinate in hPa; without units, numbers above 2000 are Pa.

    Raises `FlowsciError` where units are stated that are no pressure.
    """
    values = level.values.astype(np.float64)
    units = str(level.attrs.get("units", "")).lower()
    if units in PRESSURES:
        return values * PRESSURES[units]
    if units:
        raise FlowsciError(
            f"its levels are in '{level.attrs['units']}', which is no known pressure. Give levels "
            f"in {', '.join(PRESSURES)}, or a file of the one level without that dimension"
        )
    return values / 100 if values.max() > SURFACE_PASCAL else values


def same_units(stated: str, wanted: str) -> bool:
    """Tell whether two texts name the same units, such as "m**2 s**-2" and "m2 s-2"."""
    return plain_units(stated) == plain_units(wanted)


def plain_units(text: str) -> str:
    """Write units as UDUNITS does, factors in order: "m**2 s**-2" is "m2 s-2"."""
    factors = text.replace("**", "").replace("^", "").replace(".", " ").split()
    return " ".join(sorted(factors))


def eastwards(longitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order longitudes: give their order, and their values as they then ascend.

    All round the globe they run from 0 to 360; a region begins after its widest gap, west of
    Greenwich with negative numbers where it would otherwise pass 360.
    """
    around = np.round(longitudes.astype(np.float64) % 360, 9) % 360
    order = np.argsort(around, kind="stable")
    ascending = around[order]
    if (np.diff(ascending) == 0).any():
        raise FlowsciError(
            f"the longitude {ascending[:-1][np.diff(ascending) == 0][0]:g} comes twice: take the "
            "repeated column out"
        )
    gaps = np.diff(np.append(ascending, ascending[0] + 360))
    if np.ptp(gaps) > 1e-2:
        first = (int(gaps.argmax()) + 1) % len(gaps)
        order = np.roll(order, -first)
        ascending = around[order]
        ascending = np.where(ascending < ascending[0], ascending + 360, ascending)
        if ascending[-1] >= 360:
            ascending = ascending - 360
    return order, ascending
