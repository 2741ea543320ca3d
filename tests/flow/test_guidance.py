import math

import pytest
import torch
from catalogue import METHODS, PLAIN_PATHS, name
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import DOUBLE, gaussian, mixture, normals

from flowsci.errors import FlowsciError
from flowsci.flow import (
    ActionDenoiserPrediction,
    CentredField,
    ClassifierFree,
    CleanPrediction,
    ConditionalLeap,
    Constrained,
    EnergyGuidance,
    Euler,
    Gaussian,
    GaussianField,
    Heun,
    InPainting,
    KnownLabels,
    KnownPart,
    Linear,
    LogitsPrediction,
    MaskedField,
    MaskedPath,
    NetworkField,
    NoisePrediction,
    PosteriorPrediction,
    RungeKutta4,
    ScorePrediction,
    StateEnergyGuidance,
    Trigonometric,
    TwoSidedNoise,
    UniformPath,
    VariationalPrediction,
    VelocityPrediction,
    masks,
    sample_generators,
    solve,
)
from flowsci.flow.grids import uniform

QUANTITIES = ("velocity", "clean", "noise", "score")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def times(value, count=6):
    return torch.full((count,), value, dtype=DOUBLE)


def pair(first, second):
    """A field that is `first` without a condition and `second` with one."""

    def field(x, t, condition=None):
        return first(x, t) if condition is None else second(x, t)

    return field


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5, -0.5])
@pytest.mark.parametrize("path", PLAIN_PATHS, ids=name)
def test_all_quantities_lie_on_the_line_through_both_predictions(path, weight):
    guided = ClassifierFree(pair(mixture(path), gaussian(path)), weight)
    x = normals(6)
    for t in (times(0.0), times(0.4), times(1.0)):
        found, weak, strong = guided(x, t, 1), mixture(path)(x, t), gaussian(path)(x, t)
        for quantity in (*QUANTITIES, "whitened_score"):
            wanted = weight * getattr(strong, quantity) + (1 - weight) * getattr(weak, quantity)
            torch.testing.assert_close(getattr(found, quantity), wanted)
        assert torch.equal(found.noise_scale, strong.noise_scale)


def test_the_weight_may_depend_on_time_and_the_other_field_be_a_weak_one():
    seen = []

    def weak(x, t, condition=None):
        seen.append(condition)
        return mixture()(x, t)

    guided = ClassifierFree(pair(mixture(), gaussian()), lambda t: 2 * (t > 0.5).to(t), weak=weak)
    x = normals(2)
    t = torch.tensor([0.3, 0.7], dtype=DOUBLE)
    found, low, high = guided(x, t, "y").velocity, mixture()(x, t), gaussian()(x, t)
    torch.testing.assert_close(found[0], low.velocity[0])
    torch.testing.assert_close(found[1], (2 * high.velocity - low.velocity)[1])
    assert seen == ["y"]


def test_a_mapping_is_guided_part_by_part():
    one = pair(mixture(), gaussian())

    def two(x, t, condition=None):
        return {key: one(part, t, condition) for key, part in x.items()}

    x = {"a": normals(6), "b": normals(6, seed=1)}
    found = ClassifierFree(two, 2.0)(x, times(0.4), 1)
    wanted = ClassifierFree(one, 2.0)(x["b"], times(0.4), 1)
    torch.testing.assert_close(found["b"].velocity, wanted.velocity)


def test_a_latent_path_keeps_velocity_and_score_on_the_line():
    path = TwoSidedNoise()

    def field(x, t, condition=None):
        value = (x, 2 * x) if condition is None else (x + 1, x - 1)
        return ActionDenoiserPrediction(value, x, t, path)

    x, t = normals(6), times(0.3)
    found, strong, weak = ClassifierFree(field, 3.0)(x, t, 1), field(x, t, 1), field(x, t)
    torch.testing.assert_close(found.velocity, 3 * strong.velocity - 2 * weak.velocity)
    torch.testing.assert_close(found.score, 3 * strong.score - 2 * weak.score)
    assert torch.equal(found.noise_scale, strong.noise_scale)


