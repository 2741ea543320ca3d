import numpy as np
import pytest

from flowsci.domains.trajectories.baselines import (
    Spread,
    constant_velocity,
    fit_spread,
    sampled_constant_velocity,
)


@pytest.fixture
def straight():
    """Two thousand straight tracks of 20 steps, each with a velocity of its own."""
    random = np.random.default_rng(0)
    velocity = random.normal(size=(2000, 1, 3), loc=(3, 0, 0))
    return np.arange(20.0)[:, None] * velocity + 10 * random.normal(size=(2000, 1, 3))


def test_straight_tracks_are_met_exactly(straight):
    assert np.allclose(constant_velocity(straight[:, :8], 12)[:, 0], straight[:, 8:])
    spread = fit_spread(straight[:, :8], straight[:, 8:])
    assert [spread.heading_radians, spread.speed, spread.climb_km] == pytest.approx([0] * 3)


def test_without_spread_the_sampled_form_is_the_plain_one(straight):
    drawn = sampled_constant_velocity(straight[:5, :8], 12, 4, Spread(0, 0, 0), 0)
    assert np.allclose(drawn, constant_velocity(straight[:5, :8], 12))


def test_a_known_spread_is_found_again(straight):
    spread = Spread(heading_radians=0.2, speed=0.1, climb_km=0.3)
    drawn = sampled_constant_velocity(straight[:, :8], 12, 1, spread, 0)[:, 0]
    found = fit_spread(straight[:, :8], drawn)
    assert found.heading_radians == pytest.approx(0.2, rel=0.06)
    assert found.speed == pytest.approx(0.1, rel=0.06)
    assert found.climb_km == pytest.approx(0.3, rel=0.06)


def test_draws_follow_the_seed(straight):
    spread = Spread(0.2, 0.1, 0.3)
    draws = [sampled_constant_velocity(straight[:5, :8], 12, 4, spread, s) for s in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
