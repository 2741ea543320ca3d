"""Which times make a case: states one lead apart that all exist, in one split."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cases:
    """Numbers of times (case,): one lead before the start, the start, one lead after it."""

    before: np.ndarray
    start: np.ndarray
    after: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


def find_cases(hours: np.ndarray, split: np.ndarray, number: int, lead_hours: int) -> Cases:
    """Find the cases of split `number` at a lead; `hours` (time,) ascend, with gaps."""
    inside = np.flatnonzero(split == number)
    before, after = (at(hours, hours[inside] + shift) for shift in (-lead_hours, lead_hours))
    known = (before >= 0) & (after >= 0)
    known[known] &= (split[before[known]] == number) & (split[after[known]] == number)
    return Cases(before[known], inside[known], after[known])


def at(hours: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Give the numbers of the times `wanted` among the ascending `hours`, -1 for none."""
    places = np.searchsorted(hours, wanted).clip(max=len(hours) - 1)
    return np.where(hours[places] == wanted, places, -1)
