import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import isotonic_regression

from flowsci.domains.trajectories.basis import OffsetBasis
from flowsci.domains.trajectories.climb import ClimbChart, between, monotone
from flowsci.domains.trajectories.frames import agent_frames
from flowsci.errors import FlowsciError

STEP = 20.0
RATES = {"width_m_s": 0.5, "level_rate_m_s": 0.02, "most_rate_m_s": 35.0}
ATTRIBUTES = {
    "climb": RATES,
    "axes": ["east", "north", "up"],
    "length_unit": "km",
    "step_seconds": STEP,
}
CHART = ClimbChart.of(ATTRIBUTES)
KM = STEP / 1000


def frames_and_future(rates: torch.Tensor):
    steps = rates.shape[1]
    up = torch.cat([torch.full((len(rates), 4), 8.0).to(rates), rates], 1).cumsum(1) * KM + 9
    north = torch.arange(4.0 + steps).to(rates).expand_as(up) * 4
    positions = torch.stack([0.1 * north, north, up], -1)
    return agent_frames(positions[:, :4]), positions[:, 4:]


def test_rates_within_the_bounds_come_back():
    rates = torch.linspace(0.02, 34.98, 600, dtype=torch.float64).reshape(40, 15)
    frames, future = frames_and_future(rates)
    back = CHART.decode(frames, CHART.encode(frames, future))
    assert torch.allclose(back, future, atol=1e-9)


def test_far_from_the_bounds_the_chart_is_the_altitude_itself():
    frames, future = frames_and_future(torch.full((3, 15), 15.0, dtype=torch.float64))
    assert torch.allclose(CHART.encode(frames, future), future, atol=1e-9)


@settings(deadline=None, max_examples=50)
@given(arrays(np.float32, (2, 45), elements=st.floats(-1e4, 1e4, width=32)), st.floats(0, 8))
def test_any_offset_becomes_a_climb_with_bounded_rates(numbers, rate):
    frames, _ = frames_and_future(torch.full((2, 15), rate))
    charted = torch.from_numpy(numbers).reshape(2, 15, 3)
    altitude = CHART.decode(frames, charted)[..., -1]
    climbs = torch.cat([frames.origin[:, -1:], altitude], 1).diff(dim=1)
    rounding = 1e-6 * altitude.abs().max()
    assert (climbs >= 0).all()
    assert (climbs <= CHART.most + rounding).all()


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, (9,), elements=st.floats(-50, 50)))
def test_the_rising_path_is_the_nearest_at_its_farthest(path):
    floored = np.maximum(path, path[0])
    rising = monotone(torch.from_numpy(path)).numpy()
    # no rising path is nearer than half of the deepest sag
    sag = (np.maximum.accumulate(floored) - floored).max()
    assert (np.diff(rising) >= 0).all()
    assert rising[0] == path[0]
    assert np.abs(rising - floored).max() == pytest.approx(sag / 2)
    squares = isotonic_regression(floored).x
    assert np.abs(rising - floored).max() <= np.abs(squares - floored).max() + 1e-9
    if (np.diff(floored) >= 0).all():
        assert np.allclose(rising, squares)


def test_what_charting_changes_is_told():
    rates = torch.tensor([[5.0, -2.0, 5.0], [5.0, 0.0, 40.0], [5.0, 6.0, 7.0]], dtype=torch.float64)
    frames, future = frames_and_future(rates)
    moved, raised, lowered = CHART.changes(frames, future)
    assert torch.allclose(moved, torch.tensor([1.0, 0, 0], dtype=torch.float64) * KM)
    assert raised.tolist() == [[False, True, False], [False, True, False], [False] * 3]
    assert lowered.tolist() == [[False] * 3, [False, False, True], [False] * 3]


def test_the_place_between_levels_is_that_below_the_next_one():
    frames, _ = frames_and_future(torch.full((2, 15), 8.0, dtype=torch.float64))
    # 9 km and four steps at 8 m/s are 9.64 km: 113.6 m below the 32nd thousand feet
    sine, cosine, steps = CHART.place(frames).unbind(-1)
    assert torch.allclose(
        torch.atan2(sine, cosine) / (2 * torch.pi) * 304.8, torch.tensor(-113.6).double()
    )
    assert torch.allclose(steps.expm1() * 160, torch.tensor(113.6).double())
    level = type(frames)(frames.origin, frames.heading, 0 * frames.velocity, frames.pace)
    assert torch.isfinite(CHART.place(level)).all()


def test_charting_is_differentiable_at_the_bounds_too():
    rates = torch.tensor([[0.0, 5.0, 35.0]], dtype=torch.float64)
    frames, future = frames_and_future(rates)
    future.requires_grad_(True)
    CHART.decode(frames, CHART.encode(frames, future)).sum().backward()
    assert torch.isfinite(future.grad).all()


def test_a_path_is_read_at_any_time_as_at_its_steps():
    path = torch.rand(5, 16, generator=torch.Generator().manual_seed(0)).cumsum(1)
    irregular = torch.tensor([0.0, 0.35, 3.0, 3.2, 9.99, 15.0])
    read = between(path, irregular)
    assert torch.equal(read[:, [0, 2, 5]], path[:, [0, 3, 15]])
    assert (read.diff(dim=1) >= 0).all()
    rates = read.diff(dim=1) / irregular.diff()
    assert (rates <= path.diff(dim=1).amax(1, keepdim=True) + 1e-4).all()
    with pytest.raises(FlowsciError, match="between 0 and 15"):
        between(path, torch.tensor([15.5]))


def test_a_chart_needs_metres_and_an_altitude():
    with pytest.raises(FlowsciError, match=r"windows\.climb.*pixel"):
        ClimbChart.of({**ATTRIBUTES, "length_unit": "pixel"})
    assert ClimbChart.of({"length_unit": "km"}) is None


def charted_basis(weight: float) -> OffsetBasis:
    """Make a basis of random directions, orthonormal where the vertical counts `weight` times."""
    generator = torch.Generator().manual_seed(3)
    square = torch.randn(45, 45, generator=generator, dtype=torch.float64)
    components = torch.linalg.qr(square)[0].reshape(45, 15, 3)
    one = torch.ones((), dtype=torch.float64)
    mean = 0.01 * torch.randn(15, 3, generator=generator, dtype=torch.float64)
    chart = ClimbChart(CHART.width, CHART.least, CHART.most, CHART.levels, weight)
    return OffsetBasis(mean, components, torch.full((45,), 0.1).to(one), 4 * one, one, chart)


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_all_components_of_charted_offsets_give_the_climb_back(weight):
    rates = 1 + 20 * torch.rand(
        6, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(5)
    )
    frames, future = frames_and_future(rates)
    basis = charted_basis(weight)
    coefficients = basis.encode(frames, future, 45)
    assert torch.allclose(basis.decode(frames, coefficients), future, atol=1e-8)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.floats(0.1, 100))
def test_any_coefficients_are_climbs(seed, size):
    frames, _ = frames_and_future(torch.full((3, 15), 8.0))
    generator = torch.Generator().manual_seed(seed)
    coefficients = size * torch.randn(3, 16, generator=generator)
    altitude = charted_basis(4.0).decode(frames, coefficients)[..., -1]
    climbs = torch.cat([frames.origin[:, -1:], altitude], 1).diff(dim=1)
    assert (climbs >= 0).all()
    assert (climbs <= CHART.most * (1 + 1e-4)).all()
