"""An ensemble in one call a member, trained by its fair CRPS."""

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch, Model
from flowsci.domains.weather.flow import WeatherFlow
from flowsci.domains.weather.losses import area_mean, fair_crps
from flowsci.domains.weather.scales import check_fields
from flowsci.domains.weather.settings import WeatherSampling
from flowsci.errors import FlowsciError
from flowsci.flow import Loss

OF_THE_MEAN = ("mean.", "conditions.0.", "known.0.", "carry")
"""Parameters of the mean, which a student takes from its teacher and leaves as they are."""
MIDDLE = 0.5
"""Time that the network is told: there a velocity without correction leaves the noise as it is."""


class WeatherStudent(WeatherFlow):
    """A map from noise to what the mean leaves: the flow's network, asked once.

    The fair CRPS of a few members in every cell teaches it, as AIFS-CRPS and FGN are taught (Lang
    et al., 2024; Alet et al., 2025): its expectation is least for the right distribution. With a
    teacher, mean and first weights are the teacher's; without, the mean learns beside it.
    """

    taught = False

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Give the fair CRPS of `members` in units of the residuals' spread."""
        if self.taught:
            terms = self._flow_errors(network, batch, generator)
            return Loss(terms["flow"].mean(), terms["flow"], terms)
        return super().loss(network, batch, generator)

    def residuals(
        self,
        network: nn.Module,
        batch: Batch,
        mean: Tensor,
        noise: Tensor,
        settings: WeatherSampling,
    ) -> Tensor:
        """Draw what the mean leaves, shaped like the noise (cases * members, ...), in one call."""
        copies = len(noise) // len(mean)
        context = network.context(batch, mean).repeat(copies)
        x = noise + network.velocity(noise, _middle(noise), context)
        return x * network.residuals.scale(batch).repeat_interleave(copies, 0)

    def learn_from(self, teacher: Model) -> None:
        """Start from the teacher's weights; hold those of the mean."""
        if type(teacher) is not WeatherFlow:
            raise FlowsciError("teacher: a student learns from a run with flow.kind 'flow'.")
        try:
            check_fields(self.statistics, teacher.statistics)
        except FlowsciError as error:
            raise FlowsciError(f"teacher: {error} Name a teacher of the same fields.") from None
        if teacher.path != self.path:
            raise FlowsciError(f"flow.path: the teacher's is '{teacher.settings.path}'; take it.")
        state, given = self.network.state_dict(), teacher.network.state_dict()
        wrong = [n for n, w in state.items() if n not in given or given[n].shape != w.shape]
        if wrong:
            raise FlowsciError(
                f"teacher: its network differs in {wrong[0]}; give the student the same `network`."
            )
        self.network.load_state_dict(given)
        for factors in (self.network.residuals.gain, self.network.residuals.spread):
            factors.fill_(1.0)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not name.startswith(OF_THE_MEAN))
        self.taught = True

    def _flow_errors(
        self, network: nn.Module, batch: Batch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        members = self.settings.members
        mean, residual, scale = self._residual(network, batch, remember=not self.taught)
        rows = {name: part.repeat_interleave(members, 0) for name, part in batch.items()}
        means = mean.repeat_interleave(members, 0)
        noise = self.source(network, batch, members).sample(means, generator)
        x = noise + network(rows, noise, _middle(noise), means)
        x = self.project(x).unflatten(0, (len(mean), members))
        error = fair_crps(x, residual)
        if not network.training:
            error = error * scale
        return {"flow": area_mean(error, self.area.to(x), batch)}


def _middle(like: Tensor) -> Tensor:
    return torch.full((len(like),), MIDDLE, dtype=like.dtype, device=like.device)
