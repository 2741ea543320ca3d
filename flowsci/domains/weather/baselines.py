"""Forecasts without a trained model, fitted on the training split, and their Gaussian dressing."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from scipy.special import ndtr

from flowsci.domains.weather.anomalies import Anomalies

logger = logging.getLogger("flowsci")
BLOCK = 64
"""Times that are read at once."""
FEWEST_PAIRS = 10
"""With fewer pairs of times on the validation split, errors are taken from the training split."""
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Penalties that are tried, in units of the predictors' mean variance."""


class Baseline(Protocol):
    """A forecast at one lead."""

    def forecast(self, starts: np.ndarray) -> np.ndarray:
        """Give anomalies (starts, channel, latitude, longitude) at the lead from time indices."""


@dataclass(frozen=True)
class Climatology:
    """What the day of the year tells."""

    anomalies: Anomalies

    def forecast(self, starts: np.ndarray) -> np.ndarray:
        """Give no anomaly."""
        return np.zeros((len(starts), *self.anomalies.valid.shape), dtype=np.float32)


@dataclass(frozen=True)
class Persistence:
    """The last fields stay as they are."""

    anomalies: Anomalies
    lead_hours: int

    def forecast(self, starts: np.ndarray) -> np.ndarray:
        """Give the last fields as anomalies from the climatology at the lead."""
        hours = self.anomalies.hours[starts]
        change = self.anomalies.climate(hours + self.lead_hours) - self.anomalies.climate(hours)
        moved = np.where(self.anomalies.valid, change / self.anomalies.spread, np.float32(0))
        return self.anomalies[starts] - moved


@dataclass(frozen=True)
class DampedPersistence:
    """The last anomaly shrinks by a factor for each channel and cell, fitted by least squares."""

    anomalies: Anomalies
    factor: np.ndarray

    @classmethod
    def fit(cls, anomalies: Anomalies, lead_hours: int) -> "DampedPersistence":
        """Fit the factors (channel, latitude, longitude) on the training split."""
        _, now, later = anomalies.pairs("train", lead_hours)
        together, alone = np.zeros((2, *anomalies.valid.shape))
        for first in range(0, len(now), BLOCK):
            start, end = (anomalies[i[first : first + BLOCK]] for i in (now, later))
            together += (start * end).sum(axis=0, dtype=np.float64)
            alone += (start * start).sum(axis=0, dtype=np.float64)
        known = alone > 0
        return cls(anomalies, np.divide(together, alone, out=np.zeros_like(alone), where=known))

    def forecast(self, starts: np.ndarray) -> np.ndarray:
        """Give the damped anomalies."""
        return (self.anomalies[starts] * self.factor).astype(np.float32)


class Patterns:
    """Leading empirical orthogonal functions of the training split, all channels together.

    Products are weighted by the cells' area. The functions come from evenly spaced times of the
    split, so that their Gram matrix stays small.
    """

    def __init__(self, anomalies: Anomalies, count: int, most_times: int = 1500) -> None:
        self.anomalies = anomalies
        times = anomalies.some(anomalies.of_split("train"), most_times)
        self.root = np.sqrt(anomalies.weights).ravel().astype(np.float32)
        matrix = torch.from_numpy(anomalies[times].reshape(len(times), -1) * self.root)
        values, vectors = torch.linalg.eigh(matrix @ matrix.T)
        most = int((values > values[-1] * 1e-6).sum())
        kept = slice(len(times) - min(count, most), None)
        self.functions = (matrix.T @ vectors[:, kept]) / values[kept].sqrt()
        self._known: dict[int, torch.Tensor] = {}

    def coefficients(self, times: np.ndarray) -> torch.Tensor:
        """Give the coefficients (times, functions) of fields; each time is read once."""
        new = np.array([t for t in times if int(t) not in self._known], dtype=np.int64)
        for first in range(0, len(new), BLOCK):
            block = new[first : first + BLOCK]
            fields = self.anomalies[block].reshape(len(block), -1) * self.root
            self._known.update(
                zip(block.tolist(), torch.from_numpy(fields) @ self.functions, strict=True)
            )
        return torch.stack([self._known[int(time)] for time in times])

    def fields(self, coefficients: torch.Tensor) -> np.ndarray:
        """Give the fields (times, channel, latitude, longitude) of coefficients."""
        flat = (coefficients @ self.functions.T).numpy()
        inverse = np.divide(1, self.root, out=np.zeros_like(self.root), where=self.root > 0)
        return (flat * inverse).reshape(-1, *self.anomalies.valid.shape)


