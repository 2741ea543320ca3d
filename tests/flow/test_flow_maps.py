import math
from itertools import pairwise

import pytest
import torch
from catalogue import label
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flowsci.errors import FlowsciError
from flowsci.flow.analytic import GaussianMixtureField
from flowsci.flow.couplings import Given, OptimalTransport
from flowsci.flow.fields import NetworkField
from flowsci.flow.flow_maps import (
    AverageVelocityMap,
    FiniteDifference,
    ForwardMode,
    MeanFlow,
    SolvedMap,
    jump,
    rectify,
)
from flowsci.flow.grids import uniform
from flowsci.flow.objectives import FlowMatching
from flowsci.flow.paths import Linear, TwoSidedNoise
from flowsci.flow.solvers import Heun, RungeKutta4, solve
from flowsci.flow.times import ImportanceByLoss, Uniform

MEAN, STD = 1.5, 0.4


def spread(t):
    return torch.sqrt((1 - t) ** 2 + (STD * t) ** 2)


def gaussian_map(x, s, t, condition=None):
    """The flow map from N(0, 1) to N(MEAN, STD^2), in closed form."""
    s, t = s[:, None], t[:, None]
    return MEAN * t + spread(t) / spread(s) * (x - MEAN * s)


def gaussian_average(x, s, t, condition=None):
    return (gaussian_map(x, s, t) - x) / (t - s)[:, None]


def gaussian_field():
    one = torch.ones(1, 2, dtype=torch.float64)
    return GaussianMixtureField(MEAN * one, STD * one, one[:, 0])


def case(batch=6):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 2, generator=generator, dtype=torch.float64)
    s = torch.linspace(0.0, 0.5, batch, dtype=torch.float64)
    return x, s, s + torch.linspace(0.5, 0.2, batch, dtype=torch.float64)


@pytest.mark.parametrize("derivative", [ForwardMode(), FiniteDifference(1e-4)], ids=label)
def test_the_identity_of_mean_flow_holds_for_the_exact_map(derivative):
    x, s, t = case()
    velocity = gaussian_field().velocity(x, s)
    slope = derivative(lambda x, s: gaussian_average(x, s, t), x, s, velocity)
    target = velocity + (t - s)[:, None] * slope
    atol = 1e-10 if isinstance(derivative, ForwardMode) else 2e-4  # one-sided at s = 0
    torch.testing.assert_close(target, gaussian_average(x, s, t), rtol=0, atol=atol)


def test_finite_difference_is_of_second_order_inside_and_first_order_at_the_end():
    x, s, t = case()
    velocity = gaussian_field().velocity(x, s)

    def error(step):
        slope = FiniteDifference(step)(lambda x, s: gaussian_average(x, s, t), x, s, velocity)
        exact = ForwardMode()(lambda x, s: gaussian_average(x, s, t), x, s, velocity)
        return (slope - exact).abs().amax(1)

    order = torch.log2(error(0.02) / error(0.01))
    assert order[1:].tolist() == pytest.approx([2] * 5, abs=0.1)
    assert float(order[0]) == pytest.approx(1, abs=0.1)


def test_average_velocity_of_the_exact_network_is_the_exact_map():
    x, s, t = case()
    flow_map = AverageVelocityMap(gaussian_average)
    torch.testing.assert_close(flow_map(x, s, t), gaussian_map(x, s, t))
    torch.testing.assert_close(flow_map(x, s, s + 1e-12), x)
    end = gaussian_map(x, 0 * s, 0 * s + 1)
    for steps in (1, 2, 5):
        torch.testing.assert_close(jump(flow_map, x, uniform(steps)), end)


@pytest.mark.parametrize(("s", "t"), [(0.0, 1.0), (0.2, 0.7), (0.9, 0.3)])
def test_a_solved_map_is_the_flow_of_its_field(s, t):
    x = case()[0]
    s, t = torch.full((6,), s).double(), torch.full((6,), t).double()
    solved = SolvedMap(gaussian_field(), uniform(40), RungeKutta4())(x, s, t)
    torch.testing.assert_close(solved, gaussian_map(x, s, t), rtol=0, atol=1e-5)


def test_only_instants_make_it_flow_matching():
    generator = torch.Generator().manual_seed(1)
    x0, x1 = (torch.randn(7, 3, generator=generator) for _ in range(2))
    objective = MeanFlow(instant=1.0, power=0.0)
    seen = []

    def network(x, s, t, condition):
        seen.append((x, s, t))
        return torch.zeros_like(x)

    loss = objective(network, x1, torch.Generator().manual_seed(2), x0=x0)
    x, s, t = seen[0]
    assert len(seen) == 1
    assert torch.equal(s, t)
    torch.testing.assert_close(x, (1 - s)[:, None] * x0 + s[:, None] * x1)
    torch.testing.assert_close(loss.per_sample, ((x1 - x0) ** 2).mean(1))
    torch.testing.assert_close(loss.value, loss.per_sample.mean())


