"""What networks of molecules share: the layers over atoms and pairs of a state.

Features of pairs are computed from distances and bonds once a call, and anew as often as the
settings say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from flowsci.domains.molecules.biased import BiasedTransformer
from flowsci.domains.molecules.settings import NetworkSettings
from flowsci.domains.molecules.sizes import sized
from flowsci.domains.molecules.states import LABELS, categories
from flowsci.domains.molecules.triangle import Triangle, triangle
from flowsci.domains.molecules.wishes import Wishes
from flowsci.flow.masks import centre, expand
from flowsci.nets.equivariant import DistanceFeatures
from flowsci.nets.times import TimeFeatures

SHORTEST_ANGSTROM, LONGEST_ANGSTROM = 0.4, 12.0
BUMPS = 23
FLAGS = ("whether the network has spoken", "known", "given")

Parts = Mapping[str, Tensor]


@dataclass(frozen=True)
class Context:
    """What the state is completed for.

    `mask` (batch, n) tells the real atoms, None that all are; `previous` is the network's last word
    on positions (batch, n, 3) and probabilities of labels; `known` (batch, n) tells the atoms whose
    labels are known from the start, `given` (batch, n) those whose positions are known as well, and
    stay; `properties` (batch, properties) and `composition` (batch, elements) are what is asked
    for, NaN where nothing is.
    """

    count: Tensor
    mask: Tensor | None = None
    previous: Parts | None = None
    known: Tensor | None = None
    given: Tensor | None = None
    properties: Tensor | None = None
    composition: Tensor | None = None

    @classmethod
    def of(cls, batch: Parts) -> "Context":
        """Take what a batch tells: `mask`, and what is asked for and told where it has them."""
        mask = batch["mask"]
        return cls(
            mask.sum(1).float(),
            None if bool(mask.all()) else mask,
            known=batch.get("known"),
            given=batch.get("given"),
            properties=batch.get("properties"),
            composition=batch.get("composition"),
        )

    def after(self, said: Parts) -> "Context":
        """Give the context of the next call, which sees what was said."""
        seen = {
            name: part.detach() if name == "positions" else part.detach().softmax(-1)
            for name, part in said.items()
        }
        return replace(self, previous=seen)


class Features(NamedTuple):
    """Features of `points` (batch, n, width) and `packed` pairs (batch, pairs, pair_width).

    `x` and `at` (batch, n, 3) are the state's positions and where the layers moved them.
    """

    points: Tensor
    packed: Tensor
    x: Tensor
    at: Tensor
    pairs: Triangle


class MoleculeTrunk(nn.Module):
    """Atoms attend to each other with a bias of their pairs, in blocks that share pair features.

    A clean position is c_skip x + c_out times what the layers say, with the coefficients of Karras
    et al. (2022) for the linear path, so that little is left to say near the data.
    """

    def __init__(self, settings: NetworkSettings, statistics: Mapping[str, Any], scale: float):
        super().__init__()
        size = sized(settings)
        width, pair_width, vectors = size.width, size.pair_width, size.vectors
        self.categories = categories(statistics)
        self.scale = scale
        types, charges, orders = (self.categories[name] for name in LABELS)
        blocks = size.pair_updates + 1
        guide = max(32, width // 2)
        self.distances = DistanceFeatures(BUMPS, SHORTEST_ANGSTROM, LONGEST_ANGSTROM)
        near = BUMPS + 1
        self.points = nn.Linear(2 * (types + charges) + len(FLAGS), width)
        self.pairs = PairEmbedding(2 * (near + orders) + 1, width, pair_width)
        self.directions = nn.Linear(2, vectors, bias=False)
        self.time = TimeFeatures(guide)
        self.wishes = Wishes(settings, statistics, guide)
        self.blocks = nn.ModuleList(
            BiasedTransformer(width, pair_width, layers, size.heads, vectors, guide)
            for layers in shared(size.layers, blocks)
        )
        self.updates = nn.ModuleList(PairUpdate(near, width, pair_width) for _ in range(blocks))
        self.moves = nn.ModuleList(nn.Linear(vectors, 1, bias=False) for _ in range(blocks))
        self.from_pairs = nn.Linear(pair_width, width)

    def features(self, states: Parts, t: Tensor, context: Context) -> Features:
        """Give what the layers make of a state.

        `states` are positions in Å, and labels (batch, n), bonds (batch, pairs), or their noised
        one-hots with the categories last.
        """
        x, mask = self._places(states), context.mask
        pairs = triangle(x.shape[1], x.device)
        known = {name: self._simplex(states[name], name) for name in LABELS}
        guide = self.time(t) + self.wishes(context.count, context.properties, context.composition)
        h, p, vectors = self._embed(x, known, context, pairs)
        skip, out = preconditioning(t, x)
        at = x
        for block, update, move in zip(self.blocks, self.updates, self.moves, strict=True):
            h, vectors = block(h, vectors, p, at / self.scale, pairs, mask, guide)
            at = hold(skip * x + out * self.scale * move(vectors).squeeze(-1), x, context)
            p = update(p, self._near(pairs.between(at)), h, pairs)
        collected = pairs.collect(p, mask) / context.count.sqrt()[:, None, None]
        return Features(_norm(h) + self.from_pairs(collected), p, x, at, pairs)

    def _places(self, states: Parts) -> Tensor:
        """Give the positions, or the same place for all atoms of graphs without."""
        if "positions" in states:
            return states["positions"]
        return self.points.weight.new_zeros(*states["atoms"].shape[:2], 3)

    def _embed(
        self, x: Tensor, known: Parts, context: Context, pairs: Triangle
    ) -> tuple[Tensor, Tensor, Tensor]:
        near, before = self._near(pairs.between(x)), context.previous
        told = float(before is not None)
        if before is None:
            before = {name: torch.zeros_like(part) for name, part in known.items()}
            moved, far = torch.zeros_like(x), torch.zeros_like(near)
        else:
            at = self._places(before)
            moved, far = at - x, self._near(pairs.between(at))
        every = [part[name] for name in ("atoms", "charges") for part in (known, before)]
        h = self.points(torch.cat([*every, *self._flags(x, context)], dim=-1))
        flag = torch.full_like(near[..., :1], told)
        p = self.pairs(torch.cat([near, far, known["bonds"], before["bonds"], flag], -1), h, pairs)
        return h, p, self.directions(torch.stack([x, moved], dim=-1) / self.scale)

    def _flags(self, x: Tensor, context: Context) -> list[Tensor]:
        """Give what is told of each atom, beside the state, (batch, n, 1) each."""
        told = x.new_full(x.shape[:2], float(context.previous is not None))
        marks = [
            x.new_zeros(x.shape[:2]) if part is None else part.to(x)
            for part in (context.known, context.given)
        ]
        return [part.unsqueeze(-1) for part in (told, *marks)]

    def _near(self, between: Tensor) -> Tensor:
        distance = torch.linalg.vector_norm(between, dim=-1)
        return torch.cat([self.distances(distance), distance.unsqueeze(-1) / 4], dim=-1)

    def _simplex(self, state: Tensor, name: str) -> Tensor:
        """Give labels as unit vectors, zeros for the mask token; noised one-hots as they are."""
        if state.is_floating_point():
            return state
        count = self.categories[name]
        return nn.functional.one_hot(state, count + 1)[..., :count].to(self.points.weight.dtype)


def preconditioning(t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Give c_skip and c_out at times (batch,), for data and noise of one deviation."""
    t = expand(t, x)
    square = t**2 + (1 - t) ** 2
    return t / square, (1 - t) / square.sqrt()


