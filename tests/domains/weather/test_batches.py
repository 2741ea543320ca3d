import numpy as np
import pytest
import torch

from flowsci.domains.weather.batches import TrainingBatches, WeatherConditions
from flowsci.domains.weather.climatology import evaluate
from flowsci.domains.weather.grids import Grid, gauss_latitudes
from flowsci.domains.weather.masks import random_mask, task_mask
from flowsci.domains.weather.prepare import assemble
from flowsci.domains.weather.settings import (
    BoxesMask,
    StationsMask,
    WeatherSampling,
    WeatherTraining,
)
from flowsci.errors import FlowsciError
from tests.domains.weather.sets import SETTINGS, raw_fields


@pytest.fixture(scope="module")
def prepared():
    return assemble(raw_fields()[0], SETTINGS)


def training(**changes):
    return WeatherTraining(steps=1, minutes=1, **({"batch_size": 8} | changes))


def sampling(task, **changes):
    return WeatherSampling(samples=1, steps=1, task=task, **changes)


def anomalies(prepared, hours):
    """Give the states at hours from the arrays alone, as batches should hold them."""
    arrays = prepared.arrays
    numbers = np.searchsorted(arrays["time"].values, hours)
    spread = np.array(prepared.statistics["anomaly_spread"])[:, None, None]
    values = (arrays["fields"].values[numbers] - evaluate(arrays, hours)) / spread
    return torch.from_numpy(values.astype(np.float32))


def test_a_forecast_case_holds_the_states_a_lead_apart(prepared):
    batches = TrainingBatches(prepared, "train", training(lead_hours=[24, 72]))
    leads = set()
    for index in range(5):
        batch = batches[index]
        hours, lead = batch["reference_time"].numpy(), batch["lead_hours"].numpy().astype(int)
        leads |= set(lead)
        torch.testing.assert_close(batch["previous"][:, 0], anomalies(prepared, hours - lead))
        torch.testing.assert_close(batch["previous"][:, 1], anomalies(prepared, hours))
        torch.testing.assert_close(batch["target"], anomalies(prepared, hours + lead))
        torch.testing.assert_close(batch["times"][:, 4], batch["lead_hours"] / 24)
        assert batch["has_previous"].eq(1).all()
        assert not batch["observed_mask"].any()
        assert not batch["coarse"].any()
    assert leads == {24, 72}


def test_climatology_and_target_give_the_field_back(prepared):
    batch = TrainingBatches(prepared, "train", training())[3]
    spread, mean = (
        torch.tensor(prepared.statistics[name])[:, None, None]
        for name in ("anomaly_spread", "anomaly_mean")
    )
    fields = (batch["target"] + batch["climatology"]) * spread + mean
    hours = batch["reference_time"].numpy() + 24
    numbers = np.searchsorted(prepared.arrays["time"].values, hours)
    expected = torch.from_numpy(prepared.arrays["fields"].values[numbers])
    torch.testing.assert_close(fields, expected, atol=1e-3, rtol=1e-5)


def test_batches_are_the_same_by_number_and_differ_by_seed_and_pass(prepared):
    tasks = {"forecast": 1, "downscale": 1, "inpaint": 1}
    first, again = (TrainingBatches(prepared, "train", training(tasks=tasks)) for _ in range(2))
    other = TrainingBatches(prepared, "train", training(tasks=tasks, seed=1))
    again[0]
    for name, tensor in first[5].items():
        torch.testing.assert_close(tensor, again[5][name], rtol=0, atol=0)
    assert not first[5]["target"].equal(other[5]["target"])
    assert not first[5]["target"].equal(first[5 + len(first)]["target"])


def test_a_pass_shows_each_case_once(prepared):
    batches = TrainingBatches(prepared, "train", training(batch_size=100))
    ids = torch.cat([batches[index]["id"] for index in range(len(batches))])
    assert len(ids.unique()) == len(ids) == 1080 - 4


def test_validation_cases_are_the_same_in_every_pass(prepared):
    tasks = {"forecast": 1, "downscale": 1, "inpaint": 1}
    batches = TrainingBatches(prepared, "validation", training(tasks=tasks))
    for name, tensor in batches[2].items():
        torch.testing.assert_close(tensor, batches[2 + len(batches)][name], rtol=0, atol=0)


def test_tasks_come_by_their_weights_and_hold_what_is_known_of_the_target(prepared):
    settings = training(batch_size=400, tasks={"forecast": 1, "downscale": 1, "inpaint": 2})
    batch = TrainingBatches(prepared, "train", settings)[0]
    coarse, inpaint = batch["coarse_factor"] > 0, batch["observed_mask"].flatten(1).any(1)
    forecast = batch["has_previous"] > 0
    assert (forecast.int() + coarse.int() + inpaint.int() == 1).all()
    assert inpaint.float().mean() == pytest.approx(0.5, abs=0.1)
    assert set(batch["coarse_factor"].tolist()) == {0.0, 2.0, 4.0}
    mask = batch["observed_mask"]
    torch.testing.assert_close(batch["observed"], batch["target"] * mask)
    assert batch["lead_hours"][~forecast].eq(0).all()
    assert not batch["previous"][~forecast].any()
    hours = batch["reference_time"][~forecast].numpy()
    torch.testing.assert_close(batch["target"][~forecast], anomalies(prepared, hours))
    row = int(torch.nonzero(batch["coarse_factor"] == 4)[0])
    grid = Grid.of(prepared.statistics)
    expected = grid.refine(grid.coarsen(batch["target"][row], 4), 4)
    torch.testing.assert_close(batch["coarse"][row], expected)


