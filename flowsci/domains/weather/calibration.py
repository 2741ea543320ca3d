"""What is fitted on validation after training: the spread of the ensemble, the mean's error."""

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch, Batches
from flowsci.domains.weather.network import TASKS, Residuals, tasks_of
from flowsci.domains.weather.settings import WeatherSampling
from flowsci.flow import sample_generators

if TYPE_CHECKING:
    from flowsci.domains.weather.flow import WeatherFlow

logger = logging.getLogger("flowsci")
SETTINGS = WeatherSampling(samples=8, steps=4, method="heun")
LIMITS = (0.5, 2.0)


@torch.no_grad()
def calibrate(model: "WeatherFlow", network: nn.Module, validation: Batches, cases: int) -> None:
    """Fit `mean_spread` on all validation cases, `spread` on about `cases` of them, by task."""
    residuals = network.residuals
    every = range(len(validation))
    for task, squares in _by_task(validation, every, partial(_mean_squares, model, network)):
        residuals.mean_spread[task] = squares.mean(0).sqrt()
    count = min(len(validation), -(-cases // len(validation[0]["target"])))
    chosen = torch.linspace(0, len(validation) - 1, count).round().int().unique().tolist()
    for task, moments in _by_task(validation, chosen, partial(_moments, model, network)):
        factor = spread_factor(*moments.mean(0), members=SETTINGS.samples)
        residuals.spread[task] = factor.clamp(*LIMITS)
        _tell(model, residuals, task)


def spread_factor(
    error: Tensor, product: Tensor, mean: Tensor, variance: Tensor, members: int
) -> Tensor:
    """Solve for the factor f on the residuals that makes spread and skill equal.

    With e the error of the deterministic mean, m and v mean and variance of the drawn residuals
    over members: f^2 v (M + 1) / M = E (e - f m)^2. Given are E e^2, E e m, E m^2 and E v.
    """
    quadratic = (members + 1) / members * variance - mean
    inner = product.square() + quadratic * error
    # the root that is left where the quadratic term vanishes, or where both sides are nearest
    found = error / (product + inner.clamp(min=0).sqrt())
    return torch.where(inner < 0, product / -quadratic, found)


def _by_task(
    batches: Batches, chosen: Iterable[int], measure: Callable[[Batch], Tensor]
) -> Iterator[tuple[int, Tensor]]:
    """Give what is measured of the cases (cases, ...) of each task that there is."""
    parts, tasks = [], []
    for index in chosen:
        batch = batches[index]
        parts.append(measure(batch))
        tasks.append(tasks_of(batch))
    values, task = torch.cat(parts), torch.cat(tasks)
    for number in task.unique().tolist():
        yield number, values[task == number]


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
    noise = model.source(network, batch, samples).sample(
        mean.repeat_interleave(samples, 0), generators
    )
    drawn = model.residuals(network, batch, mean, noise, SETTINGS)
    drawn = model.project(drawn).unflatten(0, (len(mean), samples))
    centre, variance = drawn.mean(1), drawn.var(1)
    area = model.area.to(mean)
    parts = (error.square(), error * centre, centre.square(), variance)
    return torch.stack([(part * area).sum((-2, -1)) for part in parts], dim=1)


def _tell(model: "WeatherFlow", residuals: Residuals, task: int) -> None:
    rows = model.area.sum(1)
    judged = (residuals.mean_spread[task].square().cpu() * rows).sum(1).sqrt()
    for index, name in enumerate(model.channels):
        logger.info(
            "%s, %s: error of the mean %.4f in training, %.4f on validation; spread times %.3f",
            TASKS[task],
            name,
            residuals.variance[task, index].sqrt(),
            judged[index],
            residuals.spread[task, index],
        )
