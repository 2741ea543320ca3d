"""Ensembles rolled out: each step starts from the last one's fields."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch
from flowsci.domains.weather.network import tasks_of
from flowsci.domains.weather.settings import WeatherSampling
from flowsci.errors import FlowsciError

if TYPE_CHECKING:
    from flowsci.domains.weather.flow import WeatherFlow

ROWS = 64
"""States that are advanced at once; more members are streamed in parts."""
DIVERGED = 100.0
"""Drawn anomalies beyond so many of their deviations are no weather, not even a cloudburst."""
OF_ALL_STEPS = ("future_climatology", "future_times", "start_climatology")


def roll_out(
    model: "WeatherFlow",
    network: nn.Module,
    batch: Batch,
    generators: Sequence[torch.Generator],
    settings: WeatherSampling,
) -> dict[str, Tensor]:
    """Draw fields (cases, samples, steps, channel, rows, columns) for each case of a batch.

    Raises `FlowsciError` that names case, member and step where a rollout diverges.
    """
    cases, samples = len(batch["previous"]), settings.samples
    at_once = max(1, ROWS // cases)
    parts = []
    for first in range(0, samples, at_once):
        members = range(first, min(first + at_once, samples))
        own = [generators[case * samples + member] for case in range(cases) for member in members]
        like = batch["climatology"].repeat_interleave(len(members), 0)
        draw = partial(model.source(network, batch, len(members)).sample, like, own)
        parts.append(advance(model, network, batch, draw, settings, first))
    mean = model.foretell(network, batch)
    spread = network.residuals.mean_spread[tasks_of(batch)]
    return {"fields": torch.cat(parts, dim=1), "mean": mean.unsqueeze(1), "mean_spread": spread}


def advance(
    model: "WeatherFlow",
    network: nn.Module,
    batch: Batch,
    noise: Callable[[], Tensor],
    settings: WeatherSampling,
    first: int = 0,
    *,
    checked: bool = True,
) -> Tensor:
    """Advance members of all cases from the first step to the last: (cases, members, steps, ...).

    `noise` gives fresh one for the next step (cases * members, channel, rows, columns), which
    joins the last step's as a first-order autoregression of correlation `noise_memory`; `first` is
    the number of the first member, for messages; what is not `checked` may diverge.
    """
    cases = len(batch["previous"])
    state = {name: part for name, part in batch.items() if name not in OF_ALL_STEPS}
    steps: list[Tensor] = []
    memory, last = settings.noise_memory, None
    for step in range(getattr(settings.task, "rollout_steps", 1)):
        if step:
            state = _next_state(batch, state, steps[-1], step)
        fresh = noise()
        last = fresh if last is None else memory * last + (1 - memory**2) ** 0.5 * fresh
        drawn = model.draw(network, state, last, settings, memory if step else 0.0)
        if checked:
            _check(drawn, batch, step, first)
        steps.append(_constrained(drawn, batch, step, model, settings))
    return torch.stack(steps, dim=1).unflatten(0, (cases, -1))


def _next_state(batch: Batch, state: Batch, fields: Tensor, step: int) -> Batch:
    """Make the condition of a step from the fields of the last one: a row for each member."""
    copies, members = (len(fields) // len(b["previous"]) for b in (state, batch))
    rows = {name: part.repeat_interleave(copies, 0) for name, part in state.items()}
    rows["previous"] = torch.stack([rows["previous"][:, -1], fields], dim=1)
    rows["climatology"] = batch["future_climatology"][:, step].repeat_interleave(members, 0)
    rows["times"] = batch["future_times"][:, step].repeat_interleave(members, 0)
    return rows


def _constrained(
    fields: Tensor, batch: Batch, step: int, model: "WeatherFlow", settings: WeatherSampling
) -> Tensor:
    """Put in what is known: observed cells, and the global mass where asked for."""
    copies = len(fields) // len(batch["previous"])
    if bool(batch["observed_mask"].any()):
        observed, mask = (
            batch[name].repeat_interleave(copies, 0) for name in ("observed", "observed_mask")
        )
        fields = torch.where(mask > 0, observed, fields)
    return _of_equal_mass(fields, batch, step, model) if settings.conserve_mass else fields


def _of_equal_mass(fields: Tensor, batch: Batch, step: int, model: "WeatherFlow") -> Tensor:
    """Shift the surface pressure in every cell alike, so that its global mean is the start's.

    That of the whole field, climatology and anomaly: the climate's mass has a season.
    """
    if "surface_pressure" not in model.channels or not model.band.grid.is_global:
        raise FlowsciError(
            "sampling.conserve_mass: needs a channel surface_pressure on a global grid; the "
            f"dataset has {', '.join(model.channels)} on a grid of the kind "
            f"'{model.band.grid.kind}'. Set it to false."
        )
    channel = model.channels.index("surface_pressure")
    area = model.area.to(fields) * batch["valid"][:, channel]
    area = area / area.sum((-2, -1), keepdim=True)
    change = batch["start_climatology"] - batch["future_climatology"][:, step]
    wanted = ((batch["previous"][:, -1] + change)[:, channel] * area).sum((-2, -1))
    copies = len(fields) // len(wanted)
    found = (fields[:, channel] * area.repeat_interleave(copies, 0)).sum((-2, -1))
    shift = torch.zeros_like(fields)
    shift[:, channel] = (wanted.repeat_interleave(copies, 0) - found)[:, None, None]
    return fields + shift


def _check(fields: Tensor, batch: Batch, step: int, first: int) -> None:
    largest, members = fields.abs().amax((1, 2, 3)), len(fields) // len(batch["previous"])
    # a comparison that NaN fails
    bad = (~(largest < DIVERGED)).nonzero().flatten().tolist()
    if not bad:
        return
    case, member = divmod(bad[0], members)
    named: Any = batch["id"][case].item() if "id" in batch else case
    raise FlowsciError(
        f"The rollout diverges: {len(bad)} of {len(fields)} members leave {DIVERGED:g} standard "
        f"deviations at step {step + 1}, first member {first + member} of case {named}. Take fewer "
        "rollout_steps, or train longer."
    )
