"""The climate of long rollouts: how the distribution of late members compares with the truth's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from flowsci.domains.weather import measures
from flowsci.domains.weather.anomalies import Anomalies
from flowsci.domains.weather.scoring import MODEL, Score
from flowsci.domains.weather.spectra import Spectrum, band_ratios
from flowsci.domains.weather.verification import Verification

LEAST_HOURS = 480
"""Rollouts of this length have a climate; it is that of their last third."""
LEAST_STEPS = 20
"""As many of them in a box, which has no days."""
MOST_TIMES = 500
TIMES_AT_ONCE = 64


def has_climate(verification: Verification) -> bool:
    """Tell whether a verification is of rollouts so long that they have a climate."""
    if verification.task != "forecast":
        return False
    if verification.in_box:
        return len(verification.leads) >= LEAST_STEPS
    return bool(verification.leads[-1] >= LEAST_HOURS)


@dataclass(frozen=True)
class Climate:
    """Histograms (channel, bin) of a split's times, mean square and power (channel, wavenumber)."""

    counts: np.ndarray
    square: np.ndarray
    power: np.ndarray

    @classmethod
    def of_split(cls, anomalies: Anomalies, split: str, spectrum: Spectrum) -> "Climate":
        """Sum over evenly spaced times of a split."""
        times = anomalies.some(anomalies.of_split(split), MOST_TIMES)
        counts = np.zeros((len(anomalies.channels), measures.BINS))
        square = np.zeros(len(anomalies.channels))
        power = np.zeros((len(anomalies.channels), len(spectrum.wavenumbers)))
        for first in range(0, len(times), TIMES_AT_ONCE):
            fields = anomalies[times[first : first + TIMES_AT_ONCE]]
            counts += measures.histogram(fields, anomalies.weights / len(times))
            square += np.einsum("ncij,cij->c", fields**2, anomalies.weights) / len(times)
            power += spectrum.power(fields).sum(axis=0) / len(times)
        return cls(counts, square, power)


@dataclass(frozen=True)
class LateMembers:
    """Of each case (case, ...), mean square and power by lead (lead, channel, ...).

    `counts` (case, channel, bin) are histograms of the values at the leads with numbers `late`.
    """

    squares: np.ndarray
    power: np.ndarray
    counts: np.ndarray
    late: np.ndarray

    @classmethod
    def of(cls, verification: Verification, spectrum: Spectrum) -> "LateMembers":
        """Read every lead of every case."""
        leads = verification.leads
        late = np.flatnonzero(leads > leads[-1] * 2 / 3)
        weights = verification.anomalies.weights
        squares = np.zeros((len(verification.starts), len(leads), len(weights)))
        power = np.zeros((*squares.shape, len(spectrum.wavenumbers)))
        counts = np.zeros((len(verification.starts), len(weights), measures.BINS))
        for case, lead in np.ndindex(*squares.shape[:2]):
            members = verification.members(case, lead)
            squares[case, lead] = np.einsum("ncij,cij->c", members**2, weights) / len(members)
            power[case, lead] = spectrum.power(members).mean(axis=0)
            if lead in late:
                shared = weights / len(members) / len(late)
                counts[case] += measures.histogram(members, shared)
        return cls(squares, power, counts, late)


def climate_scores(
    members: LateMembers, true: Climate, training: Climate, spectrum: Spectrum
) -> Iterator[tuple[str, Score]]:
    """Compare late members with the true climate; the training split's stands beside them."""
    shape = members.counts.shape[1:]

    def distance(means: np.ndarray) -> np.ndarray:
        counts = means.reshape(*means.shape[:-1], *shape)
        return measures.wasserstein(counts, true.counts).mean(axis=-1)

    def ratio(means: np.ndarray) -> np.ndarray:
        return np.sqrt(means / true.square).mean(axis=-1)

    flat = members.counts.reshape(len(members.counts), -1)
    of_training = float(distance(training.counts.reshape(-1)))
    beside = {"training_climate": of_training}
    yield "climate_wasserstein", Score({MODEL: flat}, distance, fixed=beside, departure=True)
    squares = members.squares[:, members.late].mean(axis=1)
    beside = {"training_climate": float(ratio(training.square))}
    yield "climate_spread", Score({MODEL: squares}, ratio, "1", "reference", 1.0, beside)

    def departure(means: np.ndarray) -> np.ndarray:
        power = means.reshape(*means.shape[:-1], *true.power.shape)
        return np.abs(band_ratios(power, true.power, spectrum) - 1).max(axis=(-2, -1))

    beside = {"training_climate": float(departure(training.power.reshape(-1)))}
    power = members.power[:, members.late].mean(axis=1).reshape(len(squares), -1)
    yield "climate_spectrum", Score({MODEL: power}, departure, "1", fixed=beside, departure=True)


def climate_table(
    members: LateMembers, true: Climate, verification: Verification
) -> Mapping[str, list[float]]:
    """Give by lead how far members vary, in what the true climate does, for each channel."""
    ratios = np.sqrt(members.squares.mean(axis=0) / true.square)
    columns = {name: ratios[:, i].tolist() for i, name in enumerate(verification.names)}
    return {"lead_hours": verification.leads.tolist(), **columns}
