"""Mixtures against scipy, and ranks against the closed form of a Gaussian."""

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde, multivariate_normal

from flowsci.domains.trajectories.mixtures import Mixture, kernel_log_density


def mixture(rows=3, modes=4, steps=2, axes=2) -> Mixture:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    factor = draw(rows, modes, steps, axes, axes)
    covariances = factor @ factor.mT + 0.1 * torch.eye(axes, dtype=torch.float64)
    return Mixture(draw(rows, modes).softmax(1), 3 * draw(rows, modes, steps, axes), covariances)


@pytest.mark.parametrize("axes", [2, 3])
def test_the_density_is_that_of_scipy_also_far_from_the_origin(axes):
    plain = mixture(axes=axes)
    far = Mixture(plain.weights, plain.means + 1e4, plain.covariances)
    points = torch.randn(3, 5, 2, axes, dtype=torch.float64)
    expected = np.zeros((3, 5, 2))
    for row, step, mode in np.ndindex(3, 2, 4):
        mean, covariance = (
            part[row, mode, step].numpy() for part in (plain.means, plain.covariances)
        )
        pdf = multivariate_normal(mean, covariance).pdf(points[row, :, step].numpy())
        expected[row, :, step] += plain.weights[row, mode].item() * pdf
    assert np.allclose(plain.log_density(points), np.log(expected))
    assert np.allclose(far.log_density(points + 1e4), np.log(expected), atol=1e-6)


def test_above_a_level_is_where_the_density_says_so():
    given = mixture()
    points = torch.randn(3, 200, 2, 2, dtype=torch.float64)
    density = given.log_density(points)
    level = density.median(1).values + 1e-6
    assert torch.equal(given.exceeds(points, level), density > level.unsqueeze(1))


def test_a_mode_of_no_weight_changes_nothing():
    given = mixture()
    weights = torch.cat([given.weights, torch.zeros(3, 1, dtype=torch.float64)], dim=1)
    more = Mixture(
        weights,
        torch.cat([given.means, given.means[:, :1]], dim=1),
        torch.cat([given.covariances, given.covariances[:, :1]], dim=1),
    )
    points = torch.randn(3, 5, 2, 2, dtype=torch.float64)
    assert torch.allclose(more.log_density(points), given.log_density(points))


def test_draws_have_the_mean_and_covariance_of_the_mixture():
    given = mixture(rows=1, steps=1)
    drawn = given.draw(200_000, torch.Generator().manual_seed(1))[0, :, 0].numpy()
    weights, means = given.weights[0].numpy(), given.means[0, :, 0].numpy()
    mean = weights @ means
    away = means - mean
    covariance = np.einsum("k,kde->de", weights, given.covariances[0, :, 0].numpy())
    covariance += np.einsum("k,kd,ke->de", weights, away, away)
    assert np.allclose(drawn.mean(axis=0), mean, atol=0.05)
    assert np.allclose(np.cov(drawn.T), covariance, rtol=0.03, atol=0.1)


def test_the_share_of_draws_above_the_truth_is_that_of_a_gaussians_regions():
    """Of a Gaussian in 2-D, the region of radius r standard deviations holds 1 - exp(-r^2 / 2)."""
    one = torch.ones(1, 1, dtype=torch.float64)
    plain = Mixture(one, torch.zeros(1, 1, 1, 2).double(), torch.eye(2).double()[None, None, None])
    truth = torch.tensor([[[[1.5, 0.0]]]], dtype=torch.float64)
    level = plain.log_density(truth)[:, 0]
    drawn = plain.draw(100_000, torch.Generator().manual_seed(0))
    share = plain.exceeds(drawn, level).double().mean()
    assert share == pytest.approx(1 - np.exp(-(1.5**2) / 2), abs=0.005)


def test_the_kernel_follows_scotts_rule_as_in_scipy():
    random = np.random.default_rng(0)
    samples, truth = random.normal(size=(2, 30, 3, 2)), random.normal(size=(2, 3, 2))
    found = kernel_log_density(samples, np.full((2, 30), 1 / 30), truth, np.zeros(3))
    expected = [
        [gaussian_kde(samples[row, :, step].T).logpdf(truth[row, step])[0] for step in range(3)]
        for row in range(2)
    ]
    assert np.allclose(found, expected)


def test_a_probability_weighs_the_kernels_as_in_scipy():
    random = np.random.default_rng(0)
    samples, truth = random.normal(size=(1, 9, 1, 2)), random.normal(size=(1, 1, 2))
    weights = random.random((1, 9)) + 0.1
    found = kernel_log_density(samples, weights, truth, np.zeros(1))
    expected = gaussian_kde(samples[0, :, 0].T, weights=weights[0]).logpdf(truth[0, 0])
    assert np.allclose(found, expected)


def test_samples_in_one_point_have_the_least_kernel():
    samples, truth = np.ones((1, 5, 1, 2)), np.array([[[1.0, 1.3]]])
    found = kernel_log_density(samples, np.full((1, 5), 0.2), truth, np.array([0.3]))
    assert found == pytest.approx(multivariate_normal([1, 1], 0.09).logpdf([1, 1.3]))
