"""From a file of a region to judged ensembles and figures, as the workflow does it."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from flowsci import stages
from flowsci.domains.weather import domain
from flowsci.errors import FlowsciError
from flowsci.runs import Data, Run

DATA = {
    "domain": "weather",
    "title": "Warm and cold waves over a region",
    "licence": "none",
    "citation": "none",
    "fields": {
        "kind": "store",
        "variables": [{"name": "temperature_2m", "source_name": "t2m", "units": "K"}],
    },
    "splits": {"kind": "shares", "train": 0.6, "validation": 0.2, "test": 0.2, "gap_days": 1},
}
RUN = {
    "domain": "weather",
    "data": "region",
    "title": "Six hours ahead",
    "network": {"kind": "unet", "width": 8, "multipliers": [1, 2]},
    "flow": {"kind": "flow", "calibration_cases": 4},
    "training": {
        "steps": 4,
        "minutes": 5,
        "batch_size": 4,
        "lead_hours": [6],
        "learning_rate": 1e-3,
        "validate_every_steps": 4,
    },
    "sampling": {
        "samples": 3,
        "steps": 1,
        "method": "euler",
        "starts": 5,
        "shards": 2,
        "batch_size": 2,
        "task": {"kind": "forecast", "lead_hours": 6, "rollout_steps": 2},
    },
    "evaluation": {"bootstrap": 100, "functions": 5, "block_days": 1},
}


def write_fields(path: Path) -> None:
    """Write hourly temperatures of 20 days: waves that travel east."""
    hours = np.arange(480)
    latitude, longitude = np.linspace(60, 50, 8), np.linspace(-5, 5, 10)
    phase = 0.5 * longitude - 0.1 * hours[:, None, None] + 0.2 * latitude[:, None]
    noise = np.random.default_rng(0).standard_normal((480, 8, 10))
    fields = 285 + 3 * np.cos(phase) + 0.2 * noise
    dataset = xr.Dataset(
        {"t2m": (("time", "latitude", "longitude"), fields.astype(np.float32), {"units": "K"})},
        {
            "time": ("time", hours, {"units": "hours since 2019-03-01", "calendar": "standard"}),
            "latitude": ("latitude", latitude, {"units": "degrees_north"}),
            "longitude": ("longitude", longitude, {"units": "degrees_east"}),
        },
    )
    dataset.to_netcdf(path, engine="h5netcdf")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """Give a run whose stages are done, and the folder of their results."""
    folder = tmp_path_factory.mktemp("weather")
    write_fields(folder / "t2m.nc")
    source = {"kind": "path", "path": str(folder / "t2m.nc")}
    settings = domain.data_settings.model_validate(DATA | {"source": source})
    data = Data("region", folder / "region.yaml", domain, settings)
    about = domain.run_settings.model_validate(RUN)
    made = Run("demo", folder / "demo.yaml", domain, about, data)
    stages.prepare(data, folder / "data")
    stages.train(made, folder / "data", folder / "model")
    stages.sample(made, folder / "data", folder / "model", folder / "samples")
    stages.evaluate(made, folder / "data", folder / "samples", folder / "evaluation")
    return made, folder


def test_measures_stand_beside_baselines(run: tuple[Run, Path]):
    found = json.loads((run[1] / "evaluation/metrics.json").read_text())
    # none of the named leads is reached: the first and the last are
    assert {"rmse_mean_6h", "crps_fair_6h", "spread_skill_6h", "crps_fair_12h"} <= set(
        found["metrics"]
    )
    assert set(found["metrics"]["rmse_mean_6h"]["baselines"]) == {
        "persistence",
        "damped_persistence",
        "climatology",
        "eof_ridge",
        "dressed_mean",
    }
    assert found["protocol"]["simulation"] == "no"
    drawn = {path.stem for path in (run[1] / "evaluation/figures").glob("*.png")}
    assert drawn == {"skill_by_lead", "maps_1", "calibration", "spectra"}


def test_the_dataset_is_opened_as_a_user_would(run: tuple[Run, Path]):
    manifest = json.loads((run[1] / "samples/manifest.json").read_text())
    assert set(manifest["files"]) == {"ensemble.nc", "ensemble.zarr", "mean_head.nc"}
    opened = xr.open_zarr(run[1] / "samples/ensemble.zarr", consolidated=False)
    assert dict(opened["temperature_2m"].sizes) == {
        "forecast_reference_time": 5,
        "forecast_period": 2,
        "realization": 3,
        "latitude": 8,
        "longitude": 10,
    }


def test_a_dataset_that_the_model_has_not_learned_is_refused(run: tuple[Run, Path]):
    made, folder = run
    warm = folder / "warm.nc"
    with xr.open_dataset(folder / "t2m.nc") as kept:
        (kept + 40).assign_attrs(kept.attrs).to_netcdf(warm, engine="h5netcdf")
    other = folder / "celsius"
    source = {"kind": "path", "path": str(warm)}
    settings = domain.data_settings.model_validate(DATA | {"source": source})
    stages.prepare(Data("region", folder / "warm.yaml", domain, settings), other)
    message = r"celsius: doesn't fit the model of .*model: temperature_2m: .* a mean of 284.98"
    with pytest.raises(FlowsciError, match=message):
        stages.sample_shard(made, other, folder / "model", 0, folder / "none")
