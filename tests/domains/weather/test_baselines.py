"""Baselines find what the dataset was made of, on the training split alone."""

import numpy as np
import pytest

from flowsci.domains.weather.anomalies import Anomalies
from flowsci.domains.weather.baselines import (
    Baselines,
    Climatology,
    DampedPersistence,
    Dressed,
    Patterns,
    Persistence,
)

from .judged import MEMORY, SPREAD, make_prepared


@pytest.fixture(scope="module")
def anomalies() -> Anomalies:
    """Give the anomalies of the small dataset."""
    return Anomalies(make_prepared())


def test_anomalies_are_in_spreads_and_weights_leave_cells_without_a_value_out(anomalies):
    square = (anomalies[anomalies.of_split("train")] ** 2 * anomalies.weights).sum(axis=(2, 3))
    np.testing.assert_allclose(square.mean(axis=0), 1, rtol=0.2)
    assert (anomalies[np.array([3])][0, 0, 3, 4], anomalies.weights[0, 3, 4]) == (0, 0)
    np.testing.assert_allclose(anomalies.weights.sum(axis=(1, 2)), 1)


def test_pairs_stay_in_a_split(anomalies):
    before, now, later = anomalies.pairs("validation", 24, 36)
    assert (now - before == 3).all()
    assert (later - now == 2).all()
    assert (before.min(), later.max()) == (280, 329)


def test_damping_is_the_memory_of_the_anomaly(anomalies):
    damped = DampedPersistence.fit(anomalies, 24)
    weighted = (damped.factor * anomalies.weights).sum(axis=(1, 2))
    np.testing.assert_allclose(weighted, MEMORY**2, atol=0.1)


def test_persistence_keeps_fields_and_climatology_anomalies_of_zero(anomalies):
    start = np.array([352])
    np.testing.assert_array_equal(Persistence(anomalies, 24).forecast(start), anomalies[start])
    assert not Climatology(anomalies).forecast(start).any()


def test_patterns_are_orthonormal_by_area_and_give_training_fields_back(anomalies):
    patterns = Patterns(anomalies, 60)
    products = patterns.functions.T @ patterns.functions
    np.testing.assert_allclose(products.numpy(), np.eye(60), atol=1e-3)
    times = np.array([5, 350])
    again = patterns.fields(patterns.coefficients(times))
    # the dataset has 20 patterns a channel
    np.testing.assert_allclose(again, anomalies[times], atol=0.02)


def test_baselines_are_ordered_as_they_should_be(anomalies):
    found = Baselines(anomalies, 24, functions=60).at(24)
    _, now, later = anomalies.pairs("test", 24, 24)
    errors = {
        name: np.sqrt(
            ((dressed.baseline.forecast(now) - anomalies[later]) ** 2 * anomalies.weights)
            .sum(axis=(2, 3))
            .mean()
        )
        for name, dressed in found.items()
    }
    assert set(errors) == {"persistence", "damped_persistence", "climatology", "eof_ridge"}
    assert errors["damped_persistence"] < errors["persistence"] < errors["climatology"]
    assert errors["eof_ridge"] < errors["climatology"]


def test_the_dressing_has_the_error_of_validation(anomalies):
    dressed = Dressed.fit(Climatology(anomalies), anomalies, 24, 24)
    times = anomalies.pairs("validation", 24, 24)[2]
    expected = np.sqrt((anomalies[times] ** 2).mean(axis=0))
    np.testing.assert_allclose(dressed.deviation, expected, rtol=1e-4)
    assert dressed.split == "validation"


def test_a_short_validation_split_gives_way_to_training():
    prepared = make_prepared()
    prepared.arrays["split"].values[283:330] = -1
    short = Anomalies(prepared)
    assert Dressed.fit(Climatology(short), short, 24, 24).split == "train"
    assert len(SPREAD) == 3
