"""Intervals against their closed form; the file's shape and its refusal of NaN."""

import json

import numpy as np
import pytest

from flowsci.errors import FlowsciError
from flowsci.settings import EvaluationSettings
from flowsci.store.metrics import Evaluation, Metric, bootstrap_interval, write_evaluation


def test_the_interval_of_a_mean_is_the_normal_one():
    cases = np.random.default_rng(0).normal(3.0, 2.0, 2000)
    settings = EvaluationSettings(bootstrap=2000, confidence=0.95, seed=1)
    low, high = bootstrap_interval(cases, settings)
    half = 1.96 * cases.std() / np.sqrt(len(cases))
    assert low == pytest.approx(cases.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(cases.mean() + half, abs=0.1 * half)
    assert (low, high) == bootstrap_interval(cases, settings)


def test_a_ratio_of_means_has_the_interval_of_the_ratio():
    rng = np.random.default_rng(0)
    below = rng.uniform(1, 2, 500)
    cases = np.stack([below * 0.5, below], axis=1)
    settings = EvaluationSettings(bootstrap=200, confidence=0.9, seed=0)
    interval = bootstrap_interval(cases, settings, statistic=lambda m: m[:, 0] / m[:, 1])
    assert interval == pytest.approx((0.5, 0.5))


def test_the_file_has_the_one_shape(tmp_path):
    metric = Metric(1.0, "km", "lower", 3, (0.5, 1.5), None, {"constant_velocity": 2.0})
    path = tmp_path / "metrics.json"
    table = {"lead_seconds": [10.0], "who": ["model"]}
    evaluation = Evaluation({"split": "test"}, {"error": metric}, tables={"by_lead_time": table})
    write_evaluation(evaluation, {"seconds": 1}, path)
    assert json.loads(path.read_text()) == {
        "protocol": {"split": "test"},
        "metrics": {
            "error": {
                "model": 1.0,
                "unit": "km",
                "better": "lower",
                "count": 3,
                "interval": [0.5, 1.5],
                "reference": None,
                "baselines": {"constant_velocity": 2.0},
            }
        },
        "tables": {"by_lead_time": {"lead_seconds": [10.0], "who": ["model"]}},
        "provenance": {"seconds": 1},
    }
    with pytest.raises(FlowsciError, match="error is not finite"):
        nan = Metric(float("nan"), "km", "lower", 3, (0.5, 1.5))
        write_evaluation(Evaluation({}, {"error": nan}), {}, path)


def test_a_table_that_is_not_finite_is_named(tmp_path):
    evaluation = Evaluation({}, {}, tables={"by_lead_time": {"good": [1.0], "bad": [np.inf]}})
    with pytest.raises(FlowsciError, match="by_lead_time is not finite in bad"):
        write_evaluation(evaluation, {}, tmp_path / "metrics.json")
