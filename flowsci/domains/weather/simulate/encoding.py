"""Fields of a spectral model as rounded spherical-harmonic coefficients, in a small NetCDF file.

A model of truncation T holds z, T, q, ln p_s, u cos(lat) and v cos(lat) exactly in the harmonics
up to l = T + 1, a quarter of the numbers of its grid. Each coefficient is rounded to a step, the
same for all coefficients of a channel, so that the error (rms over the sphere) is a given part of
the standard deviation of the daily change. Humidity is the exception: the model sets it to 0 where
its harmonics are negative, and here they stay.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.harmonics import SphericalTransform
from flowsci.domains.weather.record import Channel
from flowsci.errors import FlowsciError

FORMAT = "flowsci spherical-harmonic coefficients 1"
LEVEL_500, LEVEL_850 = 0.51, 0.835
"""Sigmas of the model's levels near 500 and 850 hPa."""
CHANNELS = (
    Channel(
        "geopotential_500",
        "geopotential",
        "geopotential at sigma 0.51",
        "m2 s-2",
        level_sigma=LEVEL_500,
    ),
    Channel(
        "temperature_850",
        "air_temperature",
        "temperature at sigma 0.835",
        "K",
        level_sigma=LEVEL_850,
    ),
    Channel(
        "u_wind_850",
        "eastward_wind",
        "eastward wind at sigma 0.835",
        "m s-1",
        vector="u",
        partner="v_wind_850",
        level_sigma=LEVEL_850,
    ),
    Channel(
        "v_wind_850",
        "northward_wind",
        "northward wind at sigma 0.835",
        "m s-1",
        vector="v",
        partner="u_wind_850",
        level_sigma=LEVEL_850,
    ),
    Channel(
        "specific_humidity_850",
        "specific_humidity",
        "specific humidity at sigma 0.835",
        "kg kg-1",
        level_sigma=LEVEL_850,
    ),
    Channel("surface_pressure", "surface_air_pressure", "surface pressure", "Pa"),
)
LOGARITHMS = ("surface_pressure",)
LARGEST = np.iinfo(np.int16).max
TIMES_AT_ONCE = 256


def write(path: Path, fields: xr.Dataset, l_max: int, rounding_error: float) -> None:
    """Write the channels of `fields` (time, latitude, longitude), with orography and land.

    `rounding_error` is in units of the standard deviation of the daily change. Raises
    `FlowsciError` where that is too small for 16 bits.
    """
    grid = Grid.from_coordinates(fields["latitude"].values, fields["longitude"].values)
    transform = SphericalTransform(grid.latitudes, grid.longitudes, l_max)
    hours = fields["time"].values.astype("datetime64[h]").astype(np.int64)
    day = 24 // int(hours[1] - hours[0])
    rounded, scales, means = [], [], []
    for channel in CHANNELS:
        values = to_harmonic(torch.from_numpy(fields[channel.name].values).double(), channel, grid)
        change = values[day:] - values[:-day]
        spread = (change.square().mean(0) * torch.from_numpy(grid.area)).sum().sqrt().item()
        real = as_real(transform.analyse(values))
        scale = rounding_error * spread * (12 / real.shape[1]) ** 0.5
        mean = real.mean(0)
        whole = ((real - mean) / scale).round()
        if whole.abs().max() > LARGEST:
            raise FlowsciError(
                f"simulation.rounding_error {rounding_error:g} is too small for {channel.name}: "
                "its coefficients leave 16 bits. Take a larger one."
            )
        rounded.append(whole.T.numpy().astype(np.int16))
        scales.append(scale)
        means.append(mean.numpy())
    names = ("channel", "coefficient", "time")
    dataset = xr.Dataset(
        {
            "coefficients": (names, np.stack(rounded)),
            "scale": ("channel", np.array(scales)),
            "mean": (names[:2], np.stack(means)),
            **{name: fields[name].astype(np.float32) for name in ("orography", "land")},
        },
        {"time": ("time", hours, {"units": "hours since 1970-01-01", "calendar": "standard"})},
        {
            "Conventions": "CF-1.8",
            **fields.attrs,
            "format": FORMAT,
            "l_max": l_max,
            "channels": json.dumps([asdict(channel) for channel in CHANNELS]),
            "note": "coefficient = mean + scale * coefficients; orthonormal over the sphere, "
            "ordered by m, then l, then cosine and sine; ln(p_s), u cos(lat), v cos(lat)",
        },
    )
    sizes = (1, *dataset["coefficients"].shape[1:])
    packing = {"zlib": True, "complevel": 9, "shuffle": True, "chunksizes": sizes}
    dataset.to_netcdf(path, engine="h5netcdf", encoding={"coefficients": packing})


