"""A transformer over the agents of a scene: equivariant to their order, for any number of them.

The history is encoded once into a `Context`. The decoder then says, for any number of states a
scene, how the state of all agents moves; the modes head says a mixture of futures at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from flowsci.domains.trajectories.basis import OffsetBasis
from flowsci.domains.trajectories.frames import Frames, agent_frames, relative_poses
from flowsci.domains.trajectories.settings import NetworkSettings
from flowsci.flow.masks import masked_mean

TIME_FREQUENCIES = 16


@dataclass(frozen=True)
class Context:
    """What the heads need of a scene: features, pair biases a layer, who is real, and where.

    `agents` (scenes, agents, width), `biases` (layers, scenes, 1, heads, agents, agents), `mask`
    (scenes, agents) and the `frames` of the agents.
    """

    agents: Tensor
    biases: Tensor
    mask: Tensor
    frames: Frames


class Modes(NamedTuple):
    """A mixture of futures for each agent, in whitened coefficients; S styles, K modes.

    The first `told` modes are futures to be told of; the others make the mixture fit what no such
    future comes close to. `style` (scenes, S) and `weight` (scenes, agents, K, S) are logarithms
    that sum to one in S and in K; `mean` and `log_scale` (scenes, agents, K, C); `log_rest`
    (scenes, agents, F - C) of the components that no mode describes.
    """

    style: Tensor
    weight: Tensor
    mean: Tensor
    log_scale: Tensor
    log_rest: Tensor
    told: int

    def widened(self, log_factor: Tensor) -> "Modes":
        """Multiply the spreads of all F components by exp(log_factor)."""
        modes, rest = log_factor.tensor_split([self.mean.shape[-1]])
        return self._replace(log_scale=self.log_scale + modes, log_rest=self.log_rest + rest)


class AgentTransformer(nn.Module):
    """Say (rows, agents, coefficients) from states of that shape, times (rows,) and a condition.

    The condition is a mapping with `observed` (scenes, agents, steps, axes), `mask` (scenes,
    agents), `place` (scenes,) or -1, if the dataset has winds, `wind` (scenes, agents, 3), and, if
    agents of some scenes do not see each other, `alone` (scenes,).
    `rows` is a multiple of the scenes: the states of a scene follow each other.
    """

    def __init__(
        self, settings: NetworkSettings, coefficients: int, statistics: Mapping[str, Any]
    ) -> None:
        super().__init__()
        width, heads, layers = settings.width, settings.heads, settings.decoder_layers
        self.nearest = settings.nearest
        self.features = AgentFeatures(settings, statistics)
        self.embed = _mlp(self.features.size, width, width)
        self.encoder = nn.ModuleList(
            Block(width, heads, settings.dropout) for _ in range(settings.encoder_layers)
        )
        self.pairs = PairFeatures(statistics)
        self.encoder_biases = PairBiases(
            self.pairs.size, width // 2, heads, settings.encoder_layers
        )
        self.decoder_biases = PairBiases(self.pairs.size, width // 2, heads, layers)
        self.state = nn.Linear(coefficients, width)
        self.time = _mlp(2 * TIME_FREQUENCIES, width, width)
        self.decoder = nn.ModuleList(
            Block(width, heads, settings.dropout, conditioned=True) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, coefficients)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.modes = None
        if settings.modes:
            components = len(self.features.basis.scale)
            self.modes = ModesHead(width, settings, coefficients, components)

    def forward(
        self, x: Tensor, t: Tensor, condition: Mapping[str, Tensor]
    ) -> tuple[Tensor, Modes | None]:
        """Say velocity and modes at once: what training needs of one pass."""
        context = self.encode(condition)
        return self.velocity(x, t, context), self.modes(context) if self.modes else None

    def velocity(self, x: Tensor, t: Tensor, context: Context) -> Tensor:
        """Say how the states (rows, agents, coefficients) of encoded scenes move.

        `t` is (rows,), or (scenes,) where all states of a scene have one time.
        """
        scenes = len(context.agents)
        state = x.unflatten(0, (scenes, -1))
        time = self.time(_time_features(t)).unflatten(0, (scenes, -1)).unsqueeze(2)
        guide = context.agents.unsqueeze(1) + time
        hidden = self.state(state) + guide
        for block, bias in zip(self.decoder, context.biases, strict=True):
            hidden = block(hidden, bias, guide)
        return self.out(self.norm(hidden)).flatten(0, 1)

    def encode(self, condition: Mapping[str, Tensor]) -> Context:
        """Encode observed positions once for all states and times."""
        observed, mask = condition["observed"], condition["mask"]
        frames = agent_frames(observed)
        features = self.features(observed, frames, condition["place"], condition.get("wind"))
        hidden = self.embed(features).unsqueeze(1)
        poses = relative_poses(frames)
        seen = self._seen(poses, mask, condition.get("alone"))
        pairs = self.pairs(poses)
        for block, bias in zip(self.encoder, self.encoder_biases(pairs, seen), strict=True):
            hidden = block(hidden, bias)
        return Context(hidden.squeeze(1), self.decoder_biases(pairs, seen), mask, frames)

    def _seen(self, poses: Tensor, mask: Tensor, alone: Tensor | None) -> Tensor:
        """Tell (scenes, i, j) whether agent i sees j; (scenes, 1, j) where all see the same.

        Padding sees who is real, so that nobody sees nobody.
        """
        seen, agents = mask.unsqueeze(1), mask.shape[1]
        if self.nearest and agents > self.nearest:
            distance = torch.linalg.vector_norm(poses[..., : self.pairs.axes], dim=-1)
            distance = distance.masked_fill(~seen, torch.inf)
            farthest = distance.topk(self.nearest, largest=False).values[..., -1:]
            seen = seen & ((distance <= farthest) | ~mask.unsqueeze(2))
        if alone is not None:
            own = torch.eye(agents, dtype=torch.bool, device=mask.device)
            seen = seen & (own | ~alone[:, None, None] | ~mask.unsqueeze(2))
        return seen


class AgentFeatures(nn.Module):
    """History of an agent in its own frame and unit, and where it is if the settings say so.

    Each place has features of its own for where an agent is; all are zero in scenes whose `place`
    (scenes,) is -1. `wind` (scenes, agents, 3), if the settings ask for it, is what the air moves
    along the first two axes, as a length a step, and 1 where that is known; without it all are
    zero.
    """

    def __init__(self, settings: NetworkSettings, statistics: Mapping[str, Any]) -> None:
        super().__init__()
        self.basis = OffsetBasis.of(statistics)
        for name in ("move_mean", "move_scale", "location_mean", "location_scale"):
            self.register_buffer(name, torch.tensor(statistics[name]), persistent=False)
        frequencies = 2.0 ** torch.arange(settings.location_frequencies) * torch.pi / 4
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.places = len(statistics["places"]) if settings.locations else 0
        self.knows_wind = settings.wind
        steps, axes = self.move_mean.shape
        place = self.places * (4 + 2 * axes * settings.location_frequencies)
        optional = 3 * self.knows_wind + (self.basis.chart.features if self.basis.chart else 0)
        self.size = steps * axes + 1 + (axes - 2) + place + optional

    def forward(
        self, observed: Tensor, frames: Frames, place: Tensor, wind: Tensor | None = None
    ) -> Tensor:
        unit = self.basis.unit(frames)
        moves = frames.turn_in(observed.diff(dim=-2)) / unit[..., None, None]
        location = (frames.origin - self.location_mean) / self.location_scale
        parts = [
            ((moves - self.move_mean) / self.move_scale).flatten(-2),
            torch.log(unit / self.basis.floor.to(unit)).unsqueeze(-1),
            location[..., 2:],
        ]
        if self.places:
            waves = (location.unsqueeze(-1) * self.frequencies).flatten(-2)
            where = [location[..., :2], frames.heading, waves.sin(), waves.cos()]
            own = place.unsqueeze(-1) == torch.arange(self.places, device=place.device)
            parts.append(
                torch.einsum("saf,sp->sapf", torch.cat(where, -1), own.to(unit)).flatten(-2)
            )
        if self.basis.chart is not None:
            parts.append(self.basis.chart.place(frames))
        if self.knows_wind:
            parts.append(_wind_along(frames, unit, wind))
        return torch.cat(parts, dim=-1)


def _wind_along(frames: Frames, unit: Tensor, wind: Tensor | None) -> Tensor:
    """Give the wind along and across the heading in the agent's unit, and whether it is known."""
    if wind is None:
        return unit.new_zeros(*unit.shape, 3)
    along = frames.turn_in(wind[..., None, :2]).squeeze(-2) / unit[..., None]
    return torch.cat([along, wind[..., 2:]], dim=-1)


