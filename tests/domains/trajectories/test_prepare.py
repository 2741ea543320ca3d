import numpy as np
import pandas as pd
import pytest
import xarray as xr

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.prepare import make_tracks, prepare, projection
from flowsci.domains.trajectories.record import AXES, SPLITS, Scenes
from flowsci.errors import FlowsciError

from .conftest import data_settings, flight, write

TRACKS = data_settings().tracks


def reports(times, aircraft="a"):
    """Straight flight to the north-east at a constant climb."""
    times = np.asarray(times, dtype=float)
    back = projection(TRACKS.origin_longitude_degrees, TRACKS.origin_latitude_degrees)
    longitude, latitude = back.transform(times * 150, times * 100, direction="INVERSE")
    return pd.DataFrame(
        {
            "aircraft": aircraft,
            "callsign": "X",
            "time": times,
            "longitude": longitude,
            "latitude": latitude,
            "altitude": times * 5,
        }
    )


def test_the_origin_is_at_zero_and_north_is_up_the_meridian():
    to_local = projection(2.45, 48.85)
    assert np.allclose(to_local.transform(2.45, 48.85), 0, atol=1e-6)
    east, north = to_local.transform(2.45, 49.85)
    assert abs(east) < 1e-6
    assert north == pytest.approx(111_219, abs=20)


def test_uneven_reports_of_straight_flight_are_interpolated_exactly():
    tracks, dropped = make_tracks(reports([0.5, 3, 4.25, 8, 9.5, 13, 17, 21]), TRACKS)
    times = tracks.points["time"].values
    assert times.tolist() == list(range(2, 21, 2))
    expected = np.stack([times * 0.15, times * 0.1, times * 0.005], axis=-1)
    assert np.allclose(tracks.points[list(AXES)], expected, atol=1e-5)
    assert dropped == {"in a gap between reports": 0}


def test_no_position_is_made_inside_a_long_gap():
    tracks, dropped = make_tracks(reports([0, 2, 4, 16, 18]), TRACKS)
    assert tracks.points["time"].tolist() == [0, 2, 4, 16, 18]
    assert dropped == {"in a gap between reports": 5}


def test_a_long_silence_and_another_aircraft_begin_a_flight():
    table = pd.concat([reports([0, 2, 4, 700, 702]), reports([704, 706], "b")], ignore_index=True)
    tracks, _ = make_tracks(table, TRACKS)
    assert tracks.flights["aircraft"].tolist() == ["a", "a", "b"]
    assert tracks.points["flight"].tolist() == [0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("address", ["0000a", "0005a", "zzzzz"])
def test_a_flight_too_short_for_a_point_costs_no_other_flight_its_windows(tmp_path, address):
    rows = [row for number in range(12) for row in flight(number, 300)]
    settings = data_settings(windows={"training_stride_seconds": 20, "stride_seconds": 20})
    whole = domain.prepare([write(tmp_path / "whole.json", rows)], settings)
    rows += [{**flight(0, 1, first_second=1)[0], "icao24": address}]
    more = domain.prepare([write(tmp_path / "more.json", rows)], settings)
    assert more.arrays.sizes["flight"] == 13
    assert more.arrays.sizes["window"] == whole.arrays.sizes["window"] == 72


def test_counts_add_up(prepared):
    rows, windows = prepared.counts["rows"], prepared.counts["windows"]
    assert rows["read"] == rows["kept"] + sum(rows["dropped"].values())
    assert sum(windows[split] for split in SPLITS) == prepared.arrays.sizes["window"]
    assert sum(prepared.counts["scenes"].values()) == prepared.arrays.sizes["scene"]
    assert sum(prepared.counts["flights"].values()) == 20


def test_windows_are_whole_on_the_clock_and_in_scenes_of_one_split(prepared):
    arrays = prepared.arrays
    steps = np.arange(20) * arrays.attrs["stride_points"]
    points = arrays["window_point"].values[:, None] + steps
    times = arrays["time"].values[points]
    assert (np.diff(times, axis=1) == arrays.attrs["step_seconds"]).all()
    scenes = Scenes(arrays, np.arange(arrays.sizes["scene"]))
    flights = scenes.flights_of(np.arange(len(points))).numpy()
    scene = np.repeat(np.arange(len(scenes)), np.diff(scenes.bounds))
    assert (times[:, 0] == arrays["scene_time"].values[scene]).all()
    assert (arrays["flight_split"].values[flights] == arrays["scene_split"].values[scene]).all()
    assert len(set(zip(scene, flights, strict=True))) == len(points)
    last = np.searchsorted(arrays["flight_start"].values, points[:, -1], side="right") - 1
    assert (last == flights).all()


def test_a_scene_holds_every_aircraft_of_its_split_that_is_there_throughout(prepared):
    arrays = prepared.arrays
    counts = np.diff(arrays["scene_start"].values)
    for number, split in enumerate(SPLITS):
        here = arrays["scene_split"].values == number
        assert (counts[here] == prepared.counts["flights"][split]).all()


def test_an_aircraft_that_flies_twice_stands_on_one_side(tmp_path):
    rows = [row for n in range(12) for row in flight(n, 250)]
    rows += [row for n in range(12) for row in flight(n, 250, first_second=1000)]
    arrays = domain.prepare([write(tmp_path / "twice.json", rows)], data_settings()).arrays
    assert arrays.sizes["flight"] == 24
    sides = arrays[["aircraft", "flight_split"]].to_dataframe().groupby("aircraft")["flight_split"]
    assert (sides.nunique() == 1).all()
    assert set(arrays["flight_split"].values) == {0, 1, 2}


def test_the_seed_changes_the_split_and_nothing_else_does(made_file, prepared):
    again = prepare([made_file], data_settings())
    xr.testing.assert_identical(again.arrays, prepared.arrays)
    other = prepare([made_file], data_settings(seed=1))
    assert (other.arrays["flight_split"] != prepared.arrays["flight_split"]).any()


def test_impossible_accelerations_drop_their_windows(tmp_path):
    rows = [row for n in range(10) for row in flight(n)]
    for row in rows[300:600]:
        row["latitude"] += 0.05
    kept = domain.prepare([write(tmp_path / "jump.json", rows)], data_settings())
    assert kept.counts["windows"]["dropped"]["acceleration impossible"] > 0


def test_no_window_left_names_file_and_reasons(tmp_path):
    path = write(tmp_path / "short.json", [row for n in range(10) for row in flight(n, 100)])
    with pytest.raises(FlowsciError, match=r"short\.json: no complete window.*flight ends"):
        domain.prepare([path], data_settings())


def test_a_split_without_scenes_is_named(tmp_path):
    path = write(tmp_path / "one.json", flight(1))
    settings = data_settings(splits={"train": 0.2, "validation": 0.2, "test": 0.6})
    with pytest.raises(FlowsciError, match="no scene in the split 'train'"):
        domain.prepare([path], settings)


def test_the_record_survives_the_disk(tmp_path, prepared):
    prepared.arrays.to_zarr(tmp_path / "p.zarr", zarr_format=3, consolidated=False)
    back = xr.open_zarr(tmp_path / "p.zarr", chunks=None, consolidated=False)
    assert back["aircraft"].values.tolist() == prepared.arrays["aircraft"].values.tolist()
    assert back.attrs == prepared.arrays.attrs
    assert np.array_equal(back["east"], prepared.arrays["east"])
