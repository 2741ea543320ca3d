import math
from itertools import pairwise

import pytest
import torch
from catalogue import label
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsci.errors import FlowsciError
from flowsci.flow.ctmc import (
    JUMP_METHODS,
    ConditionalLeap,
    ConfidentLeap,
    DiscreteFlowMatching,
    JumpEuler,
    LogitsPrediction,
    MaskedPath,
    MixturePath,
    PosteriorPrediction,
    TauLeaping,
    UniformPath,
)
from flowsci.flow.fields import MaskedField, NetworkField
from flowsci.flow.generators import sample_generators
from flowsci.flow.grids import uniform
from flowsci.flow.paths import Linear, Polynomial, Trigonometric
from flowsci.flow.predictions import VelocityPrediction
from flowsci.flow.solvers import Euler, Mixed, solve
from flowsci.flow.sources import Categorical

DATA = torch.tensor([0.5, 0.2, 0.05, 0.25], dtype=torch.float64)
PATHS = [
    MaskedPath(4),
    UniformPath(4),
    MixturePath(Categorical(torch.tensor([0.1, 0.6, 0.3, 0.0], dtype=torch.float64))),
    MaskedPath(4, schedule=Polynomial(2.0)),
    UniformPath(4, schedule=Trigonometric()),
]
METHODS = list(JUMP_METHODS.values())


def clean_law(path):
    law = torch.zeros(path.states, dtype=torch.float64)
    law[:4] = DATA
    return law


def times(value, batch):
    return torch.full((batch,), value, dtype=torch.float64)


def exact(path, x, t):
    """The posterior of single labels x `(batch,)` by the rule of Bayes."""
    law = clean_law(path)
    states = torch.eye(len(law), dtype=torch.float64)
    kappa = path.kappa(t, x)[:, None]
    likelihood = kappa * states[x] + (1 - kappa) * path.source_law(law)[x][:, None]
    joint = likelihood * law
    total = joint.sum(1, keepdim=True)
    # a state that the chain can't be in has no posterior; any will do
    posterior = torch.where(total > 0, joint / torch.where(total > 0, total, 1), law)
    return PosteriorPrediction(posterior, x, t, path)


def all_states(path, t):
    x = torch.arange(path.states)
    return exact(path, x, times(t, len(x)))


def field(path):
    def call(x, t, condition=None):
        flat = exact(path, x.flatten(), t.double().repeat_interleave(x[0].numel()))
        return PosteriorPrediction(flat.posterior.view(*x.shape, -1).to(t.dtype), x, t, path)

    return call


def chi_square(counts, probabilities):
    expected = counts.sum() * probabilities
    assert (counts[expected == 0] == 0).all()
    real = expected > 0
    return float(((counts - expected)[real] ** 2 / expected[real]).sum())


def quantile(degrees, z=3.29):
    """The 0.9995 quantile of chi-square (Wilson and Hilferty, 1931)."""
    return degrees * (1 - 2 / (9 * degrees) + z * math.sqrt(2 / (9 * degrees))) ** 3


@pytest.mark.parametrize("path", PATHS, ids=label)
@pytest.mark.parametrize("stochasticity", [0.0, 1.0, 7.0])
@pytest.mark.parametrize("t", [0.0, 0.3, 0.9])
def test_rates_carry_the_marginals(path, stochasticity, t):
    prediction = all_states(path, t)
    rates = TauLeaping(stochasticity).rates(prediction, prediction.t)
    law, start = clean_law(path), path.source_law(DATA)
    now = path.marginal(law[None], times(t, 1))[0]
    change = path.kappa_rate(times(t, 1), law[:1]) * (law - start)
    torch.testing.assert_close(now @ rates - now * rates.sum(1), change)


@pytest.mark.parametrize("path", PATHS, ids=label)
@pytest.mark.parametrize("end", range(4))
def test_stochastic_rates_are_in_detailed_balance_given_the_end(path, end):
    t = 0.6
    states = path.states
    x, at = torch.arange(states), times(t, states)
    certain = torch.eye(states, dtype=torch.float64)[end].expand(states, -1)
    prediction = PosteriorPrediction(certain, x, at, path)
    extra = TauLeaping(2.0).rates(prediction, at) - TauLeaping().rates(prediction, at)
    law = path.marginal(certain[:1], at[:1])[0]
    # of the states with no weight, the chain never leaves towards them
    flow = law[:, None] * extra
    torch.testing.assert_close(flow, flow.T)
    assert flow.sum() > 0.1


