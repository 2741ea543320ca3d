"""Power of the training split's states by the time of the year: what the climate alone gives.

Years differ, and few independent states hold the largest scales, so that no forecast of many days
has the truth's power to a percent; this says how far the best of them would be off.
"""

from dataclasses import dataclass

import numpy as np

from flowsci.domains.weather.anomalies import Anomalies
from flowsci.domains.weather.calendars import phases
from flowsci.domains.weather.spectra import Spectrum

TIMES_AT_ONCE = 64
DAYS = 15.0
"""Deviation of the weights around a time of the year."""


@dataclass(frozen=True)
class SeasonalPower:
    """Power (time, channel, wavenumber) of states at seasons (time,), angles of the year.

    `sharpness` is the concentration of the weights around a season, zero where there are none.
    """

    seasons: np.ndarray
    power: np.ndarray
    calendar: str
    sharpness: float

    @classmethod
    def of_training(cls, anomalies: Anomalies, spectrum: Spectrum) -> "SeasonalPower":
        """Take evenly spaced times of the training split."""
        times = anomalies.training_sample()
        parts = np.split(times, range(TIMES_AT_ONCE, len(times), TIMES_AT_ONCE))
        power = np.concatenate([spectrum.power(anomalies[part]) for part in parts])
        climate = anomalies.states.climate
        seasons, _ = phases(anomalies.hours[times], climate.calendar)
        deviation = 2 * np.pi * DAYS / 365.25
        return cls(seasons, power, climate.calendar, deviation**-2 if climate.annual else 0.0)

    def at(self, hour: int) -> np.ndarray:
        """Give the mean power (channel, wavenumber) around the season of an hour."""
        season, _ = phases(np.array([hour]), self.calendar)
        closeness = np.cos(self.seasons - season)
        weights = np.exp(self.sharpness * (closeness - closeness.max()))
        return np.tensordot(weights / weights.sum(), self.power, axes=1)
