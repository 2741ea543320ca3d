"""The flow of a scene's futures, jointly over its agents, and a mixture of modes beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch, Batches, Model
from flowsci.domains.trajectories.basis import OffsetBasis
from flowsci.domains.trajectories.frames import Frames, agent_frames
from flowsci.domains.trajectories.modes import calibrate, density_of, modes_losses
from flowsci.domains.trajectories.network import AgentTransformer, Context, Modes
from flowsci.domains.trajectories.settings import FlowSettings, NetworkSettings, SceneSampling
from flowsci.errors import FlowsciError
from flowsci.flow import GRIDS, METHODS, FlowMatching, Gaussian, Linear, Loss, NetworkField, solve
from flowsci.flow.generators import normal
from flowsci.flow.masks import zero_padding

CONDITION = ("observed", "mask", "place", "wind", "alone")
FIXED = ("axes", "length_unit", "step_seconds", "observed_steps", "predicted_steps", "climb")
"""What a dataset has in common with that of training."""
PAIRS_AT_ONCE = 1_000_000
"""Pairs of agents, padding included, in the scenes that are encoded at once: some 700 MB."""
FUTURE_PAIRS_AT_ONCE = 10_000_000
"""The same, each times its scene's futures, in a call of the decoder."""


class SceneFlow:
    """The network of a run with its objective and its samplers.

    Two heads: a flow, from which any number of joint futures is drawn, and a mixture of modes,
    whose means are a few telling futures and whose density is exact.
    """

    def __init__(
        self, network: NetworkSettings, flow: FlowSettings, statistics: Mapping[str, Any]
    ) -> None:
        self.statistics = statistics
        self.basis = OffsetBasis.of(statistics)
        if self.basis.chart is not None and network.modes:
            raise FlowsciError(
                "network.modes: the densities of climbs are not those of positions, because their "
                "altitudes are charted; set network.modes to 0, and draw by the flow."
            )
        self.settings = flow
        self.coefficients = min(flow.coefficients, len(self.basis.scale))
        self.path = Linear()
        self.objective = FlowMatching(path=self.path)
        self.network = AgentTransformer(network, self.coefficients, statistics)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Give the loss of both heads, over `draws` times and noises a scene."""
        mask, draws = batch["mask"], self.settings.draws
        frames = agent_frames(batch["observed"])
        target = self.basis.encode(frames, batch["future"], self.coefficients)
        said: list[Modes] = []

        def velocity(x: Tensor, t: Tensor, condition: Batch) -> Tensor:
            moved, modes = network(x, t, condition)
            said.extend([] if modes is None else [modes])
            return moved

        flow = self.objective(
            velocity,
            zero_padding(target, mask).repeat_interleave(draws, dim=0),
            generator,
            condition={name: batch[name] for name in CONDITION if name in batch},
            mask=mask.repeat_interleave(draws, dim=0),
        )
        terms = {"flow": flow.per_sample.unflatten(0, (len(mask), -1)).mean(1)}
        for modes in said:
            offsets = self.basis.offsets(frames, batch["future"])
            terms |= modes_losses(modes, offsets, self.basis, frames, mask, self.settings)
        errors = torch.stack(list(terms.values())).sum(0)
        return Loss(errors.mean(), errors, terms)

    @torch.inference_mode()
    def sample(
        self,
        network: nn.Module,
        batch: Batch,
        generators: Sequence[torch.Generator],
        settings: SceneSampling,
    ) -> dict[str, Tensor]:
        """Draw positions (scenes, samples, agents, steps, axes); padding is meaningless.

        `probability` (scenes, samples, agents) is that of each future among the samples; modes also
        give `scene_probability` (scenes, samples), that all agents take the mode, and draws of the
        density `log_density` (scenes, samples, agents), in nats. A network with modes gives the
        density's parts as well, if they are asked for: `style_weight` (scenes, S), `mode_weight`
        (scenes, agents, K, S), `mean` and `scale` (scenes, agents, K, C) and `rest_scale` (scenes,
        agents, F - C), as in `FutureDensity`. Crowded scenes are taken few at a time, which changes
        no sample.
        """
        scenes, agents = batch["mask"].shape
        at_once = max(PAIRS_AT_ONCE // agents**2, 1)
        parts = []
        for first in range(0, scenes, at_once):
            part = {name: tensor[first : first + at_once] for name, tensor in batch.items()}
            count = settings.samples
            own = generators[first * count : (first + at_once) * count]
            parts.append(self._sample(network, part, own, settings))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _sample(
        self,
        network: nn.Module,
        batch: Batch,
        generators: Sequence[torch.Generator],
        settings: SceneSampling,
    ) -> dict[str, Tensor]:
        context = network.encode(batch)
        wanted = settings.densities or settings.head != "flow"
        modes = network.modes(context) if network.modes and wanted else None
        head = {"flow": self._by_flow, "modes": self._by_modes, "density": self._by_density}
        if settings.head != "flow" and modes is None:
            raise FlowsciError(
                f"sampling.head: '{settings.head}' needs a network with modes; set network.modes "
                "and train again, or choose 'flow'."
            )
        drawn = head[settings.head](network, context, modes, generators, settings)
        return drawn | _parts(modes) if modes is not None and settings.densities else drawn

    def arrive(
        self, network: nn.Module, noise: Tensor, context: Context, settings: SceneSampling
    ) -> Tensor:
        """Take states (rows, agents, coefficients) from t = 0 to t = 1."""
        field = NetworkField(network.velocity, self.path)
        grid = GRIDS[settings.grid](settings.steps)
        return solve(field, noise, grid, METHODS[settings.method](), condition=context)

    def calibrate(self, network: nn.Module, validation: Batches) -> None:
        """Widen or narrow the modes' spreads so that they fit the validation scenes best."""
        if network.modes is not None:
            calibrate(network, validation, self.basis)

    def check_data(self, statistics: Mapping[str, Any]) -> None:
        """Raise `FlowsciError` where a dataset's axes, unit, steps or places aren't the model's."""
        names = [*FIXED, "places"] if self.network.features.places else FIXED
        for name in names:
            found, known = statistics[name], self.statistics[name]
            if found != known:
                raise FlowsciError(
                    f"its {name} is {found}, that of the model's training {known}. Name a dataset "
                    "like the model's, or train on this one."
                )

    def learn_from(self, teacher: Model) -> None:
        """Refuse: the flow learns from data alone."""
        raise FlowsciError(
            "teacher: a flow of the kind 'flow' learns from data alone; remove the key, or set "
            "flow.kind to 'student'."
        )

    def _by_flow(
        self,
        network: nn.Module,
        context: Context,
        _modes: Modes | None,
        generators: Sequence[torch.Generator],
        settings: SceneSampling,
    ) -> dict[str, Tensor]:
        scenes, agents = context.mask.shape
        noise = scene_noise(context.mask, self.coefficients, generators).to(context.agents)
        at_once = max(FUTURE_PAIRS_AT_ONCE // (scenes * agents**2), 1)
        parts = noise.unflatten(0, (scenes, -1)).split(at_once, dim=1)
        arrived = [self.arrive(network, part.flatten(0, 1), context, settings) for part in parts]
        x = torch.cat([part.unflatten(0, (scenes, -1)) for part in arrived], dim=1)
        return placed(self.basis, context.frames, x)

    def _by_modes(
        self,
        network: nn.Module,
        context: Context,
        modes: Modes,
        generators: Sequence[torch.Generator],
        settings: SceneSampling,
    ) -> dict[str, Tensor]:
        """Give the means of the modes that are likeliest in a scene."""
        if settings.samples > modes.told:
            raise FlowsciError(
                f"sampling.samples: the network tells {modes.told} modes, {settings.samples} are "
                "asked for. Ask for fewer, or choose the head 'flow' or 'density'."
            )
        weight = _weights(modes)[..., : modes.told]
        share = (weight * context.mask.unsqueeze(-1)).sum(1)
        best = share.argsort(dim=1, descending=True, stable=True)[:, : settings.samples]
        index = best[:, None, :, None].expand(-1, weight.shape[1], -1, self.coefficients)
        chosen = modes.mean.gather(2, index).transpose(1, 2)
        probability = weight.gather(2, index[..., 0]).transpose(1, 2)
        drawn = placed(self.basis, context.frames, chosen)
        return drawn | {
            "probability": probability / probability.sum(1, keepdim=True),
            "scene_probability": _together(modes, context.mask).gather(1, best).softmax(1),
        }

    def _by_density(
        self,
        network: nn.Module,
        context: Context,
        modes: Modes,
        generators: Sequence[torch.Generator],
        settings: SceneSampling,
    ) -> dict[str, Tensor]:
        """Draw from the mixture; a sample's generator is asked once for all agents."""
        count, mask = settings.samples, context.mask
        of_scenes = [
            generators[first : first + count] for first in range(0, len(generators), count)
        ]
        drawn, alone, _ = density_of(modes, context, self.basis).draw(count, of_scenes)
        positions = drawn.new_zeros(*mask.shape, *drawn.shape[1:])
        log_density = drawn.new_zeros(*mask.shape, count)
        positions[mask], log_density[mask] = drawn, alone
        return {
            "positions": positions.transpose(1, 2),
            "probability": torch.full_like(log_density, 1 / count).transpose(1, 2),
            "log_density": log_density.transpose(1, 2),
        }


def scene_noise(mask: Tensor, coefficients: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw x0 (scenes * samples, agents, coefficients), one generator a sample.

    Noise is drawn for real agents only, so that padding changes no sample.
    """
    samples = len(generators) // len(mask)
    if mask.all():
        return normal((len(generators), mask.shape[1], coefficients), generators)
    noise = torch.zeros(len(generators), mask.shape[1], coefficients)
    for scene, real in enumerate(mask.cpu()):
        rows = slice(scene * samples, (scene + 1) * samples)
        noise[rows, real] = Gaussian().sample(noise[rows, real], generators[rows])
    return noise


def placed(basis: OffsetBasis, frames: Frames, x: Tensor) -> dict[str, Tensor]:
    """Give positions, equally probable, of coefficients (scenes, samples, agents, C)."""
    probability = torch.full_like(x[..., 0], 1 / x.shape[1])
    return {"positions": basis.decode(frames.unsqueeze(1), x), "probability": probability}


def _weights(modes: Modes) -> Tensor:
    """Give how likely each mode of an agent is: (scenes, agents, K)."""
    return torch.einsum("bakm,bm->bak", modes.weight.exp(), modes.style.exp())


def _together(modes: Modes, mask: Tensor) -> Tensor:
    """Give the log-probability (scenes, K) that all agents of a scene take the same mode."""
    of_style = (modes.weight * mask[:, :, None, None]).sum(1)
    return (of_style + modes.style.unsqueeze(1)).logsumexp(-1)


def _parts(modes: Modes) -> dict[str, Tensor]:
    return {
        "style_weight": modes.style.exp(),
        "mode_weight": modes.weight.exp(),
        "mean": modes.mean,
        "scale": modes.log_scale.exp(),
        "rest_scale": modes.log_rest.exp(),
    }
