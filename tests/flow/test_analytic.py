import pytest
import torch
from catalogue import PATHS, name
from laws import DOUBLE, gaussian, mixture, normals

from flowsci.errors import FlowsciError
from flowsci.flow import GaussianMixtureField

TIMES = [0.0, 0.3, 0.8, 1.0]


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("path", PATHS, ids=name)
@pytest.mark.parametrize("make", [gaussian, mixture])
def test_the_score_is_the_gradient_of_the_log_density(make, path, time):
    field, t = make(path), torch.full((6,), time, dtype=DOUBLE)
    x = normals(6).requires_grad_()
    (slope,) = torch.autograd.grad(field.log_density(x, t).sum(), x)
    torch.testing.assert_close(field(x, t).score.detach(), slope)


@pytest.mark.parametrize("path", PATHS, ids=name)
@pytest.mark.parametrize("make", [gaussian, mixture])
def test_velocity_and_density_obey_the_continuity_equation(make, path):
    field, x = make(path), normals(6)
    t = torch.full((6,), 0.4, dtype=DOUBLE)
    _, change = torch.func.jvp(lambda t: field.log_density(x, t), (t,), (torch.ones_like(t),))
    rows = torch.func.jacrev(lambda x: field(x, t).velocity.sum(0))(x)
    divergence = torch.einsum("ibi->b", rows)
    flux = (field(x, t).velocity * field(x, t).score).sum(1)
    torch.testing.assert_close(change, -divergence - flux)


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_the_velocity_is_the_mean_of_its_conditionals(path):
    if path.latent:
        pytest.skip("noise and clean state do not tell the latent part")
    field, t = mixture(path), torch.full((6,), 0.4, dtype=DOUBLE)
    prediction = field(normals(6), t)
    c = path(t).expand(prediction.x)
    torch.testing.assert_close(
        prediction.velocity, c.d_alpha * prediction.noise + c.d_beta * prediction.clean
    )
    torch.testing.assert_close(prediction.x, c.alpha * prediction.noise + c.beta * prediction.clean)


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_the_transport_moves_with_the_velocity(path):
    field, x = gaussian(path, source_std=1.5), normals(5)
    start, t = torch.zeros(5, dtype=DOUBLE), torch.full((5,), 0.6, dtype=DOUBLE)
    moved, speed = torch.func.jvp(
        lambda t: field.transport(x, start, t), (t,), (torch.ones_like(t),)
    )
    torch.testing.assert_close(field(moved, t).velocity, speed)


def test_samples_follow_the_density():
    field = mixture()
    data = field.sample(40000, torch.Generator().manual_seed(0))
    mean = (field.weights[:, None] * field.means).sum(0)
    torch.testing.assert_close(data.mean(0), mean, rtol=0, atol=0.03)
    ends = torch.ones(len(data), dtype=DOUBLE)
    assert field.score(data, ends).mean(0).abs().max() < 0.05


def test_states_without_features_are_served():
    one = GaussianMixtureField(torch.zeros(2), torch.ones(2), torch.ones(2) / 2)
    x, t = torch.randn(5), torch.full((5,), 0.5)
    torch.testing.assert_close(one(x, t).score, -x / 0.5)


def test_points_of_data_have_a_field_until_they_are_reached():
    points = GaussianMixtureField(torch.ones(1, 2), torch.zeros(1, 2), torch.ones(1))
    x = torch.randn(3, 2)
    torch.testing.assert_close(points(x, torch.full((3,), 0.5)).velocity, (1 - x) / 0.5)
    with pytest.raises(FlowsciError, match="t = 1"):
        _ = points(x, torch.ones(3)).velocity


def test_parameters_that_do_not_fit_name_their_shapes():
    with pytest.raises(FlowsciError, match=r"\(2, 3\).*\(2, 2\)"):
        GaussianMixtureField(torch.zeros(2, 3), torch.ones(2, 2), torch.ones(2) / 2)
    with pytest.raises(FlowsciError, match="negative"):
        GaussianMixtureField(torch.zeros(2, 3), -torch.ones(2, 3), torch.ones(2) / 2)
    with pytest.raises(FlowsciError, match="sum to one"):
        GaussianMixtureField(torch.zeros(2, 3), torch.ones(2, 3), torch.ones(2))
