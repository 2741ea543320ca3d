"""What a user's own file gives to downscale and to in-paint."""

import numpy as np
import pytest
import torch
import xarray as xr

from flowsci.domains.weather import domain
from flowsci.domains.weather.batches import States, WeatherConditions
from flowsci.domains.weather.given import GivenConditions
from flowsci.domains.weather.prepare import assemble
from flowsci.domains.weather.settings import WeatherSampling
from flowsci.errors import FlowsciError
from tests.domains.weather.sets import SETTINGS, raw_fields

NUMBERS = np.array([700, 705])


@pytest.fixture(scope="module")
def prepared():
    return assemble(raw_fields()[0], SETTINGS)


def file(folder, prepared, fields, latitude, longitude, **changes):
    """Write fields (time, channel, ...) at the times with `NUMBERS`."""
    hours = prepared.arrays["time"].values[NUMBERS]
    channels = prepared.statistics["channels"]
    axes = ("time", "latitude", "longitude")
    dataset = xr.Dataset(
        {
            channel["name"]: (axes, fields[:, number], {"units": channel["units"]})
            for number, channel in enumerate(channels)
        },
        {
            "time": ("time", hours, {"units": "hours since 1970-01-01", "calendar": "standard"}),
            "latitude": latitude,
            "longitude": longitude,
        },
    )
    path = folder / "given.nc"
    dataset.assign(changes).to_netcdf(path, engine="h5netcdf")
    return path


def sampling(**task):
    return WeatherSampling(samples=2, steps=1, task=task)


def blocks(prepared, factor=2):
    """Give block means (time, channel, ...) of the dataset's fields, and the blocks' middles."""
    states = States(prepared)
    fields = torch.from_numpy(prepared.arrays["fields"].values[NUMBERS])
    middles = [
        prepared.arrays[axis].values.reshape(-1, factor).mean(1)
        for axis in ("latitude", "longitude")
    ]
    return states.block_means(fields, factor).numpy(), *middles


def test_means_in_a_file_are_what_those_of_the_dataset_are(prepared, tmp_path):
    path = file(tmp_path, prepared, *blocks(prepared))
    conditions = domain.conditions(prepared, sampling(kind="downscale", factor=2, given=path))
    assert isinstance(conditions, GivenConditions)
    batch = conditions.batch([0, 1])
    states = States(prepared)
    wanted = states.batch(NUMBERS, np.zeros(2, dtype=int), np.zeros(2, dtype=bool))
    coarse = states.coarse(states.anomalies(NUMBERS), 2)
    torch.testing.assert_close(batch["coarse"], coarse, rtol=0, atol=1e-4)
    assert batch["coarse_factor"].tolist() == [2, 2]
    for name in set(wanted) - {"id", "coarse", "coarse_factor"}:
        torch.testing.assert_close(batch[name], wanted[name])


def test_what_is_missing_in_a_file_is_to_be_drawn(prepared, tmp_path):
    fields = np.full((2, 3, 8, 16), np.nan, dtype=np.float32)
    fields[:, 0, 2, 3] = 250
    fields[1, 2, 5, 6] = 4
    places = [prepared.arrays[name].values for name in ("latitude", "longitude")]
    path = file(tmp_path, prepared, fields, *places)
    batch = domain.conditions(prepared, sampling(kind="inpaint", given=path)).batch([0, 1])
    assert batch["observed_mask"].sum((1, 2, 3)).tolist() == [1, 2]
    states = States(prepared)
    climate = states.climate(batch["reference_time"].numpy())[1, 2, 5, 6]
    wanted = (4 - climate) / states.spread[2, 0, 0]
    assert float(batch["observed"][1, 2, 5, 6]) == pytest.approx(wanted, rel=1e-5)
    assert batch["observed"].isfinite().all()


def test_samples_of_a_file_are_made_anew_where_it_changes(tmp_path):
    path = tmp_path / "given.nc"
    assert sampling(kind="inpaint", given=path).files() == [path]
    assert sampling(kind="inpaint").files() == []
    with pytest.raises(ValueError, match="mask without effect: the file that is `given`"):
        sampling(kind="inpaint", given=path, mask={"kind": "stations"})


def test_other_grids_and_values_are_named(prepared, tmp_path):
    means, latitude, longitude = blocks(prepared)
    coarse = {"kind": "downscale", "factor": 2}
    cases = [
        ((means, latitude, longitude), {**coarse, "factor": 4}, "the middles of blocks of 4 x 4"),
        ((means, latitude, longitude), {"kind": "inpaint"}, "Put each observation into the cell"),
        ((means, latitude, longitude + 30), coarse, "Average the fields over these blocks"),
    ]
    holes = means.copy()
    holes[1, 2, 0, 0] = np.nan
    cases.append(((holes, latitude, longitude), coarse, "v_wind_850 lacks the mean of a block at"))
    fine = [prepared.arrays[name].values for name in ("latitude", "longitude")]
    nothing = np.full((2, 3, 8, 16), np.nan, dtype=np.float32)
    nothing[0, 0, 0, 0] = 250
    cases.append(((nothing, *fine), {"kind": "inpaint"}, "temperature_850 gives nothing, as all"))
    filled = nothing.copy()
    filled[1] = 1e20
    cases.append(((filled, *fine), {"kind": "inpaint"}, "beyond 1e.15 at .* _FillValue"))
    for content, task, message in cases:
        path = file(tmp_path, prepared, *content)
        with pytest.raises(FlowsciError, match=message):
            domain.conditions(prepared, sampling(**task, given=path))
    path = file(tmp_path, prepared, means, latitude, longitude)
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        other = opened.load().drop_vars("v_wind_850")
    other.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(FlowsciError, match="no file has a variable 'v_wind_850'"):
        domain.conditions(prepared, sampling(**coarse, given=path))


def test_by_default_conditions_are_times_of_the_split(prepared):
    assert isinstance(domain.conditions(prepared, sampling(kind="inpaint")), WeatherConditions)
