"""The diurnal cycle of forecasts beside the truth's, by local mean solar time.

The first harmonic of the day, as a mean over the area and, with equal weights, over the hours that
forecasts are for.
"""

from collections.abc import Iterator

import numpy as np

from flowsci.domains.weather.scoring import MODEL, Score
from flowsci.domains.weather.verification import Verification

LEAST_HOURS = 4
DAY = 24


def has_diurnal_cycle(verification: Verification) -> bool:
    """Tell whether forecasts are for so many hours of the day, evenly spaced, that they show it."""
    if verification.task != "forecast" or verification.in_box:
        return False
    hours = np.unique(_hours(verification)[verification.truths >= 0])
    gaps = np.diff(np.append(hours, hours[0] + DAY)) if len(hours) else hours
    return len(hours) >= LEAST_HOURS and len(np.unique(gaps)) == 1


def diurnal_scores(verification: Verification) -> Iterator[tuple[str, Score]]:
    """Give for each channel the cycle's amplitude, in the truth's, and how late it is in hours."""
    found = _harmonics(verification)
    for index, name in enumerate(verification.names):
        values = {who: _rows(found, who, index) for who in (MODEL, "climatology")}
        yield (
            f"diurnal_amplitude_{name}",
            Score(values, _amplitude, "1", "reference", reference=1.0),
        )
        yield f"diurnal_delay_{name}", Score(values, _delay, "h", "reference", reference=0.0)


def _hours(verification: Verification) -> np.ndarray:
    """Give the hour of the day (case, lead) that a forecast is for."""
    start = verification.anomalies.hours[verification.starts]
    return (start[:, None] + verification.leads) % DAY


def _harmonics(verification: Verification) -> dict[str, np.ndarray]:
    """Sum the fields' first harmonics by the hour of the day: (case, hour, channel), complex.

    `count` (case, hour) says over how many leads.
    """
    anomalies, hours = verification.anomalies, _hours(verification)
    every, place = np.unique(hours, return_inverse=True)
    place = place.reshape(hours.shape)
    shape = (len(hours), len(every), len(verification.names))
    sums = {who: np.zeros(shape, dtype=complex) for who in (MODEL, "truth", "climatology")}
    count = np.zeros(shape[:2])
    turn = np.exp(-1j * np.deg2rad(anomalies.grid.longitudes))
    for case, lead in zip(*np.nonzero(verification.truths >= 0), strict=True):
        climate = verification.climate(case, lead)
        anomaly = {
            MODEL: verification.members(case, lead).mean(axis=0),
            "truth": verification.truth(case, lead),
            "climatology": np.zeros_like(climate),
        }
        day = np.exp(-2j * np.pi * hours[case, lead] / DAY)
        for who, part in anomaly.items():
            field = climate + part * anomalies.spread
            waves = np.einsum("cij,cij,j->c", field, anomalies.weights, turn)
            sums[who][case, place[case, lead]] += waves * day
        count[case, place[case, lead]] += 1
    return {**sums, "count": count}


def _rows(found: dict[str, np.ndarray], who: str, channel: int) -> np.ndarray:
    """Give values (case, hours * 5) of which `_cycles` takes means."""
    own, truth = (found[name][..., channel] for name in (who, "truth"))
    parts = [own.real, own.imag, truth.real, truth.imag, found["count"]]
    return np.stack(parts, axis=-1).reshape(len(own), -1)


def _cycles(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the first harmonics (...) of a forecast and of the truth, complex."""
    parts = means.reshape(*means.shape[:-1], -1, 5)
    # starts that are drawn anew may lack an hour: the mean is then over the others
    with np.errstate(invalid="ignore"):
        of_hours = parts[..., :4] / parts[..., 4:]
    own_real, own_imaginary, real, imaginary = np.moveaxis(np.nanmean(of_hours, axis=-2), -1, 0)
    return own_real + 1j * own_imaginary, real + 1j * imaginary


def _amplitude(means: np.ndarray) -> np.ndarray:
    own, truth = _cycles(means)
    return np.abs(own) / np.abs(truth)


def _delay(means: np.ndarray) -> np.ndarray:
    own, truth = _cycles(means)
    return np.angle(truth / own) * DAY / (2 * np.pi)
