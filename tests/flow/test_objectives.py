import pytest
import torch
from catalogue import LATENT_PATHS, PLAIN_PATHS, TIMES, name
from laws import DOUBLE, gaussian

from flowsci.errors import FlowsciError
from flowsci.flow import (
    ActionDenoiserPrediction,
    Aligned,
    CentredGaussian,
    CleanPrediction,
    ConditionPlusNoise,
    EntropicTransport,
    FlowMatching,
    Gaussian,
    Given,
    ImportanceByLoss,
    Independent,
    Linear,
    LogitNormal,
    MeanFlow,
    MinSNR,
    NoisePrediction,
    OptimalTransport,
    ScorePrediction,
    SmoothNoise,
    StudentT,
    VelocityPrediction,
    WithinConditions,
)

NAMES = {
    VelocityPrediction: "velocity",
    CleanPrediction: "clean",
    NoisePrediction: "noise",
    ScorePrediction: "score",
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def zeros(x, t, condition):
    return torch.zeros_like(x)


@pytest.mark.parametrize("path", PLAIN_PATHS, ids=name)
@pytest.mark.parametrize("kind", list(NAMES), ids=name)
def test_the_conditional_mean_is_the_minimum(kind, path):
    field = gaussian(path)
    data = field.sample(8000, seeded())

    def loss(shift):
        def network(x, t, condition):
            return getattr(field(x, t), NAMES[kind]) + shift

        # times away from the data end, where the target of the score has no variance
        objective = FlowMatching(path, said=kind, times=LogitNormal(-1.0, 0.5))
        return objective(network, data, seeded(1)).value.item()

    best = loss(0.0)
    assert loss(0.1) - best == pytest.approx(0.01, abs=0.006)
    assert loss(-0.1) - best == pytest.approx(0.01, abs=0.006)


@pytest.mark.parametrize("path", LATENT_PATHS, ids=name)
def test_action_and_denoiser_are_learnt_together(path):
    field = gaussian(path)
    data = field.sample(4000, seeded())

    def loss(shift):
        def network(x, t, condition):
            c = path(t).expand(x)
            pull = -field.score(x, t)
            noise = c.alpha * pull
            action = c.d_alpha * noise + c.d_beta * field.clean(x, t)
            return action + shift, c.gamma * pull - 2 * shift

        objective = FlowMatching(path, said=ActionDenoiserPrediction)
        return objective(network, data, seeded(1)).value.item()

    best = loss(0.0)
    assert loss(0.1) - best == pytest.approx(0.05, abs=0.015)
    assert loss(-0.1) - best == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("times", TIMES, ids=name)
def test_every_time_distribution_serves(times):
    loss = FlowMatching(times=times)(zeros, torch.zeros(50, 2), seeded())
    assert loss.per_sample.shape == loss.times.shape == (50,)
    assert loss.value.isfinite()


def test_the_value_of_the_loss_is_the_closed_form():
    loss = FlowMatching()(zeros, 3 + torch.zeros(100000, 2), seeded())
    assert loss.value.item() == pytest.approx(9 + 1, rel=0.01)
    torch.testing.assert_close(loss.value, loss.per_sample.mean())


def test_weights_multiply_samples():
    objective = FlowMatching(said=CleanPrediction, weighting=MinSNR(2.0))
    loss = objective(zeros, torch.ones(64, 3), seeded())
    t = loss.times
    snr = torch.clamp((t / (1 - t)) ** 2, max=2.0)
    torch.testing.assert_close(loss.value, (snr * loss.per_sample).mean())


def test_importance_weights_enter_the_value():
    t = torch.linspace(0, 1, 500)
    times = ImportanceByLoss.start(8).observed(t, t)
    loss = FlowMatching(times=times)(zeros, torch.ones(64, 3), seeded())
    torch.testing.assert_close(loss.value, (times.weights(loss.times) * loss.per_sample).mean())


def test_padding_has_no_part_in_the_loss():
    mask = torch.arange(5) < torch.tensor([2, 5])[:, None]
    x1 = torch.randn(2, 5, 3, generator=seeded()) * mask[..., None]
    objective = FlowMatching(source=CentredGaussian())

    def wild(x, t, condition):
        return torch.where(mask[..., None], x, torch.nan)

    def tame(x, t, condition):
        return x

    with_nan = objective(wild, x1, seeded(), mask=mask)
    assert torch.equal(with_nan.value, objective(tame, x1, seeded(), mask=mask).value)
    torch.testing.assert_close(with_nan.value, with_nan.per_sample.mean())


def test_a_real_entry_weighs_as_much_in_a_padded_batch():
    x0, x1 = torch.randn(2, 1, 3, 2, generator=seeded())
    padded = torch.nn.functional.pad(x1, (0, 0, 0, 4))
    mask = torch.arange(7)[None] < 3
    plain = FlowMatching()(zeros, x1, seeded(), x0=x0)
    ragged = FlowMatching()(
        zeros, padded, seeded(), x0=torch.nn.functional.pad(x0, (0, 0, 0, 4)), mask=mask
    )
    torch.testing.assert_close(plain.per_sample, ragged.per_sample)


def test_latent_noise_of_a_centred_source_is_centred():
    seen = []

    def network(x, t, condition):
        seen.append(x)
        return x

    objective = FlowMatching(SmoothNoise(), CentredGaussian())
    objective(network, torch.zeros(4, 5, 3), seeded())
    assert seen[0].mean(1).abs().max() < 1e-6


def test_gradients_reach_the_network_through_value_and_samples():
    weight = torch.ones(2, requires_grad=True)
    loss = FlowMatching()(lambda x, t, c: x * weight, torch.ones(8, 2), seeded())
    (whole,) = torch.autograd.grad(loss.value, weight, retain_graph=True)
    (parts,) = torch.autograd.grad(loss.per_sample.mean(), weight)
    torch.testing.assert_close(whole, parts)
    assert whole.abs().min() > 0


def test_a_coupling_orders_the_source():
    class Reversed:
        def __call__(self, x0, x1, condition=None, generator=None, mask=None):
            return self

        def source(self, x0):
            return x0.flip(0)

    x0, x1 = torch.arange(6.0).view(3, 2), torch.zeros(3, 2)
    loss = FlowMatching(coupling=Reversed())(zeros, x1, seeded(), x0=x0)
    torch.testing.assert_close(loss.per_sample, (x0.flip(0) ** 2).mean(1))


@pytest.mark.parametrize("shape", [(4, 3), (4,), (2, 2)])
def test_an_output_of_another_shape_names_both_shapes(shape):
    with pytest.raises(FlowsciError, match=r"\(4, 2\)"):
        FlowMatching()(lambda x, t, c: torch.zeros(shape), torch.zeros(4, 2), seeded())


def test_a_given_source_of_another_shape_names_both_shapes():
    with pytest.raises(FlowsciError, match=r"\(4, 3\) and \(4, 2\)"):
        FlowMatching()(zeros, torch.zeros(4, 2), seeded(), x0=torch.zeros(4, 3))


def test_an_empty_row_of_the_mask_is_named():
    mask = torch.tensor([[True, True], [False, False]])
    with pytest.raises(FlowsciError, match=r"\[1\]"):
        FlowMatching()(zeros, torch.zeros(2, 2, 3), seeded(), mask=mask)


def test_the_dtype_of_the_data_is_kept():
    loss = FlowMatching(Linear(), Gaussian())(zeros, torch.zeros(4, 2, dtype=DOUBLE), seeded())
    assert loss.value.dtype is DOUBLE


@pytest.mark.parametrize(
    "source", [Gaussian(2.0), ConditionPlusNoise(0.5), StudentT(4.0)], ids=name
)
def test_the_score_is_learnt_from_a_standard_normal_source_only(source):
    with pytest.raises(FlowsciError, match="NoisePrediction"):
        FlowMatching(source=source, said=ScorePrediction)


def test_a_source_of_the_condition_is_not_paired_across_conditions():
    for coupling in (OptimalTransport(), EntropicTransport(1.0), Aligned(OptimalTransport())):
        with pytest.raises(FlowsciError, match="another row's condition"):
            FlowMatching(source=ConditionPlusNoise(0.1), coupling=coupling)
        with pytest.raises(FlowsciError, match="another row's condition"):
            MeanFlow(source=ConditionPlusNoise(0.1), coupling=coupling)
    for coupling in (Independent(), Given(), WithinConditions(), Aligned()):
        FlowMatching(source=ConditionPlusNoise(0.1), coupling=coupling)