def final_law(method, path, steps, to=1.0):
    grid = torch.linspace(0, to, steps + 1, dtype=torch.float64)
    law = path.source_law(DATA)
    for t, t_next in pairwise(grid):
        prediction = all_states(path, float(t))
        law = law @ method.transition(prediction, prediction.t, t_next.expand(len(law)))
    return law


@pytest.mark.parametrize("path", PATHS, ids=label)
@pytest.mark.parametrize("stochasticity", [0.0, 3.0])
def test_conditional_leap_has_exact_marginals_at_any_step(path, stochasticity):
    method = ConditionalLeap(stochasticity)
    for steps, to in ((1, 1.0), (3, 1.0), (2, 0.7)):
        exact_law = path.marginal(clean_law(path)[None], times(to, 1))[0]
        torch.testing.assert_close(final_law(method, path, steps, to), exact_law)


@pytest.mark.parametrize("method", [JumpEuler, TauLeaping])
@pytest.mark.parametrize("path", PATHS, ids=label)
@pytest.mark.parametrize("stochasticity", [0.0, 3.0])
def test_first_order_methods_converge_at_first_order(method, path, stochasticity):
    exact_law = path.marginal(clean_law(path)[None], times(0.7, 1))[0]
    errors = [
        float((final_law(method(stochasticity), path, steps, 0.7) - exact_law).abs().sum())
        for steps in (40, 80)
    ]
    if errors[0] < 1e-12:  # Euler is exact where the rate times the distance is constant
        assert method is JumpEuler
        return
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("stochasticity", [0.0, 2.0])
@pytest.mark.parametrize("path", PATHS[:3], ids=label)
def test_conditional_leap_is_the_chain_given_the_end(path, stochasticity):
    states = path.states
    x = torch.arange(states)
    certain = torch.eye(states, dtype=torch.float64)[1].expand(states, -1)

    def step(method, t, t_next):
        prediction = PosteriorPrediction(certain, x, times(t, states), path)
        return method.transition(prediction, prediction.t, times(t_next, states))

    grid = torch.linspace(0.2, 0.8, 1501).tolist()
    product = torch.eye(states, dtype=torch.float64)
    for t, t_next in pairwise(grid):
        product = product @ step(TauLeaping(stochasticity), t, t_next)
    leap = step(ConditionalLeap(stochasticity), 0.2, 0.8)
    torch.testing.assert_close(leap, product, rtol=0, atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS[:2], ids=label)
