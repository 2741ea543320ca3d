"""The flow of a scene's futures: offsets from constant velocity, jointly over its agents."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch, Batches, Model
from flowsci.domains.trajectories.frames import agent_frames, constant_velocity
from flowsci.domains.trajectories.network import AgentTransformer
from flowsci.domains.trajectories.settings import FlowSettings, NetworkSettings
from flowsci.errors import FlowsciError
from flowsci.flow import (
    GRIDS,
    METHODS,
    FlowMatching,
    Linear,
    Loss,
    NetworkField,
    solve,
)
from flowsci.flow.masks import zero_padding
from flowsci.settings import SamplingSettings

CONDITION = ("observed", "mask", "located")


class OffsetBasis:
    """Futures as coefficients: principal components of the offset in the agent's frame, whitened.

    `encode` maps futures (..., agents, steps, 3) in km to (..., agents, coefficients) of about unit
    variance, `decode` back; what the components left out is lost.
    """

    def __init__(self, statistics: Mapping[str, Any], coefficients: int) -> None:
        self.steps = statistics["predicted_steps"]
        self.mean = torch.tensor(statistics["offset_mean"])
        self.basis = torch.tensor(statistics["offset_basis"])[:, :coefficients]
        self.scale = torch.tensor(statistics["offset_scale"])[:coefficients]

    def encode(self, observed: Tensor, future: Tensor) -> Tensor:
        """Give the coefficients of known futures."""
        missed = future - constant_velocity(observed, self.steps)
        offset = agent_frames(observed).turn_in(missed).flatten(-2)
        return (offset - self.mean.to(offset)) @ self.basis.to(offset) / self.scale.to(offset)

    def decode(self, observed: Tensor, coefficients: Tensor) -> Tensor:
        """Give the offsets from the last observed position, in the world's axes."""
        offset = (coefficients * self.scale.to(coefficients)) @ self.basis.to(coefficients).T
        offset = (offset + self.mean.to(offset)).unflatten(-1, (self.steps, 3))
        frames = agent_frames(observed)
        moved = constant_velocity(observed, self.steps) - frames.origin.unsqueeze(-2)
        return frames.turn_out(offset) + moved


class SceneFlow:
    """The network of a run with its objective and its sampler."""

    def __init__(
        self, network: NetworkSettings, flow: FlowSettings, statistics: Mapping[str, Any]
    ) -> None:
        self.coefficients = min(flow.coefficients, 3 * statistics["predicted_steps"])
        self.basis = OffsetBasis(statistics, self.coefficients)
        self.draws = flow.draws
        self.path = Linear()
        self.objective = FlowMatching(path=self.path)
        self.network = AgentTransformer(network, self.coefficients, statistics)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Give the loss over `draws` times and noises a scene; the history is encoded once."""
        mask = batch["mask"]
        future = zero_padding(self.basis.encode(batch["observed"], batch["future"]), mask)
        loss = self.objective(
            network,
            future.repeat_interleave(self.draws, dim=0),
            generator,
            condition={name: batch[name] for name in CONDITION},
            mask=mask.repeat_interleave(self.draws, dim=0),
        )
        return Loss(loss.value, loss.per_sample.unflatten(0, (len(mask), -1)).mean(1))

    def sample(
        self,
        network: nn.Module,
        batch: Batch,
        generators: Sequence[torch.Generator],
        settings: SamplingSettings,
    ) -> dict[str, Tensor]:
        """Draw positions (scenes, samples, agents, steps, 3) in km; padding is meaningless.

        The noise of a sample is drawn for its real agents only, so that padding changes no sample.
        """
        observed, mask = batch["observed"], batch["mask"]
        x = self._noise(mask, generators).to(observed)
        context = network.encode(batch)
        grid = GRIDS[settings.grid](settings.steps)
        field = NetworkField(network, self.path)
        x = solve(field, x, grid, METHODS[settings.method](), condition=context)
        x = x.unflatten(0, (len(mask), settings.samples))
        every = observed.unsqueeze(1).expand(-1, settings.samples, -1, -1, -1)
        return {"positions": every[..., -1:, :] + self.basis.decode(every, x)}

    def calibrate(self, network: nn.Module, validation: Batches) -> None:
        """Fit nothing."""

    def learn_from(self, teacher: Model) -> None:
        """Refuse: the flow learns from data alone."""
        raise FlowsciError("trajectories: this flow has no use for a teacher; remove `teacher`.")

    def _noise(self, mask: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw x0 (scenes * samples, agents, coefficients), one generator a sample."""
        samples = len(generators) // len(mask)
        noise = torch.zeros(len(generators), mask.shape[1], self.coefficients)
        for scene, real in enumerate(mask.cpu()):
            rows = slice(scene * samples, (scene + 1) * samples)
            like = noise[rows, real]
            noise[rows, real] = self.objective.source.sample(like, generators[rows])
        return noise
