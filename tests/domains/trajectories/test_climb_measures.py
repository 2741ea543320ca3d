from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.cases import match
from flowsci.domains.trajectories.climb_measures import (
    LEVELS,
    ClimbDefinition,
    Climbs,
    climb_scores,
    likeness,
    paths_of,
    pinball,
    quantiles,
)
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators

matplotlib.use("agg")

DEFINITION = ClimbDefinition(least_rate=1.524, over_seconds=30, step_seconds=20)


def path(*rates: float) -> np.ndarray:
    """Make an altitude path (1, 1 + steps) in m from rates (m/s) of steps of 20 s."""
    return 8000 + 20 * np.concatenate([[0.0], np.cumsum(rates)])[None]


@pytest.mark.parametrize(
    ("rates", "time", "rate"),
    [
        ([10] * 15, 300, 10),
        # from 90 s on 10 s at 10 m/s are left of the next 30: too fast; from 100 s on it is level
        ([10] * 5 + [0] * 10, 100, 10),
        # 10 s at 4 m/s make a mean of 4/3 m/s: already level at 90 s
        ([4] * 5 + [0] * 10, 90, 4),
        ([0] * 15, 0, 0),
        # level for 20 s only: a rate of 5/3 m/s over the slowest 30 s
        ([5] * 5 + [0] + [5] * 9, 300, 14 / 3),
        # level at the last step alone is not seen for 30 s
        ([10] * 14 + [0], 300, 140 / 15),
    ],
)
def test_level_off_and_rate_of_made_climbs(rates, time, rate):
    found = DEFINITION.quantities(path(*rates))
    assert found["level_off_time"] == pytest.approx(time)
    assert found["rate_of_climb"] == pytest.approx(rate)


def test_many_paths_are_judged_one_by_one():
    both = np.stack([path(*[10] * 15), path(*[4] * 5, *[0] * 10)], axis=1)
    found = DEFINITION.quantities(both)
    assert found["level_off_time"].tolist() == [[300.0, 90.0]]


def test_quantiles_weigh_their_values():
    values = np.array([[3.0, 1.0, 2.0, 9.0]])
    weights = np.array([[0.5, 0.25, 0.25, 0.0]])
    found = quantiles(values, weights)[0]
    assert found[np.isclose(LEVELS, 0.25)].item() == 1.0
    assert found[np.isclose(LEVELS, 0.5)].item() == 2.0
    assert found[np.isclose(LEVELS, 0.525)].item() == 3.0
    assert found[-1] == 3.0


def test_pinball_is_least_at_the_true_quantiles():
    generator = np.random.default_rng(0)
    draws = generator.normal(size=(1, 4000))
    truth = generator.normal(size=(2000, 1))
    right = quantiles(draws, np.ones_like(draws))
    means = [
        pinball(truth, right * spread + shift).mean()
        for spread, shift in [(1, 0), (0.5, 0), (2, 0), (1, 0.5), (1, -0.5)]
    ]
    assert np.argmin(means) == 0


def test_pinball_of_a_single_value_is_half_of_its_distance():
    predicted = np.full((1, len(LEVELS)), 4.0)
    assert pinball(np.array([[7.0]]), predicted) == pytest.approx(1.5)


def test_likeness_sees_the_height_below_a_level_and_counts_a_track_once():
    observed = np.cumsum(np.full((6, 4), 160.0), axis=1) + np.array(
        [[0], [0], [0], [150], [9], [70]]
    )
    track = np.array([0, 0, 0, 1, 2, 3])
    climbs = Climbs(observed, observed, track)
    weights = likeness(climbs, climbs, 0.3)
    assert weights[0, 0] == pytest.approx(1 / 3)
    assert weights[3, 3] == pytest.approx(1)
    assert weights[0].argsort()[-1] == 4


@pytest.fixture(scope="module")
def judged(climbs, run_settings, tmp_path_factory):
    """Samples of an untrained model of climbs, as read, and their evaluation."""
    network = run_settings.network.model_copy(update={"modes": 0})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = domain.model(network, run_settings.flow, climbs.statistics)
        torch.nn.init.normal_(model.network.out.weight, std=0.3)
    settings = run_settings.sampling.model_copy(update={"samples": 40})
    conditions = domain.conditions(climbs, settings)
    batch = conditions.batch(range(len(conditions)))
    generators = sample_generators(0, range(40 * len(conditions)))
    with torch.no_grad():
        samples = model.sample(model.network.eval(), batch, generators, settings)
    folder = tmp_path_factory.mktemp("climbs")
    domain.export(domain.decode(samples, batch, climbs), climbs, folder)
    drawn = domain.read_samples(folder)
    return drawn, domain.evaluate(drawn, climbs, run_settings.evaluation)


def test_every_sampled_altitude_rises_at_a_bounded_rate(judged, climbs):
    cases = match(judged[0], climbs)
    rates = np.diff(paths_of(cases, 1000.0), axis=-1) / 20
    # altitudes are written in float32 km
    assert rates.min() >= 0
    assert rates.max() <= 35 + 1e-3


def test_climbs_are_judged_beside_their_baselines(judged):
    metrics = judged[1].metrics
    for name in ("level_off_time", "rate_of_climb"):
        for measure in ("coverage_95", "width_95", "pinball"):
            baselines = metrics[f"{name}_{measure}"].baselines
            assert set(baselines) == {"climatology", "constant_rate", "kernel"}
        assert metrics[f"{name}_coverage_95"].reference == 0.95
        assert metrics[f"{name}_width_95"].baselines["constant_rate"] == 0
        assert metrics[f"{name}_pinball"].baselines["kernel"] > 0
    assert metrics["level_off_time_pinball"].unit == "s"
    assert "truths level off within 200 s" in judged[1].protocol["level_off_time"]


def test_samples_that_are_the_truth_are_covered_without_width(judged, climbs):
    drawn = judged[0]
    cases = match(drawn, climbs)
    truth = np.repeat(cases.future[:, None], 40, axis=1).reshape(-1, 3)
    columns = dict(zip(("east", "north", "up"), truth.T, strict=True))
    perfect = match(replace(drawn, table=drawn.table.assign(**columns)), climbs)
    scores = climb_scores(perfect, climbs)
    for name in ("level_off_time", "rate_of_climb"):
        assert scores[f"{name}_pinball"].value("model") == pytest.approx(0, abs=1e-9)
        assert scores[f"{name}_coverage_95"].value("model") == 1
        assert scores[f"{name}_width_95"].value("model") == pytest.approx(0, abs=1e-9)


def test_bands_have_a_figure(judged, climbs):
    figure = domain.figures(judged[0], climbs, judged[1])["climb_bands"]
    assert len(figure.axes[0].collections[0].get_segments()) == 40


def test_modes_are_refused_because_charted_altitudes_have_no_density(climbs, run_settings):
    with pytest.raises(FlowsciError, match=r"network\.modes to 0"):
        domain.model(run_settings.network, run_settings.flow, climbs.statistics)
