import gzip
import json

import numpy as np
import pandas as pd
import pytest

from flowsci.domains.trajectories.readers.adsb import (
    AXES,
    METRES_PER_FOOT,
    projection,
    read_adsb,
    read_reports,
)
from flowsci.domains.trajectories.readers.tracks import clocked
from flowsci.domains.trajectories.settings import CleaningSettings
from flowsci.errors import FlowsciError

from ..conftest import data_settings, flight, write


def read(path):
    return read_reports([path], data_settings().tracks)


def test_rows_are_kept_in_order_and_addresses_stay_text(tmp_path):
    rows = flight(7, 60)
    reports = read(write(tmp_path / "a.json", rows[::-1]))
    assert len(reports.table) == reports.rows == 60
    assert set(reports.table["aircraft"]) == {"0007e1"}
    assert (np.diff(reports.table["time"]) == 1).all()
    assert reports.table["altitude"].iloc[0] == pytest.approx(12_100 * METRES_PER_FOOT)


def test_rows_out_of_order_are_counted(tmp_path):
    rows = flight(7, 60) + flight(8, 60)
    rows[3], rows[4] = rows[4], rows[3]
    tracks = read_adsb([write(tmp_path / "a.json", rows)], data_settings().tracks)
    assert tracks.counts["rows out of order, which were sorted"] == 1


def test_every_dropped_row_is_counted_by_its_reason(tmp_path):
    rows = flight(4, 100)
    rows[3]["onground"] = True
    rows[10]["altitude"] = None
    rows[11]["longitude"] = None
    rows[20]["latitude"] = 95.0
    rows.append(dict(rows[30]))
    rows[40] |= {"longitude": rows[39]["longitude"], "latitude": rows[39]["latitude"]}
    rows[50]["altitude"] = 123_100.0
    rows[60]["latitude"] += 0.5
    rows[70]["longitude"] += 0.5
    rows[80]["timestamp"] = None
    reports = read(write(tmp_path / "a.json", rows))
    assert reports.dropped == {
        "on the ground": 1,
        "aircraft or time missing": 1,
        "position missing": 1,
        "position impossible": 1,
        "altitude missing": 1,
        "time duplicated": 1,
        "position not updated": 1,
        "altitude spike": 1,
        "latitude spike": 1,
        "longitude spike": 1,
    }
    assert len(reports.table) == reports.rows - sum(reports.dropped.values())


def test_a_steady_climb_is_no_spike(tmp_path):
    reports = read(write(tmp_path / "a.json", flight(5, 300)))
    assert sum(reports.dropped.values()) == 0


def test_a_flight_elsewhere_after_a_silence_is_no_spike(tmp_path):
    rows = flight(5, 300)
    for row in flight(5, 10, first_second=2700):
        rows.append({**row, "latitude": row["latitude"] + 1, "altitude": row["altitude"] + 9000})
    reports = read(write(tmp_path / "a.json", rows))
    assert sum(reports.dropped.values()) == 0


