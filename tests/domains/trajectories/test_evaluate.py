from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.cases import match
from flowsci.domains.trajectories.evaluate import _interval
from flowsci.domains.trajectories.measures import inside
from flowsci.domains.trajectories.mixtures import marginal_ranks
from flowsci.domains.trajectories.scores import Scores
from flowsci.domains.trajectories.settings import TrajectoriesEvaluation
from flowsci.errors import FlowsciError

SETTINGS = TrajectoriesEvaluation(bootstrap=100, miss_radius=0.5, density_draws=100)
BOTH = {"constant_velocity", "sampled_constant_velocity"}
SAMPLED = {"sampled_constant_velocity"}
BASELINES = {
    **{f"{kind}_{k}": BOTH for kind in ("min_ade", "min_fde") for k in (1, 3)},
    **{f"joint_{kind}_1": BOTH for kind in ("min_ade", "min_fde")},
    **{f"joint_{kind}_3": BOTH | {"shuffled", "strangers"} for kind in ("min_ade", "min_fde")},
    **dict.fromkeys(("miss_rate", "collision_rate", "energy_score"), BOTH),
    **{f"coverage_{level}": SAMPLED for level in (50, 80, 95)},
    **{f"coverage_{level}_online": {"fixed_level"} for level in (50, 80, 95)},
    "kde_nll": SAMPLED,
    "calibration_error": SAMPLED,
    "nll": {"constant_velocity_gaussian"},
    "joint_nll": {"independent_agents"},
}


@pytest.fixture(scope="module")
def read(tmp_path_factory, drawn, prepared):
    folder = tmp_path_factory.mktemp("samples")
    domain.export(drawn, prepared, folder)
    return domain.read_samples(folder)


@pytest.fixture(scope="module")
def evaluation(read, prepared):
    return domain.evaluate(read, prepared, SETTINGS)


def placed(read, positions, **columns):
    """Replace the positions (rows, axes) of the samples."""
    names = ["east", "north", "up"]
    columns |= dict(zip(names, np.asarray(positions).reshape(-1, 3).T, strict=True))
    return replace(read, table=read.table.assign(**columns))


def test_every_measure_stands_beside_its_baselines(evaluation):
    assert {name: set(m.baselines) for name, m in evaluation.metrics.items()} == BASELINES
    for metric in evaluation.metrics.values():
        low, high = metric.interval
        assert low - 1e-9 <= metric.model <= high + 1e-9


def test_coverage_and_collisions_have_a_reference(evaluation):
    known = {n: m.reference for n, m in evaluation.metrics.items() if m.reference is not None}
    assert known == {
        "coverage_50": 0.5,
        "coverage_80": 0.8,
        "coverage_95": 0.95,
        "coverage_50_online": 0.5,
        "coverage_80_online": 0.8,
        "coverage_95_online": 0.95,
        "collision_rate": 0.0,
    }
    assert evaluation.metrics["coverage_80"].better == "reference"


def test_counts_are_those_of_the_test_split(evaluation, prepared):
    assert evaluation.metrics["min_ade_3"].count == prepared.counts["windows"]["test"]
    assert evaluation.metrics["joint_min_ade_3"].count == prepared.counts["scenes"]["test"]


def test_baselines_of_one_future_do_not_depend_on_minimum_or_joint(evaluation):
    plain = {
        name: metric.baselines["constant_velocity"]
        for name, metric in evaluation.metrics.items()
        if "constant_velocity" in metric.baselines
    }
    assert plain["min_ade_3"] == plain["min_ade_1"] == pytest.approx(plain["joint_min_ade_3"])
    assert plain["min_ade_3"] == pytest.approx(plain["energy_score"])
    assert plain["min_fde_3"] > plain["min_ade_3"] > 0


def test_samples_that_hold_the_truth_are_perfect(read, prepared):
    cases = match(read, prepared)
    perfect = placed(read, np.broadcast_to(cases.future[:, None], cases.samples.shape))
    metrics = domain.evaluate(perfect, prepared, SETTINGS).metrics
    perfect_ones = [n for n in metrics if "min_" in n or n in ("miss_rate", "energy_score")]
    assert all(abs(metrics[name].model) < 1e-5 for name in perfect_ones)


def test_the_most_probable_future_is_taken_for_one(read, prepared):
    cases = match(read, prepared)
    positions = cases.samples.copy()
    positions[:, 2] = cases.future
    shares = np.tile(np.repeat([0.2, 0.3, 0.5], cases.future.shape[1]), len(cases.scene))
    metrics = domain.evaluate(
        placed(read, positions, probability=shares), prepared, SETTINGS
    ).metrics
    assert metrics["min_ade_1"].model < 1e-5
    assert metrics["joint_min_fde_1"].model < 1e-5


def test_scenes_of_joint_futures_lie_below_the_same_shuffled(read, prepared):
    """In sample k every agent errs by k: joint futures hold the truth, shuffled ones rarely."""
    cases = match(read, prepared)
    error = np.arange(3.0)[:, None, None]
    evaluation = domain.evaluate(placed(read, cases.future[:, None] + error), prepared, SETTINGS)
    metric = evaluation.metrics["joint_min_ade_3"]
    assert metric.model < 1e-5
    assert metric.baselines["shuffled"] > 0.1
    table = evaluation.tables["joint_against_independent"]
    assert table["measure"] == [f"joint_min_{name}_3" for name in ("ade", "ade", "fde", "fde")]
    assert table["baseline"] == ["shuffled", "strangers"] * 2
    assert table["difference"][0] == pytest.approx(metric.model - metric.baselines["shuffled"])
    assert max(table["high"][::2]) < 0
    # strangers, who err by k in sample k as well, have all that these futures share
    assert metric.baselines["strangers"] < 1e-5


