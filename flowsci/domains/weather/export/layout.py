"""Ensembles as CF-1.8: dimensions, coordinates, names and units of what is written."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from flowsci import __version__
from flowsci.domains.weather.export import cells
from flowsci.store.prepared import Prepared

START, LEAD, MEMBER = "forecast_reference_time", "forecast_period", "realization"
SPACE = ("latitude", "longitude")
BOX = ("y", "x")
"""Dimensions of a periodic box instead of latitude and longitude."""
GIVEN, ERROR = "_given", "_error"
"""What the names of ancillary variables end with: where a value was given, a standard deviation."""


def ensemble(rows: xr.Dataset, prepared: Prepared) -> xr.Dataset:
    """Give the ensemble of all rows, a variable for each channel.

    Forecasts have the dimensions forecast_reference_time, forecast_period, realization, latitude
    and longitude; other tasks time, realization, latitude and longitude.
    """
    fields = rows["fields"].transpose("row", "lead", "realization", ...)
    dims: tuple[str, ...] = (START, LEAD, MEMBER, *SPACE)
    if not is_forecast(rows):
        fields, dims = fields.isel(lead=0, drop=True), ("time", MEMBER, *SPACE)
    valid, channels = prepared.arrays["valid"].values, prepared.statistics["channels"]
    variables: dict[str, Any] = {}
    for index, channel in enumerate(channels):
        known = fields.isel(channel=index, drop=True).where(valid[index])
        variables[channel["name"]] = (dims, known.data, _attributes(channel))
    if "observed_mask" in rows:
        variables |= dict(_observed(rows, channels, variables))
    if "log_weight" in rows:
        variables |= dict(_event(rows, channels))
    members = np.arange(rows.sizes["realization"], dtype=np.int32)
    about = {"standard_name": "realization", "long_name": "member of the ensemble", "units": "1"}
    dataset = xr.Dataset(variables, {MEMBER: (MEMBER, members, about)})
    return _finished(dataset, rows, prepared, "Ensemble")


def mean_head(rows: xr.Dataset, prepared: Prepared) -> xr.Dataset:
    """Give the deterministic forecast at the first lead with the deviation of its error."""
    forecast = is_forecast(rows)
    dims = (START if forecast else "time", *SPACE)
    variables: dict[str, Any] = {}
    for index, channel in enumerate(prepared.statistics["channels"]):
        valid, name = prepared.arrays["valid"].values[index], channel["name"]
        mean = rows["mean"].isel(channel=index, drop=True).where(valid)
        variables[name] = (dims, mean.data, _attributes(channel))
        if "mean_spread" in rows:
            spread = rows["mean_spread"].isel(channel=index, drop=True)
            variables[name][2]["ancillary_variables"] = f"{name}{ERROR}"
            about = _attributes(channel, modifier="standard_error")
            variables[f"{name}{ERROR}"] = (dims[:2], spread.data, about)
    dataset = xr.Dataset(variables)
    return _finished(dataset, rows.isel(lead=[0]), prepared, "Deterministic forecast")


def _observed(
    rows: xr.Dataset, channels: list[Mapping[str, Any]], variables: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Give a flag for each channel where a value was given, and name it beside the field."""
    flags = {"flag_values": np.array([0, 1], dtype=np.int8), "flag_meanings": "drawn given"}
    for index, channel in enumerate(channels):
        mask = rows["observed_mask"].isel(channel=index, drop=True)
        variables[channel["name"]][2]["ancillary_variables"] = f"{channel['name']}{GIVEN}"
        about = {"standard_name": "status_flag", "long_name": f"given values of {channel['name']}"}
        yield f"{channel['name']}{GIVEN}", (("time", *SPACE), mask.data, about | flags)


