"""A user's own tables: uneven times are put on the clock, and a unit is asked for."""

import numpy as np
import pandas as pd
import pytest

from flowsci.domains.trajectories.readers import read_tracks
from flowsci.domains.trajectories.readers.table import read_table
from flowsci.domains.trajectories.settings import TableTracks, TrajectoriesData
from flowsci.errors import FlowsciError
from flowsci.settings_files import check_settings

SETTINGS = TableTracks(unit="m", clock_seconds=0.5, interpolation_gap_seconds=1.5, gap_seconds=5)


def line(track, times, z=None):
    times = np.asarray(times, dtype=float)
    columns = {"track": track, "time": times, "x": 2 * times, "y": -times}
    return pd.DataFrame(columns if z is None else {**columns, "z": z * times})


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_uneven_times_are_put_on_the_clock(tmp_path, suffix):
    table = pd.concat([line("a", [0, 0.7, 1.9, 2.2]), line("b", [10, 11, 20, 21])])
    path = tmp_path / f"mine{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    tracks = read_table([path], SETTINGS)
    first = tracks.points[tracks.points["track"] == 0]
    assert first["tick"].tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(first[["x", "y"]], 0.5 * first[["tick"]].to_numpy() * [2, -1])
    assert tracks.tracks["name"].tolist() == ["a", "b", "b"]
    assert tracks.counts["tracks that go on after a gap"] == 1
    assert tracks.recordings == ("mine",)


def test_a_third_axis_and_recordings_are_taken_where_they_are(tmp_path):
    table = pd.concat(
        [line("a", [0, 1], z=3).assign(recording=r, label="swan") for r in ("day", "night")]
    )
    table.to_csv(tmp_path / "birds.csv", index=False)
    tracks = read_table([tmp_path / "birds.csv"], SETTINGS)
    assert tracks.axes == ("x", "y", "z")
    assert tracks.recordings == ("day", "night")
    assert tracks.tracks["recording"].tolist() == [0, 1]
    assert tracks.tracks["label"].tolist() == ["swan", "swan"]
    assert tracks.points["z"].tolist() == [0, 1.5, 3.0] * 2


def test_unusable_rows_are_counted(tmp_path):
    table = line("a", [0, 0.5, 1, 1, 1.5, 2])
    table.loc[1, "x"] = np.nan
    table.loc[4, "time"] = np.nan
    table.iloc[::-1].to_csv(tmp_path / "t.csv", index=False)
    tracks = read_table([tmp_path / "t.csv"], SETTINGS)
    assert tracks.counts["rows"] == {
        "read": 6,
        "kept": 3,
        "dropped": {
            "recording missing": 0,
            "track or time missing": 1,
            "position missing": 1,
            "time duplicated": 1,
        },
    }
    assert tracks.counts["rows out of order, which were sorted"] == 2


def test_a_table_that_does_not_fit_is_named(tmp_path):
    line("a", [0, 1]).drop(columns="y").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(FlowsciError, match=r"a\.csv: the column y is missing"):
        read_table([tmp_path / "a.csv"], SETTINGS)
    line("a", [0, 1]).assign(x="far").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(FlowsciError, match="the column x holds values that are no numbers"):
        read_table([tmp_path / "b.csv"], SETTINGS)
    (tmp_path / "c.parquet").write_text("no parquet")
    with pytest.raises(FlowsciError, match="neither CSV nor Parquet"):
        read_table([tmp_path / "c.parquet"], SETTINGS)


def test_a_missing_recording_is_counted(tmp_path):
    table = line("a", [0, 0.5, 1]).assign(recording=["day", None, "day"])
    table.to_parquet(tmp_path / "t.parquet")
    tracks = read_table([tmp_path / "t.parquet"], SETTINGS)
    assert tracks.counts["rows"]["dropped"]["recording missing"] == 1
    assert tracks.recordings == ("day",)


def test_a_height_in_some_files_only_is_refused(tmp_path):
    files = [tmp_path / f"{name}.csv" for name in "abc"]
    for path, z in zip(files, (1, None, None), strict=True):
        line("a", [0, 0.5, 1], z).to_csv(path, index=False)
    with pytest.raises(FlowsciError, match=r"b\.csv, .*c\.csv: the column z is missing, which"):
        read_table(files, SETTINGS)


def test_a_recording_without_a_usable_row_is_named(tmp_path):
    line("a", [0, 0.5, 1]).to_csv(tmp_path / "a.csv", index=False)
    line("a", [0, 0.5, 1]).assign(x=np.nan).to_csv(tmp_path / "b.csv", index=False)
    tracks = read_table([tmp_path / "a.csv", tmp_path / "b.csv"], SETTINGS)
    assert tracks.recordings == ("a",)
    assert tracks.lost == {"b": {"position missing": 3}}


def test_truth_values_are_no_positions(tmp_path):
    line("a", [0, 1]).assign(x=True).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(FlowsciError, match="the column x holds values that are no numbers"):
        read_table([tmp_path / "b.parquet"], SETTINGS)


def test_positions_too_far_for_single_precision_are_refused(tmp_path):
    line("a", np.arange(20)).assign(y=lambda t: t["y"] + 5.4e6).to_csv(tmp_path / "utm.csv")
    with pytest.raises(FlowsciError, match=r"y reaches 5\.4e\+06 m.*Subtract an origin"):
        read_tracks([tmp_path / "utm.csv"], SETTINGS)


def test_a_track_keeps_its_ends_on_the_clock(tmp_path):
    start = 1_600_000_000.0
    settings = SETTINGS.model_copy(update={"clock_seconds": 0.4})
    times = start + 0.4 * np.arange(11)
    line("a", times).assign(x=0.3 * np.arange(11), y=0.1 * np.arange(11)).to_csv(
        tmp_path / "unix.csv", index=False
    )
    assert len(read_table([tmp_path / "unix.csv"], settings).points) == 11


def test_a_missing_unit_is_asked_for():
    content = {
        "domain": "trajectories",
        "title": "Mine",
        "licence": "none",
        "citation": "none",
        "source": {"kind": "path", "path": "mine.csv"},
        "tracks": {
            "kind": "table",
            "clock_seconds": 1,
            "interpolation_gap_seconds": 2,
            "gap_seconds": 9,
        },
    }
    with pytest.raises(FlowsciError, match=r"unit: this key is required.*Unit of x, y and z"):
        check_settings(content, TrajectoriesData, "mine.yaml")


def test_names_stay_as_they_are_written_and_files_of_one_name_apart(tmp_path):
    for folder in ("p", "q"):
        (tmp_path / folder).mkdir()
        table = pd.concat([line(name, [0, 1]) for name in ("001", "1", "4e1", "40")])
        table.to_csv(tmp_path / folder / "a.csv", index=False)
    tracks = read_table([tmp_path / "p/a.csv", tmp_path / "q/a.csv"], SETTINGS)
    assert tracks.recordings == ("p/a", "q/a")
    assert sorted(tracks.tracks["name"]) == sorted(2 * ["001", "1", "4e1", "40"])
    assert tracks.counts["rows"]["kept"] == 16


def test_a_table_without_rows_is_named(tmp_path):
    (tmp_path / "none.csv").write_text("track,time,x,y\n")
    with pytest.raises(FlowsciError, match=r"none\.csv: holds no rows"):
        read_table([tmp_path / "none.csv"], SETTINGS)
