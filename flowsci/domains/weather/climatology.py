"""The climate that anomalies are from: the mean of the season and of the hour in each cell.

A least-squares fit of few waves to the training times: of the year, where these span most of one,
as many as their dates can tell, and of the day as many as the hours of the day resolve and the
times can tell, at most two of each; of a periodic box the mean alone.
`climatology` (channel, term, latitude, longitude) holds the mean, then cosine and sine of each
wave, the year's first.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from flowsci.domains.weather.calendars import days_a_year, phases

WAVES = 2
LEAST_SHARE_OF_YEAR = 0.9
LARGEST_CONDITION = 1e8
"""Of the normal equations: float32 then keeps the climate to a thousandth of its waves."""
TIMES_A_TERM = 3
TIMES_AT_ONCE = 64


def waves_of(hours: np.ndarray, step_hours: int, calendar: str) -> tuple[int, int]:
    """Give the number of waves of the year and of the day that training times can hold."""
    days = (hours[-1] - hours[0]) / 24
    annual = WAVES if days >= LEAST_SHARE_OF_YEAR * days_a_year(calendar) else 0
    while not _told_apart(terms(hours, annual, 0, calendar)):
        annual -= 1
    times_of_day = len(np.unique(hours % 24)) if 24 % step_hours == 0 else 1
    told = (len(hours) // TIMES_A_TERM - 1) // 2 - annual
    return annual, max(0, min((times_of_day - 1) // 2, told, WAVES))


def _told_apart(design: np.ndarray) -> bool:
    """Tell whether times tell the terms of a design (times, terms) from each other."""
    return bool(np.linalg.cond(design.T @ design) < LARGEST_CONDITION)


def terms(
    hours: np.ndarray | Sequence[int], annual: int, diurnal: int, calendar: str
) -> np.ndarray:
    """Give mean, cosines and sines (times, terms) at these hours."""
    season, hour = phases(hours, calendar)
    columns = [np.ones_like(season)]
    for angle, count in ((season, annual), (hour, diurnal)):
        for wave in range(1, count + 1):
            columns += [np.cos(wave * angle), np.sin(wave * angle)]
    return np.stack(columns, axis=-1)


def fit(fields: np.ndarray, numbers: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Fit (channel, term, latitude, longitude) to the fields (time, ...) at the times `numbers`.

    `design` (numbers, terms) holds the terms at these times; fields are read in parts.
    """
    shape = fields.shape[1:]
    gram = design.T @ design
    moments = np.zeros((design.shape[1], int(np.prod(shape))))
    for first in range(0, len(numbers), TIMES_AT_ONCE):
        part = slice(first, first + TIMES_AT_ONCE)
        values = np.asarray(fields[numbers[part]], dtype=np.float64).reshape(-1, moments.shape[1])
        moments += design[part].T @ values
    coefficients = np.linalg.solve(gram, moments).reshape(-1, *shape)
    return coefficients.swapaxes(0, 1).astype(np.float32)


class Climatology:
    """The climatology of a record as a function of time."""

    def __init__(self, arrays: xr.Dataset) -> None:
        self.coefficients = arrays["climatology"].values
        self.calendar = arrays["time"].attrs["calendar"]
        attributes = arrays["climatology"].attrs
        self.annual, self.diurnal = attributes["annual_waves"], attributes["diurnal_waves"]

    def __call__(self, hours: np.ndarray | Sequence[int]) -> np.ndarray:
        """Give the climate (times, channel, latitude, longitude), float32, at hours (times,)."""
        values = terms(hours, self.annual, self.diurnal, self.calendar).astype(np.float32)
        return np.einsum("nk,ckij->ncij", values, self.coefficients, optimize=True)


def evaluate(arrays: xr.Dataset, hours: np.ndarray | Sequence[int]) -> np.ndarray:
    """Give the climate (times, channel, latitude, longitude) of a record at hours (times,)."""
    return Climatology(arrays)(hours)
