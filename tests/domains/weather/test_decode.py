"""Tensors become fields in physical units, and shards of them one ensemble."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from flowsci.domains.weather.anomalies import Anomalies
from flowsci.domains.weather.batches import WeatherConditions
from flowsci.domains.weather.export import decode, export, read_samples
from flowsci.domains.weather.settings import WeatherSampling
from flowsci.store.prepared import Prepared
from flowsci.store.samples import open_shards, write_shard

from .judged import COLUMNS, ROWS, SPREAD, make_prepared

TASKS = {
    "forecast": {"kind": "forecast", "lead_hours": 24, "rollout_steps": 3},
    "downscale_4": {"kind": "downscale", "factor": 4},
    "inpaint": {"kind": "inpaint"},
}


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """Give the small dataset."""
    return make_prepared()


def drawn(prepared: Prepared, task: str, cases: int = 4) -> tuple[dict, dict, np.ndarray]:
    """Give samples that are the truth, the batch that they are for, and numbers of the truths."""
    sampling = WeatherSampling(samples=2, steps=1, starts=cases, task=TASKS[task])
    conditions = WeatherConditions(prepared, sampling)
    batch = conditions.batch(range(cases))
    anomalies = Anomalies(prepared)
    truths = anomalies.at(batch["reference_time"].numpy()[:, None] + conditions.leads)
    steps = truths.shape[1]
    truth = torch.from_numpy(anomalies[truths.ravel()]).unflatten(0, (cases, steps))
    samples = {
        "fields": truth.unsqueeze(1).expand(-1, 2, -1, -1, -1, -1),
        "mean": truth[:, :1],
        "mean_spread": torch.full((cases, 3, ROWS), 0.1),
    }
    return samples, batch, truths


@pytest.mark.parametrize("task", TASKS)
def test_anomalies_of_the_truth_become_the_truth(prepared: Prepared, task: str):
    samples, batch, truths = drawn(prepared, task)
    rows = decode(samples, batch, prepared)
    assert rows.attrs["task"] == task
    valid = prepared.arrays["valid"].values
    truth = np.where(valid, prepared.arrays["fields"].values[truths], np.nan)
    found = rows["fields"].where(xr.DataArray(valid, dims=("channel", "latitude", "longitude")))
    np.testing.assert_allclose(found.values[:, 1], truth, rtol=3e-7)
    np.testing.assert_allclose(rows["mean_spread"].values[0, :, 0], 0.1 * np.array(SPREAD))
    assert rows["lead_hours"].values[0].tolist() == ([24, 48, 72] if task == "forecast" else [0])


@pytest.mark.parametrize("task", TASKS)
def test_shards_become_one_ensemble(prepared: Prepared, task: str, tmp_path: Path):
    samples, batch, _ = drawn(prepared, task)
    rows = decode(samples, batch, prepared)
    about = {"domain": "weather", "key": "k", "shards": 2}
    for shard, part in enumerate((slice(0, 3), slice(3, 4))):
        parts = (rows.isel(row=[row]) for row in range(4)[part])
        write_shard(tmp_path / str(shard), parts, about | {"shard": shard})
    joined = open_shards([tmp_path / "0", tmp_path / "1"], "weather", "k")
    assert joined["fields"].chunksizes["row"] == (1, 1, 1, 1)
    (tmp_path / "samples").mkdir()
    export(joined, prepared, tmp_path / "samples")
    ensemble = read_samples(tmp_path / "samples").ensemble
    assert ensemble["u_wind_500"].shape[-3:] == (2, ROWS, COLUMNS)
    found = ensemble["u_wind_500"].values.reshape(4, -1, 2, ROWS, COLUMNS)
    np.testing.assert_array_equal(found[:, :, 0], rows["fields"].values[:, 0, :, 1])
