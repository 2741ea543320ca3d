"""Ensembles that are guided to an event, with weights that keep its probability right.

A sampler without noise of its own is a function of the normal numbers that it starts from. An
event is then a set of these numbers. All is done there, whatever network, solver and rollout make
of them, and exact where the event's quantity is linear in them:

- a threshold: draw around the likeliest numbers that reach it (the design point of structural
  reliability, Hasofer and Lind, 1974) and weigh each member by the ratio of the two densities;
- an observation: move each draw to where it meets the observation with its error (randomised
  maximum likelihood, Oliver et al., 1996), which draws from the posterior.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch
from flowsci.domains.weather.network import tasks_of
from flowsci.domains.weather.rollout import ROWS, advance
from flowsci.domains.weather.settings import EventTask, WeatherSampling
from flowsci.errors import FlowsciError
from flowsci.flow.generators import normal

if TYPE_CHECKING:
    from flowsci.domains.weather.flow import WeatherFlow

ITERATIONS = 4
LONGEST = 6.0
"""Length of a shift, in deviations: what lies beyond has a probability below 1e-9."""
Quantity = Callable[[Tensor], Tensor]
"""Values (rows,) of latents (rows, ...)."""


def design_point(quantity: Quantity, origin: Tensor, threshold: Tensor) -> Tensor:
    """Find the shortest latents (rows, ...) at which the quantity reaches `threshold` (rows,).

    By the Hasofer-Lind-Rackwitz-Fiessler iteration; one step where the quantity is linear. Where
    the origin, latents of zeros, reaches the threshold, the event is likely and that the point.
    What is out of reach is sought `LONGEST` from the origin at most.
    """
    value, slope = _value_and_slope(quantity, origin)
    likely, point = value >= threshold, origin
    for step in range(0 if bool(likely.all()) else ITERATIONS):
        if step:
            value, slope = _value_and_slope(quantity, point)
        along = (slope * point).flatten(1).sum(1) + threshold - value
        length = slope.flatten(1).norm(dim=1)
        reach = (along / length).clamp(-LONGEST, LONGEST)
        point = _rows(reach / length, slope) * slope
    return torch.where(_rows(likely, point), origin, point)


def log_weights(latents: Tensor, shift: Tensor) -> Tensor:
    """Give log N(z; 0, 1) - log N(z; shift, 1) of latents (rows, ...): (rows,)."""
    return (0.5 * shift.square() - shift * latents).flatten(1).sum(1)


def observe(
    quantity: Quantity, latents: Tensor, observation: Tensor, error: Tensor | float
) -> Tensor:
    """Move latents (rows, ...) drawn from the prior to draws of the posterior.

    `observation` (rows,) holds what was observed plus a draw of its error for each row. Gauss-
    Newton steps to the minimum of |z - latents|^2 + (observation - quantity(z))^2 / error^2.
    """
    z = latents
    for _ in range(ITERATIONS):
        value, slope = _value_and_slope(quantity, z)
        gap = observation - value + (slope * (z - latents)).flatten(1).sum(1)
        gain = gap / (slope.flatten(1).square().sum(1) + error**2)
        z = latents + _rows(gain, slope) * slope
    return z


def sample_event(
    model: "WeatherFlow",
    network: nn.Module,
    batch: Batch,
    generators: Sequence[torch.Generator],
    settings: WeatherSampling,
    statistics: Mapping[str, Any],
) -> dict[str, Tensor]:
    """Draw members (cases, samples, steps, ...) for the event, with `log_weight` (cases, samples).

    Means under the forecast are those with these weights: the probability of the event is the mean
    of exp(log_weight) over all members, counted where `quantity` (cases, samples), the mean over
    the box in the channel's units, lies beyond the threshold. Members of an observation have equal
    weights. Every number of calls that the guidance takes is on top of plain sampling's.
    """
    event = Event(model, settings.task, statistics)
    parts = [
        event.sample(network, _case(batch, case, len(batch["previous"])), own, settings)
        for case, own in enumerate(_shared(generators, settings.samples))
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


class Event:
    """The quantity of an event: a channel's mean over a box, in units of the anomaly's spread."""

    def __init__(
        self, model: "WeatherFlow", task: EventTask, statistics: Mapping[str, Any]
    ) -> None:
        if task.channel not in model.channels:
            known = ", ".join(model.channels)
            raise FlowsciError(
                f"sampling.task.channel: there is no '{task.channel}'; there are: {known}."
            )
        self.model, self.task = model, task
        self.channel = model.channels.index(task.channel)
        self.mean, self.spread = (
            float(statistics[name][self.channel]) for name in ("anomaly_mean", "anomaly_spread")
        )
        inside = torch.from_numpy(model.band.grid.in_box(task.region))
        if not bool(inside.any()):
            raise FlowsciError(
                "sampling.task.region: no cell of the grid lies in the box; widen it."
            )
        self.area = inside * model.area

    def weights(self, valid: Tensor) -> Tensor:
        """Give the cells' shares (rows, columns) of the mean over the box.

        Those without a value, not `valid` (channel, rows, columns), have none.
        """
        weights = self.area.to(valid) * valid[self.channel]
        if not bool(weights.any()):
            raise FlowsciError(
                f"sampling.task.region: no cell of the box has a value of {self.task.channel}; "
                "move or widen it."
            )
        return weights / weights.sum()

    def of(self, fields: Tensor, climatology: Tensor, weights: Tensor) -> Tensor:
        """Give the mean over the box of fields (..., channel, rows, columns) in physical units."""
        total = (fields + climatology)[..., self.channel, :, :]
        return self.mean + self.spread * (total * weights).sum((-2, -1))

    def sample(
        self,
        network: nn.Module,
        batch: Batch,
        generators: Sequence[torch.Generator],
        settings: WeatherSampling,
    ) -> dict[str, Tensor]:
        """Draw the members of one case."""
        source = self.model.source(network, batch)
        if not hasattr(source, "place"):
            raise FlowsciError(
                f"sampling.task: events need Gaussian noise, not {type(source).__name__}; train "
                "with flow.noise 'white', 'isotropic' or 'matched'."
            )
        like = batch["climatology"]
        shape = source.latent_shape((1, *like.shape[1:]))[1:]
        steps = self.task.rollout_steps
        latents = normal((len(generators), steps, *shape), generators, like=like)
        climatology = batch["future_climatology"][:, -1]
        cells = self.weights(batch["valid"][0])

        def rolled(z: Tensor, checked: bool = True) -> Tensor:
            noise = iter(source.place(z.transpose(0, 1).flatten(0, 1)).chunk(steps))
            draw = partial(next, noise)
            return advance(self.model, network, batch, draw, settings, checked=checked)[0]

        def quantity(z: Tensor) -> Tensor:
            # a guess on the way to the event may be no weather
            return self.of(rolled(z, checked=False)[:, -1], climatology, cells)

        latents, weights = self._guided(quantity, latents, generators)
        fields = torch.cat([rolled(part) for part in latents.split(ROWS)])
        return {
            "fields": fields.unsqueeze(0),
            "log_weight": weights.unsqueeze(0),
            "quantity": self.of(fields[:, -1], climatology, cells).unsqueeze(0),
            **self._said(cells),
            "mean": self.model.foretell(network, batch).unsqueeze(1),
            "mean_spread": network.residuals.mean_spread[tasks_of(batch)],
        }

    def _said(self, cells: Tensor) -> dict[str, Tensor]:
        """Say the event with its samples: channel, region (1, rows, columns) and value (1,)."""
        name = "observation" if self.task.threshold is None else "threshold"
        value = getattr(self.task, name)
        return {
            "event_channel": torch.tensor([self.channel]),
            "region": cells.unsqueeze(0),
            name: cells.new_tensor([value]),
            "below": torch.tensor([int(self.task.below)]),
        }

    def _guided(
        self, quantity: Quantity, latents: Tensor, generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        task = self.task
        if not task.guided:
            return latents, latents.new_zeros(len(latents))
        if task.threshold is not None:
            side = -1 if task.below else 1
            wanted = latents.new_full((1,), side * task.threshold)
            origin = torch.zeros_like(latents[:1])
            shift = design_point(lambda z: side * quantity(z), origin, wanted)
            moved = latents + shift
            return moved, log_weights(moved, shift)
        error = task.observation_error
        noise = normal((len(latents),), generators, like=latents)
        observed = task.observation + error * noise
        rows = max(1, ROWS // 4)
        pairs = zip(latents.split(rows), observed.split(rows), strict=True)
        moved = torch.cat([observe(quantity, z, y, error) for z, y in pairs])
        return moved, latents.new_zeros(len(latents))


@torch.enable_grad()
def _value_and_slope(quantity: Quantity, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Give values (rows,) and their gradients (rows, ...), each of its own row."""
    latents = latents.detach().requires_grad_()
    value = quantity(latents)
    (slope,) = torch.autograd.grad(value.sum(), latents)
    if not bool((slope.flatten(1).abs().sum(1) > 0).all()):
        raise FlowsciError("The event does not depend on the forecast's noise: nothing guides.")
    return value.detach(), slope


def _rows(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *(1,) * (like.ndim - 1))


def _case(batch: Batch, case: int, cases: int) -> Batch:
    return {name: part[case : case + 1] for name, part in batch.items() if len(part) == cases}


def _shared(generators: Sequence[torch.Generator], samples: int) -> list[Sequence[torch.Generator]]:
    return [generators[first : first + samples] for first in range(0, len(generators), samples)]
