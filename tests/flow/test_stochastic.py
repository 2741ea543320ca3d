from dataclasses import dataclass

import pytest
import torch
from catalogue import PATHS, constant_diffusion, name
from laws import DOUBLE, gaussian, kolmogorov, mixture, normals

from flowsci.errors import FlowsciError
from flowsci.flow import (
    DDIM,
    ActionDenoiserPrediction,
    Aligned,
    CentredGaussian,
    CleanPrediction,
    CoefficientPreserving,
    CustomDiffusion,
    EulerMaruyama,
    ExponentialRenoising,
    Heun,
    LastStep,
    Linear,
    NetworkField,
    PredictorCorrector,
    Proportional,
    RungeKutta4,
    SmoothNoise,
    StochasticHeun,
    Trigonometric,
    TwoSidedNoise,
    VariancePreserving,
    VelocityPrediction,
    solve,
)
from flowsci.flow.grids import uniform
from flowsci.flow.stochastic import Diffusion

COUNT = 3000


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def early(t):
    return 1.5 * torch.cos(torch.pi / 2 * t)


KEEPERS = {
    "EM proportional": (EulerMaruyama(), 120),
    "EM strong": (EulerMaruyama(Proportional(2.0)), 200),
    "EM constant": (EulerMaruyama(CustomDiffusion(constant_diffusion)), 200),
    "EM early": (EulerMaruyama(CustomDiffusion(early)), 200),
    "Heun proportional": (StochasticHeun(), 40),
    "Heun constant": (StochasticHeun(CustomDiffusion(constant_diffusion)), 100),
    "Heun early": (StochasticHeun(CustomDiffusion(early)), 60),
    "DDIM": (DDIM(1.0), 250),
    "exponential": (ExponentialRenoising(2.0), 250),
    "PC": (PredictorCorrector(Heun(), 2, 0.15), 40),
}


@pytest.mark.parametrize("path", [Linear(), VariancePreserving()], ids=name)
@pytest.mark.parametrize("keeper", KEEPERS)
def test_the_marginal_is_that_of_the_flow(keeper, path):
    method, steps = KEEPERS[keeper]
    field, x = mixture(path), normals(COUNT, 11)
    grid = uniform(steps)
    found = solve(field, x, grid, method, generators=seeded(21))
    along = solve(field, normals(COUNT, 31), uniform(20), RungeKutta4())
    assert kolmogorov(found, along) < 1
    assert kolmogorov(found, field.sample(COUNT, seeded(2))) < 1


@pytest.mark.parametrize("time", [0.3, 0.7])
@pytest.mark.parametrize("method", [EulerMaruyama(), StochasticHeun()], ids=name)
def test_the_marginals_on_the_way_are_those_of_the_flow(method, time):
    field, x = mixture(), normals(COUNT, 11)
    grid = uniform(80) * time
    found = solve(field, x, grid, method, generators=seeded(21))
    assert kolmogorov(found, solve(field, normals(COUNT, 31), grid, RungeKutta4())) < 1


@dataclass(frozen=True)
class Unbalanced(Diffusion):
    """Noise without the drift that makes up for it."""

    def squared(self, prediction):
        return 2 * prediction.noise_scale

    def per_scale(self, prediction):
        return 0 * prediction.noise_scale


def test_the_statistic_tells_a_wrong_marginal():
    field, x = mixture(), normals(COUNT, 11)
    found = solve(field, x, uniform(120), EulerMaruyama(Unbalanced()), generators=seeded(21))
    assert kolmogorov(found, field.sample(COUNT, seeded(2))) > 2


@pytest.mark.parametrize("path", PATHS, ids=name)
@pytest.mark.parametrize("method", [EulerMaruyama(), StochasticHeun()], ids=name)
def test_every_path_has_an_sde_with_its_marginals(method, path):
    field, grid = gaussian(path), uniform(100)
    start = torch.zeros(COUNT, dtype=DOUBLE)
    scale = field(normals(COUNT, 11), start).noise_scale
    found = solve(field, scale * normals(COUNT, 11), grid, method, generators=seeded(21))
    assert kolmogorov(found, field.sample(COUNT, seeded(2))) < 1


