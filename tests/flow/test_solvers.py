import math
from dataclasses import dataclass, replace

import pytest
import torch
from catalogue import METHODS, ONE_CALL, PATHS, RUNGE_KUTTA, name
from laws import DOUBLE, gaussian, line_mixture, line_quantile, mixture, normals

import flowsci.flow as flow
from flowsci.errors import FlowsciError
from flowsci.flow import (
    CentredField,
    CentredGaussian,
    CleanPrediction,
    Euler,
    Heun,
    LastStep,
    Linear,
    Midpoint,
    Mixed,
    NetworkField,
    RungeKutta4,
    VelocityPrediction,
    sample_generators,
    solve,
)
from flowsci.flow.grids import uniform


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def error(method, steps, field, x, truth):
    return (solve(field, x, uniform(steps), method) - truth).abs().max().item()


def logistic(x, t, condition=None):
    """dx/dt = 2 pi cos(2 pi t) x (1 - x / 4), which depends on state and time alike."""
    return flow.masks.expand(2 * math.pi * torch.cos(2 * math.pi * t), x) * x * (1 - x / 4)


def logistic_flow(x, t, t_next):
    growth = math.exp(math.sin(2 * math.pi * t_next) - math.sin(2 * math.pi * t))
    return 4 * x * growth / (4 - x + x * growth)


@pytest.mark.parametrize(("t", "t_next"), [(0.0, 0.6), (0.6, 0.0)])
@pytest.mark.parametrize("kind", RUNGE_KUTTA, ids=name)
def test_the_observed_order_is_the_order(kind, t, t_next):
    field = NetworkField(logistic, Linear())
    x = torch.linspace(0.2, 3, 10, dtype=DOUBLE)[:, None]
    truth = logistic_flow(x, t, t_next)
    errors = [
        (solve(field, x, t + (t_next - t) * uniform(steps), kind()) - truth).pow(2).mean().sqrt()
        for steps in (80, 160)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(kind.order, abs=0.2)


@pytest.mark.parametrize("path", PATHS, ids=name)
@pytest.mark.parametrize("kind", RUNGE_KUTTA, ids=name)
def test_every_solver_is_exact_on_a_gaussian_flow(kind, path):
    field, x = gaussian(path), normals(50)
    start, end = torch.zeros(50, dtype=DOUBLE), torch.ones(50, dtype=DOUBLE)
    bound = {1: 0.1, 2: 1e-2, 4: 1e-4, 5: 1e-4}[kind.order]
    assert error(kind(), 50, field, x, field.transport(x, start, end)) < bound


@pytest.mark.parametrize("path", PATHS, ids=name)
@pytest.mark.parametrize("kind", RUNGE_KUTTA, ids=name)
def test_every_solver_keeps_the_quantiles_of_a_mixture_flow(kind, path):
    field = line_mixture(path)
    x = torch.linspace(-2.5, 2.5, 41, dtype=DOUBLE)[:, None]
    # a flow on a line keeps the order of points, hence their quantiles
    start = torch.special.ndtr(x[:, 0])
    if path.latent and path(torch.zeros(1)).gamma.item() > 0:
        start = torch.special.ndtr(x[:, 0] / math.sqrt(2))
    found = line_quantile(field, solve(field, x, uniform(60), kind()))
    bound = {1: 0.1, 2: 2e-2, 4: 2e-3, 5: 2e-3}[kind.order]
    assert (found - start).abs().max() < bound


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_a_sample_does_not_depend_on_batch_or_shard(method):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.SiLU(), torch.nn.Linear(32, 3))
    field = NetworkField(lambda x, t, c: net(torch.cat([x, t[:, None]], 1)), Linear())
    x = torch.randn(64, 3, generator=seeded())

    @torch.no_grad()
    def sample(rows):
        return solve(
            field, x[rows], uniform(8), method, generators=sample_generators(4, rows.tolist())
        )

    everyone = torch.arange(64)
    whole = sample(everyone)
    for batch in (1, 7, 16):
        parts = torch.cat([sample(rows) for rows in everyone.split(batch)])
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_a_method_keeps_nothing_between_calls(method):
    field, x = gaussian(), normals(5)
    first = solve(field, x, uniform(4), method, generators=seeded())
    solve(mixture(), normals(9), uniform(3), method, generators=seeded(1))
    assert torch.equal(first, solve(field, x, uniform(4), method, generators=seeded()))


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_gradients_go_through_every_method(method):
    x = normals(5).requires_grad_()
    # from t = 0 ancestral sampling would rightly forget its start
    grid = 0.2 + 0.8 * uniform(5)
    y = solve(gaussian(), x, grid, method, generators=seeded())
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert slope.isfinite().all()
    assert slope.abs().max() > 0


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_centre_of_mass_and_padding_are_kept(method):
    mask = torch.arange(6) < torch.tensor([2, 6, 4])[:, None]
    like = torch.zeros(3, 6, 3, dtype=DOUBLE)
    x = CentredGaussian().sample(like, seeded(), mask)
    field = CentredField(NetworkField(lambda x, t, c: torch.sin(3 * x) + 1, Linear()), mask)
    if hasattr(method, "mask"):
        method = replace(method, noise=CentredGaussian(), mask=mask)
    y = solve(field, x, uniform(10), method, generators=seeded(1))
    assert (y[~mask] == 0).all()
    assert y.sum(1).abs().max() < 1e-13
    assert (y[mask] != x[mask]).all()