@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
def test_guided_labels_have_the_normalised_product_of_both_laws(weight):
    path = UniformPath(4)
    weak, strong = torch.randn(2, 3, 5, 4, generator=seeded(), dtype=DOUBLE)
    field = pair(
        lambda x, t: LogitsPrediction(weak, x, t, path),
        lambda x, t: LogitsPrediction(strong, x, t, path),
    )
    x = torch.zeros(3, 5, dtype=torch.long)
    found = ClassifierFree(field, weight)(x, times(0.5, 3), 1)
    law = strong.softmax(-1) ** weight * weak.softmax(-1) ** (1 - weight)
    torch.testing.assert_close(found.posterior, law / law.sum(-1, keepdim=True))
    assert isinstance(found, LogitsPrediction)


def test_one_hot_states_stay_in_the_simplex_however_strong_the_guidance():
    logits = torch.randn(2, 6, 3, 4, generator=seeded(), dtype=DOUBLE)
    field = pair(
        lambda x, t: VariationalPrediction(logits[0], x, t, Linear()),
        lambda x, t: VariationalPrediction(logits[1], x, t, Linear()),
    )
    x = torch.randn(6, 3, 4, generator=seeded(1), dtype=DOUBLE)
    clean = ClassifierFree(field, 8.0)(x, times(0.5), 1).clean
    assert (clean >= 0).all()
    torch.testing.assert_close(clean.sum(-1), torch.ones(6, 3, dtype=DOUBLE))


def test_labels_without_logits_say_what_to_do():
    x = torch.zeros(2, 3, dtype=torch.long)
    law = torch.full((2, 3, 2), 0.5)

    def field(x, t, condition=None):
        return PosteriorPrediction(law, x, t, UniformPath(2))

    with pytest.raises(FlowsciError, match="logits"):
        ClassifierFree(field, 2.0)(x, torch.zeros(2), 1)


def test_a_strength_of_another_shape_names_both():
    guided = ClassifierFree(pair(mixture(), gaussian()), lambda t: t.sum())
    with pytest.raises(FlowsciError, match=r"\(6,\).*\(\)"):
        guided(normals(6), times(0.5), 1)


MEAN, STD, ERROR, MEASURED = (1.0, -2.0), (0.7, 0.4), 0.3, 0.2


def prior(path, source_std=1.0):
    return GaussianField(
        torch.tensor(MEAN, dtype=DOUBLE), torch.tensor(STD, dtype=DOUBLE), path, source_std
    )


def posterior(path, source_std=1.0):
    variance = 1 / (1 / STD[0] ** 2 + 1 / ERROR**2)
    mean = variance * (MEAN[0] / STD[0] ** 2 + MEASURED / ERROR**2)
    means = torch.tensor([mean, MEAN[1]], dtype=DOUBLE)
    stds = torch.tensor([math.sqrt(variance), STD[1]], dtype=DOUBLE)
    return GaussianField(means, stds, path, source_std)


def measurement(path, source_std=1.0):
    """-log p(measured | x_t) up to a constant, by the clean estimate of the first entry."""

    def energy(clean, t, condition):
        c = path(t)
        noise, signal = (c.alpha * source_std) ** 2, (c.beta * STD[0]) ** 2
        variance = ERROR**2 + STD[0] ** 2 * noise / (noise + signal)
        return (clean[:, 0] - MEASURED) ** 2 / (2 * variance)

    return energy