@pytest.mark.parametrize("path", [SmoothNoise(), SmoothNoise(Trigonometric(), 0.5)])
def test_the_noise_of_the_path_drives_an_sde_by_action_and_denoiser(path):
    law = gaussian(path)

    def network(x, t, condition):
        c, pull = path(t).expand(x), -law.score(x, t)
        return c.d_alpha * c.alpha * pull + c.d_beta * law.clean(x, t), c.gamma * pull

    field = NetworkField(network, path, ActionDenoiserPrediction)
    for method in (EulerMaruyama(Proportional(0.5)), StochasticHeun(Proportional(0.5))):
        found = solve(field, normals(COUNT, 11), uniform(150), method, generators=seeded(21))
        assert kolmogorov(found, law.sample(COUNT, seeded(2))) < 1


def test_heun_is_of_higher_weak_order():
    field, x = gaussian(), normals(100_000)
    x = (x - x.mean(0)) / x.std(0)
    errors = {}
    for method in (EulerMaruyama(), StochasticHeun()):
        y = solve(field, x, uniform(8), method, generators=seeded(21))
        errors[type(method)] = (y.std(0) - field.stds[0]).abs().max()
    assert errors[StochasticHeun] < 0.5 * errors[EulerMaruyama]


RENOISING = [
    *(kind(eta) for kind in (CoefficientPreserving, DDIM) for eta in (0.0, 0.3, 1.0)),
    *(ExponentialRenoising(rate) for rate in (0.3, 4.0)),
]


@pytest.mark.parametrize("method", RENOISING, ids=repr)
@pytest.mark.parametrize("path", [Linear(), VariancePreserving()], ids=name)
def test_renoising_keeps_the_coefficients_of_the_path(path, method):
    point = torch.tensor([2.0, -1.0], dtype=DOUBLE)
    field = NetworkField(lambda x, t, c: point.expand_as(x), path, CleanPrediction)
    grid = 0.7 * uniform(5)
    y = solve(field, normals(40_000), grid, method, generators=seeded(21))
    c = path(grid[-1])
    torch.testing.assert_close(y.mean(0), c.beta * point, rtol=0, atol=0.02)
    torch.testing.assert_close(y.std(0), c.alpha.expand(2), rtol=0.02, atol=0)


def test_without_renewed_noise_both_are_euler_on_straight_lines():
    field, x = gaussian(), normals(5)
    for method in (DDIM(0.0), CoefficientPreserving(0.0)):
        torch.testing.assert_close(solve(field, x, uniform(7), method), solve(field, x, uniform(7)))


def test_exponential_renoising_is_the_exact_step_of_its_sde_for_a_still_clean_state():
    point = torch.tensor([2.0, -1.0], dtype=DOUBLE)
    field = NetworkField(lambda x, t, c: point.expand_as(x), Linear(), CleanPrediction)
    x, grid, rate = normals(40_000), 0.8 * uniform(4), 3.0
    small = EulerMaruyama(Proportional(rate))
    found = [
        solve(field, x, grid, ExponentialRenoising(rate), generators=seeded(21)),
        solve(field, x, 0.8 * uniform(400), small, generators=seeded(5)),
    ]
    noise = [(y - grid[-1] * point) / (1 - grid[-1]) for y in found]
    kept = [(z * x).mean() / (x * x).mean() for z in noise]
    assert abs(kept[0] - 0.2**rate) < 0.01
    assert abs(kept[1] - kept[0]) < 0.01
    assert abs(noise[0].std() - 1) < 0.02


def test_noise_that_is_paired_again_keeps_the_law_of_training():
    system = torch.tensor([[1.0, 0, 0], [-1, 0.3, 0], [0, -0.3, 0.8], [0, 0, -0.8]], dtype=DOUBLE)
    clean = system.expand(4000, 4, 3)
    law, pair = CentredGaussian(), lambda noise, x1: Aligned()(noise, x1).source(noise)
    start, fresh = (pair(law.sample(clean, seeded(seed)), clean) for seed in (1, 2))
    field = NetworkField(lambda x, t, c: clean, Linear(), CleanPrediction)

    def overlap(noise):
        return float((noise * clean).sum((1, 2)).mean())

    grid = 0.9 * uniform(6)
    found = {}
    for kind in (pair, None):
        method = ExponentialRenoising(2.0, pair=kind, noise=law)
        x = solve(field, start, grid, method, generators=seeded(3))
        found[kind] = overlap((x - grid[-1] * clean) / (1 - grid[-1]))
    assert found[pair] == pytest.approx(overlap(fresh), rel=0.03)
    assert found[None] < 0.2 * overlap(fresh)