@pytest.mark.parametrize("derivative", [ForwardMode(), FiniteDifference()], ids=label)
def test_the_exact_average_velocity_minimises_the_objective(derivative):
    generator = torch.Generator().manual_seed(3)
    x1 = MEAN + STD * torch.randn(40_000, 2, generator=generator, dtype=torch.float64)
    objective = MeanFlow(instant=0.0, power=0.0, derivative=derivative)
    gain = torch.ones((), dtype=torch.float64, requires_grad=True)
    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def network(x, s, t, condition):
        return gain * gaussian_average(x, s, t) + shift

    loss = objective(network, x1, generator)
    slopes = torch.autograd.grad(loss.value, (gain, shift))
    errors = (
        4 * math.sqrt(float(loss.value.detach()) / 40_000) * 2
    )  # residual times gradient, 4 deviations
    assert max(abs(float(slope)) for slope in slopes) < errors
    wrong = objective(lambda *a: 1.3 * network(*a), x1, generator)
    assert abs(float(torch.autograd.grad(wrong.value, gain)[0])) > 10 * errors


def test_adaptive_weight_bounds_the_loss_and_keeps_the_gradients_direction():
    x1 = 100 * torch.randn(50, 2, generator=torch.Generator())
    zero = torch.zeros(2, requires_grad=True)
    losses = [
        MeanFlow(power=power)(
            lambda x, s, t, c: zero + 0 * x, x1[:1], torch.Generator().manual_seed(4)
        )
        for power in (0.0, 1.0)
    ]
    assert losses[1].value < 1
    plain, adaptive = (torch.autograd.grad(loss.value, zero)[0] for loss in losses)
    torch.testing.assert_close(adaptive * (losses[0].value.detach() + 1e-3), plain)


@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 5),
    n=st.integers(1, 4),
    features=st.lists(st.integers(1, 3), max_size=2),
    data=st.data(),
)
@pytest.mark.parametrize("derivative", [ForwardMode(), FiniteDifference()], ids=label)
def test_padding_does_not_count_for_any_shape(derivative, batch, n, features, data):
    counts = torch.tensor(data.draw(st.lists(st.integers(1, n), min_size=batch, max_size=batch)))
    mask = torch.arange(n) < counts[:, None]
    x1 = torch.randn(batch, n, *features, generator=torch.Generator())
    real = mask.view(batch, n, *[1] * len(features))
    weight = torch.tensor(0.7, requires_grad=True)

    def loss(x1):
        generator = torch.Generator().manual_seed(5)
        objective = MeanFlow(instant=0.5, derivative=derivative, coupling=Given())
        return objective(lambda x, s, t, c: weight * x, x1, generator, mask=mask)

    filled = loss(torch.where(real, x1, 9.0))
    assert filled.per_sample.shape == (batch,)
    torch.testing.assert_close(loss(torch.where(real, x1, 0.0)).per_sample, filled.per_sample)
    assert torch.autograd.grad(filled.value, weight)[0].isfinite()


def test_a_coupling_pairs_the_ends():
    x1 = torch.arange(8.0)[:, None]
    x0 = x1.flip(0)
    objective = MeanFlow(instant=1.0, power=0.0, coupling=OptimalTransport())
    loss = objective(lambda x, s, t, c: 0 * x, x1, torch.Generator(), x0=x0)
    assert loss.value == 0


def test_rectified_pairs_are_ends_of_trajectories_without_gradient():
    x0 = case()[0].requires_grad_()
    pairs = rectify(gaussian_field(), x0, uniform(40), RungeKutta4())
    assert pairs.x0 is x0
    assert not pairs.x1.requires_grad
    zero, one = torch.zeros(6).double(), torch.ones(6).double()
    torch.testing.assert_close(pairs.x1, gaussian_map(x0, zero, one).detach(), rtol=0, atol=1e-5)


