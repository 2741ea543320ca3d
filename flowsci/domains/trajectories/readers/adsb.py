"""ADS-B reports of aircraft: cleaned, each row counted when it is dropped, and put on a clock."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyproj

from flowsci.domains.trajectories.readers.tracks import (
    Tracks,
    clocked,
    disordered,
    keep,
    number_tracks,
    winds_of,
)
from flowsci.domains.trajectories.settings import AdsbTracks, CleaningSettings
from flowsci.errors import FlowsciError

AXES = ("east", "north", "up")

METRES_PER_FOOT = 0.3048
METRES_PER_DEGREE = 111_195.0
NUMBERS = ("timestamp", "longitude", "latitude", "altitude")
COLUMNS = ("icao24", "callsign", *NUMBERS)
MOST_SPIKES = 0.1
"""A larger share of spikes is a limit that does not fit the reports."""
ON_GROUND = "onground"


@dataclass(frozen=True)
class Reports:
    """Position reports in the air, ordered by aircraft and time.

    `table` has the columns aircraft and callsign (text), time (s since 1970), longitude and
    latitude (degrees, WGS 84), altitude (m, barometric) and the wind if it is known; `dropped`
    counts rows by reason; `unordered` were not in order of time, for their aircraft.
    """

    table: pd.DataFrame
    rows: int
    unordered: int
    dropped: Mapping[str, int]


def read_adsb(files: Sequence[Path], settings: AdsbTracks) -> Tracks:
    """Read ADS-B files as tracks in km east, north and up (barometric altitude) of the origin."""
    reports = read_reports(files, settings)
    table = reports.table
    forward = projection(settings.origin_longitude_degrees, settings.origin_latitude_degrees)
    east, north = forward.transform(table["longitude"], table["latitude"])
    rows = {"read": reports.rows, "kept": len(table), "dropped": reports.dropped}
    table = table.assign(
        east=east / 1000, north=north / 1000, up=table["altitude"] / 1000, recording=0
    ).rename(columns={"aircraft": "name", "callsign": "label"})
    table["track"], again = number_tracks(table, settings.flight_gap_seconds)
    clock, gap = settings.clock_seconds, settings.interpolation_gap_seconds
    winds = winds_of(table, ", ".join(map(str, files)))
    points, in_gaps = clocked(table, (*AXES, *winds), clock, gap)
    flights = table.groupby("track")[["name", "label", "recording"]].first()
    return Tracks(
        names_recur=False,
        points=points,
        tracks=flights,
        recordings=("flights",),
        axes=AXES,
        length_unit="km",
        clock_seconds=clock,
        counts={
            "rows": rows,
            "rows out of order, which were sorted": reports.unordered,
            "points": {"kept": len(points), "dropped": {"in a gap between reports": in_gaps}},
            "flights of an aircraft seen before": again,
        },
        attributes={
            "origin_longitude_degrees": settings.origin_longitude_degrees,
            "origin_latitude_degrees": settings.origin_latitude_degrees,
            "interpolation_gap_seconds": gap,
            "time_origin": "1970-01-01T00:00:00Z",
        },
    )


def projection(origin_longitude: float, origin_latitude: float) -> pyproj.Transformer:
    """Map longitude and latitude (degrees) to m east and north: azimuthal equidistant, WGS 84."""
    local = pyproj.CRS.from_dict(
        {"proj": "aeqd", "lon_0": origin_longitude, "lat_0": origin_latitude, "ellps": "WGS84"}
    )
    return pyproj.Transformer.from_crs("EPSG:4326", local, always_xy=True)


def read_reports(files: Sequence[Path], settings: AdsbTracks) -> Reports:
    """Read JSON files of ADS-B records (altitude in feet, timestamp in ms) and clean them.

    Raises `FlowsciError` naming file, column and counts where a file is not of that kind or where
    no row is left.
    """
    raw = pd.concat([_read(Path(path), settings.cleaning) for path in files], ignore_index=True)
    table, dropped = clean(raw, settings)
    if table.empty:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
        raise FlowsciError(
            f"{', '.join(str(path) for path in files)}: none of {len(raw)} rows is left "
            f"({reasons}). Check the file, or `tracks.cleaning` in the dataset file."
        )
    unordered = disordered(raw, ["icao24"], "timestamp")
    return Reports(table, len(raw), unordered, dropped)


def _read(path: Path, cleaning: CleaningSettings) -> pd.DataFrame:
    try:
        table = pd.read_json(path, dtype=False)
    except FileNotFoundError:
        raise FlowsciError(f"{path}: there is no such file.") from None
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise FlowsciError(
            f"{path}: is not a whole JSON file of records ({error}). It may be truncated: delete "
            "it and fetch it again."
        ) from None
    needed = COLUMNS if cleaning.reports_on_ground == "none" else (*COLUMNS, ON_GROUND)
    missing = [name for name in needed if name not in table]
    if missing:
        hint = (
            " If the file holds aircraft in flight only, set tracks.cleaning.reports_on_ground to "
            "'none'."
        )
        raise FlowsciError(
            f"{path}: the column {', '.join(missing)} is missing. Needed: {', '.join(needed)}."
            + (hint if missing == [ON_GROUND] else "")
        )
    if cleaning.reports_on_ground == "none":
        table = table.assign(**{ON_GROUND: False})
    for name in NUMBERS:
        _require_numbers(table[name], path)
    icao24, on_ground = table["icao24"], table[ON_GROUND]
    if not (icao24.isna() | icao24.map(lambda value: isinstance(value, str))).all():
        raise FlowsciError(
            f"{path}: the column icao24 holds numbers, which have lost their leading zeros. "
            "Write the 24-bit addresses as text."
        )
    if not (on_ground.isna() | on_ground.isin([True, False])).all():
        raise FlowsciError(f"{path}: the column onground holds values other than true and false.")
    return table[[*COLUMNS, ON_GROUND, *winds_of(table, str(path))]]


def _require_numbers(column: pd.Series, path: Path) -> None:
    if not pd.api.types.is_numeric_dtype(column):
        if column.isna().all():
            raise FlowsciError(_empty_column(column, path))
        raise FlowsciError(f"{path}: the column {column.name} holds values that are no numbers.")
    if not np.isfinite(column.to_numpy(dtype=float, na_value=np.nan)).any():
        raise FlowsciError(_empty_column(column, path))


def _empty_column(column: pd.Series, path: Path) -> str:
    return (
        f"{path}: all {len(column)} values of the column {column.name} are missing. "
        "Without it no position is known: use a file that has it."
    )


def clean(raw: pd.DataFrame, settings: AdsbTracks) -> tuple[pd.DataFrame, dict[str, int]]:
    """Keep usable reports, in SI units and in order; count the dropped ones by the first reason."""
    cleaning = settings.cleaning
    table = pd.DataFrame(
        {
            "aircraft": raw["icao24"],
            "callsign": raw["callsign"].fillna("").astype(str),
            "time": raw["timestamp"] / 1000,
            "longitude": raw["longitude"],
            "latitude": raw["latitude"],
            "altitude": raw["altitude"] * METRES_PER_FOOT,
            "on_ground": raw["onground"],
            **{name: raw[name] for name in winds_of(raw, "the reports")},
        }
    )

    def spike(column: str, threshold: float) -> Callable[[pd.DataFrame], pd.Series]:
        half_width, gap = cleaning.median_half_width_rows, settings.flight_gap_seconds
        return lambda rows: _spike(rows, column, threshold, half_width, gap)

    degrees_north = cleaning.position_spike_km * 1000 / METRES_PER_DEGREE
    degrees_east = degrees_north / max(np.cos(np.radians(table["latitude"].median())), 0.01)
    filters = {
        "on the ground": lambda rows: rows["on_ground"] == True,  # noqa: E712
        "aircraft or time missing": lambda rows: rows["aircraft"].isna() | rows["time"].isna(),
        "position missing": lambda rows: rows["longitude"].isna() | rows["latitude"].isna(),
        "position impossible": _off_the_globe,
        "altitude missing": lambda rows: rows["altitude"].isna(),
        "time duplicated": lambda rows: rows.duplicated(["aircraft", "time"]),
        "position not updated": _repeated,
        "altitude spike": spike("altitude", cleaning.altitude_spike_m),
        "latitude spike": spike("latitude", degrees_north),
        "longitude spike": spike("longitude", degrees_east),
    }
    table = table.sort_values(["aircraft", "time"], kind="stable", ignore_index=True)
    table, dropped = keep(table, filters)
    spikes = {reason: count for reason, count in dropped.items() if reason.endswith("spike")}
    if sum(spikes.values()) > MOST_SPIKES * (len(table) + sum(spikes.values())):
        listed = ", ".join(f"{count} {reason}s" for reason, count in spikes.items())
        raise FlowsciError(
            f"tracks.cleaning: {listed} beside {len(table)} good reports. So many are none: where "
            "reports are sparse, lower median_half_width_rows, or raise the limits of spikes."
        )
    return table.drop(columns="on_ground"), dropped


def _off_the_globe(rows: pd.DataFrame) -> pd.Series:
    return (rows["longitude"].abs() > 360) | (rows["latitude"].abs() > 90)


def _repeated(rows: pd.DataFrame) -> pd.Series:
    """Find reports that repeat the last known position of a moving aircraft."""
    same = rows[["aircraft", "longitude", "latitude"]].eq(
        rows[["aircraft", "longitude", "latitude"]].shift()
    )
    return same.all(axis=1)


def _spike(
    rows: pd.DataFrame, column: str, threshold: float, half_width: int, gap: float
) -> pd.Series:
    """Find values far from the running median of their flight."""
    flight, _ = number_tracks(rows.assign(name=rows["aircraft"], recording=0), gap)
    median = rows.groupby(flight)[column].transform(
        lambda values: values.rolling(2 * half_width + 1, center=True, min_periods=1).median()
    )
    return (rows[column] - median).abs() > threshold
