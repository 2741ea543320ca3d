import numpy as np
import pandas as pd
import pytest
import xarray as xr

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.prepare import prepare
from flowsci.domains.trajectories.record import SPLITS, Scenes
from flowsci.errors import FlowsciError

from .conftest import data_settings, flight, write


@pytest.mark.parametrize("address", ["0000a", "0005a", "zzzzz"])
def test_a_flight_too_short_for_a_point_costs_no_other_flight_its_windows(tmp_path, address):
    rows = [row for number in range(12) for row in flight(number, 300)]
    settings = data_settings(windows={"training_stride_seconds": 20, "stride_seconds": 20})
    whole = domain.prepare([write(tmp_path / "whole.json", rows)], settings)
    rows += [{**flight(0, 1, first_second=1)[0], "icao24": address}]
    more = domain.prepare([write(tmp_path / "more.json", rows)], settings)
    assert more.arrays.sizes["track"] == 13
    assert more.arrays.sizes["window"] == whole.arrays.sizes["window"] == 72


def test_counts_add_up(prepared):
    rows, windows = prepared.counts["rows"], prepared.counts["windows"]
    assert rows["read"] == rows["kept"] + sum(rows["dropped"].values())
    assert sum(windows[split] for split in SPLITS) == prepared.arrays.sizes["window"]
    assert sum(prepared.counts["scenes"].values()) == prepared.arrays.sizes["scene"]
    assert prepared.counts["tracks"] == 20


def split_of_tracks(arrays):
    """Give the splits that each track's windows stand in."""
    scenes = Scenes(arrays, np.arange(arrays.sizes["scene"]))
    scene = np.repeat(np.arange(len(scenes)), np.diff(scenes.bounds))
    tracks = scenes.tracks_of(np.arange(arrays.sizes["window"])).numpy()
    splits = arrays["scene_split"].values[scene]
    return {int(track): set(splits[tracks == track]) for track in np.unique(tracks)}


def test_windows_are_whole_on_the_clock_and_in_scenes_of_one_split(prepared):
    arrays = prepared.arrays
    steps = np.arange(20) * arrays.attrs["stride_points"]
    points = arrays["window_point"].values[:, None] + steps
    ticks = arrays["tick"].values[points]
    seconds = np.diff(ticks, axis=1) * arrays.attrs["clock_seconds"]
    assert (seconds == arrays.attrs["step_seconds"]).all()
    scenes = Scenes(arrays, np.arange(arrays.sizes["scene"]))
    tracks = scenes.tracks_of(np.arange(len(points))).numpy()
    scene = np.repeat(np.arange(len(scenes)), np.diff(scenes.bounds))
    assert (ticks[:, 0] == arrays["scene_tick"].values[scene]).all()
    assert len(set(zip(scene, tracks, strict=True))) == len(points)
    last = np.searchsorted(arrays["track_start"].values, points[:, -1], side="right") - 1
    assert (last == tracks).all()
    assert all(len(splits) == 1 for splits in split_of_tracks(arrays).values())


def test_a_scene_holds_every_aircraft_of_its_split_that_is_there_throughout(prepared):
    arrays = prepared.arrays
    counts = np.diff(arrays["scene_start"].values)
    for number, aircraft in enumerate((14, 3, 3)):
        here = arrays["scene_split"].values == number
        assert (counts[here] == aircraft).all()


def test_an_aircraft_that_flies_twice_stands_on_one_side(tmp_path):
    rows = [row for n in range(12) for row in flight(n, 250)]
    rows += [row for n in range(12) for row in flight(n, 250, first_second=1000)]
    arrays = domain.prepare([write(tmp_path / "twice.json", rows)], data_settings()).arrays
    assert arrays.sizes["track"] == 24
    sides: dict[str, set] = {}
    for track, splits in split_of_tracks(arrays).items():
        sides.setdefault(arrays["track_name"].values[track], set()).update(splits)
    assert len(sides) == 12
    assert all(len(splits) == 1 for splits in sides.values())
    assert set.union(*sides.values()) == {0, 1, 2}


def test_the_seed_changes_the_split_and_nothing_else_does(made_file, prepared):
    again = prepare([made_file], data_settings())
    xr.testing.assert_identical(again.arrays, prepared.arrays)
    other = prepare([made_file], data_settings(seed=1))
    assert split_of_tracks(other.arrays) != split_of_tracks(prepared.arrays)


def test_impossible_accelerations_drop_their_windows(tmp_path):
    rows = [row for n in range(10) for row in flight(n)]
    for row in rows[300:600]:
        row["latitude"] += 0.05
    kept = domain.prepare([write(tmp_path / "jump.json", rows)], data_settings())
    assert kept.counts["windows"]["dropped"]["acceleration impossible"] > 0


def test_no_window_left_names_file_and_reasons(tmp_path):
    path = write(tmp_path / "short.json", [row for n in range(10) for row in flight(n, 100)])
    with pytest.raises(FlowsciError, match=r"short\.json: no complete window.*track ends"):
        domain.prepare([path], data_settings())


def test_a_split_without_scenes_is_named(tmp_path):
    path = write(tmp_path / "one.json", flight(1))
    settings = data_settings(
        splits={"kind": "shares", "train": 0.2, "validation": 0.2, "test": 0.6}
    )
    with pytest.raises(FlowsciError, match="no scene in the split 'train'"):
        domain.prepare([path], settings)


def test_the_record_survives_the_disk(tmp_path, prepared):
    prepared.arrays.to_zarr(tmp_path / "p.zarr", zarr_format=3, consolidated=False)
    back = xr.open_zarr(tmp_path / "p.zarr", chunks=None, consolidated=False)
    assert back["track_name"].values.tolist() == prepared.arrays["track_name"].values.tolist()
    assert back.attrs == prepared.arrays.attrs
    assert np.array_equal(back["east"], prepared.arrays["east"])


def test_times_that_do_not_fit_the_clock_are_named(made_file):
    with pytest.raises(FlowsciError, match=r"windows\.step_seconds must be a multiple.*2 s"):
        domain.prepare([made_file], data_settings(windows={"step_seconds": 7}))


def test_training_windows_that_do_not_span_a_future_are_refused(tmp_path):
    rows = [row for n in range(7) for row in flight(n, 250)]
    with pytest.raises(FlowsciError, match="do not span the 36 numbers of a future"):
        domain.prepare([write(tmp_path / "few.json", rows)], data_settings())


def test_a_name_in_several_tables_is_one_agent(tmp_path):
    times, random = np.arange(60.0), np.random.default_rng(0)
    for day in range(3):
        walks = np.cumsum(1 + random.normal(size=(8, 2, 60)), axis=-1)
        rows = [
            pd.DataFrame({"track": f"a{n}", "time": times, "x": x, "y": y})
            for n, (x, y) in enumerate(walks)
        ]
        pd.concat(rows).to_csv(tmp_path / f"day_{day}.csv", index=False)
    tracks = {"kind": "table", "unit": "m", "clock_seconds": 1}
    tracks |= {"interpolation_gap_seconds": 2, "gap_seconds": 10}
    windows = {"step_seconds": 1, "observed_steps": 4, "predicted_steps": 6}
    made = data_settings(tracks=tracks, windows=windows)
    arrays = domain.prepare(sorted(tmp_path.glob("*.csv")), made).arrays
    sides: dict[str, set] = {}
    for track, splits in split_of_tracks(arrays).items():
        sides.setdefault(arrays["track_name"].values[track], set()).update(splits)
    assert len(sides) == 8
    assert all(len(splits) == 1 for splits in sides.values())