def read(path: Path) -> xr.Dataset:
    """Decode a file; give `fields` (time, channel, latitude, longitude), `orography` and `land`.

    `time` is in hours since 1970-01-01; the attributes say `channels`, `l_max`, `simulation`.
    """
    try:
        with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as file:
            encoded = file.load()
    except (OSError, ValueError, KeyError) as error:
        raise FlowsciError(f"{path}: is no NetCDF file that can be read: {error}.") from None
    if encoded.attrs.get("format") != FORMAT:
        raise FlowsciError(f"{path}: isn't a file of coefficients that this package has written.")
    channels = channels_of(encoded.attrs)
    grid = Grid.from_coordinates(encoded["latitude"].values, encoded["longitude"].values)
    l_max = int(encoded.attrs["l_max"])
    transform = SphericalTransform(grid.latitudes, grid.longitudes, l_max)
    whole, scale = encoded["coefficients"].values, encoded["scale"].values
    times = whole.shape[2]
    fields = np.empty((times, len(channels), *grid.area.shape), dtype=np.float32)
    for number, channel in enumerate(channels):
        mean = encoded["mean"].values[number]
        for first in range(0, times, TIMES_AT_ONCE):
            part = slice(first, first + TIMES_AT_ONCE)
            real = torch.from_numpy(mean + scale[number] * whole[number, :, part].T)
            values = transform.synthesise(as_complex(real, l_max, transform.m_max))
            fields[part, number] = from_harmonic(values, channel, grid).numpy()
    names = ("time", "channel", "latitude", "longitude")
    return xr.Dataset(
        {
            "fields": (names, fields),
            "orography": encoded["orography"],
            "land": encoded["land"],
        },
        {"channel": [channel.name for channel in channels], "time": encoded["time"].values},
        {name: encoded.attrs[name] for name in ("channels", "l_max", "simulation", "title")},
    )


def to_harmonic(values: Tensor, channel: Channel, grid: Grid) -> Tensor:
    """Give what is band-limited of a channel (..., latitude, longitude)."""
    if channel.name in LOGARITHMS:
        return values.log()
    return values * _cosines(grid) if channel.vector else values


def from_harmonic(values: Tensor, channel: Channel, grid: Grid) -> Tensor:
    """Turn `to_harmonic` round."""
    if channel.name in LOGARITHMS:
        return values.exp()
    return values / _cosines(grid) if channel.vector else values


def _cosines(grid: Grid) -> Tensor:
    return torch.from_numpy(np.cos(np.radians(grid.latitudes)))[:, None]


def as_real(coefficients: Tensor) -> Tensor:
    """Give coefficients (..., l, m) as real ones (..., n) of an orthonormal basis."""
    l_max, m_max = coefficients.shape[-2] - 1, coefficients.shape[-1] - 1
    degree, order, sine = _basis(l_max, m_max)
    parts = torch.view_as_real(coefficients.contiguous())[..., degree, order, sine]
    return parts * torch.where(order > 0, 2**0.5, 1.0).to(parts)


def as_complex(real: Tensor, l_max: int, m_max: int) -> Tensor:
    """Turn `as_real` round."""
    degree, order, sine = _basis(l_max, m_max)
    parts = real.new_zeros(*real.shape[:-1], l_max + 1, m_max + 1, 2)
    parts[..., degree, order, sine] = real / torch.where(order > 0, 2**0.5, 1.0).to(real)
    return torch.view_as_complex(parts)


def _basis(l_max: int, m_max: int) -> tuple[Tensor, Tensor, Tensor]:
    """Give degree, order and part (0 cosine, 1 sine) of each real coefficient."""
    members: list[tuple[int, int, int]] = [
        (degree, order, sine)
        for order in range(m_max + 1)
        for degree in range(order, l_max + 1)
        for sine in range(1 + (order > 0))
    ]
    degree, order, sine = torch.tensor(members).T
    return degree, order, sine


def channels_of(attributes: Mapping[str, Any]) -> list[Channel]:
    """Give the channels that a file's attributes name."""
    # their levels are not read: the carried file calls a sigma of 0.51 a level of 510 hPa
    known = {channel.name: channel for channel in CHANNELS}
    return [known[entry["name"]] for entry in json.loads(attributes["channels"])]
