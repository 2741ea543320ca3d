"""Sampled futures as rows, and as the files of a generated dataset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from flowsci.domains.contract import Batch
from flowsci.domains.trajectories.cases import Drawn
from flowsci.domains.trajectories.export import densities, geojson, netcdf, table
from flowsci.domains.trajectories.export.places import is_geographic
from flowsci.domains.trajectories.frames import agent_frames
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared
from flowsci.store.samples import Exported

AGENTS = "agents.csv"


def decode(samples: Mapping[str, torch.Tensor], batch: Batch) -> xr.Dataset:
    """Give a row for each agent of each scene, in the dataset's unit of length.

    `positions` (row, sample, step, axis) and `probability` (row, sample); where the model has them,
    `scene_probability` and `log_density` (row, sample), and the parts of a density and the agents'
    frames, as `densities` writes them.
    """
    real = batch["mask"]
    scene, agent = real.nonzero(as_tuple=True)
    variables: dict[str, Any] = {
        "positions": (("row", "sample", "step", "axis"), samples["positions"][scene, :, agent]),
        "probability": (("row", "sample"), samples["probability"][scene, :, agent]),
        "scene": ("row", batch["id"][scene]),
        "agent": ("row", batch["track"][real]),
        "time": ("row", batch["microseconds"][scene].double() / 1e6),
    }
    if "scene_probability" in samples:
        variables["scene_probability"] = (("row", "sample"), samples["scene_probability"][scene])
    if "log_density" in samples:
        variables["log_density"] = (("row", "sample"), samples["log_density"][scene, :, agent])
    if "mode_weight" in samples:
        frames = agent_frames(batch["observed"])[real]
        variables["style_weight"] = (
            densities.PARTS["style_weight"],
            samples["style_weight"][scene],
        )
        for name in ("mode_weight", "mean", "scale", "rest_scale"):
            variables[name] = (densities.PARTS[name], samples[name][real])
        for name, dims in densities.FRAMES.items():
            variables[name] = (dims, getattr(frames, name))
    return xr.Dataset(
        {name: (dims, value.cpu().numpy()) for name, (dims, value) in variables.items()}
    )


def export(samples: xr.Dataset, prepared: Prepared, folder: Path) -> Exported:
    """Write the samples; `samples` has rows as `decode` gives them."""
    arrays, attributes = prepared.arrays, prepared.arrays.attrs
    recordings = np.array(attributes["recordings"])
    of_rows = recordings[arrays["scene_recording"].values[samples["scene"].values]]
    samples = samples.assign(recording=("row", of_rows))
    tracks = np.unique(samples["agent"].values)
    names = arrays[["track_recording", "track_name", "track_label"]].isel(track=tracks)
    agents = names.to_dataframe().reset_index(drop=True)
    agents.columns = ["recording", "name", "label"]
    agents["recording"] = recordings[agents["recording"]]
    agents.insert(0, "agent", tracks)
    agents.to_csv(folder / AGENTS, index=False)
    table.write_table(samples, attributes, folder / table.NAME)
    files = {
        table.NAME: "Sampled futures, a row for each scene, agent, sample and step; units stand in "
        "the metadata of the columns.",
        AGENTS: "Recording and name of each agent in the source, and what else it is called there.",
    }
    if densities.is_written(samples):
        densities.write_densities(samples, prepared, folder / densities.NAME)
        files[densities.NAME] = (
            "The density of each agent's future and of each scene's, as mixtures of Gaussians in "
            "closed form (NetCDF 4)."
        )
    columns = table.columns_of(samples, attributes)
    units = {name: unit for name, (_, unit, _) in columns.items() if unit}
    if is_geographic(attributes):
        netcdf.write_trajectories(samples, agents, attributes, folder / netcdf.NAME)
        geojson.write_geojson(samples, agents, attributes, folder / geojson.NAME)
        files[netcdf.NAME] = "Sampled futures as trajectories for tools of the Earth sciences (CF)."
        files[geojson.NAME] = "Sampled futures of a few scenes as lines, for maps (RFC 7946)."
        units["coordinates"] = "degrees, degrees, m"
    return Exported(files, units)


def read_samples(folder: Path) -> Drawn:
    """Read the table of samples, and the densities if there are any."""
    samples = table.read_table(folder / table.NAME)
    if not (folder / densities.NAME).exists():
        return Drawn(samples)
    rows, density = densities.read_densities(folder / densities.NAME)
    of_table = samples[["scene", "agent"]].drop_duplicates()
    if not np.array_equal(of_table.to_numpy(), rows[["scene", "agent"]].to_numpy()):
        raise FlowsciError(
            f"{folder / densities.NAME}: its agents are not those of {table.NAME}. Sample again."
        )
    return Drawn(samples, density)