def _event(rows: xr.Dataset, channels: list[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Give weights and quantities of guided members, and the event as attributes of these."""
    first = rows.isel(row=0)
    channel = channels[int(first["event_channel"])]
    about = {"long_name": "logarithm of the importance weight of the member", "units": "1"}
    yield "log_weight", ((START, MEMBER), rows["log_weight"].data, about)
    event = {name: float(first[name]) for name in ("threshold", "observation") if name in rows}
    about = {
        "long_name": f"mean of {channel['name']} over the event's region",
        "units": channel["units"],
        "field": channel["name"],
        **event,
        **({"side": "below" if first["below"] else "above"} if "threshold" in rows else {}),
    }
    yield "event_quantity", ((START, MEMBER), rows["quantity"].data, about)
    about = {"long_name": "weight of the cell in the event's mean", "units": "1"}
    yield "event_region", (SPACE, first["region"].data, about)


def is_forecast(rows: xr.Dataset) -> bool:
    """Tell whether the rows are forecasts, which have leads."""
    return bool((_leads(rows) > 0).all())


def _leads(rows: xr.Dataset) -> np.ndarray:
    """Give the hours of the leads (lead,), which all rows share."""
    return rows["lead_hours"].isel(row=0).values


def _finished(dataset: xr.Dataset, rows: xr.Dataset, prepared: Prepared, what: str) -> xr.Dataset:
    channels = prepared.statistics["channels"]
    in_box = prepared.arrays.attrs["grid"] == "periodic"
    calendar = prepared.arrays["time"].attrs["calendar"]
    dataset = dataset.assign_coords(dict(_times(rows, calendar, in_box, dataset.dims)))
    dataset = dataset.assign_coords(dict(_levels(channels)))
    if any(channel["level_sigma"] for channel in channels):
        dataset = dataset.assign({TOP: ((), 0.0, _TOP)})
    for name, variable in dataset.data_vars.items():
        _name_coordinates(str(name), variable, channels, dataset)
    on_ground = _in_box if in_box else _on_earth
    return on_ground(dataset, prepared.arrays).assign_attrs(_about(rows, prepared, what))


def _on_earth(dataset: xr.Dataset, arrays: xr.Dataset) -> xr.Dataset:
    """Add latitudes, longitudes and areas."""
    for variable in dataset.data_vars.values():
        if variable.dims[-2:] == SPACE and len(variable.dims) > 2:
            variable.attrs["cell_measures"] = "area: cell_area"
    dataset = dataset.assign_coords(dict(_space(arrays)))
    # xarray would name all levels as its coordinates
    area = xr.Variable(SPACE, cells.cell_areas(arrays), _AREA, {"coordinates": None})
    return dataset.assign(cell_area=area)


def _in_box(dataset: xr.Dataset, arrays: xr.Dataset) -> xr.Dataset:
    """Add the coordinates of a periodic box, which is no place on Earth."""
    about = {"long_name": "place in the box, of which a side has 360 degrees", "units": "degree"}
    names = dict(zip(SPACE, BOX, strict=True))
    axes = {new: (new, arrays[old].values, about) for old, new in names.items()}
    return dataset.rename(names).assign_coords(axes)


_PRESSURE = {
    "long_name": "pressure of the level",
    "standard_name": "air_pressure",
    "units": "hPa",
    "axis": "Z",
    "positive": "down",
}
_SIGMA = {
    "long_name": "pressure of the level over that at the surface",
    "standard_name": "atmosphere_sigma_coordinate",
    "computed_standard_name": "air_pressure",
    "units": "1",
    "axis": "Z",
    "positive": "down",
}
TOP = "pressure_at_top"
_TOP = {"long_name": "pressure at the top of the model", "units": "Pa"}
_AREA = {"standard_name": "cell_area", "long_name": "area of the cell", "units": "m2"}


def _attributes(channel: Mapping[str, Any], modifier: str = "") -> dict[str, str]:
    names = {"long_name": f"{channel['long_name']} {modifier}".replace("_", " ").strip()}
    if channel["standard_name"]:
        names["standard_name"] = f"{channel['standard_name']} {modifier}".strip()
    return names | {"units": channel["units"]}


def _times(
    rows: xr.Dataset, calendar: str, in_box: bool, dims: Mapping[Any, int]
) -> Iterator[tuple[str, Any]]:
    since = {"units": "hours since 1970-01-01 00:00:00", "calendar": calendar}
    clock = ", by a clock that counts a step of the record as an hour" if in_box else ""
    # CF-1.8 knows no 64-bit integers
    start, lead = (a.astype(np.int32) for a in (rows["reference_time"].values, _leads(rows)))
    when = {"standard_name": "time", "long_name": f"time of the fields{clock}", **since}
    if START not in dims:
        yield "time", ("time", start, when | {"axis": "T"})
        return
    named = {"standard_name": START, "long_name": f"time of the last known state{clock}"}
    yield START, (START, start, named | since)
    period = {
        "standard_name": LEAD,
        "long_name": "time since the last known state",
        "units": "hours",
    }
    if in_box:
        period = {"long_name": "steps of the record since the last known state", "units": "1"}
    if LEAD in dims:
        yield LEAD, (LEAD, lead, period)
        yield "time", ((START, LEAD), start[:, None] + lead, when)
    else:
        yield LEAD, ((), lead[0], period)
        yield "time", (START, start + lead[0], when)


def _space(arrays: xr.Dataset) -> Iterator[tuple[str, Any]]:
    for name, axis, units, edges in (
        ("latitude", "Y", "degrees_north", cells.latitude_edges(arrays)),
        ("longitude", "X", "degrees_east", cells.longitude_edges(arrays)),
    ):
        about = {"standard_name": name, "long_name": name, "units": units, "axis": axis}
        yield name, (name, arrays[name].values, about | {"bounds": f"{name}_bounds"})
        yield f"{name}_bounds", ((name, "bound"), edges)


def _levels(channels: list[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    for channel in channels:
        name = _level_name(channel)
        if channel["level_hpa"]:
            yield name, ((), float(channel["level_hpa"]), _PRESSURE)
        elif channel["level_sigma"]:
            surface = next(
                c["name"] for c in channels if c["standard_name"] == "surface_air_pressure"
            )
            terms = {"formula_terms": f"sigma: {name} ps: {surface} ptop: {TOP}"}
            yield name, ((), float(channel["level_sigma"]), _SIGMA | terms)


def _level_name(channel: Mapping[str, Any]) -> str:
    """Name the coordinate of a channel's level; empty where it has none."""
    for kind, level in (("air_pressure", "level_hpa"), ("sigma", "level_sigma")):
        if channel[level]:
            return f"{kind}_{channel[level]:g}".replace(".", "_")
    return ""


def _name_coordinates(
    name: str, variable: xr.DataArray, channels: list[Mapping[str, Any]], dataset: xr.Dataset
) -> None:
    """Say which auxiliary coordinates belong to a variable: xarray would name every level."""
    of_channel = name.removesuffix(ERROR).removesuffix(GIVEN)
    level = next((_level_name(c) for c in channels if c["name"] == of_channel), "")
    named = [level] if level else []
    timed = [c for c in ("time", LEAD) if c in dataset.coords and c not in dataset.dims]
    with_time = [c for c in timed if set(dataset[c].dims) <= set(variable.dims)]
    if variable.dims[-2:] != SPACE or len(variable.dims) == 2:
        with_time = []
    variable.encoding["coordinates"] = " ".join(with_time + named) or None


def _about(rows: xr.Dataset, prepared: Prepared, what: str) -> dict[str, str]:
    simulation = prepared.arrays.attrs.get("simulation", "")
    learned = f"a simulation ({simulation})" if simulation else "observations or a reanalysis"
    task = rows.attrs["task"].replace("_", " by ")
    return {
        "Conventions": "CF-1.8",
        "title": f"{what} by a flow-matching model: {task}"
        + (" (trained on a simulation)" if simulation else ""),
        "source": f"model trained on {learned}",
        "history": f"written by flowsci {__version__}",
        "task": rows.attrs["task"],
        "comment": "Generated by a model: nothing in it was observed"
        + (" but the cells marked as given." if rows.attrs["task"] == "inpaint" else "."),
    }