@pytest.mark.parametrize("stochasticity", [0.0, 1.0])
@pytest.mark.parametrize("to", [0.6, 1.0])
def test_samples_have_the_marginals_of_the_closed_form(method, path, stochasticity, to):
    generator = torch.Generator().manual_seed(11)
    x0 = path.source.sample(torch.zeros(3000, 2, dtype=torch.long), generator)
    grid = to * uniform(200)
    x = solve(field(path), x0, grid, method(stochasticity), generators=generator)
    law = path.marginal(clean_law(path)[None], times(to, 1))[0]
    counts = torch.bincount(x.flatten(), minlength=len(law))
    # the level is 5e-4 a case; first-order bias at 200 steps is far below the noise of 6000 draws
    assert chi_square(counts, law) < quantile(int((law > 0).sum()) - 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", [MaskedPath(3), UniformPath(3)], ids=label)
@pytest.mark.parametrize("stochasticity", [0.0, 1.0])
def test_correlated_entries_get_their_joint_law(method, path, stochasticity):
    joint = torch.tensor([[0.3, 0.03, 0.02], [0.01, 0.25, 0.05], [0.13, 0.01, 0.2]])
    states = path.states
    full = torch.zeros(states, states)
    full[:3, :3] = joint

    def call(x, t, condition=None):
        kappa = path.kappa(t, x)[..., None].float()
        law = path.source_law(kappa)
        seen = kappa * torch.nn.functional.one_hot(x, states) + (1 - kappa) * law[x][..., None]
        weights = seen[:, 0, :, None] * seen[:, 1, None, :] * full
        posterior = torch.stack([weights.sum(2), weights.sum(1)], dim=1)
        return PosteriorPrediction(posterior / posterior.sum(-1, keepdim=True), x, t, path)

    generator = torch.Generator().manual_seed(2)
    x0 = path.source.sample(torch.zeros(4000, 2, dtype=torch.long), generator)
    x = solve(call, x0, uniform(100), method(stochasticity), generators=generator)
    counts = torch.bincount(3 * x[:, 0] + x[:, 1], minlength=9)
    # a step that moves both entries at once ignores their dependence: a bias of order h
    distance = (counts / counts.sum() - joint.flatten()).abs().sum() / 2
    assert distance < 0.03


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("steps", [1, 3])
def test_no_mask_token_is_left_after_the_last_step(method, steps):
    path = MaskedPath(5)
    x0 = path.source.sample(torch.zeros(2000, 50, dtype=torch.long), torch.Generator())
    assert (x0 == 5).all()
    network = NetworkField(lambda x, t, c: torch.randn(*x.shape, 5), path, said=LogitsPrediction)
    x = solve(network, x0, uniform(steps), method(), generators=torch.Generator())
    assert x.max() == 4


def test_unmasked_labels_stay_without_stochasticity_and_move_with_it():
    path = MaskedPath(5)
    x = torch.arange(6).repeat(500, 1)
    t, t_next = torch.full((500,), 0.4), torch.full((500,), 0.6)
    prediction = LogitsPrediction(torch.zeros(500, 6, 5), x, t, path)
    for method in METHODS:
        quiet = method().advance(x, prediction, t, t_next, torch.Generator())
        assert torch.equal(quiet[:, :5], x[:, :5])
        lively = method(2.0).advance(x, prediction, t, t_next, torch.Generator())
        assert (lively[:, :5] != x[:, :5]).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS, ids=label)
@settings(max_examples=10, deadline=None)
@given(
    batch=st.integers(1, 4),
    inner=st.lists(st.integers(1, 4), max_size=2),
    start=st.floats(0, 0.9),
    stochasticity=st.floats(0, 5),
)
def test_transitions_are_laws_for_any_shape(method, path, batch, inner, start, stochasticity):
    generator = torch.Generator().manual_seed(batch)
    x = torch.randint(path.categories, (batch, *inner), generator=generator)
    logits = 3 * torch.randn(*x.shape, path.categories, generator=generator)
    t = torch.full((batch,), start)
    prediction = LogitsPrediction(logits, x, t, path)
    for t_next in (t + 0.01 * (1 - t), torch.ones(batch)):
        law = method(stochasticity).transition(prediction, t, t_next)
        assert law.shape == (*x.shape, path.states)
        assert law.min() >= -1e-6
        torch.testing.assert_close(law.sum(-1), torch.ones(x.shape))


@pytest.mark.parametrize("method", METHODS)
def test_a_sample_does_not_depend_on_its_batch(method):
    path = MaskedPath(4)
    network = NetworkField(lambda x, t, c: torch.zeros(*x.shape, 4), path, said=LogitsPrediction)

    def sample(indices):
        generators = sample_generators(7, indices)
        x0 = path.source.sample(torch.zeros(len(indices), 9, dtype=torch.long), generators)
        return solve(network, x0, uniform(5), method(0.5), generators=generators)

    whole = sample(range(12))
    for size in (1, 7, 3):
        parts = [sample(range(i, min(i + size, 12))) for i in range(0, 12, size)]
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", [MaskedPath(4), UniformPath(4)], ids=label)
def test_padding_stays_as_it_is(method, path):
    mask = torch.arange(6) < torch.tensor([2, 6, 4])[:, None]
    x0 = path.source.sample(torch.zeros(3, 6, dtype=torch.long), torch.Generator(), mask)
    assert (x0[~mask] == 0).all()
    network = NetworkField(lambda x, t, c: torch.zeros(*x.shape, 4), path, said=LogitsPrediction)
    x = solve(MaskedField(network, mask), x0, uniform(4), method(0.5), generators=torch.Generator())
    assert (x[~mask] == 0).all()
    assert (x[mask] != 0).any()
    assert x.max() < 4