class PairFeatures(nn.Module):
    """Relative poses (scenes, i, j, 2 axes + 2), squashed to comparable sizes, and closeness."""

    def __init__(self, statistics: Mapping[str, Any]) -> None:
        super().__init__()
        self.register_buffer("pace", torch.tensor(statistics["pace_mean"]), persistent=False)
        self.axes = len(statistics["location_mean"])
        self.size = 2 * self.axes + 4

    def forward(self, poses: Tensor) -> Tensor:
        lengths, heading = poses.split([2 * self.axes, 2], dim=-1)
        away, relative = (lengths / self.pace).chunk(2, dim=-1)
        distance = torch.linalg.vector_norm(away, dim=-1, keepdim=True)
        near = torch.exp(-distance / 4)
        return torch.cat([torch.asinh(away), relative, heading, torch.log1p(distance), near], -1)


class PairBiases(nn.Module):
    """Biases of the attention of several layers, from pair features."""

    def __init__(self, features: int, hidden: int, heads: int, layers: int) -> None:
        super().__init__()
        self.shape = (layers, heads)
        self.mlp = _mlp(features, hidden * layers, heads * layers)

    def forward(self, pairs: Tensor, seen: Tensor) -> Tensor:
        """Give (layers, scenes, 1, heads, i, j); minus infinity where i does not see j."""
        biases = self.mlp(pairs).unflatten(-1, self.shape).permute(3, 0, 4, 1, 2)
        return biases.masked_fill(~seen.unsqueeze(1), -torch.inf).unsqueeze(2)


