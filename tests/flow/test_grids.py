import pytest
import torch
from catalogue import PLAIN_PATHS, name

from flowsci.errors import FlowsciError
from flowsci.flow import GRIDS
from flowsci.flow.grids import central, cosine, log_snr, middle, shifted, uniform


@pytest.mark.parametrize("grid", sorted(GRIDS))
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_grids_rise_from_exactly_zero_to_exactly_one(grid, steps):
    times = GRIDS[grid](steps)
    assert times.shape == (steps + 1,)
    assert times[0] == 0
    assert times[-1] == 1
    assert (times.diff() > 0).all()


@pytest.mark.parametrize("path", PLAIN_PATHS, ids=name)
def test_log_snr_steps_are_equal_between_the_ends(path):
    c = path(log_snr(12, path)[1:-1])
    steps = (c.beta.log() - c.alpha.log()).diff()
    torch.testing.assert_close(steps, torch.ones_like(steps))


def test_a_shift_above_one_spends_steps_near_the_source():
    assert (shifted(10, 3.0)[1:-1] < GRIDS["uniform"](10)[1:-1]).all()
    torch.testing.assert_close(shifted(10, 1.0), GRIDS["uniform"](10))


@pytest.mark.parametrize("grid", [central, cosine, middle])
def test_both_ends_are_alike(grid):
    torch.testing.assert_close(grid(9), 1 - grid(9).flip(0))


def test_steps_are_shortest_in_the_middle():
    steps = middle(9).diff()
    assert (steps[:5].diff() < 0).all()
    torch.testing.assert_close(torch.sin(middle(9) * torch.pi / 2) ** 2, uniform(9))


@pytest.mark.parametrize("grid", sorted(GRIDS))
def test_no_steps_are_no_grid(grid):
    with pytest.raises(FlowsciError, match="at least one step"):
        GRIDS[grid](0)


@pytest.mark.parametrize(("grid", "name"), [(shifted, "shift"), (central, "power")])
def test_shift_and_power_are_positive(grid, name):
    with pytest.raises(FlowsciError, match=name):
        grid(4, 0.0)


def test_a_central_grid_of_power_one_is_uniform():
    torch.testing.assert_close(central(7, 1.0), uniform(7))
    assert central(20)[1] > 0.2
