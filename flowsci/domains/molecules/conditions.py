"""What molecules are asked for: a list of conditions, sorted by number of atoms.

A batch holds `id` (batch,), the number of the condition; `molecule` (batch,), its row in the
record, -1 where there is none; `mask` (batch, n), the atoms that there shall be; `properties` and
`composition`, NaN where nothing is asked for. Where atoms are told, also `known` and `given`
(batch, n), with `atomic_numbers`, `charges`, `bonds` and `positions` that are zero elsewhere. Where
what is asked for is a molecule's own, that molecule, each name with `real_` before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowsci.domains.contract import Batch
from flowsci.domains.molecules.batches import PaddedMolecules, property_table
from flowsci.domains.molecules.condition_settings import (
    CompositionConditions,
    CountConditions,
    PropertyConditions,
    ScaffoldConditions,
    SmilesConditions,
)
from flowsci.domains.molecules.formulas import parse_formula
from flowsci.domains.molecules.record import Graph
from flowsci.domains.molecules.settings import MoleculesSampling
from flowsci.domains.molecules.told import at_most, graphs_of, scaffolds_of
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared

REAL = "real_"
STRUCTURE = ("mask", "atomic_numbers", "charges", "bonds", "positions")


@dataclass(frozen=True)
class Condition:
    """One wish: a number of atoms, and what else is asked for or told."""

    atoms: int
    properties: np.ndarray
    composition: np.ndarray
    molecule: int = -1
    told: Graph | None = None


class MoleculeConditions:
    """Conditions in the order of their sizes, which makes batches of like molecules."""

    def __init__(self, conditions: Sequence[Condition], prepared: Prepared) -> None:
        self.conditions = sorted(conditions, key=lambda condition: condition.atoms)
        self.prepared = prepared

    def __len__(self) -> int:
        return len(self.conditions)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Give the conditions with these indices as one batch."""
        chosen = [self.conditions[index] for index in indices]
        counts = torch.tensor([condition.atoms for condition in chosen])
        mask = torch.arange(int(counts.max())) < counts.unsqueeze(1)
        batch = {
            "id": torch.tensor(list(indices)),
            "molecule": torch.tensor([condition.molecule for condition in chosen]),
            "mask": mask,
            "properties": _stack([condition.properties for condition in chosen]),
            "composition": _stack([condition.composition for condition in chosen]),
        }
        if any(condition.told is not None for condition in chosen):
            batch |= _told([condition.told for condition in chosen], mask)
        elif (batch["molecule"] >= 0).all():
            batch |= self._real(batch["molecule"])
        return batch

    def _real(self, numbers: Tensor) -> dict[str, Tensor]:
        """Give the molecules that have what is asked for, to be judged beside the samples."""
        real = PaddedMolecules(self.prepared, numbers.numpy()).padded(range(len(numbers)))
        return {f"{REAL}{name}": real[name] for name in STRUCTURE if name in real}


def list_conditions(prepared: Prepared, settings: MoleculesSampling) -> MoleculeConditions:
    """List what a run's samples are drawn for; raise `FlowsciError` where it cannot be met."""
    wanted, maker = settings.conditions, _Maker(prepared, settings.seed)
    kinds = {
        CountConditions: maker.counts,
        PropertyConditions: maker.properties,
        CompositionConditions: maker.composition,
        SmilesConditions: maker.graphs,
        ScaffoldConditions: maker.scaffolds,
    }
    return MoleculeConditions(kinds[type(wanted)](wanted), prepared)