def test_a_truncated_file_is_named(tmp_path):
    text = json.dumps(flight(1, 50))
    plain = tmp_path / "a.json"
    plain.write_text(text[: len(text) // 2])
    with pytest.raises(FlowsciError, match=r"a\.json: is not a whole JSON file.*fetch it again"):
        read(plain)
    packed = tmp_path / "b.json.gz"
    packed.write_bytes(gzip.compress(text.encode())[:-40])
    with pytest.raises(FlowsciError, match=r"b\.json\.gz: is not a whole JSON file"):
        read(packed)


@pytest.mark.parametrize("column", ["altitude", "latitude", "timestamp"])
def test_a_column_without_values_is_named(tmp_path, column):
    rows = [{**row, column: None} for row in flight(1, 50)]
    with pytest.raises(FlowsciError, match=rf"all 50 values of the column {column} are missing"):
        read(write(tmp_path / "a.json", rows))


def test_a_missing_column_and_words_for_numbers_are_named(tmp_path):
    rows = [{k: v for k, v in row.items() if k != "onground"} for row in flight(1, 5)]
    with pytest.raises(FlowsciError, match=r"column onground is missing.*to 'none'"):
        read(write(tmp_path / "a.json", rows))
    cleaning = CleaningSettings(reports_on_ground="none")
    in_flight = data_settings().tracks.model_copy(update={"cleaning": cleaning})
    assert len(read_reports([tmp_path / "a.json"], in_flight).table) == 5
    rows = [{**row, "icao24": 71} for row in flight(1, 5)]
    with pytest.raises(FlowsciError, match="icao24 holds numbers"):
        read(write(tmp_path / "a.json", rows))
    rows = [{**row, "latitude": "north"} for row in flight(1, 5)]
    with pytest.raises(FlowsciError, match="latitude holds values that are no numbers"):
        read(write(tmp_path / "a.json", rows))


def test_nothing_left_names_the_reasons(tmp_path):
    rows = [{**row, "onground": True} for row in flight(1, 5)]
    with pytest.raises(FlowsciError, match=r"none of 5 rows is left.*5 on the ground"):
        read(write(tmp_path / "a.json", rows))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FlowsciError, match="there is no such file"):
        read(tmp_path / "none.json")


@pytest.mark.parametrize(("column", "value"), [("icao24", 12), ("onground", "true")])
def test_values_of_another_kind_are_named(tmp_path, column, value):
    rows = flight(0, 30)
    rows[3][column] = value
    with pytest.raises(FlowsciError, match=f"the column {column} holds"):
        read(write(tmp_path / "made.json", rows))


def table_of(times):
    """Straight flight to the north-east at a constant climb, in km."""
    times = np.asarray(times, dtype=float)
    columns = {axis: times * rate for axis, rate in zip(AXES, (0.15, 0.1, 0.005), strict=True)}
    return pd.DataFrame({"track": 0, "time": times, **columns})


def test_the_origin_is_at_zero_and_north_is_up_the_meridian():
    to_local = projection(2.45, 48.85)
    assert np.allclose(to_local.transform(2.45, 48.85), 0, atol=1e-6)
    east, north = to_local.transform(2.45, 49.85)
    assert abs(east) < 1e-6
    assert north == pytest.approx(111_219, abs=20)


def test_uneven_reports_of_straight_flight_are_interpolated_exactly():
    points, in_gaps = clocked(table_of([0.5, 3, 4.25, 8, 9.5, 13, 17, 21]), AXES, 2.0, 4.0)
    assert points["tick"].tolist() == list(range(1, 11))
    expected = table_of(2 * points["tick"])[list(AXES)]
    assert np.allclose(points[list(AXES)], expected, atol=1e-5)
    assert in_gaps == 0


def test_no_position_is_made_inside_a_long_gap():
    points, in_gaps = clocked(table_of([0, 2, 4, 16, 18]), AXES, 2.0, 4.0)
    assert (2 * points["tick"]).tolist() == [0, 2, 4, 16, 18]
    assert in_gaps == 5


def test_a_clock_of_a_fraction_of_a_second_meets_its_own_times():
    points, in_gaps = clocked(table_of(np.arange(50) * 0.4), AXES, 0.4, 0.5)
    assert points["tick"].tolist() == list(range(50))
    assert in_gaps == 0


def test_a_long_silence_and_another_aircraft_begin_a_flight(tmp_path):
    rows = flight(1, 100) + flight(1, 100, first_second=900) + flight(2, 100)
    tracks = read_adsb([write(tmp_path / "a.json", rows)], data_settings().tracks)
    assert tracks.tracks["name"].tolist() == ["0001e1", "0001e1", "0002e1"]
    assert (np.bincount(tracks.points["track"]) > 45).all()
    assert tracks.counts["flights of an aircraft seen before"] == 1