def test_scenes_whose_agents_know_of_each_other_lie_below_strangers(read, prepared):
    """Each scene has one sample of its own in which all of its agents are right."""
    cases = match(read, prepared)
    right = np.arange(3) == cases.scene[:, None] % 3
    futures = cases.future[:, None] + np.where(right, 0.0, 1.0)[..., None, None]
    evaluation = domain.evaluate(placed(read, futures), prepared, SETTINGS)
    metric = evaluation.metrics["joint_min_ade_3"]
    assert metric.model < 1e-5
    assert metric.baselines["strangers"] > 0.1
    assert max(evaluation.tables["joint_against_independent"]["high"]) < 0


def test_truths_drawn_from_the_density_are_covered_as_said(read):
    """Forty futures of each scene as its truth: coverage within what 840 windows tell."""
    generators = [torch.Generator().manual_seed(n) for n in range(len(read.density.scene.unique()))]
    truths = read.density.draw(40, generators)[0].numpy()
    ranks = [marginal_ranks(read.density, truths[:, n], 200, n)[0] for n in range(40)]
    for level in (0.5, 0.8, 0.95):
        share = inside(np.concatenate(ranks), 201, level).mean()
        assert share == pytest.approx(level, abs=0.04)


def test_the_protocol_says_what_a_limit_on_accelerations_left_out(read, prepared, evaluation):
    assert "is within the dataset's limit: 0 windows of" in evaluation.protocol["scenes hold"]
    windows = {**prepared.counts["windows"], "dropped": {}}
    free = replace(prepared, counts={**prepared.counts, "windows": windows})
    protocol = domain.evaluate(read, free, SETTINGS).protocol
    assert protocol["scenes hold"].endswith("over all observed and predicted steps")


def test_without_a_density_regions_are_those_of_the_samples(read, prepared, evaluation):
    plain = domain.evaluate(replace(read, density=None), prepared, SETTINGS)
    assert set(evaluation.metrics) - set(plain.metrics) == {"nll", "joint_nll"}
    assert "central region" in plain.protocol["coverage"]
    assert "highest density" in evaluation.protocol["coverage"]
    assert set(plain.details["reliability"]) == {"samples"}


def test_tables_by_lead_time_agree_with_the_measures(evaluation):
    table = evaluation.tables["error_by_lead_time"]
    assert table["lead_seconds"] == [10.0 * step for step in range(1, 13)]
    plain = evaluation.metrics["min_ade_1"].baselines["constant_velocity"]
    assert np.mean(table["nearest constant_velocity"]) == pytest.approx(plain)
    other = evaluation.tables["calibration_by_lead_time"]
    for name in ("coverage_80", "energy_score", "kde_nll"):
        metric = evaluation.metrics[name]
        assert np.mean(other[name]) == pytest.approx(metric.model)
        beside = {n: np.mean(other[f"{name} {n}"]) for n in metric.baselines}
        assert beside == pytest.approx(metric.baselines)
    assert len(other["nll of the position constant_velocity_gaussian"]) == 12


def test_the_order_of_rows_in_the_file_does_not_matter(read, prepared, tmp_path, evaluation):
    read.table.sample(frac=1, random_state=0).to_parquet(tmp_path / "samples.parquet")
    again = replace(domain.read_samples(tmp_path), density=read.density)
    assert domain.evaluate(again, prepared, SETTINGS).metrics == evaluation.metrics


def test_missing_rows_and_foreign_samples_are_errors(read, prepared):
    table = read.table
    with pytest.raises(FlowsciError, match="not whole"):
        domain.evaluate(replace(read, table=table.iloc[:-1]), prepared, SETTINGS)
    foreign = table.assign(agent=table["agent"] + 100)
    with pytest.raises(FlowsciError, match="not in the dataset"):
        domain.evaluate(replace(read, table=foreign), prepared, SETTINGS)
    with pytest.raises(FlowsciError, match="11 steps, the dataset predicts 12"):
        domain.evaluate(replace(read, table=table[table["step"] < 12]), prepared, SETTINGS)
    fewer = table[table["scene"] > table["scene"].min()]
    with pytest.raises(FlowsciError, match=r"densities .* are not those of the samples"):
        domain.evaluate(replace(read, table=fewer), prepared, SETTINGS)


def test_what_a_scene_shares_is_resampled_by_periods():
    """Forty scenes of many agents that all have their scene's value: forty numbers, no more."""
    random = np.random.default_rng(0)
    scenes, agents = 40, 25
    scene = np.repeat(np.arange(scenes), agents)
    values = random.normal(size=scenes)[scene]
    cases = SimpleNamespace(
        scene=scene,
        track=np.arange(len(scene)),
        recording=np.zeros(len(scene), dtype=int),
        seconds=100.0 * scene,
        observed=np.zeros((len(scene), 4, 2)),
        future=np.zeros((len(scene), 6, 2)),
        step_seconds=1.0,
    )
    joint = Scores({"model": values}, "m", of_scenes=True)
    low, high = _interval(joint, values, cases, SETTINGS)
    wanted = 2 * 1.96 / scenes**0.5
    assert 0.7 * wanted < high - low < 1.3 * wanted