class _Maker:
    """Makes conditions from a dataset's molecules and statistics."""

    def __init__(self, prepared: Prepared, seed: int) -> None:
        self.prepared, self.statistics = prepared, prepared.statistics
        self.names = list(self.statistics.get("properties", {}))
        self.nothing = np.full(len(self.names), np.nan, dtype=np.float32)
        self.elements = list(self.statistics["atomic_numbers"])
        self.free = np.full(len(self.elements), np.nan, dtype=np.float32)
        self.draw = np.random.default_rng(seed)

    def counts(self, wanted: CountConditions) -> list[Condition]:
        given = wanted.atoms
        atoms = self._sizes(wanted.molecules) if given is None else [given] * wanted.molecules
        return [Condition(int(count), self.nothing, self.free) for count in atoms]

    def properties(self, wanted: PropertyConditions) -> list[Condition]:
        missing = [name for name in wanted.names if name not in self.names]
        if missing:
            raise FlowsciError(
                f"sampling.conditions.names: the dataset has no property '{missing[0]}'; it has "
                f"{', '.join(self.names) or 'none'}. Name one of these."
            )
        columns = [self.names.index(name) for name in wanted.names]
        asked = np.tile(self.nothing, (wanted.molecules, 1))
        if wanted.values is not None:
            asked[:, columns] = wanted.values
            atoms = self._sizes(wanted.molecules)
            return [Condition(int(n), row, self.free) for n, row in zip(atoms, asked, strict=True)]
        molecules = PaddedMolecules.of_split(self.prepared, wanted.split, most=wanted.molecules)
        at_most(wanted.molecules, len(molecules), f"molecules of the split '{wanted.split}'")
        table = property_table(self.prepared)[molecules.numbers]
        rows = np.tile(self.nothing, (len(molecules), 1))
        rows[:, columns] = table[:, columns]
        unknown = ~np.isfinite(rows[:, columns]).all(1)
        if unknown.any():
            raise FlowsciError(
                f"sampling.conditions: {unknown.sum()} of {len(rows)} molecules of the split "
                f"'{wanted.split}' have no value of {', '.join(wanted.names)}. Give `values`, or "
                "another split."
            )
        return [
            Condition(int(n), row, self.free, int(number))
            for n, row, number in zip(molecules.sizes, rows, molecules.numbers, strict=True)
        ]

    def composition(self, wanted: CompositionConditions) -> list[Condition]:
        found = []
        for formula in wanted.formulas:
            counts = parse_formula(formula, self.elements)
            row = np.array([counts.get(element, 0) for element in self.elements], dtype=np.float32)
            found.append(Condition(sum(counts.values()), self.nothing, row))
        return found

    def graphs(self, wanted: SmilesConditions) -> list[Condition]:
        return [
            Condition(len(graph.charges), self.nothing, self.free, molecule, graph)
            for graph, molecule in graphs_of(self.prepared, wanted)
        ]

    def scaffolds(self, wanted: ScaffoldConditions) -> list[Condition]:
        found = []
        for told, own_size, molecule in scaffolds_of(self.prepared, wanted):
            if not self.statistics["has_positions"]:
                told = replace(told, positions=None)
            size = len(told.charges)
            atoms = wanted.atoms or own_size or self._size_above(size)
            if atoms < size:
                raise FlowsciError(
                    f"sampling.conditions: a fragment has {size} atoms, more than the whole "
                    f"molecule shall have ({atoms}). Raise `atoms`, or give a smaller fragment."
                )
            found.append(Condition(atoms, self.nothing, self.free, molecule, told))
        return found

    def _sizes(self, count: int) -> np.ndarray:
        """Draw numbers of atoms as training molecules have them."""
        sizes, weights = self._histogram()
        return self.draw.choice(sizes, size=count, p=weights / weights.sum())

    def _size_above(self, atoms: int) -> int:
        sizes, weights = self._histogram()
        weights = weights * (sizes > atoms)
        if not weights.any():
            raise FlowsciError(
                f"sampling.conditions: a fragment has {atoms} atoms, as many as the largest "
                f"training molecule ({sizes.max()}). Give `atoms`, or a smaller fragment."
            )
        return int(self.draw.choice(sizes, p=weights / weights.sum()))

    def _histogram(self) -> tuple[np.ndarray, np.ndarray]:
        counts: Mapping[str, int] = self.statistics["atom_counts"]
        return np.array([int(size) for size in counts]), np.array(list(counts.values()), float)


def _stack(rows: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(rows))


def _told(told: Sequence[Graph | None], mask: Tensor) -> dict[str, Tensor]:
    """Lay what is told into the first places of each molecule."""
    rows, n = mask.shape
    batch: dict[str, Any] = {
        "known": torch.zeros(rows, n, dtype=torch.bool),
        "given": torch.zeros(rows, n, dtype=torch.bool),
        "atomic_numbers": torch.zeros(rows, n, dtype=torch.int64),
        "charges": torch.zeros(rows, n, dtype=torch.int64),
        "bonds": torch.zeros(rows, n, n, dtype=torch.int64),
        "positions": torch.zeros(rows, n, 3),
    }
    for row, part in enumerate(told):
        if part is None:
            continue
        size = len(part.charges)
        batch["known"][row, :size] = True
        batch["atomic_numbers"][row, :size] = torch.from_numpy(part.atomic_numbers)
        batch["charges"][row, :size] = torch.from_numpy(part.charges)
        batch["bonds"][row, :size, :size] = torch.from_numpy(part.bonds)
        if part.positions is not None:
            batch["given"][row, :size] = True
            batch["positions"][row, :size] = torch.from_numpy(part.positions)
    return batch
