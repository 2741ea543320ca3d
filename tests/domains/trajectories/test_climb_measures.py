import numpy as np
import pytest

from flowsci.domains.trajectories.climb_measures import (
    LEVELS,
    ClimbDefinition,
    Climbs,
    likeness,
    pinball,
    quantiles,
)

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
