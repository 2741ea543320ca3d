"""The network: a reaction's ends as pair features, the state as positions, a clean state out.

Reactant and product enter through distances and bonds alone, so that no frame can tell anything.
The output turns and moves with the state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flowsci.domains.transition_states.record import ORDERS
from flowsci.domains.transition_states.settings import NetworkSettings
from flowsci.errors import FlowsciError
from flowsci.nets.equivariant import DistanceFeatures, EquivariantTransformer, PointCloud
from flowsci.nets.pairs import Pairs
from flowsci.nets.times import TimeFeatures

CONFIDENCE_KNOTS = 16


@dataclass(frozen=True)
class Context:
    """What is the same at every time: features of atoms (batch, n, width) and pairs, who is real."""

    atoms: Tensor
    pair_features: Tensor
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
        return Context(atoms, pairs.pack(dense), pairs, mask)


@dataclass(frozen=True)
class Said:
    """Clean positions (batch, n, 3) in Å and what the network fears its D-MAE to be, (batch,)."""

    positions: Tensor
    log_error: Tensor


class ReactionTransformer(nn.Module):
    """Say clean positions from a state (batch, n, 3) in Å, times (batch,) and a condition.

    The condition is a batch as `Reactions.padded` gives it, or the `Context` that `encode` made of
    it.
    """

    def __init__(self, settings: NetworkSettings, statistics: Mapping[str, Any]) -> None:
        super().__init__()
        width, pair_width = settings.width, settings.pair_width
        self.elements = Elements(statistics["atomic_numbers"], width)
        self.distances = DistanceFeatures()
        sizes = 2 * (len(self.distances.centres) + 1 + len(ORDERS)) + 3
        self.ends = nn.Linear(sizes, 2 * pair_width)
        self.from_atoms = nn.Linear(width, 2 * pair_width, bias=False)
        self.merge = nn.Linear(2 * pair_width, pair_width)
        self.time = TimeFeatures(width)
        self.trunk = EquivariantTransformer(
            width, pair_width, settings.layers, settings.heads, settings.vectors, settings.handed
        )
        self.fear = nn.Sequential(
            nn.Linear(width + pair_width, width), nn.SiLU(), nn.Linear(width, 1)
        )
        self.register_buffer("orders", torch.tensor(ORDERS), persistent=False)
        # the calibrated error at equally spaced ranks of what the network fears
        self.register_buffer("feared", torch.linspace(-6, 2, CONFIDENCE_KNOTS))
        self.register_buffer("found", torch.linspace(-6, 2, CONFIDENCE_KNOTS).exp())

    def forward(self, x: Tensor, t: Tensor, condition: "Context | Mapping[str, Tensor]") -> Said:
        context = condition if isinstance(condition, Context) else self.encode(condition)
        cloud = PointCloud(context.atoms, context.pair_features, x)
        cloud = self.trunk(cloud, context.pairs, context.mask, self.time(t))
        return Said(cloud.positions, self._fear(cloud, context))

    def encode(self, batch: Mapping[str, Tensor]) -> Context:
        """Encode elements, distances and bonds of both ends, once for all times."""
        pairs = Pairs.of(batch["mask"])
        atoms = self.elements(batch["atomic_numbers"], batch["mask"])
        parts = []
        orders = [pairs.pack(batch["orders"][:, end]) for end in (0, 1)]
        for name, order in zip(("reactant", "product"), orders, strict=True):
            distance = torch.linalg.vector_norm(pairs.between(batch[name]), dim=-1)
            parts += [self.distances(distance), distance.unsqueeze(-1) / 4]
            parts.append((order.unsqueeze(-1) == self.orders).to(distance))
        before, after = orders
        changes = [(before > 0) & (after == 0), (before == 0) & (after > 0), before != after]
        parts.append(torch.stack(changes, dim=-1).to(distance))
        hidden = self.ends(torch.cat(parts, dim=-1)) + pairs.sums(self.from_atoms(atoms))
        features = self.merge(nn.functional.silu(hidden))
        return Context(atoms, features, pairs, batch["mask"])

    def expected_error(self, log_error: Tensor) -> Tensor:
        """Give the calibrated D-MAE in Å of what was feared, by linear interpolation."""
        low = torch.searchsorted(self.feared, log_error).clamp(1, len(self.feared) - 1)
        left, right = self.feared[low - 1], self.feared[low]
        share = ((log_error - left) / (right - left)).clamp(0, 1)
        return torch.lerp(self.found[low - 1], self.found[low], share)

    def _fear(self, cloud: PointCloud, context: Context) -> Tensor:
        # the error must not be shaped by the head that predicts it
        atoms = cloud.points.detach().masked_fill(~context.mask.unsqueeze(-1), 0)
        count = context.mask.sum(1, keepdim=True)
        system = context.pairs.first // context.mask.shape[1]
        pairs = cloud.pairs.detach()
        total = pairs.new_zeros(len(atoms), pairs.shape[-1]).index_add(0, system, pairs)
        mean = torch.cat([atoms.sum(1) / count, total / (count * (count - 1) / 2)], dim=-1)
        return self.fear(mean).squeeze(-1)


class Elements(nn.Module):
    """Features (batch, n, width) of the elements that training reactions hold; zero in padding."""

    def __init__(self, atomic_numbers: list[int], width: int) -> None:
        super().__init__()
        self.known = list(atomic_numbers)
        table = torch.full((119,), -1)
        table[torch.tensor(self.known)] = torch.arange(len(self.known))
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
