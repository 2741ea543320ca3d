"""The network of a molecule: a noisy state in, clean positions and logits of every label out."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from flowsci.domains.molecules.settings import NetworkSettings
from flowsci.domains.molecules.states import LABELS
from flowsci.domains.molecules.trunk import (
    Context,
    Features,
    MoleculeTrunk,
    Parts,
    hold,
    preconditioning,
)


class MoleculeTransformer(MoleculeTrunk):
    """Positions that are said turn and move with the state; labels do not care."""

    def __init__(
        self, settings: NetworkSettings, statistics: Mapping[str, Any], scale: float
    ) -> None:
        super().__init__(settings, statistics, scale)
        types, charges, orders = (self.categories[name] for name in LABELS)
        self.say_atoms = nn.Linear(self.from_pairs.out_features, types + charges)
        self.say_pairs = nn.Linear(self.from_pairs.in_features, orders + 1)

    def forward(self, states: Parts, t: Tensor, context: Context) -> dict[str, Tensor]:
        """Say clean positions (batch, n, 3) in Å and logits of atoms, charges and bonds."""
        found = self.features(states, t, context)
        bonds, force = self.say_pairs(found.packed).split((self.categories["bonds"], 1), dim=-1)
        sizes = (self.categories["atoms"], self.categories["charges"])
        atoms, charges = self.say_atoms(found.points).split(sizes, dim=-1)
        said = {"atoms": atoms, "charges": charges, "bonds": bonds}
        if "positions" not in states:
            return said
        _, out = preconditioning(t, found.x)
        moved = found.at + out * _push(force, found, context.mask)
        return {"positions": hold(moved, found.x, context), **said}


def _push(force: Tensor, found: Features, mask: Tensor | None) -> Tensor:
    """Move atoms along the lines to all others."""
    if mask is not None:
        force = force * found.pairs.both(mask).unsqueeze(-1)
    between = found.pairs.between(found.at)
    length = torch.linalg.vector_norm(between, dim=-1, keepdim=True)
    return found.pairs.push(force * between / (length + 1))
