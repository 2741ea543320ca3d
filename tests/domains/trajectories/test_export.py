import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import xarray as xr
from pyproj import Geod

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.export import densities
from flowsci.domains.trajectories.export.table import columns_of, write_table
from flowsci.errors import FlowsciError


@pytest.fixture(scope="module")
def folder(tmp_path_factory, drawn, prepared):
    folder = tmp_path_factory.mktemp("samples")
    files = domain.export(drawn, prepared, folder).files
    assert set(files) == {path.name for path in folder.iterdir()}
    return folder


@pytest.fixture(scope="module")
def table(folder):
    return domain.read_samples(folder).table


def test_a_row_for_each_scene_agent_sample_and_step(table, drawn, prepared):
    assert list(table.columns) == list(columns_of(drawn, prepared.arrays.attrs))
    assert not table.duplicated(["scene", "agent", "sample", "step"]).any()
    assert len(table) == drawn["positions"].size // 3
    positions = table[["east", "north", "up"]].to_numpy().reshape(drawn["positions"].shape)
    order = np.lexsort([drawn["agent"].values, drawn["scene"].values])
    assert np.array_equal(positions, drawn["positions"].values[order])


def test_probabilities_of_an_agents_samples_sum_to_one(table):
    first = table[table["step"] == 1]
    assert np.allclose(first.groupby(["scene", "agent"])["probability"].sum(), 1)


def test_units_stand_in_the_columns(folder):
    schema = pq.read_schema(folder / "samples.parquet")
    units = {n: schema.field(n).metadata.get(b"units", b"").decode() for n in schema.names}
    assert [units[n] for n in ("longitude", "altitude", "east")] == ["degrees", "m", "km"]
    assert schema.metadata[b"origin"] == b"48.85 N, 2.45 E"


def test_degrees_and_metres_agree_with_kilometres(table):
    assert np.allclose(table["altitude"], 1000 * table["up"], rtol=1e-5)
    start = [np.full(len(table), value) for value in (2.45, 48.85)]
    azimuth, _, metres = Geod(ellps="WGS84").inv(*start, table["longitude"], table["latitude"])
    assert np.allclose(metres / 1000, np.hypot(table["east"], table["north"]), atol=1e-4)
    assert np.allclose(azimuth, np.degrees(np.arctan2(table["east"], table["north"])), atol=1e-3)


def test_times_follow_the_steps(table, drawn):
    first = table[table["step"] == 1].iloc[0]
    now = drawn["time"].values[drawn["scene"].values == first["scene"]][0]
    assert first["time"] == pd.Timestamp(now + 10, unit="s", tz="UTC")
    assert table["time"].iloc[1] - table["time"].iloc[0] == pd.Timedelta(seconds=10)


def test_agents_are_named_as_text(folder, table):
    agents = pd.read_csv(folder / "agents.csv", dtype=str)
    assert agents["name"].str.fullmatch(r"\d{4}e1").all()
    assert agents["label"].str.startswith("TEST").all()
    assert set(agents["agent"].astype(int)) == set(table["agent"])


