"""The learning rate against its closed form, and which budget rules it."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowsci.settings import TrainingSettings
from flowsci.training.schedule import GRACE, learning_rate, progress_of

SETTINGS = TrainingSettings(steps=100, minutes=2, warm_up_steps=10, learning_rate=0.5)


def test_the_larger_share_of_the_budget_counts():
    assert progress_of(SETTINGS, 50, 12.0) == 0.5
    assert progress_of(SETTINGS, 50, 90.0) == pytest.approx((0.75 - GRACE) / (1 - GRACE))
    assert progress_of(SETTINGS, 0, 120.0) == 1.0
    assert progress_of(SETTINGS, 50, 1e9) == 1.0
    assert progress_of(SETTINGS, 100, 0.0) == 1.0


@given(st.integers(0, 100), st.floats(0, 1))
def test_time_does_not_matter_while_the_steps_are_ahead(step, part):
    """Also before the first steps, where starting up takes some of the time and none of them."""
    seconds = 120 * (GRACE + part * (1 - GRACE) * step / 100)
    assert progress_of(SETTINGS, step, seconds) == pytest.approx(step / 100, rel=1e-12)
    assert progress_of(SETTINGS, step, 0.99 * seconds) == step / 100


def test_the_learning_rate_warms_up_and_falls_to_zero():
    rates = [learning_rate(SETTINGS, step, step / 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[50] == pytest.approx(0.25)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert rates[80] == pytest.approx(0.25 * (1 + math.cos(0.8 * math.pi)))
    assert all(a > b for a, b in pairwise(rates[10:]))
    without = SETTINGS.model_copy(update={"warm_up_steps": 0})
    assert learning_rate(without, 0, 0.0) == 0.5
