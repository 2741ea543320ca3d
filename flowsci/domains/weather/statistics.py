"""What a model needs to know of the training data: channels, grid and scales."""

from typing import Any

import numpy as np
import xarray as xr

from flowsci.domains.weather.calendars import date_of, days_a_year
from flowsci.domains.weather.climatology import Climatology
from flowsci.domains.weather.record import SPLITS, Channel, describe_channels
from flowsci.errors import FlowsciError

TIMES_AT_ONCE = 64
SEASONS, PLACES = 4, 8
"""Times of the year, and rows and columns, at which the climate is told."""


def fit_statistics(
    arrays: xr.Dataset, channels: tuple[Channel, ...], truncation: int | None
) -> dict[str, Any]:
    """Fit scales on training times.

    `anomaly_mean` and `anomaly_spread` (channel): mean of the field, and standard deviation of its
    anomaly from the climatology, both by area; `climate` (channel, season, place): the climatology
    at a few times of the year and cells, zero where a channel has no value. Raises `FlowsciError`
    where a channel never varies.
    """
    numbers = np.flatnonzero(arrays["split"].values == SPLITS.index("train"))
    scale = Scales(arrays)
    mean, spread = scale.anomalies(numbers)
    for channel, value in zip(channels, spread, strict=True):
        if not value > 0:
            raise FlowsciError(
                f"{channel.name}: never differs from its climatology in training. Leave it out, or "
                "train on more times."
            )
    return {
        "channels": describe_channels(channels),
        "grid": arrays.attrs["grid"],
        "latitude": arrays["latitude"].values.tolist(),
        "longitude": arrays["longitude"].values.tolist(),
        "area": arrays["area"].values.sum(1).tolist(),
        "step_hours": arrays.attrs["step_hours"],
        "calendar": arrays["time"].attrs["calendar"],
        "simulation": arrays.attrs["simulation"],
        "anomaly_mean": mean.tolist(),
        "anomaly_spread": spread.tolist(),
        "climate": _told(scale.climate, arrays),
        "truncation": truncation,
        "trained_on": [
            date_of(arrays["time"].values[i], scale.climate.calendar) for i in numbers[[0, -1]]
        ],
    }


def _told(climate: Climatology, arrays: xr.Dataset) -> list[Any]:
    """Give the climatology (channel, season, place) at evenly spaced hours and cells."""
    hours = np.arange(SEASONS) * days_a_year(climate.calendar) * 24 / SEASONS
    sizes = arrays.sizes["latitude"], arrays.sizes["longitude"]
    rows, columns = (np.unique(np.linspace(0, n - 1, PLACES).round().astype(int)) for n in sizes)
    known = np.where(arrays["valid"].values, climate(hours.astype(np.int64)), 0)
    chosen = known[:, :, rows[:, None], columns].swapaxes(0, 1)
    return chosen.reshape(*chosen.shape[:2], -1).tolist()


class Scales:
    """Sums over times and cells by area, in parts."""

    def __init__(self, arrays: xr.Dataset) -> None:
        self.fields = arrays["fields"].data
        self.hours = arrays["time"].values
        self.climate = Climatology(arrays)
        weights = arrays["area"].values * arrays["valid"].values
        self.weights = weights / weights.sum((1, 2), keepdims=True)

    def anomalies(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give mean of the fields and spread of the anomalies (channel,)."""
        mean = square = 0.0
        for first in range(0, len(numbers), TIMES_AT_ONCE):
            part = numbers[first : first + TIMES_AT_ONCE]
            values = np.asarray(self.fields[part], dtype=np.float64)
            anomaly = values - self.climate(self.hours[part])
            mean = mean + self._sum(values)
            square = square + self._sum(anomaly**2)
        return mean / len(numbers), np.sqrt(square / len(numbers))

    def _sum(self, values: np.ndarray) -> np.ndarray:
        return np.einsum("ncij,cij->c", values, self.weights)