@dataclass(frozen=True)
class Turned(flow.Source):
    """The same noise for systems that are permuted, then rotated."""

    order: torch.Tensor
    rotation: torch.Tensor

    def sample(self, like, generators, mask=None, condition=None):
        noise = CentredGaussian().sample(like, generators, mask)
        return noise[:, self.order] @ self.rotation.T


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_samplers_turn_and_permute_with_the_systems(method):
    def network(x, t, condition):
        apart = x[:, :, None] - x[:, None]
        weight = torch.exp(-apart.pow(2).sum(-1, keepdim=True)) * flow.masks.expand(1 + t, apart)
        return (weight * apart).sum(2) - x

    field = NetworkField(network, Linear())
    x = CentredGaussian().sample(torch.zeros(4, 5, 3), seeded())
    order = torch.tensor([3, 0, 4, 1, 2])
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=seeded(5)))[0]

    def sample(x, order, rotation):
        noisy = hasattr(method, "noise")
        stepped = replace(method, noise=Turned(order, rotation)) if noisy else method
        return solve(field, x, uniform(20), stepped, generators=seeded(1))

    plain = sample(x, torch.arange(5), torch.eye(3))
    turned = sample(x[:, order] @ rotation.T, order, rotation)
    torch.testing.assert_close(turned, plain[:, order] @ rotation.T, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", METHODS, ids=name)
@pytest.mark.parametrize("shape", [(3,), (3, 3), (3, 2, 3, 3)])
def test_states_of_any_shape_step_by_sample(method, shape):
    field = NetworkField(lambda x, t, c: x + flow.masks.expand(t, x), Linear())
    x = torch.randn(shape, generator=seeded(), dtype=DOUBLE)
    rows = range(3)
    whole = solve(field, x, uniform(4), method, generators=sample_generators(0, rows))
    assert whole.shape == x.shape
    for row in rows:
        one = solve(
            field, x[row : row + 1], uniform(4), method, generators=sample_generators(0, [row])
        )
        torch.testing.assert_close(one[0], whole[row])


def nan_after(time):
    def field(x, t, condition=None):
        late = flow.masks.expand(t, x) > time
        return VelocityPrediction(torch.where(late, torch.nan, x), x, t, Linear())

    return field


@pytest.mark.parametrize("kind", RUNGE_KUTTA, ids=name)
def test_nan_from_the_field_names_the_step(kind):
    with pytest.raises(FlowsciError, match=r"step 7 of 10, from t = 0\.6 to 0\.7") as caught:
        solve(nan_after(0.6001 if kind.order > 1 else 0.59), normals(3), uniform(10), kind())
    assert "NaN" in str(caught.value)


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_no_method_survives_nan(method):
    with pytest.raises(FlowsciError, match="finite"):
        solve(nan_after(0.5), normals(3), uniform(10), method, generators=seeded())


def test_a_start_that_is_not_finite_is_said_so():
    with pytest.raises(FlowsciError, match="start of the solve"):
        solve(gaussian(), torch.full((2, 2), torch.inf, dtype=DOUBLE), uniform(2))


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (torch.tensor([0.0, 1.1]), r"\[0, 1\]"),
        (torch.tensor([-0.1, 1.0]), r"\[0, 1\]"),
        (torch.tensor([0.0, float("nan"), 1.0]), r"\[0, 1\]"),
        (torch.tensor([0.0, 0.5, 0.5, 1.0]), "rise"),
        (torch.tensor([0.0, 0.6, 0.5, 1.0]), "rise"),
        (torch.tensor([0.5]), r"\(1,\)"),
        (torch.zeros(2, 2), r"\(2, 2\)"),
    ],
)
def test_a_grid_that_is_none_is_refused(grid, message):
    with pytest.raises(FlowsciError, match=message):
        solve(gaussian(), normals(2), grid)


