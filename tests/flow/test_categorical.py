import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsci.errors import FlowsciError
from flowsci.flow import categorical
from flowsci.flow.analytic import GaussianMixtureField
from flowsci.flow.categorical import (
    VariationalPrediction,
    cross_entropy,
    draw,
    one_hot,
)
from flowsci.flow.fields import MaskedField, NetworkField
from flowsci.flow.grids import uniform
from flowsci.flow.objectives import FlowMatching
from flowsci.flow.paths import Linear, Trigonometric
from flowsci.flow.solvers import Heun, Midpoint, solve
from flowsci.flow.sources import Gaussian

LAW = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)


def exact_logits(x, t, condition=None, path=None):
    """Logits of the posterior for one-hot data of LAW and a normal source."""
    c = (path or Linear())(t).expand(x)
    means = c.beta.unsqueeze(-2) * torch.eye(3, dtype=x.dtype)
    distances = (x.unsqueeze(-2) - means).square().sum(-1)
    return LAW.log().to(x) - distances / (2 * c.alpha**2)


@pytest.mark.parametrize("t", [0.0, 0.4, 0.9])
def test_velocity_of_the_posterior_mean_in_closed_form(t):
    x = torch.randn(5, 4, 3, generator=torch.Generator(), dtype=torch.float64)
    at = torch.full((5,), t, dtype=torch.float64)
    logits = exact_logits(x, at)
    prediction = VariationalPrediction(logits, x, at, Linear())
    torch.testing.assert_close(prediction.velocity, (logits.softmax(-1) - x) / (1 - t))
    torch.testing.assert_close(prediction.clean.sum(-1), torch.ones(5, 4, dtype=torch.float64))
    rebuilt = (1 - at)[:, None, None] * prediction.noise + at[:, None, None] * prediction.clean
    torch.testing.assert_close(rebuilt, x)


@pytest.mark.parametrize("path", [Linear(), Trigonometric()])
def test_velocity_is_that_of_a_mixture_of_points(path):
    corners = torch.eye(3, dtype=torch.float64)
    mixture = GaussianMixtureField(corners, torch.zeros_like(corners), LAW, path)
    x = torch.randn(6, 3, generator=torch.Generator(), dtype=torch.float64)
    t = torch.linspace(0, 0.9, 6, dtype=torch.float64)
    prediction = VariationalPrediction(exact_logits(x, t, path=path), x, t, path)
    torch.testing.assert_close(prediction.velocity, mixture.velocity(x, t))


@pytest.mark.parametrize("path", [Linear(), Trigonometric()])
def test_exact_logits_carry_noise_to_the_categories(path):
    field = NetworkField(
        lambda x, t, c: exact_logits(x, t, path=path), path, said=VariationalPrediction
    )
    x0 = torch.randn(4000, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = solve(field, x0, uniform(60), Midpoint())
    nearest = x.argmax(-1)
    assert (x - one_hot(nearest, 3, x.dtype)).abs().max() < 0.1
    counts = torch.bincount(nearest, minlength=3)
    statistic = ((counts - 4000 * LAW) ** 2 / (4000 * LAW)).sum()
    assert statistic < 15.2  # 0.9995 quantile of chi-square at 2 degrees of freedom


def test_the_objective_is_a_cross_entropy_that_the_posterior_minimises():
    generator = torch.Generator().manual_seed(0)
    labels = torch.multinomial(LAW, 20_000, replacement=True, generator=generator).view(2000, 10)
    x1 = one_hot(labels, 3, torch.float64)
    losses = {
        scale: FlowMatching(said=VariationalPrediction)(
            lambda x, t, c, scale=scale: scale * exact_logits(x, t),
            x1,
            torch.Generator().manual_seed(1),
        )
        for scale in (0.7, 1.0, 1.4)
    }
    assert losses[1.0].per_sample.shape == (2000,)
    assert losses[1.0].value < min(losses[0.7].value, losses[1.4].value)


def test_cross_entropy_is_that_of_torch():
    logits = torch.randn(6, 4, generator=torch.Generator())
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, one_hot(labels, 4)), expected)


def test_padding_of_one_hot_states_stays_zero():
    mask = torch.arange(5) < torch.tensor([2, 5])[:, None]
    x0 = Gaussian().sample(torch.zeros(2, 5, 3), torch.Generator(), mask)
    field = MaskedField(NetworkField(exact_logits, Linear(), said=VariationalPrediction), mask)
    x = solve(field, x0, 0.9 * uniform(5), Heun())
    assert (x[~mask] == 0).all()
    assert (x[mask] != 0).all()


@settings(max_examples=20, deadline=None)
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), categories=st.integers(1, 5))
def test_one_hot_states_and_draws_for_any_shape(shape, categories):
    labels = torch.randint(categories, shape, generator=torch.Generator())
    states = one_hot(labels, categories)
    assert states.shape == (*shape, categories)
    assert torch.equal(states.argmax(-1), labels)
    assert torch.equal(draw(states, torch.Generator()), labels)


def test_draws_follow_their_probabilities_and_never_the_impossible():
    p = torch.tensor([0.0, 0.7, 0.0, 0.3, 0.0])
    drawn = draw(p.expand(20_000, 5), torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn, minlength=5)
    assert counts[[0, 2, 4]].sum() == 0
    assert counts[1] / 20_000 == pytest.approx(0.7, abs=0.0115)  # 3.5 standard errors


@pytest.mark.parametrize(("level", "state"), [(0.0, 1), (1 - 2**-24, 3)])
@pytest.mark.parametrize("total", [0.9999, 1.0, 1.0001])
def test_draws_at_the_ends_of_the_unit_interval(monkeypatch, level, state, total):
    monkeypatch.setattr(categorical, "uniform", lambda shape, *a, **k: torch.full(shape, level))
    p = total * torch.tensor([[0.0, 0.7, 0.0, 0.3, 0.0]])
    assert draw(p, torch.Generator()).item() == state


def test_bad_input_is_named():
    with pytest.raises(FlowsciError, match=r"labels must lie in \[0, 3\), got 0 to 3"):
        one_hot(torch.arange(4), 3)
    with pytest.raises(FlowsciError, match=r"labels must be integers, got torch\.float32"):
        one_hot(torch.zeros(4), 3)
    with pytest.raises(FlowsciError, match=r"returned shape \(2, 4\) for a state of \(2, 3\)"):
        VariationalPrediction.error(torch.zeros(2, 4), torch.zeros(2, 3))
    x = torch.zeros(2, 3)
    with pytest.raises(FlowsciError, match=r"at t = 1\.0 can't be had"):
        _ = VariationalPrediction(x, x, torch.ones(2), Linear()).velocity