def test_bad_input_is_named():
    x, s, t = case()
    with pytest.raises(FlowsciError, match=r"not finite \(NaN or inf\) from t = 0\.5 to 1"):
        jump(lambda x, s, t, c: x / (s < 0.4)[:, None] * 0, x, uniform(2))
    with pytest.raises(FlowsciError, match=r"returned shape \(6, 1\) for a state of \(6, 2\)"):
        AverageVelocityMap(lambda x, s, t, c: x[:, :1])(x, s, t)
    with pytest.raises(FlowsciError, match="one s and one t"):
        SolvedMap(gaussian_field(), uniform(4))(x, s, t)
    with pytest.raises(FlowsciError, match="without latent noise"):
        MeanFlow(path=TwoSidedNoise())
    with pytest.raises(FlowsciError, match=r"instant in \[0, 1\]"):
        MeanFlow(instant=1.5)
    with pytest.raises(FlowsciError, match="step must lie"):
        FiniteDifference(0.0)
    with pytest.raises(FlowsciError, match=r"\(5, 2\) and \(6, 2\)"):
        MeanFlow()(lambda x, s, t, c: x, x, torch.Generator(), x0=x[:5])


class SmallNet(nn.Module):
    """A multilayer perceptron of the state and any number of times."""

    def __init__(self, times, width=64):
        super().__init__()
        sizes = [2 + times, width, width, width]
        layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(width, 2))

    def forward(self, x, *times_and_condition):
        times = [t[:, None] for t in times_and_condition[:-1]]
        return self.layers(torch.cat([x, *times], dim=1))


def train(network, objective, batches, steps=600):
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x0, x1 = batches(generator)
        optimiser.zero_grad()
        objective(network, x1, generator, x0=x0).value.backward()
        optimiser.step()
        schedule.step()
    return network


def energy_distance(x, y):
    """2 E|x - y| - E|x - x'| - E|y - y'|, unbiased, of two samples of one size (Szekely, 2003)."""
    pairs = len(x) * (len(x) - 1)
    within = torch.cdist(x, x).sum() / pairs + torch.cdist(y, y).sum() / pairs
    return float(2 * torch.cdist(x, y).mean() - within)


@pytest.fixture(scope="module")
def eight_modes():
    """An 8-mode mixture, a flow-matching network for it, and scores of its own samples."""
    angle = torch.arange(8) * (math.pi / 4)
    means = 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
    data = GaussianMixtureField(means, torch.full((8, 2), 0.15), torch.full((8,), 1 / 8))
    generator = torch.Generator().manual_seed(99)
    real, noise = data.sample(2000, generator), torch.randn(2000, 2, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = SmallNet(1), SmallNet(2)
    plain = train(networks[0], FlowMatching(), lambda g: (None, data.sample(256, g)))
    field = NetworkField(plain, Linear())
    with torch.no_grad():
        one_step = energy_distance(solve(field, noise, uniform(1)), real)
        many_steps = energy_distance(solve(field, noise, uniform(50), Heun()), real)
    return data, networks[1], plain, real, noise, one_step, many_steps


@pytest.mark.parametrize("derivative", [ForwardMode(), FiniteDifference()], ids=label)
def test_one_step_mean_flow_beats_one_step_flow_matching_twentyfold(eight_modes, derivative):
    data, start, _, real, noise, one_step, _ = eight_modes
    network = SmallNet(2)
    network.load_state_dict(start.state_dict())
    train(network, MeanFlow(derivative=derivative), lambda g: (None, data.sample(256, g)))
    with torch.no_grad():
        for steps in (1, 2, 4):
            made = jump(AverageVelocityMap(network), noise, uniform(steps))
            assert 20 * energy_distance(made, real) < one_step


def test_one_step_after_two_reflows_beats_one_step_flow_matching_thirtyfold(eight_modes):
    _, _, plain, real, noise, one_step, many_steps = eight_modes
    network = SmallNet(1)
    network.load_state_dict(plain.state_dict())
    for turn in range(2):
        x0 = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(turn))
        pairs = rectify(NetworkField(network, Linear()), x0, uniform(20), Heun())

        def rows(generator, pairs=pairs):
            index = torch.randint(20_000, (256,), generator=generator)
            return pairs.x0[index], pairs.x1[index]

        train(network, FlowMatching(coupling=Given()), rows)
    with torch.no_grad():
        made = energy_distance(solve(NetworkField(network, Linear()), noise, uniform(1)), real)
    assert 30 * made < one_step
    assert made < 2 * many_steps


def test_biased_times_are_weighed_at_both_ends():
    uneven = ImportanceByLoss(torch.tensor([1.0, 100.0]), torch.ones(2))

    def loss(times, instant):
        objective = MeanFlow(times=times, power=0.0, instant=instant)
        generator = torch.Generator().manual_seed(0)
        x = torch.zeros(20_000, 1)
        return objective(lambda x, s, t, c: (s + t)[:, None], x, generator, x0=x).value

    for instant in (0.5, 1.0):
        torch.testing.assert_close(
            loss(uneven, instant), loss(Uniform(), instant), rtol=0.06, atol=0
        )
