"""Anomalies of a dataset's fields with the weights of their cells, and pairs of their times."""

from functools import cached_property

import numpy as np

from flowsci.domains.weather.batches import States
from flowsci.domains.weather.cases import at
from flowsci.domains.weather.record import SPLITS
from flowsci.store.prepared import Prepared

MOST_TIMES = 1000


class Anomalies:
    """Anomalies from the climatology in spreads of their channel, as models see them.

    An array of numbers of times gives float32 (times, channel, latitude, longitude); cells without
    a value hold 0 and have no weight.
    """

    def __init__(self, prepared: Prepared) -> None:
        self.states = States(prepared)
        self.statistics = prepared.statistics
        self.channels = prepared.statistics["channels"]
        self.spread = self.states.spread
        self.grid = self.states.grid
        self.hours, self.split = self.states.hours, self.states.split
        self.valid = self.states.valid.numpy().astype(bool)
        self.area = prepared.arrays["area"].values

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        return np.where(self.valid, self.states.anomalies(numbers).numpy(), np.float32(0))

    def climate(self, hours: np.ndarray) -> np.ndarray:
        """Give the climatology (times, channel, latitude, longitude) in the channels' units."""
        return self.states.climate(hours)

    @cached_property
    def weights(self) -> np.ndarray:
        """Weights of the cells (channel, latitude, longitude); those of a channel sum to 1."""
        weights = self.area * self.valid
        return weights / weights.sum(axis=(1, 2), keepdims=True)

    def at(self, hours: np.ndarray) -> np.ndarray:
        """Give the number of each time, -1 where the dataset has no fields for it."""
        return at(self.hours, hours)

    def of_split(self, split: str) -> np.ndarray:
        """Give the numbers of a split's times."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    def training_sample(self) -> np.ndarray:
        """Give the numbers of evenly spaced times of training, as many as tell its climate."""
        return self.some(self.of_split("train"), MOST_TIMES)

    def pairs(
        self, split: str, lead_hours: int, lag_hours: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give numbers of times: earlier by the lag, now, later by the lead; all in the split."""
        now = self.of_split(split)
        before, later = (self.at(self.hours[now] + shift) for shift in (-lag_hours, lead_hours))
        known = (before >= 0) & (later >= 0)
        known &= (self.split[before] == self.split[now]) & (self.split[later] == self.split[now])
        return before[known], now[known], later[known]

    def some(self, numbers: np.ndarray, most: int, most_bytes: float = 4e8) -> np.ndarray:
        """Give evenly spaced ones of the numbers, as many as asked for and fit into memory."""
        fitting = int(most_bytes // (4 * self.valid.size))
        count = min(len(numbers), most, max(fitting, 2))
        return numbers[np.linspace(0, len(numbers) - 1, count).round().astype(int)]