def test_leads_that_the_data_cannot_have_are_named(prepared):
    with pytest.raises(FlowsciError, match=r"no three states 18 h apart; .* every 12 h"):
        TrainingBatches(prepared, "train", training(lead_hours=[24, 18]))
    with pytest.raises(FlowsciError, match="no two states 7 h apart"):
        WeatherConditions(prepared, sampling({"kind": "forecast", "lead_hours": 7}))


def test_conditions_of_a_rollout_have_the_climate_of_every_lead_and_all_truths(prepared):
    task = {"kind": "forecast", "lead_hours": 24, "rollout_steps": 10}
    conditions = WeatherConditions(prepared, sampling(task, starts=7))
    assert len(conditions) == 7
    batch = conditions.batch([0, 6])
    assert "target" not in batch
    assert batch["future_climatology"].shape == (2, 10, 3, 8, 16)
    torch.testing.assert_close(batch["future_climatology"][:, 0], batch["climatology"])
    torch.testing.assert_close(batch["future_times"][:, 0], batch["times"])
    hours = batch["reference_time"].numpy()
    later = WeatherConditions(prepared, sampling({"kind": "forecast"})).states
    expected = later.climatology(hours + 240)
    torch.testing.assert_close(batch["future_climatology"][:, 9], expected)
    torch.testing.assert_close(batch["start_climatology"], later.climatology(hours))
    splits = prepared.arrays["split"].values
    times = prepared.arrays["time"].values
    last = conditions.batch([6])["reference_time"].item() + 240
    assert splits[np.searchsorted(times, last)] == 2


def test_long_rollouts_may_leave_the_data(prepared):
    task = {"kind": "forecast", "lead_hours": 24, "rollout_steps": 1000}
    conditions = WeatherConditions(prepared, sampling(task, starts=3))
    assert conditions.batch([0])["future_times"].shape == (1, 1000, 5)


def test_conditions_to_downscale_and_in_paint_see_only_what_the_task_says(prepared):
    batch = WeatherConditions(prepared, sampling({"kind": "downscale", "factor": 2})).batch([4])
    truth = anomalies(prepared, batch["reference_time"].numpy())
    grid = Grid.of(prepared.statistics)
    torch.testing.assert_close(batch["coarse"], grid.refine(grid.coarsen(truth, 2), 2))
    assert batch["coarse_factor"].tolist() == [2.0]
    assert batch["has_previous"].tolist() == [0.0]
    batch = WeatherConditions(prepared, sampling({"kind": "inpaint"})).batch([4])
    mask = batch["observed_mask"]
    assert mask[..., :8].eq(1).all()
    assert mask[..., 8:].eq(0).all()
    torch.testing.assert_close(batch["observed"], truth * mask)


def test_stations_and_boxes_are_observed_where_they_lie(prepared):
    stations = {"kind": "stations", "stations": [{"latitude": 50, "longitude": -1}]}
    batch = WeatherConditions(prepared, sampling({"kind": "inpaint", "mask": stations})).batch([0])
    grid = Grid.of(prepared.statistics)
    row, column = grid.nearest(50, -1)
    assert batch["observed_mask"].sum() == 3
    assert batch["observed_mask"][0, :, row, column].eq(1).all()
    drawn = {"kind": "stations", "count": 20, "seed": 1}
    masks = [
        WeatherConditions(prepared, sampling({"kind": "inpaint", "mask": drawn})).mask
        for _ in range(2)
    ]
    assert masks[0].equal(masks[1])
    assert masks[0][0].sum() == 20


BETWEEN = {"south": 1, "north": 2, "west": 1, "east": 2}
SOUTH = {"south": -90, "north": 0, "west": 0, "east": 360}


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (BoxesMask(boxes=[SOUTH, BETWEEN]), r"mask\.boxes: box number 1 \(from 0\) holds no cell"),
        (StationsMask(count=49), r"mask\.count: 49 stations are more than the 48 cells that have"),
        (
            StationsMask(
                stations=[{"latitude": 50, "longitude": 5}, {"latitude": 50, "longitude": 99}]
            ),
            r"mask\.stations: number 1 \(from 0\): The place 50 N, 99 E lies .* Leave it out",
        ),
        (
            StationsMask(stations=[{"latitude": 40, "longitude": 0}]),
            "mask: observes no cell that has a value. Choose",
        ),
    ],
)
def test_masks_that_observe_less_than_they_say_are_refused(mask, message):
    grid = Grid.from_coordinates(np.linspace(40, 52, 7), np.arange(8) * 1.5)
    if mask.kind == "boxes":
        grid = Grid.from_coordinates(gauss_latitudes(8)[0], np.arange(16) * 22.5)
    valid = torch.ones(2, *grid.area.shape, dtype=torch.bool)
    valid[:, 0] = False
    with pytest.raises(FlowsciError, match=message):
        task_mask(grid, mask, valid)


def test_cells_without_a_value_are_never_observed():
    raw, _, _ = raw_fields()
    raw.fields[:, 0, :, :4] = np.nan
    prepared = assemble(raw, SETTINGS)
    tasks = {"forecast": 0, "inpaint": 1}
    batch = TrainingBatches(prepared, "train", training(tasks=tasks, batch_size=50))[0]
    assert batch["valid"][:, 0, :, :4].eq(0).all()
    assert not batch["observed_mask"][:, 0, :, :4].any()
    torch.testing.assert_close(
        batch["target"][:, 0, :, :4], torch.zeros(50, 8, 4), atol=1e-3, rtol=0
    )


def test_random_masks_are_of_many_sizes():
    grid = Grid.periodic(32, 64)
    generator = torch.Generator().manual_seed(0)
    shares = torch.stack([random_mask(grid, generator).float().mean() for _ in range(300)])
    assert shares.min() < 0.02
    assert shares.max() > 0.8
    assert 0.2 < shares.mean() < 0.6
