"""The flat, ragged record of molecules.

- `name`, `smiles` (molecule): canonical SMILES without stereo marks; `split` (molecule): index into
  `SPLITS`; `half` (molecule): index into `HALVES`, by the hash of the SMILES; `properties`
  (molecule, property), NaN where unknown, with their names in the coordinate `property`;
- `first_atom`, `atom_count`, `first_bond`, `bond_count` (molecule);
- `atomic_numbers`, `formal_charges` (atom), heavy atoms first; `positions` (atom, axis) in Å about
  the mean of the atoms, NaN in a dataset without positions;
- `bond_atoms` (bond, end): numbers within the molecule, the smaller first; `bond_orders` (bond):
  1, 2 or 3 of a Kekulé structure.

The attributes `has_positions` and `has_hydrogens` say what the dataset is made of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from flowsci.errors import FlowsciError

if TYPE_CHECKING:
    from rdkit import Chem
    from torch_geometric.data import Data

SPLITS = ("train", "validation", "test")
HALVES = ("generator", "judge")


@dataclass(frozen=True)
class Graph:
    """One molecule as plain arrays.

    `atomic_numbers`, `charges` (n,), `bonds` (n, n) of orders, `positions` (n, 3) in Å or None.
    """

    atomic_numbers: np.ndarray
    charges: np.ndarray
    bonds: np.ndarray
    positions: np.ndarray | None
    hydrogens: bool = True

    def to_rdkit(self) -> "Chem.Mol":
        """Build RDKit's molecule as it is, without sanitising it."""
        from flowsci.domains.molecules.graphs import to_rdkit

        return to_rdkit(
            self.atomic_numbers,
            self.charges,
            self.bonds,
            self.positions,
            hydrogens=self.hydrogens,
        )


class Molecules:
    """Some molecules of a record, by their numbers in it."""

    def __init__(self, arrays: xr.Dataset, numbers: np.ndarray) -> None:
        self.numbers = numbers
        self.has_positions = bool(arrays.attrs["has_positions"])
        self.has_hydrogens = bool(arrays.attrs["has_hydrogens"])
        self.property_names = arrays["property"].values.tolist()
        self._molecules = {
            name: arrays[name].values for name in ("name", "smiles", "split", "properties")
        }
        self._places = {
            name: arrays[name].values.astype(np.int64)
            for name in ("first_atom", "atom_count", "first_bond", "bond_count")
        }
        self._atoms = {
            name: arrays[name].values for name in ("atomic_numbers", "formal_charges", "positions")
        }
        self._bonds = {name: arrays[name].values for name in ("bond_atoms", "bond_orders")}

    @classmethod
    def of_split(cls, arrays: xr.Dataset, split: str) -> "Molecules":
        """Give the molecules of a split; raise `FlowsciError` where it has none."""
        numbers = np.flatnonzero(arrays["split"].values == SPLITS.index(split))
        if not len(numbers):
            raise FlowsciError(
                f"The dataset has no molecule in the split '{split}'. Use more molecules, or other "
                "`splits` in the dataset file."
            )
        return cls(arrays, numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def spaced(self, count: int) -> "Molecules":
        """Give `count` of the molecules, evenly spaced; all where there are no more."""
        chosen = np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(np.int64)
        part = object.__new__(Molecules)
        part.__dict__.update(self.__dict__)
        part.numbers = self.numbers[chosen]
        return part

    @property
    def smiles(self) -> np.ndarray:
        """Canonical SMILES (molecules,)."""
        return self._molecules["smiles"][self.numbers]

    @property
    def atom_counts(self) -> np.ndarray:
        """Atoms of each molecule (molecules,)."""
        return self._places["atom_count"][self.numbers]

    @property
    def properties(self) -> np.ndarray:
        """Properties (molecules, properties), NaN where unknown."""
        return self._molecules["properties"][self.numbers]

    def __getitem__(self, index: int) -> Graph:
        number = self.numbers[index]
        atoms = self._slice("atom", number)
        bonds = self._slice("bond", number)
        size = atoms.stop - atoms.start
        dense = np.zeros((size, size), dtype=np.int64)
        i, j = self._bonds["bond_atoms"][bonds].T.astype(np.int64)
        dense[i, j] = dense[j, i] = self._bonds["bond_orders"][bonds]
        return Graph(
            atomic_numbers=self._atoms["atomic_numbers"][atoms].astype(np.int64),
            charges=self._atoms["formal_charges"][atoms].astype(np.int64),
            bonds=dense,
            positions=self._atoms["positions"][atoms] if self.has_positions else None,
            hydrogens=self.has_hydrogens,
        )

    def to_data(self, index: int) -> "Data":
        """Give a molecule as PyTorch Geometric knows it, each bond in both directions.

        `z`, `charge` (n,), `pos` (n, 3) in Å where there are positions, `edge_index` (2, 2 bonds),
        `edge_attr` (2 bonds,) of orders, `y` (1, properties), `smiles`, `name`.
        """
        import torch
        from torch_geometric.data import Data

        graph = self[index]
        i, j = np.nonzero(graph.bonds)
        number = self.numbers[index]
        values: dict[str, Any] = {
            "z": torch.from_numpy(graph.atomic_numbers),
            "charge": torch.from_numpy(graph.charges),
            "edge_index": torch.from_numpy(np.stack([i, j])),
            "edge_attr": torch.from_numpy(graph.bonds[i, j]),
            "y": torch.from_numpy(self.properties[index][None]),
            "smiles": str(self._molecules["smiles"][number]),
            "name": str(self._molecules["name"][number]),
        }
        if graph.positions is not None:
            values["pos"] = torch.from_numpy(graph.positions)
        return Data(**values)

    def _slice(self, of: str, number: int) -> slice:
        first = self._places[f"first_{of}"][number]
        return slice(first, first + self._places[f"{of}_count"][number])


def graphs(molecules: Molecules) -> Sequence[Graph]:
    """Give all molecules as plain arrays."""
    return [molecules[index] for index in range(len(molecules))]
