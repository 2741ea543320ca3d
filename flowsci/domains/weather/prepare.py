"""From raw fields to the record: checks, climatology, splits, statistics."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from flowsci.domains.weather import climatology, splits
from flowsci.domains.weather.calendars import date_of
from flowsci.domains.weather.cases import find_cases
from flowsci.domains.weather.data_settings import WeatherData
from flowsci.domains.weather.raw import RawFields, impossible
from flowsci.domains.weather.readers import read
from flowsci.domains.weather.record import SPLITS, encoding_of
from flowsci.domains.weather.statistics import fit_statistics
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared

TIMES_AT_ONCE = 64
COUNTED_LEADS_HOURS = (6, 24, 72)


def prepare(files: Sequence[Path], settings: WeatherData) -> Prepared:
    """Make the dataset from files; raise `FlowsciError` where they can't be used."""
    return assemble(read(files, settings), settings)


def assemble(raw: RawFields, settings: WeatherData) -> Prepared:
    """Make the dataset from fields that are at hand; `raw.fields` is changed where it is NaN."""
    step_hours = step_of(raw.hours)
    split = splits.assign(settings.splits, raw.hours, raw.calendar)
    valid = check_values(raw)
    training = np.flatnonzero(split == 0)
    fill_invalid(raw.fields, valid, training)
    waves = climatology.waves_of(raw.hours[training], step_hours, raw.calendar)
    if raw.grid.kind == "periodic":
        # a box has no seasons; its clock only tells its flows apart
        waves = 0, 0
    design = climatology.terms(raw.hours[training], *waves, raw.calendar)
    climate = climatology.fit(raw.fields, training, design)
    arrays = to_dataset(raw, split, valid, climate, step_hours)
    arrays["climatology"].attrs = {"annual_waves": waves[0], "diurnal_waves": waves[1]}
    units = {channel.name: channel.units for channel in raw.channels}
    units |= {"orography": "m", "land": "1", "time": "hours since 1970-01-01 00:00"}
    counts = {
        **raw.counts,
        "times": {name: int((split == i).sum()) for i, name in enumerate(SPLITS)}
        | {"in no split": int((split < 0).sum())},
        "gaps in time": int((np.diff(raw.hours) > step_hours).sum()),
        "cases": count_cases(raw.hours, split),
        "cells without a value": {
            channel.name: int((~cells).sum())
            for channel, cells in zip(raw.channels, valid, strict=True)
            if not cells.all()
        },
    }
    statistics = fit_statistics(arrays, raw.channels, raw.truncation)
    return Prepared(arrays, counts, statistics, units, describe(raw, arrays))


def step_of(hours: np.ndarray) -> int:
    """Give the commonest time between fields in hours; raise `FlowsciError` for a single time."""
    if len(hours) < 2:
        raise FlowsciError(
            f"The files hold {len(hours)} time; a dataset needs two and more. Name more files, or "
            "widen fields.start and fields.end."
        )
    steps, counts = np.unique(np.diff(hours), return_counts=True)
    return int(steps[counts.argmax()])


def check_values(raw: RawFields) -> np.ndarray:
    """Tell the cells (channel, latitude, longitude) that have a value at all times.

    Raises `FlowsciError`, naming channel and time, for infinite values and those that no field has,
    for a field that is missing as a whole, and for a cell that has a value at some times only.
    """
    first = np.isnan(raw.fields[0])
    for begin in range(0, len(raw.hours), TIMES_AT_ONCE):
        values = np.asarray(raw.fields[begin : begin + TIMES_AT_ONCE])
        missing = np.isnan(values)
        for problem, wrong, mend in (
            *impossible(values),
            ("has no value anywhere", missing.all((2, 3)), "Correct the files"),
            (
                "has values in other cells than at the first time",
                (missing != first).any((2, 3)),
                "Correct the files",
            ),
        ):
            if wrong.any():
                time, channel = np.argwhere(wrong)[0]
                raise FlowsciError(
                    f"{raw.channels[channel].name} {problem} at "
                    f"{date_of(raw.hours[begin + time], raw.calendar)}. {mend}, or leave the "
                    "variable or the time out."
                )
    return ~first


def fill_invalid(fields: np.ndarray, valid: np.ndarray, training: np.ndarray) -> None:
    """Write the channel's mean into cells that have no value at any time."""
    sample = training[:: -(-len(training) // TIMES_AT_ONCE)]
    for channel in np.flatnonzero(~valid.all((1, 2))):
        mean = np.asarray(fields[sample, channel])[:, valid[channel]].mean()
        fields[:, channel, ~valid[channel]] = mean


def count_cases(hours: np.ndarray, split: np.ndarray) -> dict[str, Any]:
    """Count the cases by split at some leads, and those that a gap or an end makes impossible."""
    result = {}
    for lead in COUNTED_LEADS_HOURS:
        found = [len(find_cases(hours, split, i, lead)) for i in range(len(SPLITS))]
        if sum(found):
            result[f"{lead} h"] = dict(zip(SPLITS, found, strict=True)) | {
                "not made: a state is missing or in another split": int((split >= 0).sum())
                - sum(found)
            }
    return result


def to_dataset(
    raw: RawFields, split: np.ndarray, valid: np.ndarray, climate: np.ndarray, step_hours: int
) -> xr.Dataset:
    """Write fields as the record that `record` describes."""
    cells = ("latitude", "longitude")
    blank = np.zeros(raw.grid.area.shape, dtype=np.float32)
    known = {"orography": raw.orography, "land": raw.land}
    surface = {
        name: (cells, blank if values is None else np.asarray(values, dtype=np.float32))
        for name, values in known.items()
    }
    unknown = [name for name, values in known.items() if values is None]
    dataset = xr.Dataset(
        {
            "fields": (("time", "channel", *cells), raw.fields),
            "split": ("time", split),
            "area": (cells, raw.grid.area),
            **surface,
            "valid": (("channel", *cells), valid),
            "climatology": (("channel", "term", *cells), climate),
        },
        {
            "time": ("time", raw.hours.astype(np.int64), {"calendar": raw.calendar}),
            "channel": np.array([channel.name for channel in raw.channels], dtype=object),
            "latitude": raw.grid.latitudes,
            "longitude": raw.grid.longitudes,
        },
        {
            "grid": raw.grid.kind,
            "step_hours": step_hours,
            "simulation": raw.simulation,
            "surface": f"not known, 0 everywhere: {', '.join(unknown)}" if unknown else "known",
        },
    )
    dataset["fields"].encoding = dict(encoding_of(dataset["fields"].shape))
    return dataset


def describe(raw: RawFields, arrays: xr.Dataset) -> str:
    """Describe the dataset for its card."""
    shape = arrays["fields"].shape
    span = [date_of(raw.hours[i], raw.calendar) for i in (0, -1)]
    origin = f"**A simulation**: {raw.simulation}. " if raw.simulation else ""
    return (
        f"{origin}{shape[1]} fields on a {raw.grid.kind.replace('_', ' with ')} grid of "
        f"{shape[2]} x {shape[3]} cells, every {arrays.attrs['step_hours']} h from {span[0]} to "
        f"{span[1]} (calendar {raw.calendar}): "
        + "; ".join(f"{c.name}, {c.long_name}, {c.units}" for c in raw.channels)
        + ". Climatology, means and spreads are fitted on the training times alone. Orography and "
        f"land: {arrays.attrs['surface']}."
    )
