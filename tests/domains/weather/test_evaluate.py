"""What stands in metrics.json is what ensembles of known quality must have."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from flowsci.domains.weather.evaluate import evaluate
from flowsci.domains.weather.export import Generated, export, layout, read_samples
from flowsci.domains.weather.settings import WeatherEvaluation
from flowsci.errors import FlowsciError
from flowsci.store.metrics import write_evaluation
from flowsci.store.prepared import Prepared

from .judged import SPREAD, STEP_HOURS, make_prepared, make_rows

SETTINGS = WeatherEvaluation(bootstrap=100, functions=40, block_days=2, lead_hours=[24])


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """Give the small dataset."""
    return make_prepared()


def generated(rows: xr.Dataset, prepared: Prepared) -> Generated:
    """Give rows as they would be read from files."""
    return Generated(layout.ensemble(rows, prepared), layout.mean_head(rows, prepared))


def test_a_reliable_ensemble_has_the_scores_of_theory(prepared: Prepared):
    rows = make_rows(prepared, members=16)
    found = evaluate(generated(rows, prepared), prepared, SETTINGS)
    metrics = found.metrics
    assert metrics["rmse_mean_24h"].model == pytest.approx(0.5 * np.sqrt(17 / 16), rel=0.03)
    assert metrics["crps_fair_24h"].model == pytest.approx(0.5 / np.sqrt(np.pi), rel=0.03)
    assert metrics["crps_fair_24h"].baselines["dressed_mean"] == pytest.approx(
        0.5 / np.sqrt(np.pi), rel=0.03
    )
    of_wind = metrics["rmse_mean_24h_u_wind_500"]
    assert of_wind.model == pytest.approx(SPREAD[1] * 0.5 * np.sqrt(17 / 16), rel=0.06)
    assert of_wind.unit == "m s-1"
    assert metrics["spread_skill_24h"].model == pytest.approx(1, abs=0.05)
    assert metrics["rank_ends_24h"].model == pytest.approx(1, abs=0.15)
    # noise in every cell has many times the power of the truth at small scales
    assert metrics["member_spectrum_24h"].model > 1
    assert metrics["residual_spectrum_24h"].model < 0.3
    assert set(metrics["rmse_mean_24h"].baselines) == {
        "persistence",
        "damped_persistence",
        "climatology",
        "eof_ridge",
        "dressed_mean",
    }
    assert found.tables["skill_by_lead"]["lead_hours"] == [24, 48]
    low, high = metrics["crps_fair_24h"].interval
    assert low <= metrics["crps_fair_24h"].model <= high
    assert found.protocol["simulation"] == "SPEEDY T21"


def test_files_are_judged_as_what_was_written(prepared: Prepared, tmp_path: Path):
    rows = make_rows(prepared, starts=3, members=4)
    export(rows, prepared, tmp_path)
    of_files = evaluate(read_samples(tmp_path), prepared, SETTINGS)
    of_memory = evaluate(generated(rows, prepared), prepared, SETTINGS)
    write_evaluation(of_files, {}, tmp_path / "files.json")
    write_evaluation(of_memory, {}, tmp_path / "memory.json")
    assert (tmp_path / "files.json").read_text() == (tmp_path / "memory.json").read_text()


def test_too_narrow_ensembles_are_found_out(prepared: Prepared):
    rows = make_rows(prepared)
    mean = rows["fields"].mean("realization")
    narrow = rows.assign(fields=mean + 0.5 * (rows["fields"] - mean))
    narrow["fields"] = narrow["fields"].transpose(*rows["fields"].dims)
    metrics = evaluate(generated(narrow, prepared), prepared, SETTINGS).metrics
    assert metrics["spread_skill_24h"].model == pytest.approx(0.5, abs=0.05)
    assert metrics["rank_ends_24h"].model > 2
    assert metrics["residual_spectrum_24h"].model == pytest.approx(0.75, abs=0.1)


def test_the_truth_itself_is_perfect(prepared: Prepared):
    rows = make_rows(prepared, error=1e-4)
    metrics = evaluate(generated(rows, prepared), prepared, SETTINGS).metrics
    assert metrics["rmse_mean_24h"].model < 1e-3
    spectrum = metrics["member_spectrum_24h"]
    assert spectrum.model < 1e-2
    # the climate's power is near that of few cases, not the same
    assert 1e-2 < spectrum.baselines["training_climate"] < 1
    assert metrics["quantile_error_24h"].model < 1e-3
    divergence = metrics["divergence_24h"]
    assert divergence.model == pytest.approx(divergence.reference, rel=1e-2)
    tail = metrics["tail_index_24h"]
    assert tail.model == pytest.approx(tail.reference, rel=1e-2)


def test_kinetic_energy_is_that_of_whole_winds(prepared: Prepared):
    rows = make_rows(prepared, error=0.0)
    fields = rows["fields"].load()
    fields.values[:, :, :, 1:] *= 1.1
    metrics = evaluate(generated(rows, prepared), prepared, SETTINGS).metrics
    assert metrics["kinetic_energy_24h"].model == pytest.approx(1.21, rel=1e-4)
    assert metrics["divergence_24h"].model == pytest.approx(
        1.1 * metrics["divergence_24h"].reference, rel=0.2
    )


def test_leads_without_a_truth_are_counted_and_not_judged(prepared: Prepared):
    shorter = prepared.arrays.isel(time=slice(None, 360))
    small = dataclasses.replace(prepared, arrays=shorter)
    rows = make_rows(prepared, starts=2, steps=5)
    found = evaluate(generated(rows, prepared), small, SETTINGS)
    assert found.protocol["starts without a truth, by lead"] == {"72 h": 1, "96 h": 1, "120 h": 2}
    assert found.tables["skill_by_lead"]["starts"] == [2, 2, 1, 1]


def test_foreign_and_broken_samples_are_named(prepared: Prepared):
    rows = make_rows(prepared).load()
    rows["fields"].values[1, 2, 0, 1, 3, 3] = np.inf
    drawn = generated(rows, prepared)
    with pytest.raises(FlowsciError, match="Member 2 of case 1 is not finite in u_wind_500"):
        evaluate(drawn, prepared, SETTINGS)
    moved = prepared.arrays.assign_coords(time=prepared.arrays["time"] + STEP_HOURS // 2)
    moved["time"].attrs = dict(prepared.arrays["time"].attrs)
    with pytest.raises(FlowsciError, match=r"has no fields at 1970-.* The samples stand"):
        evaluate(drawn, dataclasses.replace(prepared, arrays=moved), SETTINGS)


def test_downscaling_stands_beside_bilinear_interpolation(prepared: Prepared):
    rows = make_rows(prepared, task="downscale_4")
    metrics = evaluate(generated(rows, prepared), prepared, SETTINGS).metrics
    beside = metrics["crps_fair"].baselines
    assert set(beside) == {"climatology", "bilinear", "bilinear_absolute_error", "dressed_mean"}
    assert beside["bilinear"] < beside["bilinear_absolute_error"] < beside["climatology"] * 1.5
    assert metrics["crps_fair"].model == pytest.approx(0.5 / np.sqrt(np.pi), rel=0.03)


def test_inpainting_is_judged_where_nothing_was_given(prepared: Prepared):
    rows = make_rows(prepared, task="inpaint")
    metrics = evaluate(generated(rows, prepared), prepared, SETTINGS).metrics
    assert metrics["given_error"].model < 1e-5
    for name in ("crps_fair", "crps_fair_near"):
        assert metrics[name].model == pytest.approx(0.5 / np.sqrt(np.pi), rel=0.1)
        assert "climatology" in metrics[name].baselines


def test_long_rollouts_are_compared_with_the_climate(prepared: Prepared):
    rows = make_rows(prepared, starts=3, steps=20, members=4, error=1e-3)
    same = evaluate(generated(rows, prepared), prepared, SETTINGS)
    wide = rows.assign(fields=rows["fields"] * np.float32(1.3) - np.float32(0.3 * 280))
    wider = evaluate(generated(wide, prepared), prepared, SETTINGS)
    assert wider.metrics["climate_wasserstein"].model > same.metrics["climate_wasserstein"].model
    assert same.metrics["climate_spread"].model == pytest.approx(1, abs=0.35)
    assert len(same.tables["climate_by_lead"]["lead_hours"]) == 20
    assert "training_climate" in same.metrics["climate_spread"].baselines
    assert wider.metrics["climate_spectrum"].model > same.metrics["climate_spectrum"].model
    assert "training_climate" in same.metrics["climate_spectrum"].baselines


@pytest.mark.parametrize(("shift", "below"), [(0.0, 0), (1.0, 0), (-1.0, 1)])
def test_weights_give_the_probability_of_an_event(prepared: Prepared, shift: float, below: int):
    generator = np.random.default_rng(3)
    rows = make_rows(prepared, members=2000, starts=2, steps=1)
    z = generator.standard_normal((2, 2000)) + shift
    region = np.zeros((2, *rows["fields"].shape[-2:]), dtype=np.float32)
    region[:, 4:6, 4:6] = 0.25
    event = {
        "log_weight": (("row", "realization"), 0.5 * shift**2 - shift * z),
        "quantity": (("row", "realization"), 280 + z),
        "region": (("row", "latitude", "longitude"), region),
        "event_channel": ("row", np.zeros(2, dtype=np.int64)),
        "threshold": ("row", np.full(2, 278.5 if below else 281.5)),
        "below": ("row", np.full(2, below)),
    }
    guided = rows.assign(event).assign_attrs(task="event")
    found = evaluate(generated(guided, prepared), prepared, SETTINGS)
    probability = found.metrics["event_probability"]
    assert probability.model == pytest.approx(0.0668, rel=0.15)
    assert probability.reference in (0.0, 0.5, 1.0)
    assert found.metrics["event_standard_error"].model < 0.01
    table = found.tables["event"]
    assert set(table) == {"probability", "standard_error", "members_in_event", "came", "happened"}
    came = np.array(table["came"])
    assert ((came < 278.5 if below else came > 281.5) == np.array(table["happened"])).all()


def test_an_event_without_a_member_in_it_has_no_error(prepared: Prepared):
    rows = make_rows(prepared, members=8, starts=2, steps=1)
    region = np.zeros((2, *rows["fields"].shape[-2:]), dtype=np.float32)
    region[:, 4, 4] = 1
    quantity = np.full((2, 8), 280.0)
    quantity[1, :2] = 290
    event = {
        "log_weight": (("row", "realization"), np.zeros((2, 8))),
        "quantity": (("row", "realization"), quantity),
        "region": (("row", "latitude", "longitude"), region),
        "event_channel": ("row", np.zeros(2, dtype=np.int64)),
        "threshold": ("row", np.full(2, 285.0)),
        "below": ("row", np.zeros(2, dtype=np.int64)),
    }
    guided = rows.assign(event).assign_attrs(task="event")
    found = evaluate(generated(guided, prepared), prepared, SETTINGS)
    assert found.tables["event"]["members_in_event"] == [0, 2]
    error = np.std([1, 1, 0, 0, 0, 0, 0, 0], ddof=1) / 8**0.5
    assert found.metrics["event_standard_error"].model == pytest.approx(error)