@pytest.mark.parametrize("source_std", [1.0, 1.7])
@pytest.mark.parametrize("t", [0.0, 1e-4, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("path", PLAIN_PATHS, ids=name)
def test_an_energy_of_the_clean_estimate_gives_the_exact_posterior(path, t, source_std):
    energy = measurement(path, source_std)
    guided, truth = EnergyGuidance(prior(path, source_std), energy), posterior(path, source_std)
    if t == 0 and path(torch.zeros(1)).d_beta.item() == 0:
        with pytest.raises(FlowsciError, match="without a speed"):
            guided(normals(6), times(t))
        return
    found, wanted = guided(normals(6), times(t)), truth(normals(6), times(t))
    for quantity in QUANTITIES:
        torch.testing.assert_close(
            getattr(found, quantity), getattr(wanted, quantity), rtol=1e-7, atol=1e-9
        )


@pytest.mark.parametrize("path", [Linear(), Trigonometric()], ids=name)
def test_an_energy_of_the_state_gives_the_exact_posterior(path):
    def energy(x, t, condition):
        return measurement(path)(prior(path)(x, t).clean, t, condition)

    for t in (0.0, 0.3, 1.0):
        found = StateEnergyGuidance(prior(path), energy)(normals(6), times(t))
        wanted = posterior(path)(normals(6), times(t))
        for quantity in QUANTITIES:
            torch.testing.assert_close(
                getattr(found, quantity), getattr(wanted, quantity), rtol=1e-8, atol=1e-9
            )


@pytest.mark.parametrize("kind", [VelocityPrediction, CleanPrediction, NoisePrediction])
def test_every_kind_of_network_is_guided_alike(kind):
    inner = prior(Linear())
    said = {VelocityPrediction: "velocity", CleanPrediction: "clean", NoisePrediction: "noise"}
    network = NetworkField(lambda x, t, c: getattr(inner(x, t), said[kind]), Linear(), kind)
    x, t = normals(6), times(0.4)
    found = EnergyGuidance(network, measurement(Linear()))(x, t)
    torch.testing.assert_close(found.velocity, posterior(Linear())(x, t).velocity)


def test_the_score_of_a_network_that_says_it_is_known_at_both_ends():
    inner = prior(Linear())
    network = NetworkField(lambda x, t, c: inner(x, t).score, Linear(), ScorePrediction)
    found = EnergyGuidance(network, measurement(Linear()))(normals(6), times(1.0))
    torch.testing.assert_close(found.score, posterior(Linear())(normals(6), times(1.0)).score)


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_guidance_goes_into_every_method(method):
    guided, truth = EnergyGuidance(prior(Linear()), measurement(Linear())), posterior(Linear())
    with torch.no_grad():
        found = solve(guided, normals(20), uniform(10), method, generators=seeded())
        wanted = solve(truth, normals(20), uniform(10), method, generators=seeded())
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_samples_under_guidance_have_the_posterior_law():
    with torch.no_grad():
        guided = EnergyGuidance(prior(Linear()), measurement(Linear()))
        x = solve(guided, normals(4000), uniform(50), RungeKutta4())
    truth = posterior(Linear())
    assert (x.mean(0) - truth.means[0]).abs().max() < 4 * 0.5 / math.sqrt(4000)
    assert (x.std(0) / truth.stds[0] - 1).abs().max() < 4 / math.sqrt(2 * 4000)


def test_a_field_that_is_a_little_wrong_is_not_blown_up_at_the_source():
    inner = prior(Linear())
    network = NetworkField(lambda x, t, c: inner(x, t).velocity + 0.05 * x.sin(), Linear())
    x = normals(6)
    for guided in (network, inner):
        moved = EnergyGuidance(guided, measurement(Linear()))(x, times(0.0)).velocity
        assert (moved - guided(x, times(0.0)).velocity).abs().max() < 3


def test_rows_at_and_after_the_source_don_t_mix():
    guided = EnergyGuidance(prior(Linear()), measurement(Linear()))
    t = torch.tensor([0.0, 0.5, 1.0, 0.0, 0.2, 0.9], dtype=DOUBLE)
    found = guided(normals(6), t).velocity
    torch.testing.assert_close(found, posterior(Linear())(normals(6), t).velocity)


def test_strengths_scale_the_push_and_add_up():
    field, energy = prior(Linear()), measurement(Linear())
    x, t = normals(6), times(0.3)
    plain = field(x, t).score
    once = EnergyGuidance(field, energy)(x, t).score - plain
    thrice = EnergyGuidance(field, energy, lambda t: 10 * t)(x, t).score - plain
    torch.testing.assert_close(thrice, 3 * once)
    # what wraps a guided field is guided by the clean estimate that was led already
    late = StateEnergyGuidance(EnergyGuidance(field, energy), lambda x, t, c: x.sum(1), lambda t: t)
    torch.testing.assert_close(late(x, t).score, plain + once - 0.3)


def test_without_gradients_no_graph_is_kept_and_with_them_there_is_one():
    guided = EnergyGuidance(prior(Linear()), measurement(Linear()))
    with torch.no_grad():
        assert not solve(guided, normals(6), uniform(3)).requires_grad
    x = normals(3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: solve(guided, x, uniform(3), Heun()), (x,))


@pytest.mark.parametrize("wrap", [MaskedField, CentredField])
def test_a_mask_outside_keeps_padding_and_centre(wrap):
    mask = torch.arange(4) < torch.tensor([2, 4, 3])[:, None]
    network = NetworkField(lambda x, t, c: torch.tanh(x) + 1, Linear())
    field = wrap(EnergyGuidance(network, lambda clean, t, c: (clean.tanh() ** 2).sum((1, 2))), mask)
    x = masks.centre(torch.randn(3, 4, 2, generator=seeded(), dtype=DOUBLE), mask)
    with torch.no_grad():
        y = solve(field, x, uniform(5), Heun())
    assert (y[~mask] == 0).all()
    if wrap is CentredField:
        assert y.sum(1).abs().max() < 1e-12


def test_energies_that_can_t_guide_are_named():
    field, x, t = prior(Linear()), normals(6), times(0.5)
    with pytest.raises(FlowsciError, match=r"\(6,\).*\(6, 2\)"):
        EnergyGuidance(field, lambda clean, t, c: clean**2)(x, t)
    with pytest.raises(FlowsciError, match="requires_grad=False"):
        EnergyGuidance(field, lambda clean, t, c: clean.detach().sum(1))(x, t)
    with pytest.raises(FlowsciError, match="latent"):
        EnergyGuidance(gaussian(TwoSidedNoise()), lambda clean, t, c: clean.sum(1))(x, t)
    with pytest.raises(FlowsciError, match="vanishes there"):
        StateEnergyGuidance(field, lambda x, t, c: x.sum(1))(x, times(0.0))


def known_part(path, x0):
    where = torch.tensor([True, False]).expand(len(x0), 2)
    return KnownPart(torch.full_like(x0, 1.5), where, x0, path)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("path", PLAIN_PATHS, ids=name)
def test_known_entries_are_on_their_path_in_every_quantity(path, t):
    x0 = normals(6)
    part = known_part(path, x0)
    found, t = InPainting(mixture(path), part)(normals(6, seed=1), times(t)), times(t)
    wanted = path.interpolate(x0, part.values, t)[:, 0]
    assert torch.equal(found.x[:, 0], wanted)
    assert torch.equal(found.velocity[:, 0], path.velocity(x0, part.values, t)[:, 0])
    assert torch.equal(found.clean[:, 0], part.values[:, 0])
    assert torch.equal(found.noise[:, 0], x0[:, 0])
    inner = mixture(path)(found.x, t)
    assert torch.equal(found.velocity[:, 1], inner.velocity[:, 1])


@pytest.mark.parametrize("path", [Linear(), Trigonometric()], ids=name)
@pytest.mark.parametrize("method", METHODS, ids=name)
def test_known_entries_arrive_exactly_by_every_method(method, path):
    x0 = Gaussian().sample(torch.zeros(6, 2, dtype=DOUBLE), sample_generators(0, range(6)))
    part = known_part(path, x0)
    held = Constrained(method, part)
    x1 = solve(InPainting(mixture(path), part), x0, uniform(8), held, generators=seeded())
    assert torch.equal(x1[:, 0], part.values[:, 0])
    assert (x1[:, 1] != x0[:, 1]).all()


def test_entries_that_don_t_depend_on_the_known_ones_are_not_changed():
    x0 = normals(6)
    part = known_part(Linear(), x0)
    found = solve(InPainting(gaussian(), part), x0, uniform(20), Heun())
    plain = solve(gaussian(), x0, uniform(20), Heun())
    torch.testing.assert_close(found[:, 1], plain[:, 1])
    torch.testing.assert_close(found[:, 0], part.values[:, 0])


def test_an_in_painted_sample_does_not_depend_on_its_batch():
    def run(rows):
        generators = sample_generators(3, rows)
        x0 = Gaussian().sample(torch.zeros(len(rows), 2, dtype=DOUBLE), generators)
        field = InPainting(mixture(), known_part(Linear(), x0))
        return solve(field, x0, uniform(6), Heun(), generators=generators)

    torch.testing.assert_close(torch.cat([run([0, 1]), run([2])]), run([0, 1, 2]))


@settings(deadline=None, max_examples=20)
@given(
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    leading=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_known_parts_of_any_shape(shape, leading, seed):
    x0 = torch.randn(4, *shape, generator=seeded(seed), dtype=DOUBLE)
    values = torch.randn(x0.shape, generator=seeded(seed + 1), dtype=DOUBLE)
    where = torch.rand(x0.shape[: leading + 1], generator=seeded(seed)) < 0.5
    part = KnownPart(values, where, x0, Linear())
    field = NetworkField(lambda x, t, c: x.sin(), Linear())
    x1 = solve(InPainting(field, part), x0, uniform(3), Constrained(Euler(), part))
    assert torch.equal(x1[where], values[where])
    plain = solve(field, x0, uniform(3))
    torch.testing.assert_close(x1[~where], plain[~where])


def test_known_parts_that_don_t_fit_name_both_shapes():
    x0, where = normals(6), torch.ones(6, 2, dtype=torch.bool)
    with pytest.raises(FlowsciError, match=r"\(5, 2\).*\(6, 2\)"):
        KnownPart(normals(5), where, x0, Linear())
    with pytest.raises(FlowsciError, match="bool"):
        KnownPart(x0, where.double(), x0, Linear())
    with pytest.raises(FlowsciError, match="latent"):
        KnownPart(x0, where, x0, TwoSidedNoise())
    part = KnownPart(x0, where, x0, Linear())
    with pytest.raises(FlowsciError, match=r"\(6, 2\).*\(5, 2\)"):
        InPainting(gaussian(), part)(normals(5), times(0.5, 5))
    with pytest.raises(FlowsciError, match="one path"):
        InPainting(gaussian(Trigonometric()), part)(x0, times(0.5))
    with pytest.raises(FlowsciError, match=r"\(3, 2\)"):
        KnownPart(x0, where[:3], x0, Linear())


@pytest.mark.parametrize("path", [MaskedPath(3), UniformPath(3)], ids=name)
def test_known_labels_arrive_and_the_others_keep_their_law(path):
    law = torch.tensor([0.2, 0.5, 0.3], dtype=DOUBLE)
    values = torch.ones(3000, 2, dtype=torch.long)
    where = torch.tensor([True, False]).expand(3000, 2)

    def field(x, t, condition=None):
        return LogitsPrediction(law.log().expand(*x.shape, 3), x, t, path)

    x0 = path.source.sample(values, seeded())
    if isinstance(path, MaskedPath):
        x0 = torch.where(where, values, x0)
    found = KnownLabels(field, values, where)
    x1 = solve(found, x0, uniform(5), ConditionalLeap(), generators=seeded(1))
    assert (x1[:, 0] == 1).all()
    shares = torch.bincount(x1[:, 1], minlength=3) / 3000
    assert (shares - law).abs().max() < 4 * math.sqrt(0.25 / 3000)


@pytest.mark.parametrize(("values", "where"), [((4, 3), (4, 2)), ((4, 2), (4, 3))])
def test_known_labels_that_don_t_fit_name_both_shapes(values, where):
    field = NetworkField(lambda x, t, c: torch.zeros(4, 2, 3), MaskedPath(3), LogitsPrediction)
    known = KnownLabels(field, torch.zeros(values).long(), torch.ones(where).bool())
    with pytest.raises(FlowsciError, match=r"\(4, 3\).*\(4, 2\)"):
        known(torch.zeros(4, 2).long(), torch.zeros(4))
