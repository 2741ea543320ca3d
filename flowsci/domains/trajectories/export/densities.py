"""The densities of a dataset as NetCDF: written from sampled parts, read as a `FutureDensity`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from flowsci.domains.trajectories.basis import OffsetBasis
from flowsci.domains.trajectories.density import FutureDensity
from flowsci.domains.trajectories.frames import Frames
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared

NAME = "densities.nc"
PARTS = {
    "style_weight": ("row", "style"),
    "mode_weight": ("row", "mode", "style"),
    "mean": ("row", "mode", "component"),
    "scale": ("row", "mode", "component"),
    "rest_scale": ("row", "component_rest"),
}
FRAMES = {
    "origin": ("row", "axis"),
    "heading": ("row", "horizontal"),
    "velocity": ("row", "axis"),
    "pace": ("row",),
}
BASIS = {
    "mean": ("step", "axis"),
    "components": ("component_all", "step", "axis"),
    "scale": ("component_all",),
    "pace": (),
    "floor": (),
}
MEANINGS = {
    "scene": "Number of the scene in the prepared dataset.",
    "agent": "Number of the track; agents.csv names it.",
    "time": "Time of the last observed step; without a date, on the clock of its recording.",
    "style_weight": "Probability of a style of the scene, the same in all rows of a scene.",
    "mode_weight": "Probability of a mode of the agent, given the style.",
    "mean": "Mean of a mode in whitened coefficients.",
    "scale": "Standard deviation of a mode in whitened coefficients.",
    "rest_scale": "Standard deviation of the further coefficients, in all modes.",
    "origin": "Last observed position.",
    "heading": "Direction of motion: cosine and sine from the first axis.",
    "velocity": "Last observed step, a length a step.",
    "pace": "Mean length of the observed steps.",
    "basis_mean": "Mean offset from constant velocity in the agent's frame, in the agent's unit.",
    "basis_components": "Principal components of the offset.",
    "basis_scale": "Standard deviations of the components.",
    "basis_pace": "Mean pace of the training agents.",
    "basis_floor": "What is added to an agent's pace to make its unit of length.",
}
FORMULA = (
    "p(scene) = sum over styles of style_weight * product over agents of sum over modes of "
    "mode_weight * product over components of N(coefficient; mean, scale^2), times N(coefficient; "
    "0, rest_scale^2) of every further component; coefficient = component . ((position - origin - "
    "lead * velocity, turned by -heading) / (pace + basis_floor) - basis_mean) / basis_scale"
)


def is_written(samples: xr.Dataset) -> bool:
    """Tell whether the model gave a density."""
    return "mode_weight" in samples


def write_densities(samples: xr.Dataset, prepared: Prepared, path: Path) -> None:
    """Write the density of each row of `samples`, with all that is needed to evaluate it."""
    attributes = prepared.arrays.attrs
    unit = attributes["length_unit"]
    lengths = ("origin", "velocity", "pace", "basis_pace", "basis_floor")
    units = {**dict.fromkeys(lengths, unit), "time": _time_units(attributes)}
    basis = OffsetBasis.of(prepared.statistics)
    variables: dict[str, Any] = {
        name: samples[name].variable for name in ("scene", "agent", *PARTS, *FRAMES)
    }
    variables["time"] = ("row", samples["time"].values.astype(np.float64))
    variables |= {f"basis_{n}": (d, getattr(basis, n).numpy()) for n, d in BASIS.items()}
    dataset = xr.Dataset(variables, {"axis": list(attributes["axes"])})
    for name, meaning in MEANINGS.items():
        dataset[name].attrs = {"long_name": meaning, "units": units.get(name, "1")}
    dataset.attrs = {
        "title": "Densities of the futures of agents, as mixtures of Gaussians",
        "comment": FORMULA,
        "step_seconds": attributes["step_seconds"],
        "length_unit": unit,
    }
    small = {"zlib": True, "complevel": 4}
    encoding = {name: small for name, variable in dataset.data_vars.items() if variable.ndim}
    dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)


def read_densities(path: Path) -> tuple[pd.DataFrame, FutureDensity]:
    """Open `densities.nc`: who the rows are, and their density in float64.

    The table has the columns scene, agent and time (of the last observed step: s since 1970, or on
    the clock of its recording), in the order of the density's rows. Raises `FlowsciError` where
    the file cannot be read.
    """
    try:
        with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as opened:
            data = opened.load().sortby(["scene", "agent"])
        tensors = {str(n): torch.from_numpy(data[n].values) for n in data if n != "step"}
        basis = OffsetBasis(**{name: tensors[f"basis_{name}"].double() for name in BASIS})
        density = FutureDensity(
            scene=tensors["scene"].long(),
            **{name: tensors[name].double() for name in PARTS},
            frames=Frames(*(tensors[name].double() for name in FRAMES)),
            basis=basis,
        )
    except (OSError, KeyError, ValueError) as error:
        raise FlowsciError(f"{path}: cannot be read: {error}. Sample again.") from None
    return data[["scene", "agent", "time"]].to_dataframe().reset_index(drop=True), density


def _time_units(attributes: Mapping[str, Any]) -> str:
    origin = attributes.get("time_origin")
    return f"seconds since {origin}" if origin else "s"
