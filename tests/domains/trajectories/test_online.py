import numpy as np

from flowsci.domains.trajectories.measures import inside
from flowsci.domains.trajectories.online import online_levels

POINTS = 101


def scene(sharpness, windows=4000, seed=0):
    """Ranks of truths, uniform at sharpness 1; a forecast that is too wide has more low ones."""
    draw = np.random.default_rng(seed)
    return np.floor(draw.random((windows, 3)) ** (1 / sharpness) * POINTS).astype(np.int64)


def test_regions_of_a_right_density_stay_and_wrong_ones_are_mended():
    now, recording = np.arange(4000) // 4, np.zeros(4000, int)
    for sharpness in (1.0, 0.5, 2.0):
        ranks = scene(sharpness)
        levels = online_levels(ranks, POINTS, 0.8, now, recording)
        assert abs(inside(ranks, POINTS, levels).mean() - 0.8) < 0.015
        plain = inside(ranks, POINTS, 0.8).mean()
        # P(rank share < 0.8) is 0.8 to the power of the sharpness
        assert abs(plain - 0.8**sharpness) < 0.015
        assert abs(levels[-1].mean() - 0.8 ** (1 / sharpness)) < 0.03


def test_no_truth_counts_before_it_has_come():
    """A truth at step s moves the levels of windows s steps later, and of no earlier one."""
    now, recording = np.arange(60.0), np.repeat([0, 1], 30)
    ranks = scene(1.0, windows=60)
    plain = online_levels(ranks, POINTS, 0.8, now, recording)
    for step in range(3):
        changed = ranks.copy()
        changed[10, step] = POINTS - 1 if ranks[10, step] < 80 else 0
        moved = online_levels(changed, POINTS, 0.8, now, recording) != plain
        assert not moved[: 10 + step + 1].any()
        assert moved[10 + step + 1 : 30].all()
        assert not moved[30:].any()


def test_a_lead_time_without_truths_yet_expects_what_the_others_have_shown():
    """Truths at the first step come before all others."""
    now, recording = np.arange(40) / 1000, np.zeros(40, int)
    now[20:] += 1
    ranks = np.full((40, 3), POINTS - 1)
    levels = online_levels(ranks, POINTS, 0.5, now, recording)
    assert np.allclose(levels[:20], 0.5)
    assert (levels[20:, 0] > levels[20:, 1]).all()
    assert (levels[20:, 1:] > 0.52).all()


def test_the_first_windows_have_the_level_itself_and_order_does_not_matter():
    now, recording = np.repeat(np.arange(30.0), 2), np.tile([3, 8], 30)
    ranks = scene(0.5, windows=60)
    levels = online_levels(ranks, POINTS, 0.5, now, recording)
    assert np.allclose(levels[:2], 0.5)
    mixed = np.random.default_rng(1).permutation(60)
    again = online_levels(ranks[mixed], POINTS, 0.5, now[mixed], recording[mixed])
    assert np.allclose(again, levels[mixed])
