"""Sampled tensors in physical units."""

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr

from flowsci.domains.contract import Batch
from flowsci.domains.weather import climatology
from flowsci.store.prepared import Prepared

FIELDS = ("row", "realization", "lead", "channel", "latitude", "longitude")
CELLS = ("row", "channel", "latitude", "longitude")
OF_EVENTS = {
    "log_weight": FIELDS[:2],
    "quantity": FIELDS[:2],
    "region": ("row", *FIELDS[-2:]),
    "event_channel": ("row",),
    "threshold": ("row",),
    "observation": ("row",),
    "below": ("row",),
}


def decode(samples: Mapping[str, torch.Tensor], batch: Batch, prepared: Prepared) -> xr.Dataset:
    """Give a row for each start, in the units of the channels.

    `fields` (row, realization, lead, channel, latitude, longitude); `mean` and `mean_spread`, the
    mean head's forecast at the first lead and the standard deviation of its error; what was
    observed and where, for in-painting; of events `log_weight` and `quantity` (row, realization),
    their `region` (row, latitude, longitude) and value. The attribute `task` says what was drawn.
    """
    spread = np.array(prepared.statistics["anomaly_spread"])[:, None, None]
    reference = batch["reference_time"].numpy()
    task = "event" if "log_weight" in samples else task_of(batch)
    leads = _lead_hours(samples["fields"].shape[2], task, batch)
    climate = _climate(prepared, reference, leads)
    variables = {
        "fields": (FIELDS, _in_units(samples["fields"], spread, climate[:, None])),
        "condition": ("row", batch["id"].numpy()),
        "reference_time": ("row", reference),
        "lead_hours": (("row", "lead"), np.tile(leads, (len(reference), 1))),
    }
    if "mean" in samples:
        variables["mean"] = (CELLS, _in_units(samples["mean"][:, 0], spread, climate[:, 0]))
    if "mean_spread" in samples:
        error = samples["mean_spread"].numpy() * spread[:, 0].astype(np.float32)
        variables["mean_spread"] = (CELLS[:3], error)
    if task == "inpaint":
        variables["observed_mask"] = (CELLS, batch["observed_mask"].numpy().astype(np.int8))
    variables |= {
        name: (dims, samples[name].numpy()) for name, dims in OF_EVENTS.items() if name in samples
    }
    decoded = xr.Dataset(variables, attrs={"task": task})
    for variable in decoded.variables.values():
        variable.encoding["chunks"] = (1, *variable.shape[1:])
    return decoded


def task_of(batch: Batch) -> str:
    """Name the task of a batch of conditions; events have those of forecasts."""
    if bool((batch["coarse_factor"] > 0).any()):
        return f"downscale_{int(batch['coarse_factor'].max())}"
    return "inpaint" if bool(batch["observed_mask"].any()) else "forecast"


def _lead_hours(steps: int, task: str, batch: Batch) -> np.ndarray:
    """Give the hours from the reference time (lead,): 0 where the case is no forecast."""
    step = int(batch["lead_hours"][0]) if task in ("forecast", "event") else 0
    return step * np.arange(1, steps + 1, dtype=np.int64)


def _climate(prepared: Prepared, reference: np.ndarray, leads: np.ndarray) -> np.ndarray:
    """Give the climatology (row, lead, channel, latitude, longitude) of the valid times."""
    times = reference[:, None] + leads
    values = climatology.evaluate(prepared.arrays, times.ravel())
    return values.reshape(*times.shape, *values.shape[1:])


def _in_units(anomalies: torch.Tensor, spread: np.ndarray, climate: np.ndarray) -> np.ndarray:
    """Give fields in the units of their channels, rounded once: what was given comes back."""
    return (anomalies.numpy() * spread + climate).astype(np.float32)