def test_noise_is_kept_where_alpha_does_not_fall_in_its_digits():
    path = VariancePreserving(40.0)
    point = torch.tensor([2.0, -1.0])
    field = NetworkField(lambda x, t, c: point.expand_as(x), path, CleanPrediction)
    y = solve(
        field, normals(8).float(), uniform(400), ExponentialRenoising(2.0), generators=seeded(21)
    )
    assert y.isfinite().all()


def test_a_large_rate_is_stable_in_few_steps():
    field, x = gaussian(), normals(3000)
    y = solve(field, x, uniform(10), ExponentialRenoising(50.0), generators=seeded(21))
    assert (y.std(0) / field.stds[0]).max() < 1.5


@pytest.mark.parametrize("method", RENOISING, ids=repr)
def test_the_last_step_is_the_clean_state(method):
    clean = normals(4, 3)
    field = NetworkField(lambda x, t, c: clean, Linear(), CleanPrediction)
    assert torch.equal(solve(field, normals(4), uniform(3), method, generators=seeded()), clean)


@pytest.mark.parametrize(
    "method", [EulerMaruyama(), StochasticHeun(), PredictorCorrector(), DDIM()], ids=name
)
@pytest.mark.parametrize("steps", [1, 2])
def test_nothing_is_nan_at_the_ends(method, steps):
    field = NetworkField(lambda x, t, c: torch.cos(x), Linear())
    assert solve(field, normals(6), uniform(steps), method, generators=seeded()).isfinite().all()


def test_a_clean_prediction_needs_another_last_step():
    clean = normals(4, 3)
    field = NetworkField(lambda x, t, c: clean, Linear(), CleanPrediction)
    with pytest.raises(FlowsciError, match=r"t = 1\.0"):
        solve(field, normals(4), uniform(4), StochasticHeun(), generators=seeded())
    method = LastStep(StochasticHeun(), DDIM())
    assert torch.equal(solve(field, normals(4), uniform(4), method, generators=seeded()), clean)


def test_noise_where_the_path_has_none_names_the_time():
    field = NetworkField(lambda x, t, c: (x, x), SmoothNoise(), ActionDenoiserPrediction)
    method = EulerMaruyama(CustomDiffusion(constant_diffusion))
    with pytest.raises(FlowsciError, match="t = 0"):
        solve(field, normals(2), uniform(3), method, generators=seeded())


@pytest.mark.parametrize(
    "method", [EulerMaruyama(), StochasticHeun(), DDIM(), PredictorCorrector()]
)
def test_random_methods_need_generators(method):
    with pytest.raises(FlowsciError, match=f"{type(method).__name__} is random"):
        solve(gaussian(), normals(2), uniform(2), method)


@pytest.mark.parametrize("method", [EulerMaruyama(), StochasticHeun(), DDIM()], ids=name)
def test_random_methods_go_forward_only(method):
    with pytest.raises(FlowsciError, match="rising"):
        solve(gaussian(), normals(2), uniform(2).flip(0), method, generators=seeded())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Proportional(0.0),
        lambda: DDIM(1.5),
        lambda: CoefficientPreserving(-0.1),
        lambda: ExponentialRenoising(rate=0.0),
        lambda: PredictorCorrector(corrections=-1),
        lambda: PredictorCorrector(strength=0.0),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(FlowsciError):
        make()


def test_renoising_takes_no_latent_noise():
    field = NetworkField(lambda x, t, c: x, TwoSidedNoise(), VelocityPrediction)
    with pytest.raises(FlowsciError, match="latent noise"):
        solve(field, normals(2), uniform(2), DDIM(), generators=seeded())
