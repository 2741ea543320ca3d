"""Winds that a table or ADS-B file knows reach the network; no dataset that is carried has one."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.record import Scenes
from flowsci.domains.trajectories.settings import SceneTraining, TrajectoriesData
from flowsci.errors import FlowsciError

from .conftest import data_settings, flight, write

SETTINGS = {
    "domain": "trajectories",
    "title": "Made",
    "licence": "none",
    "citation": "none",
    "source": {"kind": "path", "path": "made.csv"},
    "tracks": {
        "kind": "table",
        "unit": "km",
        "clock_seconds": 2,
        "interpolation_gap_seconds": 4,
        "gap_seconds": 60,
    },
    "windows": {
        "step_seconds": 4,
        "observed_steps": 3,
        "predicted_steps": 2,
        "training_stride_seconds": 2,
        "stride_seconds": 2,
    },
}


def table() -> pd.DataFrame:
    """Make twelve walks of 40 s; the wind east is the time in m/s, and unknown from 30 s on."""
    generator, parts = np.random.default_rng(0), []
    for track in range(12):
        time = np.arange(0, 40.0)
        walk = generator.normal(size=(2, 40)).cumsum(axis=1) + track
        columns = {"track": track, "time": time, "x": walk[0], "y": walk[1]}
        wind = np.where(time < 30, time, np.nan)
        parts.append(pd.DataFrame({**columns, "wind_east": wind, "wind_north": -5.0}))
    return pd.concat(parts)


def prepared_of(path, rows: pd.DataFrame, unit: str = "km"):
    rows.to_csv(path, index=False)
    tracks = {**SETTINGS["tracks"], "unit": unit}
    return domain.prepare([path], TrajectoriesData.model_validate({**SETTINGS, "tracks": tracks}))


@pytest.fixture(scope="module")
def windy(tmp_path_factory):
    return prepared_of(tmp_path_factory.mktemp("wind") / "made.csv", table())


def test_the_wind_is_that_of_the_last_observed_step(windy, run_settings):
    conditions = domain.conditions(windy, run_settings.sampling)
    batch = conditions.batch(range(len(conditions)))
    east, north, known = batch["wind"].unbind(-1)
    blown = (batch["microseconds"] / 1e6)[:, None].expand_as(east)
    is_known = batch["mask"] & (blown < 30)
    assert torch.equal(known.bool(), is_known)
    # m/s times 4 s, in km
    assert torch.allclose(east, torch.where(is_known, 0.004 * blown.float(), 0.0))
    assert torch.allclose(north, torch.where(is_known, -0.02, 0.0))


def test_the_wind_is_hidden_with_the_place(windy):
    settings = SceneTraining(steps=1, minutes=1, batch_size=64, unlocated=0.5)
    batch = domain.batches(windy, _run(settings), "train")[0]
    known = batch["wind"][..., 2].bool()
    assert known[batch["place"] == 0].any()
    assert not known[batch["place"] < 0].any()
    assert (batch["wind"][~known] == 0).all()


def _run(training: SceneTraining) -> SimpleNamespace:
    """Give what batches ask of a run."""
    return SimpleNamespace(training=training)


def test_reports_of_aircraft_may_know_the_wind(tmp_path):
    rows = [row | {"wind_east": 10.0, "wind_north": None} for n in range(20) for row in flight(n)]
    for row in rows[::2]:
        row["wind_north"] = 3.0
    prepared = domain.prepare([write(tmp_path / "made.json", rows)], data_settings())
    wind = Scenes.of_split(prepared.arrays, "test").wind_of(np.arange(4))
    assert prepared.units["wind_north"] == "m/s"
    # points lie on reports of even seconds, each with a wind
    assert torch.allclose(wind, torch.tensor([[0.1, 0.03, 1.0]]).expand(4, 3))


def test_datasets_without_wind_have_no_such_tensor(prepared, run_settings):
    assert "wind" not in domain.conditions(prepared, run_settings.sampling).batch([0])
    assert "wind" not in domain.batches(prepared, run_settings, "train")[0]


def test_half_a_wind_and_a_wind_over_pixels_are_refused(tmp_path):
    with pytest.raises(FlowsciError, match=r"needs both columns wind_east and wind_north"):
        prepared_of(tmp_path / "a.csv", table().drop(columns="wind_north"))
    with pytest.raises(FlowsciError, match="positions in pixel have no metres"):
        prepared_of(tmp_path / "b.csv", table(), "pixel")


@pytest.mark.parametrize("change", [{"reversed": 0.5}, {"sway": 1.5}, {"jitter_future": True}])
def test_climbs_are_not_made_to_sink(climbs, change):
    settings = SceneTraining(steps=1, minutes=1, **change)
    with pytest.raises(FlowsciError, match=r"training.*sink; set"):
        domain.batches(climbs, _run(settings), "train")
