import pytest
import torch
from catalogue import KINDS, LATENT_PATHS, PLAIN_PATHS, name

from flowsci.errors import FlowsciError
from flowsci.flow import (
    ActionDenoiserPrediction,
    CleanPrediction,
    ConditionPlusNoise,
    Linear,
    NetworkField,
    NoisePrediction,
    Polynomial,
    ScorePrediction,
    SmoothNoise,
    TwoSidedNoise,
    VelocityPrediction,
)

INNER = [0.0, 1e-6, 0.3, 0.5, 0.9, 1 - 1e-6, 1.0]
QUANTITIES = ("velocity", "clean", "noise", "score")
MISSING = {
    (VelocityPrediction, 1.0): {"score"},
    (CleanPrediction, 1.0): {"velocity", "noise", "score"},
    (NoisePrediction, 0.0): {"velocity", "clean"},
    (NoisePrediction, 1.0): {"score"},
    (ScorePrediction, 0.0): {"velocity", "clean"},
}


def ends(path, time, shape=(4, 3)):
    generator = torch.Generator().manual_seed(1)
    x0, x1, z = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
    t = torch.full(shape[:1], time, dtype=torch.float64)
    return x0, x1, z, t, path.interpolate(x0, x1, t, z)


@pytest.mark.parametrize("time", INNER)
@pytest.mark.parametrize("path", PLAIN_PATHS, ids=name)
@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_every_kind_tells_every_quantity_where_the_information_exists(kind, path, time):
    x0, x1, _, t, x = ends(path, time)
    missing = set(MISSING.get((kind, time), set()))
    if time == 0 and kind is VelocityPrediction and path(t).determinant[0] == 0:
        missing |= {"clean"}
    if kind is ScorePrediction and time == 1.0:
        value = torch.randn_like(x0)
        x0 = torch.zeros_like(x0)
        truth = {"score": value}
    else:
        value = kind.target(x0, x1, t, path)
        truth = {"score": -x0 / path(t).alpha[:, None]}
    truth |= {"velocity": path.velocity(x0, x1, t), "clean": x1, "noise": x0}
    prediction = kind(value, x, t, path)
    for quantity in QUANTITIES:
        if quantity in missing:
            with pytest.raises(FlowsciError, match=f"t = {time}"):
                getattr(prediction, quantity)
        else:
            close = {"rtol": 1e-4, "atol": 1e-4} if 0 < min(time, 1 - time) < 1e-3 else {}
            torch.testing.assert_close(getattr(prediction, quantity), truth[quantity], **close)


@pytest.mark.parametrize("path", PLAIN_PATHS, ids=name)
@pytest.mark.parametrize("said", KINDS, ids=name)
@pytest.mark.parametrize("then", KINDS, ids=name)
def test_conversions_can_be_inverted(said, then, path):
    x0, x1, _, t, x = ends(path, 0.4)
    known = {
        VelocityPrediction: "velocity",
        CleanPrediction: "clean",
        NoisePrediction: "noise",
        ScorePrediction: "score",
    }
    first = said(said.target(x0, x1, t, path), x, t, path)
    second = then(getattr(first, known[then]), x, t, path)
    torch.testing.assert_close(getattr(second, known[said]), first.value)


@pytest.mark.parametrize("kind", KINDS, ids=name)
@pytest.mark.parametrize("shape", [(3,), (3, 3), (3, 3, 3), (2, 1, 4, 2)])
def test_conversions_hold_for_any_shape_and_per_sample_times(kind, shape):
    generator = torch.Generator().manual_seed(1)
    x0, x1 = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    t = torch.linspace(0.2, 0.8, shape[0], dtype=torch.float64)
    path = Linear()
    prediction = kind(kind.target(x0, x1, t, path), path.interpolate(x0, x1, t), t, path)
    torch.testing.assert_close(prediction.velocity, x1 - x0)
    torch.testing.assert_close(prediction.clean, x1)
    torch.testing.assert_close(prediction.noise, x0)


@pytest.mark.parametrize("time", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("path", LATENT_PATHS, ids=name)
def test_action_and_denoiser_tell_every_quantity(path, time):
    x0, x1, z, t, x = ends(path, time)
    prediction = ActionDenoiserPrediction(
        ActionDenoiserPrediction.target(x0, x1, t, path, z), x, t, path
    )
    c = path(t)
    if c.d_gamma.isfinite().all():
        torch.testing.assert_close(prediction.velocity, path.velocity(x0, x1, t, z))
    else:
        with pytest.raises(FlowsciError, match=f"t = {time}"):
            _ = prediction.velocity
    if c.gamma[0] > 0:
        torch.testing.assert_close(prediction.score, -z / c.gamma[:, None])
    else:
        with pytest.raises(FlowsciError, match=f"t = {time}"):
            _ = prediction.score
    torch.testing.assert_close(prediction.clean, x1)
    torch.testing.assert_close(prediction.noise, x0)


def test_the_velocity_alone_tells_nothing_else_with_latent_noise():
    x0, x1, z, t, x = ends(SmoothNoise(), 0.5)
    path = SmoothNoise()
    prediction = VelocityPrediction(path.velocity(x0, x1, t, z), x, t, path)
    torch.testing.assert_close(prediction.velocity, path.velocity(x0, x1, t, z))
    with pytest.raises(FlowsciError, match="ActionDenoiserPrediction"):
        _ = prediction.clean


def test_the_pair_needs_latent_noise_and_a_pair():
    x = torch.zeros(2, 3)
    t = torch.full((2,), 0.5)
    with pytest.raises(FlowsciError, match="no latent noise"):
        _ = ActionDenoiserPrediction((x, x), x, t, Linear()).velocity
    with pytest.raises(FlowsciError, match="action, denoiser"):
        _ = ActionDenoiserPrediction(x, x, t, TwoSidedNoise()).velocity


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_a_value_of_another_shape_names_both_shapes(kind):
    prediction = kind(torch.zeros(2, 4), torch.zeros(2, 3), torch.full((2,), 0.5), Linear())
    quantity = "velocity" if kind is not VelocityPrediction else "clean"
    with pytest.raises(FlowsciError, match=r"\(2, 4\).*\(2, 3\)"):
        getattr(prediction, quantity)


def test_a_slow_start_hides_the_clean_state_but_not_the_noise():
    x0, _, _, t, x = ends(Polynomial(2.0), 0.0)
    prediction = VelocityPrediction(torch.zeros_like(x), x, t, Polynomial(2.0))
    torch.testing.assert_close(prediction.noise, x0)
    with pytest.raises(FlowsciError, match="clean"):
        _ = prediction.clean


def test_the_score_knows_the_source():
    path, source = Linear(), ConditionPlusNoise(0.5)
    generator = torch.Generator().manual_seed(0)
    known, deviation, x1 = torch.randn(3, 4, 3, generator=generator, dtype=torch.float64)
    x0, t = known + 0.5 * deviation, torch.full((4,), 0.25, dtype=torch.float64)
    field = NetworkField(lambda x, t, condition: x1 - x0, path, source=source)
    prediction = field(path.interpolate(x0, x1, t), t, known)
    torch.testing.assert_close(prediction.score, -deviation / (0.75 * 0.5))


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_a_mapped_prediction_is_of_the_same_kind(kind):
    x0, x1, _, t, x = ends(Linear(), 0.5)
    prediction = kind(kind.target(x0, x1, t, Linear()), x, t, Linear())
    assert type(prediction.map(lambda value: 2 * value)) is kind
    torch.testing.assert_close(prediction.map(lambda value: 2 * value).value, 2 * prediction.value)
