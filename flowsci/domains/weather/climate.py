"""The climate of long rollouts: how the distribution of late members compares with the truth's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from flowsci.domains.weather import measures
from flowsci.domains.weather.anomalies import Anomalies
from flowsci.domains.weather.scoring import MODEL, Score
from flowsci.domains.weather.verification import Verification

LEAST_HOURS = 480
"""Rollouts of this length have a climate; it is that of their last third."""
MOST_TIMES = 500
TIMES_AT_ONCE = 64


@dataclass(frozen=True)
class Climate:
    """Histograms (channel, bin) of a split's times, and the mean square (channel)."""

    counts: np.ndarray
    square: np.ndarray

    @classmethod
    def of_split(cls, anomalies: Anomalies, split: str) -> "Climate":
        """Sum over evenly spaced times of a split."""
        times = anomalies.some(anomalies.of_split(split), MOST_TIMES)
        counts = np.zeros((len(anomalies.channels), measures.BINS))
        square = np.zeros(len(anomalies.channels))
        for first in range(0, len(times), TIMES_AT_ONCE):
            fields = anomalies[times[first : first + TIMES_AT_ONCE]]
            counts += measures.histogram(fields, anomalies.weights / len(times))
            square += np.einsum("ncij,cij->c", fields**2, anomalies.weights) / len(times)
        return cls(counts, square)


@dataclass(frozen=True)
class LateMembers:
    """Of each case (case, ...), the mean square by lead (lead, channel) and late histograms."""

    squares: np.ndarray
    counts: np.ndarray
    late: np.ndarray

    @classmethod
    def of(cls, verification: Verification) -> "LateMembers":
        """Read every lead of every case."""
        leads = verification.leads
        late = np.flatnonzero(leads > leads[-1] * 2 / 3)
        weights = verification.anomalies.weights
        squares = np.zeros((len(verification.starts), len(leads), len(weights)))
        counts = np.zeros((len(verification.starts), len(weights), measures.BINS))
        for case, lead in np.ndindex(*squares.shape[:2]):
            members = verification.members(case, lead)
            squares[case, lead] = np.einsum("ncij,cij->c", members**2, weights) / len(members)
            if lead in late:
                shared = weights / len(members) / len(late)
                counts[case] += measures.histogram(members, shared)
        return cls(squares, counts, late)


def climate_scores(
    members: LateMembers, true: Climate, training: Climate
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


def climate_table(
    members: LateMembers, true: Climate, verification: Verification
) -> Mapping[str, list[float]]:
    """Give by lead how far members vary, in what the true climate does, for each channel."""
    ratios = np.sqrt(members.squares.mean(axis=0) / true.square)
    columns = {name: ratios[:, i].tolist() for i, name in enumerate(verification.names)}
    return {"lead_hours": verification.leads.tolist(), **columns}
