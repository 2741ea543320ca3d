"""Measures have the values that theory gives, and do not depend on the number of members."""

import numpy as np
import pytest
from scipy import stats

from flowsci.domains.weather import measures
from flowsci.domains.weather.baselines import gaussian_crps

WEIGHTS = np.full((2, 60, 60), 1 / 3600)


def draws(members: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Give members and truth around the same centre, 0; the members' deviation is `spread`."""
    generator = np.random.default_rng(0)
    own = spread * generator.standard_normal((members, 2, 60, 60))
    return own, generator.standard_normal((2, 60, 60))


@pytest.mark.parametrize("members", [2, 16])
def test_a_reliable_gaussian_ensemble_has_the_scores_of_theory(members: int):
    drawn, truth = draws(members)
    found = measures.ensemble_measures(drawn, truth, WEIGHTS)
    np.testing.assert_allclose(found["crps"], 1 / np.sqrt(np.pi), rtol=0.05)
    np.testing.assert_allclose(found["variance"], 1, rtol=0.05)
    np.testing.assert_allclose(found["squared_error"], 1 + 1 / members, rtol=0.05)
    ratio = measures.spread_skill(found["variance"], found["squared_error"], members)
    np.testing.assert_allclose(ratio, 1, rtol=0.05)
    np.testing.assert_allclose(measures.rank_ends(found["ranks"]), 1, rtol=0.15)
    # E |X - Y| - E |X - X'| / 2 of many independent cells is half of sqrt(2)
    np.testing.assert_allclose(found["energy_score"], np.sqrt(0.5), rtol=0.02)


def test_too_little_spread_is_seen():
    drawn, truth = draws(16, spread=0.5)
    found = measures.ensemble_measures(drawn, truth, WEIGHTS)
    assert measures.spread_skill(found["variance"], found["squared_error"], 16).max() < 0.6
    assert measures.rank_ends(found["ranks"]).min() > 3


def test_cells_count_by_their_weight_and_roots_come_last():
    weights = np.zeros((2, 60, 60))
    weights[:, 5, 7] = 1
    drawn, truth = draws(4)
    found = measures.ensemble_measures(drawn, truth, weights)
    np.testing.assert_allclose(
        found["squared_error"], (drawn.mean(axis=0) - truth)[:, 5, 7] ** 2, rtol=1e-6
    )


def test_exceedances_count_members_and_truth():
    drawn, truth = draws(10)
    threshold = np.full((2, 60, 60), stats.norm.ppf(0.9))
    found = measures.exceedance_measures(drawn, truth, threshold, WEIGHTS)
    np.testing.assert_allclose(found["forecast"].sum(axis=1), 1)
    shares = np.arange(11) / 10
    np.testing.assert_allclose(found["forecast"] @ shares, 0.1, atol=0.01)
    np.testing.assert_allclose(found["occurred"].sum(axis=1), 0.1, atol=0.02)
    # the fair score of a constant, right probability
    np.testing.assert_allclose(found["brier"], 0.09, atol=0.015)


def test_one_member_is_judged_as_a_forecast_without_spread():
    drawn, truth = draws(1)
    found = measures.ensemble_measures(drawn, truth, WEIGHTS)
    np.testing.assert_allclose(found["crps"], np.abs(drawn[0] - truth).mean(axis=(1, 2)))
    np.testing.assert_allclose(found["energy_score"], np.sqrt(((drawn[0] - truth) ** 2).mean()))
    assert (found["variance"] == 0).all()


def test_histograms_give_quantiles_distances_and_tails():
    generator = np.random.default_rng(0)
    weights = np.full((2, 500, 500), 1 / 250_000)
    normal = generator.standard_normal((2, 500, 500))
    heavy = generator.standard_t(3, (2, 500, 500))
    one, moved, tailed = (
        measures.histogram(values, weights) for values in (normal, normal + 0.5, heavy)
    )
    levels = np.array([0.01, 0.5, 0.99])
    expected = np.broadcast_to(stats.norm.ppf(levels), (2, 3))
    np.testing.assert_allclose(measures.quantiles(one, levels), expected, atol=0.03)
    np.testing.assert_allclose(measures.wasserstein(one, moved), 0.5, atol=0.01)
    # of Student's t it is 1 / degrees of freedom, far out in the tail
    np.testing.assert_allclose(measures.tail_index(tailed), 1 / 3, atol=0.05)
    assert (measures.tail_index(one) < 0.15).all()


@pytest.mark.parametrize("deviation", [0.3, 2.0])
def test_the_crps_of_a_gaussian_is_the_integral(deviation: float):
    grid = np.linspace(-30, 30, 60_001)
    truth, mean = 0.7, -0.2
    integrand = (stats.norm.cdf(grid, mean, deviation) - (grid >= truth)) ** 2
    found = gaussian_crps(np.array(mean), np.array(deviation), np.array(truth))
    np.testing.assert_allclose(found, np.trapezoid(integrand, grid), rtol=1e-3)
    point = gaussian_crps(np.array(mean), np.array(0.0), np.array(truth))
    np.testing.assert_allclose(point, 0.9)
