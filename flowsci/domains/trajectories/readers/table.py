"""A user's own table, Parquet or CSV: track, time and position in rows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from flowsci.domains.trajectories.readers.tracks import (
    Tracks,
    clocked,
    disordered,
    keep,
    number_tracks,
    recording_names,
    winds_of,
)
from flowsci.domains.trajectories.settings import TableTracks
from flowsci.errors import FlowsciError

REQUIRED = ("track", "time", "x", "y")


def read_table(files: Sequence[Path], settings: TableTracks) -> Tracks:
    """Read tables with the columns track, time (s), x, y, and z, recording, label if there are any.

    The wind, wind_east and wind_north (m/s, where the air goes along x and y), may stand beside.

    Times may be uneven: each track is interpolated to the clock. Without a column `recording`, a
    file is one. Unusable rows are dropped and counted.
    """
    parts = [_read(path, name) for path, name in zip(files, recording_names(files), strict=True)]
    table = pd.concat(parts, ignore_index=True)
    axes = _axes(files, parts)
    winds = winds_of(table, ", ".join(map(str, files)))
    every, rows = table.rename(columns={"track": "name"}), len(table)
    unordered = disordered(every, ["recording", "name"], "time")
    table, dropped = _usable(every, axes)
    lost = _lost(every, table, axes)
    if table.empty:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
        raise FlowsciError(
            f"{', '.join(map(str, files))}: none of {rows} rows is left ({reasons})."
        )
    recordings, table["recording"] = np.unique(table["recording"].astype(str), return_inverse=True)
    table["track"], again = number_tracks(table, settings.gap_seconds)
    clock, gap = settings.clock_seconds, settings.interpolation_gap_seconds
    points, in_gaps = clocked(table, (*axes, *winds), clock, gap)
    names = table.groupby("track")[["name", "label", "recording"]].first()
    return Tracks(
        names_recur=False,
        points=points,
        tracks=names.assign(name=names["name"].astype(str)),
        recordings=tuple(recordings.tolist()),
        axes=axes,
        length_unit=settings.unit,
        clock_seconds=clock,
        attributes={"interpolation_gap_seconds": gap},
        counts={
            "rows": {"read": rows, "kept": len(table), "dropped": dropped},
            "rows out of order, which were sorted": unordered,
            "points": {"kept": len(points), "dropped": {"in a gap between reports": in_gaps}},
            "tracks that go on after a gap": again,
        },
        lost=lost,
    )


def _axes(files: Sequence[Path], parts: Sequence[pd.DataFrame]) -> tuple[str, ...]:
    """Give the axes that all tables have; raise `FlowsciError` where some have a height only."""
    flat = [path for path, part in zip(files, parts, strict=True) if "z" not in part]
    if flat and len(flat) < len(files):
        raise FlowsciError(
            f"{', '.join(map(str, flat))}: the column z is missing, which other files have. Give "
            "it in all of them or in none."
        )
    return ("x", "y") if flat else ("x", "y", "z")


def _usable(table: pd.DataFrame, axes: Sequence[str]) -> tuple[pd.DataFrame, dict[str, int]]:
    filters = {
        "recording missing": lambda rows: rows["recording"].isna(),
        "track or time missing": lambda rows: rows["name"].isna() | ~np.isfinite(rows["time"]),
        "position missing": lambda rows: ~np.isfinite(rows[list(axes)]).all(axis=1),
        "time duplicated": lambda rows: rows.duplicated(["recording", "name", "time"]),
    }
    table, dropped = keep(table, filters)
    order = ["recording", "name", "time"]
    return table.sort_values(order, kind="stable", ignore_index=True), dropped


def _lost(
    table: pd.DataFrame, left: pd.DataFrame, axes: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Count by reason the rows of each recording that has none in what is left of a table."""
    there, lost = set(left["recording"]), {}
    for recording, rows in table.groupby("recording"):
        if recording not in there:
            _, dropped = _usable(rows, axes)
            lost[str(recording)] = {why: count for why, count in dropped.items() if count}
    return lost


def is_number(column: pd.Series) -> bool:
    """Tell whether a column holds numbers, which true and false are not."""
    kinds = pd.api.types
    return bool(kinds.is_numeric_dtype(column) and not kinds.is_bool_dtype(column))


def _read(path: Path, recording: str) -> pd.DataFrame:
    # names such as 001 and 1 are not the same
    names = dict.fromkeys(("track", "recording", "label"), str)
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, dtype=names)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FlowsciError(f"{path}: is neither CSV nor Parquet: {error}.") from None
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise FlowsciError(
            f"{path}: the column {', '.join(missing)} is missing. Needed: {', '.join(REQUIRED)}; "
            "z, recording and label may stand beside them."
        )
    if table.empty:
        raise FlowsciError(f"{path}: holds no rows; leave it out, or give the whole table.")
    for name in ("time", "x", "y", "z"):
        if name in table and not is_number(table[name]):
            raise FlowsciError(f"{path}: the column {name} holds values that are no numbers.")
    if "recording" not in table:
        table["recording"] = recording
    if "label" not in table:
        table["label"] = ""
    return table
