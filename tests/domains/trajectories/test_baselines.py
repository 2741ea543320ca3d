import numpy as np
import pytest

from flowsci.domains.trajectories.baselines import (
    OffsetGaussian,
    Spread,
    constant_velocity,
    fit_spread,
    sampled_constant_velocity,
)


@pytest.fixture
def pedestrians():
    """Three thousand noisy walks of 7 steps in two dimensions."""
    random = np.random.default_rng(0)
    return np.cumsum(random.normal(1, 0.2, (3000, 7, 2)), axis=1)


@pytest.fixture
def straight():
    """Two thousand straight tracks of 20 steps, each with a velocity of its own."""
    random = np.random.default_rng(0)
    velocity = random.normal(size=(2000, 1, 3), loc=(3, 0, 0))
    return np.arange(20.0)[:, None] * velocity + 10 * random.normal(size=(2000, 1, 3))


def test_straight_tracks_are_met_exactly(straight):
    assert np.allclose(constant_velocity(straight[:, :8], 12)[:, 0], straight[:, 8:])
    spread = fit_spread(straight[:, :8], straight[:, 8:])
    assert [spread.heading_radians, spread.speed, spread.climb] == pytest.approx([0] * 3)


def test_without_spread_the_sampled_form_is_the_plain_one(straight):
    drawn = sampled_constant_velocity(straight[:5, :8], 12, 4, Spread(0, 0, 0), 0)
    assert np.allclose(drawn, constant_velocity(straight[:5, :8], 12))


def test_a_known_spread_is_found_again(straight):
    spread = Spread(heading_radians=0.2, speed=0.1, climb=0.3)
    drawn = sampled_constant_velocity(straight[:, :8], 12, 1, spread, 0)[:, 0]
    found = fit_spread(straight[:, :8], drawn)
    assert found.heading_radians == pytest.approx(0.2, rel=0.06)
    assert found.speed == pytest.approx(0.1, rel=0.06)
    assert found.climb == pytest.approx(0.3, rel=0.06)


def test_draws_follow_the_seed(straight):
    spread = Spread(0.2, 0.1, 0.3)
    draws = [sampled_constant_velocity(straight[:5, :8], 12, 4, spread, s) for s in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_in_two_dimensions_nothing_climbs(pedestrians):
    observed, future = pedestrians[:, :4], pedestrians[:, 4:]
    spread = fit_spread(observed, future)
    assert set(spread.summary()) == {"heading_radians", "speed"}
    assert sampled_constant_velocity(observed[:5], 3, 4, spread, 0).shape == (5, 4, 3, 2)


def test_those_who_hardly_move_do_not_set_the_spread(straight):
    still = straight[:200, :1] + 1e-6 * np.random.default_rng(1).normal(size=(200, 20, 3))
    both = np.concatenate([straight, still])
    spread = fit_spread(both[:, :8], both[:, 8:])
    assert max(spread.heading_radians, spread.speed) < 1e-4


def test_the_gaussians_own_windows_have_the_entropy_of_its_fit(pedestrians):
    observed, future = pedestrians[:, :4], pedestrians[:, 4:]
    gaussian = OffsetGaussian.fit(observed, future)
    entropy = gaussian.scale.log().sum().item() + 6 * (np.log(2 * np.pi) + 1) / 2
    assert gaussian.raised == 0
    assert gaussian.log_density(observed, future).mean() == pytest.approx(-entropy)


def test_the_gaussian_of_a_step_is_the_fit_of_that_step(pedestrians):
    observed, future = pedestrians[:, :4], pedestrians[:, 4:]
    steps = OffsetGaussian.fit(observed, future).step_log_density(observed, future)
    assert steps.shape == (3000, 3)
    alone = OffsetGaussian.fit(observed, future[:, :1]).log_density(observed, future[:, :1])
    assert np.allclose(steps[:, 0], alone)


def test_the_gaussian_turns_with_the_agents(pedestrians):
    observed, future = pedestrians[:, :4], pedestrians[:, 4:]
    gaussian = OffsetGaussian.fit(observed, future)
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    turned = gaussian.log_density(observed @ turn + 5, future @ turn + 5)
    assert np.allclose(turned, gaussian.log_density(observed, future))


def test_directions_that_never_vary_are_raised_and_counted(straight):
    flat = straight + np.random.default_rng(1).normal(size=straight.shape) * [1, 1, 0]
    gaussian = OffsetGaussian.fit(flat[:, :8], flat[:, 8:])
    assert gaussian.raised == 12
    assert np.isfinite(gaussian.log_density(flat[:, :8], flat[:, 8:])).all()
