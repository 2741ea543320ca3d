import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pyproj import Geod

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.export import COLUMNS
from flowsci.errors import FlowsciError


@pytest.fixture(scope="module")
def folder(tmp_path_factory, drawn, prepared):
    folder = tmp_path_factory.mktemp("samples")
    files = domain.export(drawn, prepared, folder).files
    assert set(files) == {path.name for path in folder.iterdir()}
    return folder


def test_a_row_for_each_scene_agent_sample_and_step(folder, drawn):
    table = domain.read_samples(folder)
    assert list(table.columns) == list(COLUMNS)
    assert not table.duplicated(["scene", "agent", "sample", "step"]).any()
    assert len(table) == drawn["positions"].size // 3
    positions = table[["east", "north", "up"]].to_numpy().reshape(drawn["positions"].shape)
    order = np.lexsort([drawn["agent"].values, drawn["scene"].values])
    assert np.array_equal(positions, drawn["positions"].values[order])


def test_units_stand_in_the_columns(folder):
    schema = pq.read_schema(folder / "samples.parquet")
    units = {n: schema.field(n).metadata.get(b"units", b"").decode() for n in schema.names}
    assert [units[n] for n in ("longitude", "altitude", "east")] == ["degrees", "m", "km"]
    assert schema.metadata[b"origin"] == b"48.85 N, 2.45 E"


def test_degrees_and_metres_agree_with_kilometres(folder):
    table = domain.read_samples(folder)
    assert np.allclose(table["altitude"], 1000 * table["up"], rtol=1e-5)
    start = [np.full(len(table), value) for value in (2.45, 48.85)]
    azimuth, _, metres = Geod(ellps="WGS84").inv(*start, table["longitude"], table["latitude"])
    assert np.allclose(metres / 1000, np.hypot(table["east"], table["north"]), atol=1e-4)
    assert np.allclose(azimuth, np.degrees(np.arctan2(table["east"], table["north"])), atol=1e-3)


def test_times_follow_the_steps(folder, prepared):
    table = domain.read_samples(folder)
    first = table[table["step"] == 1].iloc[0]
    start = prepared.arrays["scene_time"].values[first["scene"]]
    assert first["time"] == pd.Timestamp(start + 80, unit="s", tz="UTC")
    assert table["time"].iloc[1] - table["time"].iloc[0] == pd.Timedelta(seconds=10)


def test_agents_are_named_as_text(folder):
    agents = pd.read_csv(folder / "agents.csv", dtype=str)
    assert agents["aircraft"].str.fullmatch(r"\d{4}e1").all()


def test_the_map_is_valid_geojson(folder, drawn):
    content = json.loads((folder / "scenes.geojson").read_text())
    assert content["type"] == "FeatureCollection"
    feature = content["features"][0]
    assert feature["geometry"]["type"] == "LineString"
    longitude, latitude, metres = feature["geometry"]["coordinates"][0]
    assert 0 < longitude < 5
    assert 46 < latitude < 51
    assert metres > 100
    assert {"scene", "agent", "aircraft", "callsign", "sample"} <= feature["properties"].keys()


def test_a_broken_table_is_named(tmp_path):
    (tmp_path / "samples.parquet").write_bytes(b"no parquet")
    with pytest.raises(FlowsciError, match=r"samples\.parquet: cannot be read"):
        domain.read_samples(tmp_path)
