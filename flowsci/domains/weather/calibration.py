"""What is fitted on validation after training: the spread of the ensemble, the mean's error."""

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch, Batches
from flowsci.domains.weather.settings import WeatherSampling
from flowsci.flow import sample_generators

if TYPE_CHECKING:
    from flowsci.domains.weather.flow import WeatherFlow

logger = logging.getLogger("flowsci")
SETTINGS = WeatherSampling(samples=8, steps=4, method="heun")
LIMITS = (0.5, 2.0)


@torch.no_grad()
def calibrate(model: "WeatherFlow", network: nn.Module, validation: Batches, cases: int) -> None:
    """Fit the buffers `mean_spread` on all validation cases, `spread` on about `cases` of them."""
    squares = [_mean_squares(model, network, batch) for batch in _batches(validation)]
    network.mean_spread.copy_(torch.cat(squares).mean(0).sqrt())
    per_batch = len(validation[0]["target"])
    count = min(len(validation), -(-cases // per_batch))
    chosen = torch.linspace(0, len(validation) - 1, count).round().int().unique().tolist()
    moments = torch.cat([_moments(model, network, validation[index]) for index in chosen]).mean(0)
    network.spread.copy_(spread_factor(*moments, members=SETTINGS.samples).clamp(*LIMITS))
    _tell(model, network)


def spread_factor(
    error: Tensor, product: Tensor, mean: Tensor, variance: Tensor, members: int
) -> Tensor:
    """Solve for the factor f on the residuals that makes spread and skill equal.

    With e the error of the deterministic mean, m and v mean and variance of the drawn residuals
    over members: f^2 v (M + 1) / M = E (e - f m)^2. Given are E e^2, E e m, E m^2 and E v.
    """
    quadratic = (members + 1) / members * variance - mean
    root = (product.square() + quadratic * error).clamp(min=0).sqrt()
    # the larger root; where m explains more than v spreads, there is none and the factor is large
    found = (root - product) / quadratic
    return torch.where(quadratic > 0, found, torch.full_like(found, LIMITS[1]))


def _batches(validation: Batches) -> list[Batch]:
    return [validation[index] for index in range(len(validation))]


def _mean_squares(model: "WeatherFlow", network: nn.Module, batch: Batch) -> Tensor:
    """Give the mean's squared error (cases, channel, rows)."""
    return (batch["target"] - model.foretell(network, batch)).square().mean(-1)


def _moments(model: "WeatherFlow", network: nn.Module, batch: Batch) -> Tensor:
    """Give the moments of `spread_factor` for each case: (cases, 4, channel)."""
    mean = model.foretell(network, batch)
    error = batch["target"] - mean
    samples = SETTINGS.samples
    ids = batch["id"].tolist()
    generators = sample_generators(0, [i * samples + s for i in ids for s in range(samples)])
    noise = model.source(network).sample(mean.repeat_interleave(samples, 0), generators)
    drawn = model.residuals(network, batch, mean, noise, SETTINGS)
    drawn = model.project(drawn).unflatten(0, (len(mean), samples))
    centre, variance = drawn.mean(1), drawn.var(1)
    area = model.area.to(mean)
    parts = (error.square(), error * centre, centre.square(), variance)
    return torch.stack([(part * area).sum((-2, -1)) for part in parts], dim=1)


def _tell(model: "WeatherFlow", network: nn.Module) -> None:
    rows = model.area.sum(1)
    judged = (network.mean_spread.square().cpu() * rows).sum(1).sqrt()
    for index, name in enumerate(model.channels):
        logger.info(
            "%s: error of the mean %.4f in training, %.4f on validation; spread times %.3f",
            name,
            network.variance[index].sqrt(),
            judged[index],
            network.spread[index],
        )
