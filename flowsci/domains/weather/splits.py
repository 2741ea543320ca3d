"""Which times are trained on, choose the model, and judge it."""

from functools import singledispatch

import numpy as np

from flowsci.domains.weather.calendars import date_of, hours_of
from flowsci.domains.weather.data_settings import RangeSplits, ShareSplits
from flowsci.domains.weather.record import SPLITS
from flowsci.domains.weather.settings import Section
from flowsci.errors import FlowsciError


@singledispatch
def assign(splits: Section, hours: np.ndarray, calendar: str) -> np.ndarray:
    """Give the split (time,) int8 of each time, -1 for none.

    Raises `FlowsciError` where a split holds no time or lies too close to another.
    """
    raise FlowsciError(f"There are no splits of the kind '{type(splits).__name__}'.")


@assign.register
def _(splits: RangeSplits, hours: np.ndarray, calendar: str) -> np.ndarray:
    split = np.full(len(hours), -1, dtype=np.int8)
    for number, name in enumerate(SPLITS):
        try:
            first, last = (hours_of(date, calendar) for date in getattr(splits, name))
        except FlowsciError as error:
            raise FlowsciError(f"splits.{name}: {error}") from None
        if first > last:
            raise FlowsciError(f"splits.{name}: ends before it begins. Turn its dates round.")
        if "T" not in getattr(splits, name)[1]:
            last += 23
        chosen = (hours >= first) & (hours <= last)
        if (split[chosen] >= 0).any():
            raise FlowsciError(f"splits.{name}: shares times with another split. Part them.")
        split[chosen] = number
    return _checked(split, hours, splits.gap_days, calendar)


@assign.register
def _(splits: ShareSplits, hours: np.ndarray, calendar: str) -> np.ndarray:
    ends = np.cumsum([splits.train, splits.validation, splits.test]) * len(hours)
    split = np.searchsorted(ends.round(), np.arange(len(hours)), side="right").astype(np.int8)
    for number in (1, 2):
        before = hours[split == number - 1]
        if len(before):
            near = (split == number) & (hours - before[-1] < splits.gap_days * 24)
            split[near] = -1
    return _checked(split, hours, splits.gap_days, calendar)


def _checked(split: np.ndarray, hours: np.ndarray, gap_days: float, calendar: str) -> np.ndarray:
    for number, name in enumerate(SPLITS):
        if not (split == number).any():
            raise FlowsciError(
                f"splits.{name}: holds none of the {len(hours)} times, which run from "
                f"{date_of(hours[0], calendar)} to {date_of(hours[-1], calendar)}. Move it there."
            )
    inside = np.flatnonzero(split >= 0)
    changes = inside[1:][split[inside[1:]] != split[inside[:-1]]]
    for later in changes:
        earlier = inside[np.searchsorted(inside, later) - 1]
        if hours[later] - hours[earlier] < gap_days * 24:
            raise FlowsciError(
                f"splits: {SPLITS[split[earlier]]} and {SPLITS[split[later]]} are closer than "
                f"gap_days ({gap_days:g}) at {date_of(hours[later], calendar)}. Move one of them, "
                "or lower splits.gap_days."
            )
    return split
