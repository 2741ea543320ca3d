"""What is fitted on validation after training: factors of mean and spread, the mean's error.

A network that has seen its training cases often foretells a little too much. Its mean then has too
much power beside a residual as large as its error, by a percent or two a step, which a rollout adds
up. The truth is therefore regressed on what is foretold, as in model output statistics, degree by
degree: the error is then the least, and both together have the power of the truth. Noise that
remembers the last step's would add to it again, as the mean carries on what came of that: `room`
is what is taken from the mean for it.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from flowsci.domains.contract import Batch, Batches
from flowsci.domains.weather.network import TASKS, Residuals, tasks_of
from flowsci.domains.weather.settings import WeatherSampling
from flowsci.flow import sample_generators

if TYPE_CHECKING:
    from flowsci.domains.weather.flow import WeatherFlow

logger = logging.getLogger("flowsci")
SETTINGS = WeatherSampling(samples=8, steps=4, method="heun")
LIMITS = (0.5, 2.0)
NEIGHBOURS = 2
"""Degrees on either side that a degree is fitted with: the largest scales have few numbers."""


@torch.no_grad()
def calibrate(model: "WeatherFlow", network: nn.Module, validation: Batches, cases: int) -> None:
    """Fit factors of the spread on about `cases` of validation, all else on all, by task."""
    residuals = network.residuals
    every = range(len(validation))
    for task, sums in _by_task(validation, every, partial(_mean_squares, model, network)):
        square, count = sums.mean(0)
        # of a row without values nothing is known
        residuals.mean_spread[task] = torch.where(count > 0, square / count, 1.0).sqrt()
    for task, moments in _by_task(validation, every, partial(_mean_moments, model, network)):
        target, product, square = _smooth(moments)
        gain = mean_factor(product, square).clamp(*LIMITS)
        error = target - 2 * gain * product + gain**2 * square
        residuals.gain[task] = gain
        residuals.share[task] = torch.where(square > 0, error / (gain**2 * square), 0.0)
    count = min(len(validation), -(-cases // len(validation[0]["target"])))
    chosen = torch.linspace(0, len(validation) - 1, count).round().int().unique().tolist()
    for task, moments in _by_task(validation, chosen, partial(_moments, model, network)):
        *squares, answer, asked = _smooth(moments)
        factor = spread_factor(*squares, members=SETTINGS.samples)
        residuals.spread[task] = factor.clamp(*LIMITS)
        carried = torch.where(asked > 0, answer / asked, 0.0)
        residuals.carried[task] = residuals.gain[task] * carried
        _tell(model, residuals, task)


def mean_factor(product: Tensor, square: Tensor) -> Tensor:
    """Solve for the factor g on the mean m that leaves the least error: g E m^2 = E m t."""
    # a mean that is nothing has nothing to be multiplied
    return torch.where(square > 0, product / square, 1.0)


def room(memory: float, carried: Tensor, share: Tensor) -> Tensor:
    """Solve for the factor f on the mean m that keeps the power where noise remembers.

    A step is f m(x) + e, and e has the correlation `memory` with the last step's. The mean carries
    on c of each e, so that E m e' = E e^2 s with s = memory c / (1 - memory c), the sum over all
    earlier steps; what has grown at first, c > 1, is taken to stay as it is. Where
    E e^2 = share E m^2, f^2 + 2 f s share = 1 leaves the power as it is.
    """
    together = share * memory * carried / (1 - memory * carried.clamp(max=1))
    return (1 + together.square()).sqrt() - together


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
    below = product + inner.clamp(min=0).sqrt()
    found = torch.where(inner < 0, product / -quadratic, error / below)
    # where neither error nor residual is left, nothing is to be multiplied
    return torch.where(below == 0, 1.0, found)


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


def _smooth(moments: Tensor) -> Tensor:
    """Average moments (cases, moment, channel, degree) over cases and neighbouring degrees."""
    window = 2 * NEIGHBOURS + 1
    return functional.avg_pool1d(moments.mean(0), window, stride=1, padding=NEIGHBOURS)


def _mean_squares(model: "WeatherFlow", network: nn.Module, batch: Batch) -> Tensor:
    """Give the sum of the mean's squared errors, and its cells: (cases, 2, channel, rows)."""
    valid = batch["valid"]
    error = (batch["target"] - model.foretell(network, batch)) * valid
    return torch.stack([error.square().sum(-1), valid.sum(-1)], dim=1)


def _mean_moments(model: "WeatherFlow", network: nn.Module, batch: Batch) -> Tensor:
    """Give E t^2, E m t and E m^2 of mean m and truth t by case: (cases, 3, channel, degree)."""
    fields = (model.foretell(network, batch), batch["target"])
    mean, target = (part * batch["valid"] for part in fields)
    power, product = model.band.power, model.band.product
    return torch.stack((power(target), product(mean, target), power(mean)), dim=1)


def _moments(model: "WeatherFlow", network: nn.Module, batch: Batch) -> Tensor:
    """Give moments by case: (cases, 6, channel, degree).

    Those of `spread_factor`, and E d e and E e^2, where the mean answers with d if the present is
    off by a drawn residual e; nothing where no present is known.
    """
    mean = model.foretell(network, batch)
    gained = model.band.scaled(mean, network.residuals.gain[tasks_of(batch)])
    error = (batch["target"] - gained) * batch["valid"]
    samples = SETTINGS.samples
    ids = batch["id"].tolist()
    generators = sample_generators(0, [i * samples + s for i in ids for s in range(samples)])
    noise = model.source(network, batch, samples).sample(
        mean.repeat_interleave(samples, 0), generators
    )
    drawn = model.residuals(network, batch, mean, noise, SETTINGS)
    drawn = model.project(drawn).unflatten(0, (len(mean), samples)) * batch["valid"].unsqueeze(1)
    centre, power = drawn.mean(1), model.band.power
    variance = power(drawn - centre.unsqueeze(1)).sum(1) / (samples - 1)
    product = model.band.product
    off = drawn[:, 0] * batch["has_previous"][:, None, None, None]
    previous = batch["previous"].clone()
    previous[:, -1] += off
    answer = (model.foretell(network, batch | {"previous": previous}) - mean) * batch["valid"]
    parts = (power(error), product(error, centre), power(centre), variance)
    return torch.stack((*parts, product(answer, off), power(off)), dim=1)


def _tell(model: "WeatherFlow", residuals: Residuals, task: int) -> None:
    rows = model.area.sum(1)
    judged = (residuals.mean_spread[task].square().cpu() * rows).sum(1).sqrt()
    for index, name in enumerate(model.channels):
        gain, spread = residuals.gain[task, index], residuals.spread[task, index]
        logger.info(
            "%s, %s: error of the mean %.4f in training, %.4f on validation; mean times %.3f to "
            "%.3f, spread times %.3f to %.3f",
            TASKS[task],
            name,
            residuals.variance[task, index].sqrt(),
            judged[index],
            *(gain.min(), gain.max()),
            *(spread.min(), spread.max()),
        )
