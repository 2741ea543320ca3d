"""The network: a reaction's ends as pair features, the state as positions, a clean state out.

Reactant and product enter through distances and bonds, and as directions once they are laid upon
the state, so that no frame can tell anything. The output turns and moves with the state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from flowsci.domains.transition_states.confidence import Confidence
from flowsci.domains.transition_states.record import ORDERS
from flowsci.domains.transition_states.settings import NetworkSettings
from flowsci.domains.transition_states.stress import majorise
from flowsci.errors import FlowsciError
from flowsci.flow.alignment import superpose
from flowsci.flow.masks import masked_mean
from flowsci.nets.equivariant import DistanceFeatures, EquivariantTransformer, PointCloud
from flowsci.nets.pairs import Pairs
from flowsci.nets.times import TimeFeatures

ITERATIONS = 8
SHORTEST_ANGSTROM = 0.4
LARGEST_LOG_WEIGHT = 5.0


@dataclass(frozen=True)
class Context:
    """What is the same at every time: features of atoms (batch, n, width) and of pairs, both ends.

    `ends` are the positions of reactant and product, (batch, n, 3) each.
    """

    atoms: Tensor
    pair_features: Tensor
    ends: tuple[Tensor, Tensor]
    pairs: Pairs
    mask: Tensor

    def repeat(self, times: int) -> "Context":
        """Give each reaction `times` times, one after the other."""
        if times == 1:
            return self
        mask = self.mask.repeat_interleave(times, dim=0)
        dense = self.pairs.unpack(self.pair_features).repeat_interleave(times, dim=0)
        pairs = Pairs.of(mask)
        atoms = self.atoms.repeat_interleave(times, dim=0)
        reactant, product = (end.repeat_interleave(times, dim=0) for end in self.ends)
        return Context(atoms, pairs.pack(dense), (reactant, product), pairs, mask)


class Said(NamedTuple):
    """What the network says of a batch.

    Clean `positions` (batch, n, 3) in Å; `distances` (pairs,) in Å that they were fitted to, of the
    pairs as `Pairs` lists them; `log_error` (batch,), the logarithm of the D-MAE that is feared;
    `doubts` (batch, 2), how little the distances weighed in the fit.
    """

    positions: Tensor
    distances: Tensor
    log_error: Tensor
    doubts: Tensor


class ReactionTransformer(nn.Module):
    """Say clean positions from a state (batch, n, 3) in Å, times (batch,) and a condition.

    The condition is a batch as `Reactions.padded` gives it, or the `Context` that `encode` made of
    it.
    """

    def __init__(self, settings: NetworkSettings, statistics: Mapping[str, Any]) -> None:
        super().__init__()
        width, pair_width = settings.width, settings.pair_width
        self.elements = Elements(statistics["atomic_numbers"], width)
        self.bonding = nn.Linear(2 * len(ORDERS) - 1, width, bias=False)
        self.distances = DistanceFeatures()
        sizes = 2 * (len(self.distances.centres) + 1 + len(ORDERS)) + 3
        self.ends = nn.Linear(sizes, 2 * pair_width)
        self.from_atoms = nn.Linear(width, 2 * pair_width, bias=False)
        self.merge = nn.Linear(2 * pair_width, pair_width)
        self.toward = nn.Linear(2, settings.vectors, bias=False)
        self.time = TimeFeatures(width)
        self.trunk = EquivariantTransformer(
            width,
            pair_width,
            settings.layers,
            settings.heads,
            settings.vectors,
            settings.handed,
            settings.dropout,
        )
        self.stress = nn.Sequential(
            nn.LayerNorm(pair_width),
            nn.Linear(pair_width, pair_width),
            nn.SiLU(),
            nn.Linear(pair_width, 2),
        )
        nn.init.zeros_(self.stress[-1].weight)
        nn.init.zeros_(self.stress[-1].bias)
        self.fear = nn.Sequential(
            nn.Linear(width + pair_width, width), nn.SiLU(), nn.Linear(width, 1)
        )
        # about the logarithm of a fresh network's error, so that little is unlearnt
        nn.init.constant_(self.fear[-1].bias, -2.0)
        self.register_buffer("orders", torch.tensor(ORDERS), persistent=False)
        self.confidence = Confidence()

    def forward(self, x: Tensor, t: Tensor, condition: "Context | Mapping[str, Tensor]") -> Said:
        context = condition if isinstance(condition, Context) else self.encode(condition)
        cloud = PointCloud(context.atoms, context.pair_features, x)
        vectors = self._toward_ends(x, context)
        cloud = self.trunk(cloud, context.pairs, context.mask, self.time(t), vectors)
        positions, distances, doubts = self._embed(cloud, x, context)
        return Said(positions, distances, self._fear(cloud, context), doubts)

    def _toward_ends(self, x: Tensor, context: Context) -> Tensor:
        """Give vectors (batch, n, 3, vectors) from the state to both ends, each laid upon it."""
        ways = [superpose(end, x, context.mask) - x for end in context.ends]
        return self.toward(torch.stack(ways, dim=-1))

    def _embed(
        self, cloud: PointCloud, x: Tensor, context: Context
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fit positions to learned distances with learned weights, from where the trunk ended."""
        pairs = context.pairs
        change, weight = self.stress(cloud.pairs).unbind(-1)
        target = torch.linalg.vector_norm(pairs.between(x), dim=-1) + change
        target = target.clamp(min=SHORTEST_ANGSTROM)
        log_weight = LARGEST_LOG_WEIGHT * torch.tanh(weight / LARGEST_LOG_WEIGHT)
        loose = (log_weight / -2).exp() * target
        doubts = [-pairs.means(log_weight, context.mask), pairs.means(loose, context.mask).log()]
        weight = log_weight.exp() / target.detach() ** 2
        dense = (pairs.unpack(part) for part in (target, weight))
        fitted = majorise(*dense, cloud.positions, context.mask, ITERATIONS)
        centre = masked_mean(x, context.mask).unsqueeze(1) * context.mask.unsqueeze(-1)
        return fitted + centre, target, torch.stack(doubts, dim=-1).detach()

    def encode(self, batch: Mapping[str, Tensor]) -> Context:
        """Encode elements, distances and bonds of both ends, once for all times."""
        pairs = Pairs.of(batch["mask"])
        atoms = self.elements(batch["atomic_numbers"], batch["mask"]) + self._bonds(batch["orders"])
        ends = (batch["reactant"], batch["product"])
        parts = []
        orders = [pairs.pack(batch["orders"][:, end]) for end in (0, 1)]
        for positions, order in zip(ends, orders, strict=True):
            distance = torch.linalg.vector_norm(pairs.between(positions), dim=-1)
            parts += [self.distances(distance), distance.unsqueeze(-1) / 4]
            parts.append((order.unsqueeze(-1) == self.orders).to(distance))
        before, after = orders
        changes = [(before > 0) & (after == 0), (before == 0) & (after > 0), before != after]
        parts.append(torch.stack(changes, dim=-1).to(distance))
        hidden = pairs.sums(self.from_atoms(atoms), self.ends(torch.cat(parts, dim=-1)))
        features = self.merge(nn.functional.silu(hidden))
        return Context(atoms, features, ends, pairs, batch["mask"])

    def _bonds(self, orders: Tensor) -> Tensor:
        """Give features (batch, n, width) of an atom's bonds before and after, by order."""
        bonds = self.orders[1:]
        before, after = (order.unsqueeze(-1) == bonds for order in orders.unbind(1))
        changed = (orders[:, 0] != orders[:, 1]).unsqueeze(-1)
        return self.bonding(torch.cat([before, after, changed], dim=-1).sum(2).to(orders))

    def _fear(self, cloud: PointCloud, context: Context) -> Tensor:
        # the error must not be shaped by the head that predicts it
        atoms = cloud.points.detach().masked_fill(~context.mask.unsqueeze(-1), 0)
        count = context.mask.sum(1, keepdim=True)
        of_pairs = context.pairs.means(cloud.pairs.detach(), context.mask)
        mean = torch.cat([atoms.sum(1) / count, of_pairs], dim=-1)
        return self.fear(mean).squeeze(-1)


class Elements(nn.Module):
    """Features (batch, n, width) of the elements that training reactions hold; zero in padding."""

    def __init__(self, atomic_numbers: list[int], width: int) -> None:
        super().__init__()
        self.known = list(atomic_numbers)
        table = torch.full((119,), -1)
        table[torch.tensor(self.known, dtype=torch.int64)] = torch.arange(len(self.known))
        self.register_buffer("table", table, persistent=False)
        self.embedding = nn.Embedding(len(self.known), width)

    def forward(self, atomic_numbers: Tensor, mask: Tensor) -> Tensor:
        index = self.table[atomic_numbers]
        unseen = torch.unique(atomic_numbers[mask & (index < 0)]).tolist()
        if unseen:
            from ase.data import chemical_symbols

            raise FlowsciError(
                "The model has never seen the elements "
                f"{', '.join(chemical_symbols[number] for number in unseen)}; it knows "
                f"{', '.join(chemical_symbols[number] for number in self.known)}. Train on "
                "reactions that hold them, or leave these reactions out."
            )
        return self.embedding(index.clamp(min=0)) * mask.unsqueeze(-1)