@pytest.mark.parametrize("kind", RUNGE_KUTTA, ids=name)
def test_a_velocity_of_another_shape_names_both_shapes(kind):
    field = NetworkField(lambda x, t, c: x[:, :1], Linear())
    with pytest.raises(FlowsciError, match=r"\(4, 1\).*\(4, 2\)"):
        solve(field, normals(4), uniform(2), kind())


@pytest.mark.parametrize("method", ONE_CALL, ids=name)
def test_one_call_methods_ask_once_a_step(method):
    calls = []
    inner = gaussian()

    def field(x, t, condition=None):
        calls.append(t)
        return inner(x, t)

    solve(field, normals(3), uniform(6), method, generators=seeded())
    assert len(calls) == 6
    assert all(t.shape == (3,) for t in calls)


def test_a_clean_prediction_arrives_exactly_and_says_which_methods_can_not():
    clean = normals(4, seed=3)
    field = NetworkField(lambda x, t, c: clean, Linear(), CleanPrediction)
    for method in (Euler(), LastStep(Heun()), LastStep(RungeKutta4())):
        torch.testing.assert_close(solve(field, normals(4), uniform(5), method), clean)
    midway = solve(field, normals(4), uniform(5), Midpoint())
    assert midway.isfinite().all()
    with pytest.raises(FlowsciError, match=r"t = 1\.0"):
        solve(field, normals(4), uniform(5), Heun())


def test_a_mapping_is_stepped_as_one_state():
    field, x = gaussian(), normals(5)

    def two(state, t, condition=None):
        return {"a": field(state["a"], t), "b": field(state["b"], t)}

    for method in (Euler(), RungeKutta4(), flow.Tsit5()):
        both = solve(two, {"a": x, "b": 2 * x}, uniform(5), method)
        alone = solve(field, x, uniform(5), method)
        torch.testing.assert_close(both["a"], alone, rtol=1e-4, atol=1e-4)


def test_mixed_gives_each_component_its_method_with_one_call():
    field, x, calls = gaussian(), normals(5), []

    def two(state, t, condition=None):
        calls.append(t)
        return {"a": field(state["a"], t), "b": field(state["b"], t)}

    method = Mixed({"a": Euler(), "b": flow.EulerMaruyama()})
    y = solve(two, {"a": x, "b": x}, uniform(6), method, generators=seeded())
    assert len(calls) == 6
    torch.testing.assert_close(y["a"], solve(field, x, uniform(6)))
    noisy = solve(field, x, uniform(6), flow.EulerMaruyama(), generators=seeded())
    torch.testing.assert_close(y["b"], noisy)


def test_mixed_names_what_is_missing():
    with pytest.raises(FlowsciError, match=r"\['a', 'b'\].*\['a'\]"):
        solve(gaussian(), {"a": normals(2)}, uniform(2), Mixed({"a": Euler(), "b": Euler()}))


def test_parts_of_unequal_batch_name_their_shapes():
    with pytest.raises(FlowsciError, match=r"\(2, 2\).*\(3, 2\)"):
        solve(gaussian(), {"a": normals(2), "b": normals(3)}, uniform(2))


def test_a_state_is_a_tensor_or_a_mapping():
    with pytest.raises(FlowsciError, match="list"):
        solve(gaussian(), [1.0], uniform(2))


def test_every_named_method_can_be_made_by_its_name():
    for kind in flow.METHODS.values():
        assert kind() == kind()


def test_the_dtype_of_the_state_is_kept_whatever_the_grid():
    field = NetworkField(lambda x, t, c: x * t[:, None], Linear())
    x = torch.ones(2, 2, dtype=torch.float32)
    assert solve(field, x, uniform(3)).dtype is torch.float32


def test_times_that_fall_together_in_the_states_dtype_are_named():
    field = NetworkField(lambda x, t, condition: x, Linear())
    with pytest.raises(FlowsciError, match=r"fall together in torch\.bfloat16"):
        solve(field, torch.zeros(3, 2, dtype=torch.bfloat16), uniform(1000), Euler())
