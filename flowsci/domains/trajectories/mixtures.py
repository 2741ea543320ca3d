"""Where an agent is at each lead time, as Gaussian mixtures: of a density, or around samples."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flowsci.domains.trajectories.density import FutureDensity

ROWS_AT_ONCE = 4
LOG_TWO_PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Mixture:
    """Gaussian mixtures of agents (rows) at lead times (steps), in the dataset's unit of length.

    `weights` (rows, K), `means` (rows, K, steps, axes), `covariances` (rows, K, steps, axes, axes),
    float64.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    @classmethod
    def of_density(cls, density: FutureDensity) -> "Mixture":
        """Give the exact marginals of a density."""
        return cls(*(part.double() for part in density.marginals()))

    @classmethod
    def around(cls, samples: Tensor, probability: Tensor, least: Tensor) -> "Mixture":
        """Put a Gaussian kernel around each of samples (rows, K, steps, axes).

        Scott's rule (1992): the kernel's covariance is that of the samples at the lead time times
        n^(-2 / (axes + 4)), with n = 1 / sum of squared probabilities, the effective number of
        samples. A standard deviation `least` (steps,) an axis is added in quadrature, so that
        samples in a line or a point have a density too.
        """
        weights = probability / probability.sum(1, keepdim=True)
        squares = weights.square().sum(1)
        mean = torch.einsum("rk,rksd->rsd", weights, samples)
        away = samples - mean.unsqueeze(1)
        covariance = torch.einsum("rk,rksd,rkse->rsde", weights, away, away)
        axes = samples.shape[-1]
        factor = squares ** (2 / (axes + 4)) / (1 - squares).clamp_min(1e-12)
        floor = least.square()[:, None, None] * torch.eye(axes, dtype=samples.dtype)
        kernel = covariance * factor[:, None, None, None] + floor
        return cls(weights, samples, kernel.unsqueeze(1).expand(-1, samples.shape[1], *[-1] * 3))

    def horizontal(self) -> "Mixture":
        """Give the mixture of the first two axes alone."""
        return Mixture(self.weights, self.means[..., :2], self.covariances[..., :2, :2])

    def at(self, rows: Tensor | slice, steps: Tensor | slice) -> "Mixture":
        """Give the mixture of some rows at some steps."""
        means, covariances = self.means[rows][:, :, steps], self.covariances[rows][:, :, steps]
        return Mixture(self.weights[rows], means, covariances)

    def log_density(self, points: Tensor) -> Tensor:
        """Give the log-density (rows, n, steps) at points (rows, n, steps, axes), in nats."""
        none = points.new_zeros(points.shape[0], points.shape[2])
        return self._log_terms(points, none).logsumexp(-1).transpose(1, 2)

    def exceeds(self, points: Tensor, level: Tensor) -> Tensor:
        """Tell (rows, n, steps) where the density is above exp(level), of level (rows, steps).

        As `log_density`, in half the time: only the sum's place beside one matters.
        """
        return (self._log_terms(points, level).exp_().sum(-1) > 1).transpose(1, 2)

    def _log_terms(self, points: Tensor, level: Tensor) -> Tensor:
        """Give what each mode adds to the density / exp(level): logarithms (rows, steps, n, K).

        A Gaussian's logarithm is linear in the products of coordinates: one matrix product a row
        and step, about the centre of the mixture.
        """
        centre = (self.weights[:, :, None, None] * self.means).sum(1)
        away = (points - centre.unsqueeze(1)).transpose(1, 2)
        mean = (self.means - centre.unsqueeze(1)).transpose(1, 2)
        precision = torch.linalg.inv(self.covariances).transpose(1, 2)
        pull = (precision @ mean.unsqueeze(-1)).squeeze(-1)
        constant = (mean * pull).sum(-1) + torch.logdet(self.covariances).transpose(1, 2)
        constant = (constant + points.shape[-1] * LOG_TWO_PI) / -2
        constant = constant + self.weights.log().unsqueeze(1) - level.unsqueeze(-1)
        products = (away.unsqueeze(-1) * away.unsqueeze(-2)).flatten(-2)
        features = torch.cat([away, products, torch.ones_like(away[..., :1])], dim=-1)
        parts = [pull, precision.flatten(-2) / -2, constant.unsqueeze(-1)]
        return features @ torch.cat(parts, dim=-1).mT

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw positions (rows, count, steps, axes), each step from its own marginal."""
        modes = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        rows = torch.arange(len(modes))[:, None]
        shape = (*modes.shape, *self.means.shape[2:])
        noise = torch.randn(shape, generator=generator, dtype=self.means.dtype)
        lower = torch.linalg.cholesky(self.covariances)[rows, modes]
        return self.means[rows, modes] + (lower @ noise.unsqueeze(-1)).squeeze(-1)


def marginal_ranks(
    density: FutureDensity, truth: np.ndarray, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Count the draws of each marginal that are more probable than the truth: (rows, steps).

    With draws + 1 points, ranks 0 to draws are equally likely where the density is right; ranks
    below a share of the points are the highest-density region of that share (Hyndman, 1996). Gives
    the truth's own log-density (rows, steps) as well.
    """
    generator = torch.Generator().manual_seed(seed)
    ranks, logs = np.empty(truth.shape[:2], dtype=np.int64), np.empty(truth.shape[:2])
    for rows in parts(len(truth)):
        mixture = Mixture.of_density(density.select(torch.arange(rows.start, rows.stop)))
        own = mixture.log_density(torch.from_numpy(truth[rows]).unsqueeze(1)).squeeze(1)
        ranks[rows] = mixture.exceeds(mixture.draw(draws, generator), own).sum(1).numpy()
        logs[rows] = own.numpy()
    return ranks, logs


def kernel_log_density(
    samples: np.ndarray, probability: np.ndarray, truth: np.ndarray, least: np.ndarray
) -> np.ndarray:
    """Give the log-density (rows, steps) of truths under a kernel around samples.

    The bandwidth follows `Mixture.around`.
    """
    values = np.empty(truth.shape[:2])
    for rows in parts(len(truth)):
        around = (torch.from_numpy(a) for a in (samples[rows], probability[rows], least))
        mixture = Mixture.around(*around)
        own = mixture.log_density(torch.from_numpy(truth[rows]).unsqueeze(1))
        values[rows] = own.squeeze(1).numpy()
    return values


def parts(rows: int) -> list[slice]:
    """Cut rows into slices whose arrays fit the memory."""
    return [slice(first, min(first + ROWS_AT_ONCE, rows)) for first in range(0, rows, ROWS_AT_ONCE)]
