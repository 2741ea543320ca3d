import numpy as np
import pytest

from flowsci.domains.weather.cases import find_cases
from flowsci.domains.weather.climatology import evaluate
from flowsci.domains.weather.data_settings import RangeSplits, ShareSplits
from flowsci.domains.weather.prepare import assemble
from flowsci.domains.weather.record import Fields, encoding_of
from flowsci.domains.weather.splits import assign
from flowsci.errors import FlowsciError
from flowsci.store.prepared import open_prepared, write_prepared
from tests.domains.weather.sets import SETTINGS, raw_fields


def test_scales_are_those_of_training_anomalies_by_area():
    raw, _, _ = raw_fields()
    prepared = assemble(raw, SETTINGS)
    training = prepared.arrays["split"].values == 0
    anomaly = raw.fields[training] - evaluate(prepared.arrays, raw.hours[training])
    spread = np.sqrt((anomaly**2 * raw.grid.area).sum((2, 3)).mean(0))
    np.testing.assert_allclose(prepared.statistics["anomaly_spread"], spread, rtol=1e-5)
    assert prepared.statistics["channels"][1]["partner"] == 2
    assert "a test" in prepared.description


def test_splits_keep_their_distance_and_are_counted():
    raw, _, _ = raw_fields()
    prepared = assemble(raw, SETTINGS)
    split, hours = prepared.arrays["split"].values, raw.hours
    last = [hours[split == number][-1] for number in (0, 1)]
    first = [hours[split == number][0] for number in (1, 2)]
    assert all(later - earlier >= 5 * 24 for earlier, later in zip(last, first, strict=True))
    counted = prepared.counts["times"]
    assert counted["train"] == (split == 0).sum() == 1080
    assert sum(counted.values()) == len(hours)


def test_no_case_reaches_over_a_gap_or_into_another_split():
    hours = np.concatenate([np.arange(0, 240, 12), np.arange(8000, 8240, 12)])
    split = np.where(hours < 120, 0, 1).astype(np.int8)
    for number in (0, 1):
        cases = find_cases(hours, split, number, 24)
        assert (hours[cases.start] - hours[cases.before] == 24).all()
        assert (hours[cases.after] - hours[cases.start] == 24).all()
        for numbers in (cases.before, cases.start, cases.after):
            assert (split[numbers] == number).all()
    assert len(find_cases(hours, split, 0, 24)) == 10 - 4
    assert len(find_cases(hours, split, 1, 24)) == (10 - 4) + (20 - 4)
    assert len(find_cases(hours, split, 1, 18)) == 0


def test_gaps_and_the_cases_that_they_cost_are_counted():
    raw, _, _ = raw_fields()
    whole = assemble(raw, SETTINGS).counts
    keep = np.ones(len(raw.hours), dtype=bool)
    keep[100:140] = False
    raw.fields, raw.hours = raw.fields[keep], raw.hours[keep]
    cut = assemble(raw, SETTINGS).counts
    assert (whole["gaps in time"], cut["gaps in time"]) == (0, 1)
    name = "not made: a state is missing or in another split"
    assert whole["cases"]["24 h"][name] == 3 * 4
    assert cut["cases"]["24 h"][name] == 3 * 4 + 4


def test_cells_without_a_value_hold_their_climate_and_weigh_nothing():
    raw, _, _ = raw_fields()
    dry = raw.fields.copy()
    raw.fields[:, 0, 2:4, 3:9] = np.nan
    prepared = assemble(raw, SETTINGS)
    arrays = prepared.arrays
    assert prepared.counts["cells without a value"] == {"temperature_850": 12}
    assert not arrays["valid"].values[0, 2:4, 3:9].any()
    assert arrays["valid"].values.sum() == 3 * 8 * 16 - 12
    anomaly = arrays["fields"].values - evaluate(arrays, raw.hours)
    np.testing.assert_allclose(anomaly[:, 0, 2:4, 3:9], 0, atol=1e-3)
    weights = raw.grid.area * arrays["valid"].values[0]
    mean = (dry[arrays["split"].values == 0, 0] * weights).sum((1, 2)).mean() / weights.sum()
    assert prepared.statistics["anomaly_mean"][0] == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: f.__setitem__((7, 1, 2, 3), np.inf),
            "u_wind_850 has an infinite value at 1970-01-04T12",
        ),
        (
            lambda f: f.__setitem__((7, 1, 2, 3), 9.96921e36),
            r"u_wind_850 has a value beyond 1e\+15 at 1970-01-04T12. Name .* _FillValue",
        ),
        (
            lambda f: f.__setitem__((slice(None), 1, 2, 3), -1e20),
            r"u_wind_850 has a value beyond 1e\+15 at 1970-01-01T00",
        ),
        (
            lambda f: f.__setitem__((0, 0), np.nan),
            "temperature_850 has no value anywhere at 1970-01-01T00",
        ),
        (
            lambda f: f.__setitem__((200, 2), np.nan),
            "v_wind_850 has no value anywhere at 1970-04-11T00",
        ),
        (
            lambda f: f.__setitem__((9, 2, 1, 1), np.nan),
            "v_wind_850 has values in other cells .* at 1970-01-05T12",
        ),
        (lambda f: f.__setitem__((slice(None), 0), 1.0), "temperature_850: never differs"),
    ],
)
def test_values_that_cannot_be_used_are_named(damage, message):
    raw, _, _ = raw_fields(days=700)
    damage(raw.fields)
    with pytest.raises(FlowsciError, match=message):
        assemble(raw, SETTINGS)