def test_samples_are_joined_to_the_tracks_of_their_source(tmp_path, drawn, prepared):
    """Two recordings that use the same names: together with the recording a name is one agent."""
    arrays = prepared.arrays.copy(deep=True)
    arrays.attrs["recordings"] = ["morning", "evening"]
    arrays["track_recording"][:] = np.arange(arrays.sizes["track"]) % 2
    arrays["track_name"][:] = np.array([str(n // 2) for n in range(arrays.sizes["track"])], object)
    arrays["scene_recording"][:] = np.arange(arrays.sizes["scene"]) % 2
    domain.export(drawn, replace(prepared, arrays=arrays), tmp_path)
    agents = pd.read_csv(tmp_path / "agents.csv", dtype={"name": str})
    assert not agents.duplicated(["recording", "name"]).any()
    assert (agents["recording"] == np.where(agents["agent"] % 2, "evening", "morning")).all()
    table = domain.read_samples(tmp_path).table
    assert (table["recording"] == np.where(table["scene"] % 2, "evening", "morning")).all()


def test_modes_have_the_probability_of_their_joint_sample(tmp_path, drawn, prepared):
    assert "scene_probability" not in columns_of(drawn, prepared.arrays.attrs)
    chances = np.tile(np.float32([0.5, 0.3, 0.2]), (drawn.sizes["row"], 1))
    modes = drawn.assign(scene_probability=(("row", "sample"), chances))
    assert domain.export(modes, prepared, tmp_path).units["scene_probability"] == "1"
    table = domain.read_samples(tmp_path).table
    assert (table["scene_probability"] == chances[0][table["sample"]]).all()


def test_draws_of_a_density_have_their_own(tmp_path, drawn, prepared):
    logs = np.arange(drawn.sizes["row"] * 3, dtype=np.float32).reshape(-1, 3)
    domain.export(drawn.assign(log_density=(("row", "sample"), logs)), prepared, tmp_path)
    table = domain.read_samples(tmp_path).table
    order = np.lexsort([drawn["agent"].values, drawn["scene"].values])
    steps = drawn.sizes["step"]
    assert np.array_equal(table["log_density"], np.repeat(logs[order].ravel(), steps))
    field = pq.read_schema(tmp_path / "samples.parquet").field("log_density")
    assert b"nats" in field.metadata[b"description"]


def test_the_map_is_valid_geojson(folder):
    content = json.loads((folder / "scenes.geojson").read_text())
    assert content["type"] == "FeatureCollection"
    feature = content["features"][0]
    assert feature["geometry"]["type"] == "LineString"
    longitude, latitude, metres = feature["geometry"]["coordinates"][0]
    assert 0 < longitude < 5
    assert 46 < latitude < 51
    assert metres > 100
    assert {"scene", "agent", "name", "label", "sample"} <= feature["properties"].keys()


def test_trajectories_follow_the_climate_and_forecast_conventions(folder, table):
    """CF 1.8, appendix H.4.3: the contiguous ragged array of trajectories."""
    with xr.open_dataset(folder / "trajectories.nc", engine="h5netcdf", decode_times=False) as data:
        data.load()
    assert data.attrs["Conventions"] == "CF-1.8"
    assert data.attrs["featureType"] == "trajectory"
    assert data.attrs["history"].startswith("written by flowsci ")
    (instances,) = [v for v in data.variables.values() if v.attrs.get("cf_role")]
    assert instances.attrs["cf_role"] == "trajectory_id"
    assert len(np.unique(instances)) == len(instances)
    sizes = data["row_size"]
    assert sizes.attrs["sample_dimension"] == "obs"
    assert sizes.dims == instances.dims == ("trajectory",)
    assert sizes.values.sum() == data.sizes["obs"] == len(table)
    for name, axis, standard in [
        ("time", "T", "time"),
        ("lon", "X", "longitude"),
        ("lat", "Y", "latitude"),
        ("altitude", "Z", "barometric_altitude"),
    ]:
        attributes = data[name].attrs
        assert (attributes["axis"], attributes["standard_name"]) == (axis, standard)
        assert data[name].dims == ("obs",)
        assert "_FillValue" not in data[name].encoding
    assert data["time"].attrs["units"] == "seconds since 1970-01-01T00:00:00Z"
    assert data["altitude"].attrs["positive"] == "up"


def test_trajectories_hold_the_same_futures_as_the_table(folder, table):
    with xr.open_dataset(folder / "trajectories.nc", engine="h5netcdf") as data:
        data.load()
    keys = {
        name: np.repeat(data[name].values, data["row_size"])
        for name in ("scene", "agent", "sample")
    }
    columns = {"longitude": "lon", "latitude": "lat", "altitude": "altitude", "time": "time"}
    found = pd.DataFrame(keys | {name: data[own].values for name, own in columns.items()})
    found = found.sort_values(["scene", "agent", "sample", "time"], ignore_index=True)
    for name in ("longitude", "latitude", "altitude"):
        assert np.allclose(found[name], table[name])
    assert (found["time"].dt.tz_localize("UTC") == table["time"]).all()


def test_densities_are_the_models_own(folder, drawn, prepared):
    """Read back, the file says what the network's modes say, in float64."""
    from flowsci.domains.trajectories.basis import OffsetBasis
    from flowsci.domains.trajectories.density import FutureDensity
    from flowsci.domains.trajectories.frames import Frames

    rows, density = densities.read_densities(folder / "densities.nc")
    tensors = {name: torch.from_numpy(drawn[name].values).double() for name in drawn}
    own = FutureDensity(
        scene=tensors["scene"].long(),
        **{name: tensors[name] for name in densities.PARTS},
        frames=Frames(*(tensors[name] for name in densities.FRAMES)),
        basis=OffsetBasis.of(prepared.statistics),
    )
    positions = torch.from_numpy(drawn["positions"].values)
    order = np.lexsort([drawn["agent"].values, drawn["scene"].values])
    expected = own.log_density(positions.double())[order]
    found = density.log_density(positions[order].double())
    assert torch.allclose(found, expected, atol=1e-3)
    assert rows["agent"].tolist() == drawn["agent"].values[order].tolist()
    assert rows["time"].tolist() == drawn["time"].values[order].tolist()


def test_times_without_a_date_have_a_unit_that_is_one(tmp_path, drawn, prepared):
    arrays = prepared.arrays.copy()
    arrays.attrs = {n: v for n, v in prepared.arrays.attrs.items() if n != "time_origin"}
    densities.write_densities(drawn, replace(prepared, arrays=arrays), tmp_path / "densities.nc")
    with xr.open_dataset(tmp_path / "densities.nc", engine="h5netcdf", decode_times=False) as data:
        assert data["time"].attrs["units"] == "s"
        assert "clock of its recording" in data["time"].attrs["long_name"]


def test_densities_say_what_they_are(folder):
    with xr.open_dataset(folder / "densities.nc", engine="h5netcdf", decode_times=False) as data:
        assert data["axis"].values.tolist() == ["east", "north", "up"]
        assert data["origin"].attrs["units"] == data["velocity"].attrs["units"] == "km"
        assert data["time"].attrs["units"] == "seconds since 1970-01-01T00:00:00Z"
        assert "style_weight" in data.attrs["comment"]
        assert all(variable.attrs["long_name"] for variable in data.data_vars.values())


def test_plain_data_have_no_degrees(tmp_path, drawn):
    """Pedestrians: two axes in m, times on the clock of the recording."""
    rows = drawn.sizes["row"]
    columns = {"time": np.arange(rows) * 0.4, "recording": np.repeat("square", rows)}
    flat = drawn.isel(axis=slice(0, 2)).assign({n: ("row", v) for n, v in columns.items()})
    attributes = {"axes": ["x", "y"], "length_unit": "m", "step_seconds": 0.4}
    write_table(flat, attributes, tmp_path / "samples.parquet")
    table = domain.read_samples(tmp_path).table
    assert list(table.columns) == [
        "scene",
        "recording",
        "agent",
        "sample",
        "step",
        "probability",
        "time",
        "x",
        "y",
    ]
    assert table["time"].iloc[:2].tolist() == pytest.approx([0.4, 0.8])
    schema = pq.read_schema(tmp_path / "samples.parquet")
    assert schema.field("x").metadata[b"units"] == b"m"
    time = schema.field("time").metadata
    assert time[b"units"] == b"s"
    assert b"clock of its recording" in time[b"description"]


def test_broken_files_are_named(tmp_path, folder):
    (tmp_path / "samples.parquet").write_bytes(b"no parquet")
    with pytest.raises(FlowsciError, match=r"samples\.parquet: cannot be read"):
        domain.read_samples(tmp_path)
    (tmp_path / "samples.parquet").write_bytes((folder / "samples.parquet").read_bytes())
    (tmp_path / "densities.nc").write_bytes(b"no netcdf")
    with pytest.raises(FlowsciError, match=r"densities\.nc: cannot be read"):
        domain.read_samples(tmp_path)


def test_densities_of_other_agents_are_refused(tmp_path, folder, table):
    (tmp_path / "densities.nc").write_bytes((folder / "densities.nc").read_bytes())
    table[table["scene"] > table["scene"].min()].to_parquet(tmp_path / "samples.parquet")
    with pytest.raises(FlowsciError, match=r"its agents are not those of samples\.parquet"):
        domain.read_samples(tmp_path)