@pytest.mark.parametrize("method", METHODS)
def test_labels_and_positions_move_with_one_call_of_the_field(method):
    path, calls = MaskedPath(4), []

    def call(x, t, condition=None):
        calls.append(float(t[0]))
        logits = torch.zeros(*x["kind"].shape, 4)
        logits[..., 2] = 50.0
        velocity = VelocityPrediction(torch.ones_like(x["place"]), x["place"], t, Linear())
        return {"kind": LogitsPrediction(logits, x["kind"], t, path), "place": velocity}

    state = {"kind": torch.full((3, 5), 4), "place": torch.zeros(3, 5, 3)}
    mixed = Mixed({"kind": method(), "place": Euler()})
    end = solve(call, state, uniform(8), mixed, generators=torch.Generator())
    assert len(calls) == 8
    assert (end["kind"] == 2).all()
    torch.testing.assert_close(end["place"], torch.ones(3, 5, 3))


def test_interpolated_labels_follow_the_path():
    path = UniformPath(4, schedule=Polynomial(2.0))
    generator = torch.Generator().manual_seed(1)
    x1 = torch.full((2, 20000), 3)
    x0 = path.source.sample(x1, generator)
    x = path.interpolate(x0, x1, torch.tensor([0.5, 1.0]), generator)
    law = path.marginal(torch.eye(4, dtype=torch.float64)[3:], times(0.5, 1))[0]
    assert chi_square(torch.bincount(x[0], minlength=4), law) < quantile(3)
    assert (x[1] == 3).all()


def test_objective_is_the_cross_entropy_of_masked_labels():
    path, generator = MaskedPath(4), torch.Generator().manual_seed(4)
    x1 = torch.multinomial(DATA, 40_000, replacement=True, generator=generator).view(4000, 10)
    mask = torch.arange(10) < torch.tensor([10, 4]).repeat(2000)[:, None]

    def network(x, t, condition):
        return DATA.log().float().expand(*x.shape, 4)

    loss = DiscreteFlowMatching(path)(network, x1, generator, mask=mask)
    entropy = -(DATA * DATA.log()).sum()
    assert loss.value == pytest.approx(float(entropy) / 2, rel=0.03)  # half are masked on average
    worse = DiscreteFlowMatching(path)(lambda *a: 2 * network(*a), x1, generator, mask=mask)
    assert worse.value > loss.value + 0.01
    half = DiscreteFlowMatching(path, weighting=lambda path, t: torch.full_like(t, 0.5))
    assert half(network, x1, generator, mask=mask).value == pytest.approx(
        float(loss.value) / 2, rel=0.05
    )


def test_padding_does_not_count_in_the_objective():
    path = UniformPath(4)
    x1 = torch.randint(4, (6, 5), generator=torch.Generator())
    mask = torch.arange(5) < torch.tensor([2, 5, 1, 3, 4, 5])[:, None]
    weights = torch.randn(4, 4, generator=torch.Generator())

    def loss(labels):
        objective = DiscreteFlowMatching(path)
        generator = torch.Generator().manual_seed(0)
        return objective(lambda x, t, c: weights[x], labels, generator, mask=mask, x0=labels)

    other = loss(torch.where(mask, x1, 3))
    torch.testing.assert_close(loss(torch.where(mask, x1, 0)).per_sample, other.per_sample)


def test_bad_input_is_named():
    path = MaskedPath(4)
    x, t = torch.full((2, 3), 4), torch.full((2,), 0.5)
    good = LogitsPrediction(torch.zeros(2, 3, 4), x, t, path)
    with pytest.raises(FlowsciError, match=r"shape \(2, 3, 4\), got \(2, 3, 5\)"):
        _ = LogitsPrediction(torch.zeros(2, 3, 5), x, t, path).posterior
    with pytest.raises(FlowsciError, match=r"labels must lie in \[0, 5\), got 7 to 7"):
        TauLeaping().advance(x + 3, good, t, t + 0.1, torch.Generator())
    with pytest.raises(FlowsciError, match="TauLeaping is random"):
        TauLeaping().advance(x, good, t, t + 0.1)
    with pytest.raises(FlowsciError, match="forwards in time only"):
        TauLeaping().advance(x, good, t, t - 0.1, torch.Generator())
    with pytest.raises(FlowsciError, match=r"probability 1\.6: take shorter steps"):
        JumpEuler(3.0).advance(x, good, t, t + 0.32, torch.Generator())
    with pytest.raises(FlowsciError, match="stochasticity must not be negative"):
        JumpEuler(-1.0)
    with pytest.raises(FlowsciError, match=r"labels must lie in \[0, 4\), got 4 to 4"):
        DiscreteFlowMatching(path)(lambda *a: None, x, torch.Generator())
    broken = NetworkField(
        lambda x, t, c: torch.where(t[0] > 0.5, float("nan"), torch.zeros(*x.shape, 4)),
        path,
        said=LogitsPrediction,
    )
    for method in METHODS:
        with pytest.raises(FlowsciError, match=r"step from t = 0\.75 to 1$"):
            solve(broken, x, uniform(4), method(), generators=torch.Generator())