def test_a_single_time_is_no_dataset():
    raw, _, _ = raw_fields(days=1, step_hours=24)
    with pytest.raises(FlowsciError, match="hold 1 time; a dataset needs two"):
        assemble(raw, SETTINGS)


def test_ranges_of_dates_split_in_their_calendar():
    hours = np.arange(0, 3 * 360 * 24, 24)
    splits = RangeSplits(
        train=("1970-01-01", "1971-02-30"),
        validation=("1971-03-11", "1971-12-30T12"),
        test=("1972-02-01", "1972-12-30"),
    )
    split = assign(splits, hours, "360_day")
    assert (split[:420] == 0).all()
    assert (split[420:430] == -1).all()
    assert (split[430:720] == 1).all()
    assert split[-1] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": ("1970-03-01", "1970-04-01")}, "validation: shares times"),
        ({"validation": ("1971-01-05", "1971-06-01")}, "train and validation are closer than"),
        ({"train": ("1970-02-30", "1970-12-31")}, "train: The date 1970-02-30 isn't one of"),
        ({"test": ("1990-01-01", "1991-01-01")}, "test: holds none of the .* 1970-01-01T00"),
        ({"test": ("1972-12-01", "1972-03-01")}, "test: ends before it begins"),
    ],
)
def test_splits_that_cannot_be_are_named(changes, message):
    splits = {
        "train": ("1970-01-01", "1970-12-31"),
        "validation": ("1971-02-01", "1971-06-01"),
        "test": ("1972-03-01", "1972-12-01"),
    } | changes
    with pytest.raises(FlowsciError, match=message):
        assign(RangeSplits(**splits), np.arange(0, 3 * 366 * 24, 12), "standard")


def test_shares_follow_the_runs_of_an_ensemble_without_a_lost_time():
    hours = (np.arange(10) + 9000 * np.arange(8)[:, None]).reshape(-1)
    split = assign(ShareSplits(train=0.75, validation=0.125, test=0.125), hours, "360_day")
    assert np.bincount(split).tolist() == [60, 10, 10]


def test_fields_are_mapped_from_the_chunks_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("flowsci.domains.weather.record.CHUNK_BYTES", 4 * 3 * 8 * 16 * 100)
    raw, _, _ = raw_fields()
    prepared = assemble(raw, SETTINGS)
    write_prepared(tmp_path, prepared, {"domain": "weather", "name": "x"} | ABOUT)
    opened, _ = open_prepared(tmp_path, "weather")
    fields = Fields.of(opened.arrays)
    assert len(fields.parts) == 18
    assert all(isinstance(part, np.memmap) for part in fields.parts)
    np.testing.assert_array_equal(fields[np.array([1799, 0, 250])], raw.fields[[1799, 0, 250]])
    np.testing.assert_array_equal(fields[95:105], raw.fields[95:105])
    np.testing.assert_array_equal(fields[100], raw.fields[100])
    with pytest.raises(IndexError):
        fields[np.array([1800])]
    np.testing.assert_array_equal(Fields.of(prepared.arrays)[5:8], raw.fields[5:8])
    assert opened.arrays["time"].dtype == np.int64


def test_chunks_hold_whole_times():
    assert encoding_of((5000, 6, 32, 64))["chunks"] == (1365, 6, 32, 64)
    assert encoding_of((10, 6, 32, 64))["chunks"] == (10, 6, 32, 64)


ABOUT = {
    "title": "x",
    "licence": "x",
    "citation": "x",
    "provenance": {"stage": "prepare", "settings": {}, "inputs": {}},
}
