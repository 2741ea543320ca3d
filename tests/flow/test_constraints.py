import pytest
import torch
from catalogue import METHODS, PLAIN_PATHS, label
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import gaussian, normals

from flowsci.errors import FlowsciError
from flowsci.flow import (
    AtData,
    CentredField,
    Constrained,
    Euler,
    GaussianField,
    Heun,
    Likelihood,
    LinearConstraint,
    Midpoint,
    Mixed,
    OneSidedNoise,
    ProjectedField,
    RungeKutta4,
    VelocityPrediction,
    solve,
)
from flowsci.flow.grids import uniform

DOUBLE = torch.float64
SUM = LinearConstraint(torch.ones(1, 2, dtype=DOUBLE), torch.tensor([3.0], dtype=DOUBLE))


def run(method, projection, x, steps=6):
    mean, std = torch.tensor([[1.0, -2.0], [0.5, 0.8]], dtype=x.dtype)
    return solve(
        GaussianField(mean, std),
        x,
        uniform(steps),
        Constrained(method, projection),
        generators=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize("method", METHODS, ids=label)
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=label)
def test_constraints_hold_to_rounding_in_every_method(method, dtype):
    x = normals(30).to(dtype)
    for projection in (SUM, SUM.along(gaussian().path, x), AtData(SUM)):
        found = run(method, projection, x)
        assert found.dtype is dtype
        assert float((found.sum(1) - 3).abs().max()) < 16 * torch.finfo(dtype).eps


@pytest.mark.parametrize("method", METHODS, ids=label)
def test_any_projection_holds_in_every_method(method):
    found = run(method, lambda x, t: x / x.norm(dim=1, keepdim=True), normals(30))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(30, dtype=DOUBLE))


@pytest.mark.parametrize("path", PLAIN_PATHS, ids=label)
def test_a_constraint_of_the_data_grows_along_the_path(path):
    x = normals(5)
    project = SUM.along(path, x)
    t = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0], dtype=DOUBLE)
    c = path(t)
    torch.testing.assert_close(
        project(normals(5, 1), t).sum(1), c.alpha * x.sum(1) + c.beta * 3.0, rtol=1e-12, atol=1e-12
    )
    zero, one = torch.zeros(5, dtype=DOUBLE), torch.ones(5, dtype=DOUBLE)
    torch.testing.assert_close(project(x, zero), x)
    torch.testing.assert_close(project(x, one), SUM(x, one))


def test_constraining_leaves_what_already_holds():
    """A Gaussian flow with all data on the line x + y = 3 is not changed by the constraint."""
    mean = torch.tensor([1.0, 2.0], dtype=DOUBLE)
    across = torch.tensor([1.0, -1.0], dtype=DOUBLE) / 2**0.5

    def field(x, t, condition=None):
        inside = GaussianField(torch.zeros(1, dtype=DOUBLE), torch.full((1,), 0.5, dtype=DOUBLE))
        part = inside((x @ across)[:, None], t).velocity
        still = GaussianField(mean, torch.full((2,), 1e-9, dtype=DOUBLE))(x, t)
        along = (still.velocity @ torch.ones(2, dtype=DOUBLE))[:, None] / 2
        offset = (mean @ across) * across
        return VelocityPrediction(part * across + along + offset, x, t, inside.path)

    x, grid = normals(20), uniform(50)[:-1]
    free = solve(field, x, grid, RungeKutta4())
    held = solve(field, x, grid, Constrained(RungeKutta4(), SUM.along(gaussian().path, x)))
    torch.testing.assert_close(held, free, atol=1e-6, rtol=0)


@settings(deadline=None, max_examples=30)
@given(
    rows=st.integers(1, 3),
    shape=st.sampled_from([(3,), (4, 1), (2, 3), (1, 2, 2)]),
    batch=st.integers(1, 4),
    each=st.booleans(),
)
def test_the_projection_is_the_nearest_point(rows, shape, batch, each):
    generator = torch.Generator().manual_seed(rows)
    size = torch.Size(shape).numel()
    matrix = torch.randn(rows, size, generator=generator, dtype=DOUBLE)
    value = torch.randn((batch, rows) if each else (rows,), generator=generator, dtype=DOUBLE)
    x = torch.randn(batch, *shape, generator=generator, dtype=DOUBLE)
    constraint = LinearConstraint(matrix, value)
    found = constraint(x, torch.ones(batch))
    torch.testing.assert_close(constraint.measure(found), value.expand(batch, rows))
    # the move is orthogonal to every direction that the constraint leaves free
    free = torch.eye(size, dtype=DOUBLE) - torch.linalg.pinv(matrix) @ matrix
    assert float(((found - x).reshape(batch, -1) @ free).abs().max()) < 1e-9


def test_gradients_flow_through_projections():
    x = normals(3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: run(Heun(), SUM, x, 2), (x,))


def test_components_of_a_mixed_state_are_constrained_alone():
    def field(x, t, condition=None):
        return {name: gaussian()(part, t) for name, part in x.items()}

    x = {"a": normals(4), "b": normals(4, 1)}
    method = Mixed({"a": Constrained(Euler(), SUM), "b": Euler()})
    found = solve(field, x, uniform(5), method)
    torch.testing.assert_close(found["a"].sum(1), torch.full((4,), 3.0, dtype=DOUBLE))
    torch.testing.assert_close(found["b"], solve(gaussian(), x["b"], uniform(5)))
    with pytest.raises(FlowsciError, match="more than once"):
        solve(field, x, uniform(2), Mixed({"a": Constrained(Heun(), SUM), "b": Euler()}))


@pytest.mark.parametrize("method", [Euler(), Midpoint()], ids=label)
def test_a_projected_field_aims_at_the_constraint(method):
    found = solve(ProjectedField(gaussian(), SUM), normals(5), uniform(8), method)
    torch.testing.assert_close(found.sum(1), torch.full((5,), 3.0, dtype=DOUBLE))


def test_wrapped_in_place_of_a_centred_field():
    x = torch.randn(4, 3, 2, dtype=DOUBLE)
    x = x - x.mean(1, keepdim=True)
    mean = torch.randn(3, 2, dtype=DOUBLE)
    field = GaussianField(mean - mean.mean(0), torch.full((3, 2), 0.5, dtype=DOUBLE))
    matrix = torch.eye(2, dtype=DOUBLE).repeat(1, 3)
    still = LinearConstraint(matrix, torch.zeros(2, dtype=DOUBLE))
    held = solve(field, x, uniform(10), Constrained(Heun(), still))
    assert float(held.mean(1).abs().max()) < 1e-14
    torch.testing.assert_close(held, solve(field, x, uniform(10), Heun()))


def test_bad_constraints_are_named():
    with pytest.raises(FlowsciError, match="rank 1"):
        LinearConstraint(torch.ones(2, 3), torch.zeros(2))
    with pytest.raises(FlowsciError, match=r"\(2, 3\) and \(3,\)"):
        LinearConstraint(torch.eye(3)[:2], torch.zeros(3))
    with pytest.raises(FlowsciError, match=r"does not fit a state \(5, 3\)"):
        SUM(torch.zeros(5, 3), torch.ones(5))
    with pytest.raises(FlowsciError, match="latent noise"):
        SUM.along(OneSidedNoise(), torch.zeros(5, 2))
    with pytest.raises(FlowsciError, match="changed the shapes"):
        run(Euler(), lambda x, t: x[:, :1], normals(3))
    with pytest.raises(FlowsciError, match="method for ODEs"):
        Likelihood(CentredField(gaussian()), method=Constrained(Euler(), SUM))
