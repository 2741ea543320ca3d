"""The flat, ragged record of reactions.

- `atomic_numbers` (atom), `reactant`, `transition_state`, `product`, `start` (atom, axis) in Å;
  `atom_start` (reaction + 1) bounds the atoms of a reaction;
- `bond_first`, `bond_second` (bond): atoms of a pair that is bonded in the reactant or the product,
  counted in the reaction; `order_reactant`, `order_product` (bond): 0, 1, 1.5, 2 or 3;
  `bond_start` (reaction + 1);
- `reaction`, `smiles` (reaction): names, and `reactant_graph`, `core` where the splits go by them;
  `split` (reaction): index into `SPLITS`; `energy_reactant`, `energy_transition_state`,
  `energy_product` (reaction) in eV at the dataset's level, NaN where not known.

`start` is the stress embedding, centred; a transition state that is not known is NaN.
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from flowsci.errors import FlowsciError

SPLITS = ("train", "validation", "test")
ENDS = ("reactant", "transition_state", "product")
ORDERS = (0.0, 1.0, 1.5, 2.0, 3.0)


class Reactions:
    """Some reactions of a record, by their numbers in it."""

    def __init__(self, arrays: xr.Dataset, numbers: np.ndarray) -> None:
        self.numbers = numbers
        self.names = arrays["reaction"].values
        self.smiles = arrays["smiles"].values
        self.atom_start = arrays["atom_start"].values
        self.bond_start = arrays["bond_start"].values
        self.atomic_numbers = arrays["atomic_numbers"].values
        self.positions = {name: arrays[name].values for name in (*ENDS, "start")}
        self.bonds = np.stack([arrays["bond_first"].values, arrays["bond_second"].values])
        self.orders = np.stack([arrays["order_reactant"].values, arrays["order_product"].values])

    @classmethod
    def of_split(cls, arrays: xr.Dataset, split: str) -> "Reactions":
        """Give the reactions of a split; raise `FlowsciError` where it has none."""
        numbers = np.flatnonzero(arrays["split"].values == SPLITS.index(split))
        if not len(numbers):
            raise FlowsciError(
                f"The dataset has no reaction in the split '{split}'. Use more reactions, or other "
                "`splits` in the dataset file."
            )
        return cls(arrays, numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each reaction."""
        return np.diff(self.atom_start)[self.numbers]

    def atoms(self, index: int) -> slice:
        """Give where the atoms of reaction `index`, counted in `numbers`, stand."""
        number = self.numbers[index]
        return slice(self.atom_start[number], self.atom_start[number + 1])

    def orders_of(self, index: int) -> np.ndarray:
        """Give the bond orders (2, atoms, atoms) in reactant and product."""
        number, atoms = self.numbers[index], self.atoms(index)
        size = atoms.stop - atoms.start
        dense = np.zeros((2, size, size), dtype=np.float32)
        bonds = slice(self.bond_start[number], self.bond_start[number + 1])
        i, j = self.bonds[:, bonds]
        dense[:, i, j] = dense[:, j, i] = self.orders[:, bonds]
        return dense

    def padded(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Stack reactions with zeros behind.

        id (batch,), mask (batch, n), atomic_numbers (batch, n), orders (batch, 2, n, n); reactant,
        transition_state, product and start (batch, n, 3) in Å.
        """
        numbers = self.numbers[list(indices)]
        first = self.atom_start[numbers]
        sizes = self.atom_start[numbers + 1] - first
        place = np.arange(sizes.max())
        mask = place < sizes[:, None]
        atoms = np.where(mask, first[:, None] + place, 0)
        real = mask[..., None]
        known = {name: np.where(real, values[atoms], 0) for name, values in self.positions.items()}
        batch = {
            "id": numbers,
            "mask": mask,
            "atomic_numbers": self.atomic_numbers[atoms].astype(np.int64) * mask,
            "orders": self._orders(numbers, len(place)),
            **known,
        }
        return {name: torch.from_numpy(values) for name, values in batch.items()}

    def _orders(self, numbers: np.ndarray, n: int) -> np.ndarray:
        """Give the bond orders (reactions, 2, n, n) in reactants and products."""
        first = self.bond_start[numbers]
        counts = self.bond_start[numbers + 1] - first
        row = np.repeat(np.arange(len(numbers)), counts)
        bonds = np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts)
        i, j = self.bonds[:, bonds]
        dense = np.zeros((len(numbers), n, n, 2), dtype=np.float32)
        dense[row, i, j] = dense[row, j, i] = self.orders[:, bonds].T
        return np.ascontiguousarray(dense.transpose(0, 3, 1, 2))
