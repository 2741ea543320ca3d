"""A transformer over the agents of a scene: equivariant to their order, for any number of them.

The history is encoded once into a `Context`; the decoder then says, for any number of states a
scene, how the state of all agents moves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flowsci.domains.trajectories.frames import Frames, agent_frames, relative_poses
from flowsci.domains.trajectories.settings import NetworkSettings
from flowsci.flow.masks import expand

TIME_FREQUENCIES = 16


@dataclass(frozen=True)
class Context:
    """What the decoder needs of a scene: features, pair biases a layer, and who is real.

    `agents` (scenes, agents, width), `biases` a layer (scenes, 1, heads, agents, agents).
    """

    agents: Tensor
    biases: tuple[Tensor, ...]


class AgentTransformer(nn.Module):
    """Say (rows, agents, coefficients) from states of that shape, times (rows,) and a condition.

    The condition is a mapping with `observed` (scenes, agents, steps, 3) in km, `mask` (scenes,
    agents) and `located` (scenes,), or the `Context` that `encode` made of it. `rows` is a multiple
    of the scenes: the states of a scene follow each other.
    """

    def __init__(
        self, settings: NetworkSettings, coefficients: int, statistics: Mapping[str, Any]
    ) -> None:
        super().__init__()
        width, heads, layers = settings.width, settings.heads, settings.decoder_layers
        self.features = AgentFeatures(settings, statistics)
        self.embed = _mlp(self.features.size, width, width)
        self.encoder = nn.ModuleList(
            Block(width, heads, settings.dropout) for _ in range(settings.encoder_layers)
        )
        self.encoder_biases = nn.ModuleList(
            _mlp(PairFeatures.size, width // 2, heads) for _ in range(settings.encoder_layers)
        )
        self.pairs = PairFeatures(statistics)
        self.decoder_biases = nn.ModuleList(
            _mlp(PairFeatures.size, width // 2, heads) for _ in range(layers)
        )
        self.state = nn.Linear(coefficients, width)
        self.time = _mlp(2 * TIME_FREQUENCIES, width, width)
        self.decoder = nn.ModuleList(
            Block(width, heads, settings.dropout, conditioned=True) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, coefficients)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, t: Tensor, condition: "Context | Mapping[str, Tensor]") -> Tensor:
        context = condition if isinstance(condition, Context) else self.encode(condition)
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
        features = self.features(observed, frames, condition["located"])
        hidden = self.embed(features).unsqueeze(1)
        pairs = self.pairs(relative_poses(frames))
        barred = torch.where(mask[:, None, None, :], 0.0, -torch.inf).unsqueeze(1)
        for block, to_bias in zip(self.encoder, self.encoder_biases, strict=True):
            hidden = block(hidden, _bias(to_bias, pairs, barred))
        biases = tuple(_bias(to_bias, pairs, barred) for to_bias in self.decoder_biases)
        return Context(hidden.squeeze(1), biases)


class AgentFeatures(nn.Module):
    """History of an agent in its own frame, and where it is if the settings say so.

    The place is zero in scenes that are not `located` (scenes,).
    """

    def __init__(self, settings: NetworkSettings, statistics: Mapping[str, Any]) -> None:
        super().__init__()
        for name in ("move_mean", "move_scale", "location_mean", "location_scale"):
            self.register_buffer(name, torch.tensor(statistics[name]), persistent=False)
        frequencies = 2.0 ** torch.arange(settings.location_frequencies) * torch.pi / 4
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.knows_location = settings.locations
        moves = self.move_mean.numel()
        self.size = (
            moves + 2 + (4 + 6 * settings.location_frequencies if self.knows_location else 0)
        )

    def forward(self, observed: Tensor, frames: Frames, located: Tensor) -> Tensor:
        moves = frames.turn_in(observed.diff(dim=-2))
        speed = torch.linalg.vector_norm(frames.velocity[..., :2], dim=-1, keepdim=True)
        location = (frames.origin - self.location_mean) / self.location_scale
        parts = [
            ((moves - self.move_mean) / self.move_scale).flatten(-2),
            torch.log1p(speed),
            location[..., 2:],
        ]
        if self.knows_location:
            waves = (location.unsqueeze(-1) * self.frequencies).flatten(-2)
            place = [location[..., :2], frames.heading, waves.sin(), waves.cos()]
            parts.append(torch.cat(place, dim=-1) * expand(located, frames.heading))
        return torch.cat(parts, dim=-1)


class PairFeatures(nn.Module):
    """Relative poses (scenes, agents, agents, 8), squashed to comparable sizes, and closeness."""

    size = 10

    def __init__(self, statistics: Mapping[str, Any]) -> None:
        super().__init__()
        speed = torch.tensor(statistics["move_mean"])[-1, 0]
        self.register_buffer("stride", speed, persistent=False)

    def forward(self, poses: Tensor) -> Tensor:
        away = poses[..., :3] / self.stride
        distance = torch.linalg.vector_norm(away, dim=-1, keepdim=True)
        parts = [
            torch.asinh(away),
            poses[..., 3:6] / self.stride,
            poses[..., 6:],
            torch.log1p(distance),
            torch.exp(-distance / 4),
        ]
        return torch.cat(parts, dim=-1)


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
        x = x + self.dropout(self._attend(self.norms[0](x) * (1 + scale_1) + shift_1, bias))
        return x + self.dropout(self.mlp(self.norms[1](x) * (1 + scale_2) + shift_2))

    def _attend(self, x: Tensor, bias: Tensor) -> Tensor:
        split = self.queries(x).unflatten(-1, (3, self.heads, -1)).transpose(-4, -2)
        query, key, value = split.unbind(-3)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + bias
        return self.merge((scores.softmax(-1) @ value).transpose(-3, -2).flatten(-2))


def _bias(to_bias: nn.Module, pairs: Tensor, barred: Tensor) -> Tensor:
    return to_bias(pairs).movedim(-1, -3).unsqueeze(1) + barred


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


def _time_features(t: Tensor) -> Tensor:
    frequencies = torch.arange(1, TIME_FREQUENCIES + 1, dtype=t.dtype, device=t.device)
    angles = torch.pi / 2 * t.unsqueeze(-1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
