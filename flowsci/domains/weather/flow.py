"""A mean of the next fields and a flow of what the mean leaves: one network for every task."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch, Batches, Model
from flowsci.domains.weather.band import Band
from flowsci.domains.weather.calibration import calibrate, room
from flowsci.domains.weather.events import sample_event
from flowsci.domains.weather.harmonics import SphericalTransform
from flowsci.domains.weather.losses import amplitude_and_decorrelation, area_mean
from flowsci.domains.weather.network import Streams, tasks_of
from flowsci.domains.weather.noise import source_of
from flowsci.domains.weather.physics import Winds, arrive, conflict_free, with_gradient
from flowsci.domains.weather.precision import LowPrecision
from flowsci.domains.weather.rollout import roll_out
from flowsci.domains.weather.scales import check_fields
from flowsci.domains.weather.settings import (
    EventTask,
    FlowSettings,
    StudentSettings,
    TransformerSettings,
    UNetSettings,
    WeatherSampling,
)
from flowsci.errors import FlowsciError
from flowsci.flow import (
    GRIDS,
    METHODS,
    FlowMatching,
    Linear,
    Loss,
    NetworkField,
    Source,
    Spherical,
    solve,
)

logger = logging.getLogger("flowsci")
# the noise has the energy of what the mean leaves, and is independent of it
PATHS = {"linear": Linear(), "energy": Spherical()}


class WeatherFlow:
    """The network of a run with its objective and its sampler.

    Fields are anomalies in units of their spread. The flow's data are the residuals of the mean,
    which learns from the other cases of each batch, in units of their own spread.
    """

    def __init__(
        self,
        network: UNetSettings | TransformerSettings,
        flow: FlowSettings | StudentSettings,
        statistics: Mapping[str, Any],
    ) -> None:
        self.settings, self.statistics = flow, statistics
        self.band = Band(statistics)
        self.channels = [channel["name"] for channel in statistics["channels"]]
        self.area = self.band.area
        self.path = PATHS[flow.path]
        self.winds = None if flow.divergence == "free" else Winds(statistics)
        transform = self.band.transform
        if flow.spectral_weight and not isinstance(transform, SphericalTransform):
            raise FlowsciError(
                f"flow.spectral_weight: the dataset's grid ('{self.band.grid.kind}') has no "
                "spherical harmonics; it needs a global grid of known truncation. Set it to 0, or "
                "say fields.truncation in the dataset file of a global store."
            )
        degrees = 0 if transform is None else transform.l_max + 1
        self.network = Streams(
            network, self.band.grid, self.band.flips, flow.noise_spread, degrees, self.path
        )
        source_of(flow.noise, flow.noise_spread, transform, self.network.residuals)

    def source(self, network: nn.Module, batch: Batch, copies: int = 1) -> Source:
        """Give the noise that the flow starts from, for `copies` rows of each case."""
        tasks = tasks_of(batch).repeat_interleave(copies)
        flow, transform = self.settings, self.band.transform
        return source_of(flow.noise, flow.noise_spread, transform, network.residuals, tasks)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Give the loss of the mean on the first cases of a batch, of the flow on the others.

        The flow's is in units of the running spread of the mean's error. Outside of training both
        are judged on all cases, and the flow in those of the mean, so that losses at different
        steps compare: residuals in units of their own spread, the loss times its square.
        """
        first = rest = batch
        if network.training:
            first, rest = _split(batch, self.settings.mean_share)
        terms = self._mean_errors(network, first) | self._flow_errors(network, rest, generator)
        parts = [terms["mean"], terms["flow"]]
        errors = torch.cat(parts) if network.training else parts[0] + parts[1]
        value = parts[0].mean() + parts[1].mean()
        residuals = [part.mean() for name, part in terms.items() if name.endswith("divergence")]
        if network.training and residuals:
            weights = [weight for weight in network.parameters() if weight.requires_grad]
            weight = self.settings.divergence_weight
            gradients = conflict_free([value, sum(residuals)], weights, weight)
            value = with_gradient(value, gradients, weights)
        return Loss(value, errors, terms)

    def sample(
        self,
        network: nn.Module,
        batch: Batch,
        generators: Sequence[torch.Generator],
        settings: WeatherSampling,
    ) -> dict[str, Tensor]:
        """Draw fields (cases, samples, steps, channel, rows, columns), anomalies in their spread.

        Beside them `mean` (cases, 1, channel, rows, columns), the mean's forecast of the first
        lead, and `mean_spread` (cases, channel, rows), the mean's error on validation.
        """
        if settings.precision == "bfloat16":
            network = LowPrecision(network)
        if isinstance(settings.task, EventTask):
            return sample_event(self, network, batch, generators, settings, self.statistics)
        return roll_out(self, network, batch, generators, settings)

    def check_data(self, statistics: Mapping[str, Any]) -> None:
        """Raise `FlowsciError` where a dataset's channels, grid or scales aren't the model's."""
        check_fields(statistics, self.statistics)

    def draw(
        self,
        network: nn.Module,
        batch: Batch,
        noise: Tensor,
        settings: WeatherSampling,
        memory: float = 0.0,
    ) -> Tensor:
        """Draw the next fields (cases * members, channel, rows, columns) from noise of that shape.

        Consecutive rows of the noise are members of one case; `memory` is the noise's correlation
        with that of the last step.
        """
        mean = self.foretell(network, batch)
        copies = len(noise) // len(mean)
        residual = self.residuals(network, batch, mean, noise, settings)
        if settings.calibrated:
            known, tasks = network.residuals, tasks_of(batch)
            gain = known.gain[tasks] * room(memory, known.carried[tasks], known.share[tasks])
            mean = self.band.scaled(mean, gain)
            factors = known.spread[tasks].repeat_interleave(copies, 0)
            residual = self.band.scaled(residual, factors)
        return self.project(mean.repeat_interleave(copies, 0) + residual)

    def foretell(self, network: nn.Module, batch: Batch) -> Tensor:
        """Give the mean's fields (cases, channel, rows, columns), within the band."""
        return self.project(network(batch))

    def project(self, fields: Tensor) -> Tensor:
        """Give the nearest fields that the data could have: by band, and by divergence if asked."""
        fields = self.band.project(fields)
        return self.winds.project(fields) if self.settings.divergence == "projected" else fields

    def residuals(
        self,
        network: nn.Module,
        batch: Batch,
        mean: Tensor,
        noise: Tensor,
        settings: WeatherSampling,
    ) -> Tensor:
        """Draw what the mean leaves, shaped like the noise (cases * members, channel, ...)."""
        copies = len(noise) // len(mean)
        context = network.context(batch, mean).repeat(copies)
        field = NetworkField(network.velocity, self.path)
        grid = GRIDS[settings.grid](settings.steps)
        x = solve(field, noise, grid, METHODS[settings.method](), condition=context)
        return x * network.residuals.scale(batch).repeat_interleave(copies, 0)

    def calibrate(self, network: nn.Module, validation: Batches) -> None:
        """Fit factors of mean and spread, and the mean's error, on validation, into buffers."""
        calibrate(self, network, validation, self.settings.calibration_cases)

    def learn_from(self, teacher: Model) -> None:
        """Refuse: the flow learns from data alone."""
        raise FlowsciError(
            "teacher: a flow of the kind 'flow' learns from data alone; remove the key, or set "
            "flow.kind to 'student'."
        )

    def _mean_errors(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Give the mean's error, and what it says of divergence if that is learned."""
        said, truth = self.foretell(network, batch), batch["target"]
        error = area_mean((said - truth).square(), self.area.to(truth), batch)
        if self.settings.spectral_weight:
            judged = (part * batch["valid"] for part in (said, truth))
            spectral = amplitude_and_decorrelation(*judged, self.band.transform)
            error = error + self.settings.spectral_weight * spectral.mean(1)
        return {"mean": error} | self._divergence("mean_divergence", said)

    def _flow_errors(
        self, network: nn.Module, batch: Batch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Give the flow's error, and what it says of divergence if that is learned."""
        mean, residual, scale = self._residual(network, batch, remember=True)
        objective = FlowMatching(path=self.path, source=self.source(network, batch))
        t = objective.times.sample(len(residual), generator).to(residual)
        x, velocity = objective.corrupt(residual, t, generator)
        said = network(batch, x, t, mean)
        error = objective.said.error(said, velocity)
        if not network.training:
            error = error * scale.square()
        flow = {"flow": area_mean(error, self.area.to(error), batch)}
        if self.settings.divergence != "learned":
            return flow
        field = NetworkField(partial(_flow_of, network, batch, mean), self.path)
        clean = arrive(field, objective.read(said, x, t), self.settings.unroll_steps)
        return flow | self._divergence("flow_divergence", mean + clean * scale)

    def _divergence(self, name: str, fields: Tensor) -> dict[str, Tensor]:
        """Give the mean square of the winds' divergence, under this name, if it is learned.

        It is linear in the fields, so that means of them at any time of the flow have none either.
        """
        if self.settings.divergence != "learned":
            return {}
        squares = self.winds.divergence(fields).square()
        return {name: (squares * self.area.to(squares)).sum((-2, -1)).mean(1)}

    @torch.no_grad()
    def _residual(
        self, network: nn.Module, batch: Batch, *, remember: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Give the mean, what it leaves in units of its spread, and that (cases, channel, 1, 1).

        In training the spread is a running one, which may follow these cases; otherwise their own.
        """
        mean = self.foretell(network, batch)
        # cells without a value have no residual, and weigh nothing
        valid = batch["valid"]
        residual = (batch["target"] - mean) * valid
        squares, fourths = self._moments(residual, valid)
        if not network.training:
            scale = squares.sqrt()[..., None, None]
            return mean, residual / scale, scale
        if remember:
            transform = self.band.transform
            power = None if transform is None else transform.power(residual)
            network.residuals.follow(batch, squares, fourths, power)
        scale = network.residuals.scale(batch)
        return mean, residual / scale, scale

    def _moments(self, residual: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        """Give mean squares and fourth powers (cases, channel) over valid cells."""
        area = self.area.to(residual) * valid
        total = area.sum((-2, -1))
        return tuple((residual**power * area).sum((-2, -1)) / total for power in (2, 4))


def _flow_of(
    network: nn.Module, batch: Batch, mean: Tensor, x: Tensor, t: Tensor, condition: None
) -> Tensor:
    return network(batch, x, t, mean)


def _split(batch: Batch, share: float) -> tuple[Batch, Batch]:
    """Cut a batch in two, neither of which is empty; a single case is in both."""
    count = len(batch["target"])
    if count < 2:
        return batch, batch
    cut = min(max(round(share * count), 1), count - 1)
    first, rest = (
        {name: part[rows] for name, part in batch.items()}
        for rows in (slice(cut), slice(cut, None))
    )
    return first, rest
