"""Text files of video annotations: a line for each agent and frame, a recording a file."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from flowsci.domains.trajectories.readers.tracks import (
    Filters,
    Tracks,
    disordered,
    keep,
    number_tracks,
    recording_names,
)
from flowsci.domains.trajectories.settings import FrameTracks, SddTracks
from flowsci.errors import FlowsciError

COLUMNS = ("frame", "name", "x", "y")
SDD_COLUMNS = ("name", "left", "top", "right", "bottom", "frame", "lost", "occluded", "generated")


def read_frames(files: Sequence[Path], settings: FrameTracks) -> Tracks:
    """Read files of four columns: frame, id, x, y, parted by tabs or blanks (ETH, UCY)."""
    tables = (_numbers(path, _cells(path, len(COLUMNS)), COLUMNS) for path in files)
    return _to_tracks(files, (table.assign(label="") for table in tables), settings, {})


def read_sdd(files: Sequence[Path], settings: SddTracks) -> Tracks:
    """Read annotations of the Stanford Drone Dataset: boxes, whose centres are the positions.

    Ten columns: track, xmin, ymin, xmax, ymax, frame, lost, occluded, generated, "label". Lost
    boxes and unwanted labels are dropped and counted.
    """
    unwanted: Filters = {
        "outside of the view": lambda rows: rows["lost"] == 1,
        "label not wanted": lambda rows: ~rows["label"].isin(settings.labels),
    }
    return _to_tracks(files, map(_boxes, files), settings, unwanted)


def _boxes(path: Path) -> pd.DataFrame:
    """Read the boxes of a file and their centres."""
    cells = _cells(path, len(SDD_COLUMNS) + 1)
    table = _numbers(path, cells.iloc[:, :-1], SDD_COLUMNS)
    x, y = (table["left"] + table["right"]) / 2, (table["top"] + table["bottom"]) / 2
    return table.assign(label=cells.iloc[:, -1].str.strip('"'), x=x, y=y)


def _to_tracks(
    files: Sequence[Path],
    tables: Iterable[pd.DataFrame],
    settings: FrameTracks | SddTracks,
    unwanted: Filters,
) -> Tracks:
    """Order the rows of each file, count those that can't be used, and number the tracks."""
    recordings, rows, unordered, parts, counts = recording_names(files), 0, 0, [], []
    for number, every in enumerate(tables):
        rows += len(every)
        unordered += disordered(every, ["name"], "frame")
        part, of_file = _usable(every, unwanted, settings.frames_a_step)
        parts.append(part[["frame", "name", "label", "x", "y"]].assign(recording=number))
        counts.append(of_file)
    table = pd.concat(parts, ignore_index=True)
    dropped = {why: sum(of_file[why] for of_file in counts) for why in counts[0]}
    if table.empty:
        reasons = ", ".join(f"{count} {why}" for why, count in dropped.items() if count)
        raise FlowsciError(
            f"{', '.join(str(path) for path in files)}: none of {rows} rows is left ({reasons}). "
            "Check the files, and tracks.frames_a_step in the dataset file."
        )
    table["time"] = table["frame"] // settings.frames_a_step
    gap = settings.gap_seconds / settings.step_seconds
    table["track"], reused = number_tracks(table, gap)
    names = table.groupby("track")[["name", "label", "recording"]].first()
    points = table[["time", "x", "y", "track"]].rename(columns={"time": "tick"})
    return Tracks(
        points=points.astype({"tick": np.int64, "x": np.float32, "y": np.float32}),
        tracks=names.assign(name=names["name"].map(_name)),
        recordings=recordings,
        axes=("x", "y"),
        length_unit=settings.unit,
        clock_seconds=settings.step_seconds,
        counts={
            "rows": {"read": rows, "kept": len(table), "dropped": dropped},
            "rows out of order, which were sorted": unordered,
            "ids used again after a gap": reused,
        },
        lost={
            name: {why: count for why, count in of_file.items() if count}
            for name, of_file, part in zip(recordings, counts, parts, strict=True)
            if part.empty
        },
    )


def _name(number: float) -> str:
    """Write an id as it was meant: 12 for 12.0."""
    return str(int(number)) if number == int(number) else str(number)


def _usable(
    table: pd.DataFrame, unwanted: Filters, frames_a_step: int
) -> tuple[pd.DataFrame, dict[str, int]]:
    filters: Filters = {
        **unwanted,
        "frame or id missing": lambda rows: ~np.isfinite(rows[["frame", "name"]]).all(axis=1),
        "position missing": lambda rows: ~np.isfinite(rows[["x", "y"]]).all(axis=1),
        "frame between steps": lambda rows: rows["frame"] % frames_a_step != 0,
        "frame and id duplicated": lambda rows: rows.duplicated(["name", "frame"]),
    }
    table, dropped = keep(table, filters)
    return table.sort_values(["name", "frame"], kind="stable", ignore_index=True), dropped


def _cells(path: Path, columns: int) -> pd.DataFrame:
    """Read the cells of a text file as text; raise `FlowsciError` naming file and line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FlowsciError(f"{path}: is not a readable text file: {error}.") from None
    rows = []
    for number, line in enumerate(lines, 1):
        cells = line.split()
        if cells and len(cells) != columns:
            raise FlowsciError(
                f"{path}, line {number}: expected {columns} columns, found {len(cells)}: {line!r}. "
                "Correct the line, or tracks.kind in the dataset file."
            )
        if cells:
            rows.append(cells)
    if not rows:
        raise FlowsciError(f"{path}: the file holds no line.")
    return pd.DataFrame(rows)


def _numbers(path: Path, cells: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    table = cells.apply(pd.to_numeric, errors="coerce").set_axis(names, axis=1)
    no_number = table.isna().to_numpy() & (cells.apply(lambda c: c.str.lower()) != "nan").to_numpy()
    if no_number.any():
        row, column = np.argwhere(no_number)[0]
        raise FlowsciError(
            f"{path}: {cells.iat[row, column]!r} in the column {names[column]} is no number "
            f"(row {row + 1})."
        )
    return table
