"""CF NetCDF files and Zarr stores: variables and levels by name, on one grid and one clock.

Files may share the times, the variables and the levels; each variable is put together from the
files that hold it. Everything is read lazily and streamed into one array.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dask.array as da
import numpy as np
import xarray as xr

from flowsci.domains.weather.calendars import date_of, hours_of
from flowsci.domains.weather.data_settings import StoreFields, VariableSettings
from flowsci.domains.weather.grids import TOLERANCE_DEGREES, Grid
from flowsci.domains.weather.raw import RawFields, room_for
from flowsci.domains.weather.readers.axes import (
    eastwards,
    find_axis,
    levels_hpa,
    plain_units,
    same_units,
    with_level,
)
from flowsci.domains.weather.readers.opening import open_files, open_store
from flowsci.domains.weather.readers.times import hours_of_axis
from flowsci.domains.weather.record import Channel
from flowsci.errors import FlowsciError
from flowsci.progress import progress

GRAVITY = 9.80665
HIGHEST_METRES = 10_000.0
SHARE_ROUNDING = 1e-3
"""Packed shares of land may lie so far beyond 0 and 1."""
UNKNOWN = ("", "unknown")


@dataclass
class Piece:
    """One variable of one file: lazy values (time, latitude, longitude) on a grid."""

    origin: str
    values: da.Array
    hours: np.ndarray
    calendar: str
    grid: Grid


def read_store(files: Sequence[Path], settings: StoreFields, address: str | None) -> RawFields:
    """Read the variables of a dataset file from its files, or from the store at `address`.

    Raises `FlowsciError` that names file and variable, or the key of the dataset file, where they
    can't be used.
    """
    datasets = open_files(files) if address is None else {address: open_store(address)}
    pieces = {
        variable.name: _pieces(datasets, variable, settings) for variable in settings.variables
    }
    grid, calendar = _common(pieces)
    _check_truncation(settings, grid)
    joined = {name: _joined(found) for name, found in pieces.items()}
    hours = _same_hours({name: times for name, (times, _) in joined.items()}, calendar)
    stack = da.stack([values for _, values in joined.values()], axis=1)
    fields = room_for(stack.shape)
    with progress("reading", 1, "store") as bar:
        try:
            da.store(stack, fields, lock=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise FlowsciError(
                f"{', '.join(datasets)}: the fields cannot be read: {error}. Fetch what is "
                "damaged again."
            ) from None
        bar.advance()
    orography, land = _orography(datasets, settings, grid), _land(datasets, settings, grid)
    return RawFields(
        fields=fields,
        hours=hours,
        channels=tuple(_channel(datasets, variable) for variable in settings.variables),
        grid=grid,
        calendar=calendar,
        orography=orography,
        land=land,
        simulation=settings.simulation or "",
        truncation=settings.truncation,
        counts={"files": len(datasets)} | _unread(datasets, settings, pieces),
    )


def _pieces(
    datasets: Mapping[str, xr.Dataset], variable: VariableSettings, settings: StoreFields
) -> list[Piece]:
    holding = {name: ds for name, ds in datasets.items() if variable.source_name in ds.data_vars}
    if not holding:
        raise FlowsciError(
            f"fields.variables: no file has a variable '{variable.source_name}'; there are: "
            f"{_names(datasets)}."
        )
    data = _with_level({name: ds[variable.source_name] for name, ds in holding.items()}, variable)
    pieces = [_piece(name, found, variable, settings) for name, found in data.items()]
    found = [piece for piece in pieces if len(piece.hours)]
    if not found:
        raise FlowsciError(
            f"{', '.join(holding)}: {variable.source_name}: no time is left between fields.start "
            f"and fields.end, every {settings.step_hours or 'stored'} hours. Correct the keys, "
            "or complete the files."
        )
    return sorted(found, key=lambda piece: piece.hours[0])


def _unread(
    datasets: Mapping[str, xr.Dataset],
    settings: StoreFields,
    pieces: Mapping[str, Sequence[Piece]],
) -> dict[str, dict[str, int]]:
    """Count the files that hold a variable at other levels or times alone than it is read at."""
    unread = {
        variable.name: sum(variable.source_name in ds.data_vars for ds in datasets.values())
        - len(pieces[variable.name])
        for variable in settings.variables
    }
    others = {name: count for name, count in unread.items() if count}
    return {"files of other levels or times": others} if others else {}


def _names(datasets: Mapping[str, xr.Dataset]) -> str:
    return ", ".join(sorted({str(name) for ds in datasets.values() for name in ds.data_vars}))


def _piece(
    origin: str, data: xr.DataArray, variable: VariableSettings, settings: StoreFields
) -> Piece:
    origin = f"{origin}: {variable.source_name}"
    stated = str(data.attrs.get("units", ""))
    if not same_units(stated, variable.units):
        raise FlowsciError(
            f"{origin}: is in '{stated}', the dataset file says '{variable.units}'. Convert the "
            "file, or say what it holds."
        )
    time = find_axis(data, "time")
    if time is None:
        raise FlowsciError(
            f"{origin}: has no time axis; it has: {', '.join(map(str, data.dims))}. Name a "
            "variable that has times."
        )
    hours, calendar = hours_of_axis(data[time], origin)
    try:
        chosen = _chosen_times(hours, calendar, settings)
    except FlowsciError as error:
        raise FlowsciError(f"fields.start, fields.end: {error} It is that of {origin}.") from None
    data = data.isel({time: chosen})
    data, grid = _on_grid(origin, data, settings, (time,))
    return Piece(origin, data.data, hours[chosen], calendar, grid)


def _with_level(
    files: Mapping[str, xr.DataArray], variable: VariableSettings
) -> dict[str, xr.DataArray]:
    """Give a variable at its level, of the files that have it: levels may lie in files of theirs.

    Raises `FlowsciError` where none has it.
    """
    found, others = {}, set()
    for file, data in ((file, with_level(data)) for file, data in files.items()):
        level = _level_axis(f"{file}: {variable.source_name}", data, variable)
        if variable.level_hpa is None or level is None:
            found[file] = data if level is None else data.isel({level: 0})
            continue
        try:
            known = levels_hpa(data[level])
        except FlowsciError as error:
            raise FlowsciError(f"{file}: {variable.source_name}: {error}.") from None
        places = np.flatnonzero(np.isclose(known, variable.level_hpa, rtol=1e-4))
        if len(places):
            found[file] = data.isel({level: int(places[0])})
        others |= set(known)
    if not found:
        raise FlowsciError(
            f"{', '.join(files)}: {variable.source_name}: has no level of {variable.level_hpa:g} "
            f"hPa; it has: {', '.join(f'{value:g}' for value in sorted(others))}. Name one of them "
            "in level_hpa."
        )
    return found


def _level_axis(origin: str, data: xr.DataArray, variable: VariableSettings) -> str | None:
    level = find_axis(data, "level")
    if variable.level_hpa is not None and level is None:
        raise FlowsciError(f"{origin}: has no levels; leave level_hpa out.")
    if variable.level_hpa is None and level is not None and data.sizes[level] > 1:
        raise FlowsciError(f"{origin}: has {data.sizes[level]} levels; give level_hpa.")
    return level


def _on_grid(
    origin: str, data: xr.DataArray, settings: StoreFields, leading: tuple[str, ...]
) -> tuple[xr.DataArray, Grid]:
    """Turn rows northwards and columns eastwards, and cut the region out."""
    rows, columns = find_axis(data, "latitude"), find_axis(data, "longitude")
    # a dimension without a coordinate counts rows, and those of a map are no degrees
    known = all(axis in data.coords and data[axis].ndim == 1 for axis in (rows, columns))
    if not known:
        raise FlowsciError(
            f"{origin}: needs latitude and longitude along axes of their own; it has: "
            f"{', '.join(map(str, data.dims))}. Interpolate it to such a grid."
        )
    for axis in (rows, columns):
        units = str(data[axis].attrs.get("units", "degrees"))
        if not units.lower().startswith("degree"):
            raise FlowsciError(
                f"{origin}: its {axis} is in '{units}'. Write latitudes and longitudes in degrees."
            )
    others = [d for d in data.dims if d not in (*leading, rows, columns)]
    if any(data.sizes[d] > 1 for d in others):
        raise FlowsciError(
            f"{origin}: has an axis that isn't known: {', '.join(map(str, others))}. Write a file "
            "of one place along it."
        )
    data = data.isel(dict.fromkeys(others, 0)).transpose(*leading, rows, columns)
    data = data.isel({rows: np.argsort(data[rows].values)})
    try:
        order, longitudes = eastwards(data[columns].values)
        data = data.isel({columns: order})
        grid = Grid.from_coordinates(data[rows].values, longitudes)
        if settings.region is None:
            return data, grid
        cells = grid.in_box(settings.region)
        inside, across = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
        if len(inside) < 2 or len(across) < 2:
            raise FlowsciError("the region holds fewer than 2 x 2 cells; widen fields.region.")
        data = data.isel({rows: inside, columns: across})
        order, longitudes = eastwards(longitudes[across])
        data = data.isel({columns: order})
        return data, Grid.from_coordinates(data[rows].values, longitudes)
    except FlowsciError as error:
        raise FlowsciError(f"{origin}: {error}") from None


def _chosen_times(hours: np.ndarray, calendar: str, settings: StoreFields) -> np.ndarray:
    chosen = np.ones(len(hours), dtype=bool)
    if settings.start is not None:
        chosen &= hours >= hours_of(settings.start, calendar)
    if settings.end is not None:
        whole_day = 23 if "T" not in settings.end else 0
        chosen &= hours <= hours_of(settings.end, calendar) + whole_day
    if settings.step_hours is not None:
        chosen &= hours % settings.step_hours == 0
    return np.flatnonzero(chosen)


def _common(pieces: Mapping[str, Sequence[Piece]]) -> tuple[Grid, str]:
    """Give the grid and the calendar that all pieces share."""
    first, *others = (piece for found in pieces.values() for piece in found)
    for piece in others:
        if not piece.grid.is_same(first.grid, TOLERANCE_DEGREES):
            raise FlowsciError(
                f"{piece.origin}: is on another grid {piece.grid.say()} than {first.origin} "
                f"{first.grid.say()}. Interpolate one to the other."
            )
        if piece.calendar != first.calendar:
            raise FlowsciError(
                f"{piece.origin}: has the calendar {piece.calendar}, {first.origin} has "
                f"{first.calendar}. Write all files in one calendar."
            )
    return first.grid, first.calendar


def _check_truncation(settings: StoreFields, grid: Grid) -> None:
    """Raise where the grid has no spherical harmonics of all degrees up to the truncation."""
    if settings.truncation is None:
        return
    if not grid.is_global:
        raise FlowsciError(
            f"fields.truncation: spherical harmonics need the whole globe; the grid is "
            f"{grid.say()}. Remove the key."
        )
    if settings.truncation > grid.largest_degree:
        raise FlowsciError(
            f"fields.truncation: {settings.truncation} is more than the grid {grid.say()} can "
            f"carry; lower it to at most {grid.largest_degree}."
        )
    winds = [variable.name for variable in settings.variables if variable.vector]
    if winds and grid.kind == "regular_poles":
        raise FlowsciError(
            f"fields.truncation: the wind {winds[0]} has no direction on a row that lies on a "
            "pole; interpolate to a grid without rows on the poles, or remove the key."
        )


def _joined(pieces: Sequence[Piece]) -> tuple[np.ndarray, da.Array]:
    """Put the pieces of a variable in the order of time; none may have a time of another."""
    hours = np.concatenate([piece.hours for piece in pieces])
    owners = np.repeat(np.arange(len(pieces)), [len(piece.hours) for piece in pieces])
    order = hours.argsort(kind="stable")
    hours, owners = hours[order], owners[order]
    twice = np.flatnonzero(np.diff(hours) == 0)
    if len(twice):
        earlier, later = (pieces[owners[place]] for place in (twice[0], twice[0] + 1))
        raise FlowsciError(
            f"{later.origin}: the time {date_of(hours[twice[0]], later.calendar)} is in "
            f"{earlier.origin} too. Each time of a variable must be in one file."
        )
    values = da.concatenate([piece.values for piece in pieces])
    follow = (np.diff(order) == 1).all()
    return hours, values if follow else values[order]


def _same_hours(hours: Mapping[str, np.ndarray], calendar: str) -> np.ndarray:
    (first, expected), *others = hours.items()
    for name, found in others:
        only = np.setxor1d(expected, found)
        if len(only):
            lacking, having = (name, first) if np.isin(only[0], expected) else (first, name)
            raise FlowsciError(
                f"{lacking}: lacks {len(only)} of the times of {having} or the other way round, "
                f"such as {date_of(only[0], calendar)}. Cut all variables to the same times with "
                "fields.start and fields.end, or complete the files."
            )
    return expected


def _channel(datasets: Mapping[str, xr.Dataset], variable: VariableSettings) -> Channel:
    attributes = next(
        ds[variable.source_name].attrs
        for ds in datasets.values()
        if variable.source_name in ds.data_vars
    )
    standard, text = attributes.get("standard_name", ""), attributes.get("long_name", "")
    level = "" if variable.level_hpa is None else f" at {variable.level_hpa:g} hPa"
    return Channel(
        variable.name,
        "" if standard in UNKNOWN else standard,
        (text if text not in UNKNOWN else variable.source_name) + level,
        plain_units(variable.units),
        variable.level_hpa,
        variable.vector,
        variable.partner,
    )


def _orography(
    datasets: Mapping[str, xr.Dataset], settings: StoreFields, grid: Grid
) -> np.ndarray | None:
    """Give the height of the surface (latitude, longitude) in m."""
    if settings.orography is None:
        return None
    origin, values, stated = _surface(datasets, settings.orography, settings, grid)
    wanted, other = ("m2 s-2", "m") if settings.orography_is_geopotential else ("m", "m2 s-2")
    if not same_units(stated, wanted):
        mend = "Convert the file." if stated else "Write its units into the file."
        if same_units(stated, other):
            mend = f"Set fields.orography_is_geopotential to {str(other != 'm').lower()}."
        raise FlowsciError(f"{origin}: is in '{stated}', not in '{wanted}'. {mend}")
    heights = values / GRAVITY if settings.orography_is_geopotential else values
    furthest = float(np.abs(heights).max())
    if furthest > HIGHEST_METRES:
        raise FlowsciError(
            f"{origin}: reaches {furthest:.0f} m; no ground does. Correct its values or its units."
        )
    return heights


def _land(
    datasets: Mapping[str, xr.Dataset], settings: StoreFields, grid: Grid
) -> np.ndarray | None:
    """Give the share of land (latitude, longitude)."""
    if settings.land is None:
        return None
    origin, values, _ = _surface(datasets, settings.land, settings, grid)
    if values.min() < -SHARE_ROUNDING or values.max() > 1 + SHARE_ROUNDING:
        raise FlowsciError(
            f"{origin}: a share of land lies between 0 and 1; this runs from {values.min():g} to "
            f"{values.max():g}. Convert the file."
        )
    return values


def _surface(
    datasets: Mapping[str, xr.Dataset], name: str, settings: StoreFields, grid: Grid
) -> tuple[str, np.ndarray, str]:
    """Give file and name of a field of the surface, its values and its units.

    (latitude, longitude), at its first time where it has times.
    """
    for file, dataset in datasets.items():
        if name not in dataset.data_vars:
            continue
        data, origin = dataset[name], f"{file}: {name}"
        time = find_axis(data, "time")
        data = data if time is None else data.isel({time: 0})
        data, found = _on_grid(origin, data, settings, ())
        if not found.is_same(grid, TOLERANCE_DEGREES):
            raise FlowsciError(
                f"{origin}: is on another grid {found.say()} than the fields {grid.say()}. "
                "Interpolate it to theirs."
            )
        values = data.values.astype(np.float32)
        if not np.isfinite(values).all():
            raise FlowsciError(
                f"{origin}: has cells without a value. Fill them, with 0 over the sea."
            )
        return origin, values, str(data.attrs.get("units", ""))
    raise FlowsciError(
        f"fields.orography, fields.land: no file has a variable '{name}'; there are: "
        f"{_names(datasets)}."
    )