def sure_of_some(batch=4, entries=50):
    """Entries that the network is the surer of the later they stand, all masked but the first."""
    x = torch.full((batch, entries), 4)
    x[:, 0] = 1
    p = torch.zeros(batch, entries, 5, dtype=torch.float64)
    p[..., 2] = torch.linspace(0.5, 0.99, entries, dtype=torch.float64)
    p[..., 3] = 1 - p[..., 2]
    p[:, 0] = torch.nn.functional.one_hot(torch.tensor(1), 5)
    return PosteriorPrediction(p, x, times(0.2, batch), MaskedPath(4))


@pytest.mark.parametrize("stochasticity", [0.0, 3.0])
def test_confident_leap_unmasks_as_many_and_the_surest_first(stochasticity):
    prediction = sure_of_some()
    x, end = prediction.x, times(0.5, 4)
    plain = ConditionalLeap(stochasticity).advance(
        x, prediction, prediction.t, end, sample_generators(0, range(4))
    )
    found = ConfidentLeap(stochasticity, 0.0).advance(
        x, prediction, prediction.t, end, sample_generators(0, range(4))
    )
    masked, known = x == 4, found != 4
    assert torch.equal((known & masked).sum(1), ((plain != 4) & masked).sum(1))
    # what was known is left or masked anew as by the chain
    assert torch.equal(found[:, 0], plain[:, 0])
    for row in range(4):
        places = (known & masked)[row].nonzero().flatten()
        assert 0 < len(places) < 49
        assert places.min() == 50 - len(places)


def test_noise_blurs_which_entry_is_the_surest():
    prediction = sure_of_some()
    ends = [
        ConfidentLeap(0.0, spread).advance(
            prediction.x, prediction, prediction.t, times(0.5, 4), sample_generators(0, range(4))
        )
        for spread in (0.3, 100.0)
    ]
    places = [((end != 4) & (prediction.x == 4)).nonzero()[:, 1].double().mean() for end in ends]
    assert places[1] == pytest.approx(25, abs=4)
    assert places[0] > places[1] + 5


def test_confident_leap_ends_in_the_posterior_and_leaves_padding():
    path = MaskedPath(4)
    x = torch.full((1, 20_001), 4)
    x[0, -1] = 0
    p = clean_law(path).expand(1, 20_001, -1).clone()
    p[0, -1] = 0
    prediction = PosteriorPrediction(p, x, times(0.9, 1), path)
    found = ConfidentLeap(2.0).advance(
        x, prediction, prediction.t, times(1.0, 1), sample_generators(0, [0])
    )
    counts = torch.bincount(found[0, :-1], minlength=5)
    assert counts[4] == 0
    assert found[0, -1] == 0
    assert chi_square(counts, clean_law(path)) < quantile(3)


def test_confident_leap_takes_masked_paths_and_no_negative_spread():
    path = UniformPath(4)
    x = torch.zeros(1, 3, dtype=torch.long)
    prediction = PosteriorPrediction(DATA.expand(1, 3, -1), x, times(0.1, 1), path)
    with pytest.raises(FlowsciError, match="takes no UniformPath"):
        ConfidentLeap().advance(x, prediction, prediction.t, times(0.2, 1), torch.Generator())
    with pytest.raises(FlowsciError, match="spread must not be negative"):
        ConfidentLeap(spread=-1)
