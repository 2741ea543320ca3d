"""Molecules as flat arrays, with what was dropped: what processes send each other."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flowsci.domains.molecules.molecule import Fault, Molecule

LISTED_FAULTS = 3
"""Faults of each cause that are kept with their words; all are counted."""
PER_MOLECULE = ("rows", "atom_counts", "bond_counts", "properties")
PER_ATOM = ("atomic_numbers", "charges", "positions")
PER_BOND = ("bond_atoms", "bond_orders")


@dataclass(frozen=True)
class Block:
    """Molecules one behind the other.

    `rows` (molecules,) numbers the record that each came from, `places` names its file and number
    there; `atom_counts`, `bond_counts` (molecules,); `atomic_numbers`, `charges` (atoms,),
    `positions` (atoms, 3) in Å, NaN where there are none; `bond_atoms` (bonds, 2) within the
    molecule, `bond_orders` (bonds,); `properties` (molecules, properties), NaN where unknown.
    `records` counts what was read, `faults` are the first of each cause and `causes` counts all.
    """

    rows: np.ndarray
    places: list[str]
    names: list[str]
    smiles: list[str]
    atom_counts: np.ndarray
    bond_counts: np.ndarray
    atomic_numbers: np.ndarray
    charges: np.ndarray
    positions: np.ndarray
    bond_atoms: np.ndarray
    bond_orders: np.ndarray
    properties: np.ndarray
    records: int
    faults: list[Fault]
    causes: Counter

    @classmethod
    def joined(cls, blocks: Sequence["Block"]) -> "Block":
        """Put blocks one behind the other."""
        arrays = {
            name: np.concatenate([getattr(block, name) for block in blocks])
            for name, kind in cls.__annotations__.items()
            if kind is np.ndarray
        }
        return cls(
            **arrays,
            places=[place for block in blocks for place in block.places],
            names=[name for block in blocks for name in block.names],
            smiles=[smiles for block in blocks for smiles in block.smiles],
            records=sum(block.records for block in blocks),
            faults=first_of_each_cause(fault for block in blocks for fault in block.faults),
            causes=sum((block.causes for block in blocks), Counter()),
        )

    def without(self, numbers: Sequence[int], faults: Sequence[Fault]) -> "Block":
        """Leave molecules out, by their numbers, each for its fault, which is counted."""
        keep = np.ones(len(self.names), dtype=bool)
        keep[list(numbers)] = False
        kept = {
            **{name: getattr(self, name)[keep] for name in PER_MOLECULE},
            **{n: getattr(self, n)[np.repeat(keep, self.atom_counts)] for n in PER_ATOM},
            **{n: getattr(self, n)[np.repeat(keep, self.bond_counts)] for n in PER_BOND},
            **{
                name: [item for item, kept in zip(getattr(self, name), keep, strict=True) if kept]
                for name in ("places", "names", "smiles")
            },
        }
        return replace(
            self,
            **kept,
            faults=first_of_each_cause([*self.faults, *faults]),
            causes=self.causes + Counter(fault.cause for fault in faults),
        )


class BlockBuilder:
    """A block that grows by molecules and faults."""

    def __init__(self, properties: Sequence[str]) -> None:
        self.properties = list(properties)
        self.rows: list[int] = []
        self.places: list[str] = []
        self.molecules: list[Molecule] = []
        self.faults: list[Fault] = []
        self.causes: Counter = Counter()

    def add(self, row: int, place: str, molecule: Molecule) -> None:
        """Append a molecule that came from record `row`, which stands at `place`."""
        self.rows.append(row)
        self.places.append(place)
        self.molecules.append(molecule)

    def fault(self, fault: Fault) -> None:
        """Count a molecule that cannot be used."""
        self.causes[fault.cause] += 1
        self.faults.append(fault)

    def leave_out(self, reason: str) -> None:
        """Count a molecule that is not asked for."""
        self.causes[reason] += 1

    def block(self, records: int) -> Block:
        """Give the flat arrays."""
        found = self.molecules
        positions = [
            np.full((len(m.atomic_numbers), 3), np.nan) if m.positions is None else m.positions
            for m in found
        ]
        values = [[m.properties.get(name, np.nan) for name in self.properties] for m in found]
        return Block(
            rows=np.array(self.rows, dtype=np.int64),
            places=self.places,
            names=[m.name for m in found],
            smiles=[m.smiles for m in found],
            atom_counts=np.array([len(m.atomic_numbers) for m in found], dtype=np.int16),
            bond_counts=np.array([len(m.bond_orders) for m in found], dtype=np.int16),
            atomic_numbers=_flat([m.atomic_numbers for m in found], np.int8),
            charges=_flat([m.charges for m in found], np.int8),
            positions=_flat([p - p.mean(0) for p in positions], np.float32, 3),
            bond_atoms=_flat([m.bond_atoms for m in found], np.int16, 2),
            bond_orders=_flat([m.bond_orders for m in found], np.int8),
            properties=np.array(values, dtype=np.float64).reshape(len(found), len(self.properties)),
            records=records,
            faults=first_of_each_cause(self.faults),
            causes=self.causes,
        )


def first_of_each_cause(faults: Iterable[Fault]) -> list[Fault]:
    """Give the first faults of each cause, in their order."""
    seen: Counter = Counter()
    found = []
    for fault in faults:
        seen[fault.cause] += 1
        if seen[fault.cause] <= LISTED_FAULTS:
            found.append(fault)
    return found


def _flat(parts: Sequence[np.ndarray], kind: type, columns: int = 0) -> np.ndarray:
    if not parts:
        return np.empty((0, columns) if columns else 0, dtype=kind)
    return np.concatenate(parts).astype(kind)