@dataclass(frozen=True)
class Regression:
    """Ridge regression from the patterns of two states, one lag apart, to those at the lead."""

    patterns: Patterns
    lag_hours: int
    matrix: torch.Tensor
    ridge: float

    @classmethod
    def fit(cls, patterns: Patterns, lead_hours: int, lag_hours: int) -> "Regression":
        """Fit on the training split; the validation split chooses the penalty."""
        train = cls._pairs(patterns, "train", lead_hours, lag_hours)
        validation = cls._pairs(patterns, "validation", lead_hours, lag_hours)
        judged = validation if len(validation[0]) >= FEWEST_PAIRS else train
        fits = []
        predictors, targets = (part.double() for part in train)
        gram, mixed = predictors.T @ predictors, predictors.T @ targets
        for ridge in RIDGES:
            penalty = ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
            matrix = torch.linalg.solve(gram + penalty, mixed).float()
            error = (judged[0] @ matrix - judged[1]).square().mean()
            fits.append((float(error), ridge, matrix))
        _, ridge, matrix = min(fits, key=lambda fit: fit[0])
        return cls(patterns, lag_hours, matrix, ridge)

    def forecast(self, starts: np.ndarray) -> np.ndarray:
        """Give the regressed fields; the earlier state must be known."""
        hours = self.patterns.anomalies.hours[starts]
        before = self.patterns.anomalies.at(hours - self.lag_hours)
        return self.patterns.fields(_two_states(self.patterns, before, starts) @ self.matrix)

    @staticmethod
    def _pairs(
        patterns: Patterns, split: str, lead_hours: int, lag_hours: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        before, now, later = patterns.anomalies.pairs(split, lead_hours, lag_hours)
        if len(now) == 0:
            return torch.zeros(0, 0), torch.zeros(0, 0)
        return _two_states(patterns, before, now), patterns.coefficients(later)


@dataclass(frozen=True)
class Dressed:
    """A baseline with a Gaussian around it, whose deviation (channel, latitude, longitude) is that
    of the baseline's error on `split`."""

    baseline: Baseline
    deviation: np.ndarray
    split: str

    @classmethod
    def fit(
        cls, baseline: Baseline, anomalies: Anomalies, lead_hours: int, lag_hours: int
    ) -> "Dressed":
        """Fit on the validation split, or on the training split where that is too short."""
        for split in ("validation", "train"):
            _, now, later = anomalies.pairs(split, lead_hours, lag_hours)
            if len(now) >= FEWEST_PAIRS:
                break
        square = np.zeros(anomalies.valid.shape)
        for first in range(0, len(now), BLOCK):
            block = slice(first, first + BLOCK)
            error = baseline.forecast(now[block]) - anomalies[later[block]]
            square += np.square(error, dtype=np.float64).sum(axis=0)
        return cls(baseline, np.sqrt(square / max(len(now), 1)), split)


@dataclass(frozen=True)
class Baselines:
    """The baselines of forecasts, by name and lead; each lead is fitted once."""

    anomalies: Anomalies
    lag_hours: int
    functions: int

    @cached_property
    def patterns(self) -> Patterns:
        """Give the patterns, which all leads share."""
        return Patterns(self.anomalies, self.functions)

    def at(self, lead_hours: int) -> Mapping[str, Dressed]:
        """Fit the baselines of a lead."""
        return {
            name: Dressed.fit(baseline, self.anomalies, lead_hours, self.lag_hours)
            for name, baseline in self._of_lead(lead_hours)
        }

    def _of_lead(self, lead_hours: int) -> Iterator[tuple[str, Baseline]]:
        yield "persistence", Persistence(self.anomalies, lead_hours)
        yield "damped_persistence", DampedPersistence.fit(self.anomalies, lead_hours)
        yield "climatology", Climatology(self.anomalies)
        if len(self.anomalies.pairs("train", lead_hours, self.lag_hours)[1]):
            yield "eof_ridge", Regression.fit(self.patterns, lead_hours, self.lag_hours)
        else:
            logger.warning(
                "the training split holds no two times %d h apart: there is no eof_ridge at that "
                "lead",
                lead_hours,
            )


def gaussian_crps(mean: np.ndarray, deviation: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Give the CRPS of a Gaussian (Gneiting et al., 2005, eq. 5); the error itself where it has no
    deviation."""
    error = np.abs(truth - mean)
    z = np.divide(error, deviation, out=np.zeros_like(error * deviation), where=deviation > 0)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    spread = deviation * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return np.where(deviation > 0, spread, error)


def _two_states(patterns: Patterns, before: np.ndarray, now: np.ndarray) -> torch.Tensor:
    return torch.cat([patterns.coefficients(now), patterns.coefficients(before)], dim=1)