class ModesHead(nn.Module):
    """Say K futures an agent with spreads, and how likely each is in each of S styles of a scene.

    `log_factor` (components,) widens the spreads; calibration sets it after training.
    """

    def __init__(
        self, width: int, settings: NetworkSettings, coefficients: int, components: int
    ) -> None:
        super().__init__()
        self.told, every = settings.modes, settings.modes + settings.further_modes
        self.shape = (every, settings.styles, coefficients)
        self.norm = nn.LayerNorm(width)
        self.rest = components - coefficients
        styles = settings.styles
        outputs = every * (2 * coefficients + styles) + self.rest
        self.agent = _mlp(width, 2 * width, outputs)
        self.scene = nn.Linear(width, styles)
        self.register_buffer("log_factor", torch.zeros(components))

    def forward(self, context: Context) -> Modes:
        """Give the mixture of every agent of the scenes; padding is meaningless."""
        modes, styles, coefficients = self.shape
        hidden = self.norm(context.agents)
        rest, parts = self.agent(hidden).tensor_split([self.rest], dim=-1)
        parts = parts.unflatten(-1, (modes, -1))
        mean, scale, weight = parts.split([coefficients, coefficients, styles], dim=-1)
        plain = Modes(
            style=self.scene(masked_mean(hidden, context.mask)).log_softmax(-1),
            weight=weight.log_softmax(-2),
            mean=mean,
            log_scale=_bounded(scale) - 2,
            log_rest=_bounded(rest),
            told=self.told,
        )
        return plain.widened(self.log_factor)


def _bounded(log_scale: Tensor) -> Tensor:
    """Keep logarithms within 4 of zero: one bad case may neither vanish nor explode."""
    return 4 * torch.tanh(log_scale / 4)


class Block(nn.Module):
    """Attention over agents with a pair bias, then an MLP; scales and shifts by a guide if any."""

    def __init__(self, width: int, heads: int, dropout: float, conditioned: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(
            nn.LayerNorm(width, elementwise_affine=not conditioned) for _ in range(2)
        )
        self.modulation = nn.Linear(width, 4 * width) if conditioned else None
        self.queries = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor, guide: Tensor | None = None) -> Tensor:
        if self.modulation is None or guide is None:
            x = x + self.dropout(self._attend(self.norms[0](x), bias))
            return x + self.dropout(self.mlp(self.norms[1](x)))
        scale_1, shift_1, scale_2, shift_2 = self.modulation(nn.functional.silu(guide)).chunk(4, -1)
        seen = self._attend(torch.addcmul(shift_1, self.norms[0](x), 1 + scale_1), bias)
        x = x + self.dropout(seen)
        said = self.mlp(torch.addcmul(shift_2, self.norms[1](x), 1 + scale_2))
        return x + self.dropout(said)

    def _attend(self, x: Tensor, bias: Tensor) -> Tensor:
        split = self.queries(x).unflatten(-1, (3, self.heads, -1)).transpose(-4, -2)
        query, key, value = split.unbind(-3)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + bias
        # written out: for scenes this small, softmax and fused attention take several times longer
        weights = (scores - scores.amax(-1, keepdim=True).detach()).exp()
        seen = (weights @ value) / weights.sum(-1, keepdim=True)
        return self.merge(seen.transpose(-3, -2).flatten(-2))


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


def _time_features(t: Tensor) -> Tensor:
    frequencies = torch.arange(1, TIME_FREQUENCIES + 1, dtype=t.dtype, device=t.device)
    angles = torch.pi / 2 * t.unsqueeze(-1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