def hold(at: Tensor, x: Tensor, context: Context) -> Tensor:
    """Keep given atoms where they are in x, and the centre of all atoms where none is given."""
    free = centre(at, context.mask)
    if context.given is None:
        return free
    fixed = torch.where(context.given.unsqueeze(-1), x, at)
    if context.mask is not None:
        fixed = fixed * context.mask.unsqueeze(-1)
    return torch.where(context.given.any(1)[:, None, None], fixed, free)


class PairEmbedding(nn.Module):
    """An MLP over a pair's features and its partners'."""

    def __init__(self, features: int, width: int, pair_width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(features, 2 * pair_width)
        self.from_points = nn.Linear(width, 2 * pair_width, bias=False)
        self.outer = nn.Linear(2 * pair_width, pair_width)

    def forward(self, features: Tensor, h: Tensor, pairs: Triangle) -> Tensor:
        hidden = self.inner(features) + pairs.sums(self.from_points(h))
        return self.outer(nn.functional.silu(hidden))


class PairUpdate(nn.Module):
    """Pair features learn from new distances and from what the layers made of the partners."""

    def __init__(self, near: int, width: int, pair_width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(pair_width + near, 2 * pair_width)
        self.from_points = nn.Linear(width, 2 * pair_width, bias=False)
        self.outer = nn.Linear(2 * pair_width, pair_width)

    def forward(self, p: Tensor, near: Tensor, h: Tensor, pairs: Triangle) -> Tensor:
        hidden = self.inner(torch.cat([_norm(p), near], dim=-1))
        hidden = hidden + pairs.sums(self.from_points(_norm(h)))
        return p + self.outer(nn.functional.silu(hidden))


def shared(layers: int, blocks: int) -> list[int]:
    """Share layers among blocks as evenly as can be."""
    return [layers * (i + 1) // blocks - layers * i // blocks for i in range(blocks)]


def _norm(h: Tensor) -> Tensor:
    return nn.functional.layer_norm(h, h.shape[-1:])
