"""What every reader gives: positions on a clock, track by track."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flowsci.errors import FlowsciError
from flowsci.store.names import below_shared_folder

WIND = ("wind_east", "wind_north")
"""Columns that tell the wind, if there are any: where the air goes along two axes, in m/s."""

Filters = Mapping[str, Callable[[pd.DataFrame], pd.Series]]
"""Tests that tell which rows of a table cannot be used, by reason."""

ON_THE_CLOCK = 1e-6
"""Part of a clock's tick by which a time may miss it: what rounding does to times since 1970."""


@dataclass(frozen=True)
class Tracks:
    """Points of tracks on a common clock, track by track and in order of time.

    `points` has the columns tick (int64, time in `clock_seconds`), a column for each of `axes` (in
    `length_unit`), track (number) and, where the files know the wind, those of `WIND`, NaN where
    they do not; `tracks` the columns name, label and recording (index into
    `recordings`). `counts` says what was read and what was dropped, by reason; `attributes` go into
    the record's. `names_recur` says that a name is of one recording, and another agent's in others.
    `lost` says of recordings that no row is left of how many were dropped, by reason.
    `restart_ticks`: so often do windows' strides count anew, as a sequence begins; None for never.
    """

    points: pd.DataFrame
    tracks: pd.DataFrame
    recordings: tuple[str, ...]
    axes: tuple[str, ...]
    length_unit: str
    clock_seconds: float
    counts: Mapping[str, Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    names_recur: bool = True
    lost: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    restart_ticks: int | None = None

    def on_stride(self, ticks: np.ndarray, stride: int | np.ndarray) -> np.ndarray:
        """Tell whether windows of a stride (ticks) may begin at some ticks."""
        since = ticks if self.restart_ticks is None else ticks % self.restart_ticks
        return since % stride == 0


def winds_of(table: pd.DataFrame, where: str) -> tuple[str, ...]:
    """Give the columns of the wind that a table has: both or none.

    Raises `FlowsciError` where it has one of them, or where they are no numbers.
    """
    there = tuple(name for name in WIND if name in table)
    wrong = [name for name in there if not pd.api.types.is_numeric_dtype(table[name])]
    if len(there) == 1 or wrong:
        raise FlowsciError(
            f"{where}: the wind needs both columns {' and '.join(WIND)}, numbers in m/s; found "
            f"{', '.join(f'{name} ({table[name].dtype})' for name in there)}."
        )
    return there


def recording_names(files: Sequence[Path]) -> tuple[str, ...]:
    """Name recordings by their files: paths below the folder that all share, without suffix.

    Raises `FlowsciError` where two files would have one name.
    """
    folder, paths = below_shared_folder(files)
    names = [path.with_suffix("").as_posix() for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FlowsciError(f"{folder}: several files are called {twice[0]}; rename them.")
    return tuple(names)


def keep(table: pd.DataFrame, bad: Filters) -> tuple[pd.DataFrame, dict[str, int]]:
    """Drop the rows that one of the tests calls bad; count them by the first reason that fits."""
    dropped = {}
    for reason, is_bad in bad.items():
        rows = is_bad(table)
        dropped[reason] = int(rows.sum())
        table = table[~rows].reset_index(drop=True)
    return table, dropped


def disordered(table: pd.DataFrame, names: Sequence[str], time: str) -> int:
    """Count the rows that are earlier than the one before of the same names."""
    return int((table.groupby(list(names), sort=False)[time].diff() < 0).sum())


def number_tracks(table: pd.DataFrame, gap: float) -> tuple[np.ndarray, int]:
    """Number the tracks (rows,) of a table ordered by recording, name and time.

    A silence longer than `gap`, in the unit of the column time, begins a new track of a name; the
    second number counts these.
    """
    other = (table[["recording", "name"]] != table[["recording", "name"]].shift()).any(axis=1)
    silent = (table["time"].diff() > gap) & ~other
    return (other | silent).to_numpy().cumsum() - 1, int(silent.sum())


def on_clock(
    times: np.ndarray, positions: np.ndarray, clock: float, largest_gap: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Interpolate one track's positions (rows, axes) at times (rows,) to ticks of a clock, in s.

    Gives the ticks, the positions there (float32), and how many ticks were left out because they
    lie in a gap between reports that is longer than `largest_gap`.
    """
    # a time that lies on the clock up to rounding is on it
    ends = np.ceil(times[0] / clock - ON_THE_CLOCK), np.floor(times[-1] / clock + ON_THE_CLOCK)
    ticks = np.arange(ends[0], ends[1] + 1)
    seconds = ticks * clock
    after = np.searchsorted(times, seconds - ON_THE_CLOCK * clock).clip(max=len(times) - 1)
    before = np.maximum(after - (times[after] > seconds + ON_THE_CLOCK * clock), 0)
    near = times[after] - times[before] <= largest_gap
    ticks, seconds = ticks[near], seconds[near]
    there = [np.interp(seconds, times, column) for column in positions.T]
    return ticks.astype(np.int64), np.stack(there, -1).astype(np.float32), int((~near).sum())


def clocked(
    table: pd.DataFrame, axes: tuple[str, ...], clock: float, largest_gap: float
) -> tuple[pd.DataFrame, int]:
    """Put a table with the columns track, time (s) and axes on a clock, track by track."""
    first = np.flatnonzero(np.diff(table["track"].to_numpy(), prepend=-1))
    times, values = table["time"].to_numpy(float), table[list(axes)].to_numpy(float)
    parts, in_gaps = [], 0
    for begin, end in zip(first, [*first[1:], len(table)], strict=True):
        part = slice(begin, end)
        ticks, there, skipped = on_clock(times[part], values[part], clock, largest_gap)
        columns = dict(zip(axes, there.T, strict=True))
        parts.append(pd.DataFrame({"tick": ticks, **columns, "track": table["track"].iat[begin]}))
        in_gaps += skipped
    return pd.concat(parts, ignore_index=True), in_gaps
