"""Molecules as padded tensors: batches to train on, of like sizes under a budget of pairs."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from flowsci.domains.contract import Batch
from flowsci.domains.molecules.record import HALVES, SPLITS
from flowsci.domains.molecules.settings import MoleculesRun, PropertySettings
from flowsci.domains.molecules.views import random_views
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from flowsci.store.prepared import Prepared


class PaddedMolecules:
    """Some molecules of a record, by their numbers in it, as dense tensors with zeros behind."""

    def __init__(self, prepared: Prepared, numbers: np.ndarray) -> None:
        arrays, statistics = prepared.arrays, prepared.statistics
        self.numbers = numbers
        self.first_atom, self.first_bond = arrays["first_atom"].values, arrays["first_bond"].values
        self.atom_count = arrays["atom_count"].values.astype(np.int64)
        self.bond_count = arrays["bond_count"].values.astype(np.int64)
        self.atomic_numbers = arrays["atomic_numbers"].values
        self.charges = arrays["formal_charges"].values
        self.bond_atoms, self.bond_orders = (
            arrays["bond_atoms"].values,
            arrays["bond_orders"].values,
        )
        self.positions = arrays["positions"].values if arrays.attrs["has_positions"] else None
        self.properties = property_table(prepared)
        self.elements = np.array(statistics["atomic_numbers"])

    @classmethod
    def of_split(
        cls, prepared: Prepared, split: str, half: str = "all", most: int | None = None
    ) -> "PaddedMolecules":
        """Give the molecules of a split, or of a half of it; at most `most`, evenly spaced."""
        chosen = prepared.arrays["split"].values == SPLITS.index(split)
        if half != "all":
            chosen &= prepared.arrays["half"].values == HALVES.index(half)
        numbers = np.flatnonzero(chosen)
        if not len(numbers):
            raise FlowsciError(
                f"The dataset has no molecule in the split '{split}' (half: {half}). Use more "
                "molecules, or other `splits` in the dataset file."
            )
        if most is not None and most < len(numbers):
            numbers = numbers[np.linspace(0, len(numbers) - 1, most).round().astype(np.int64)]
        return cls(prepared, numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each molecule."""
        return self.atom_count[self.numbers]

    def padded(self, indices: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """Stack molecules, counted in `numbers`.

        id (batch,), mask (batch, n), atomic_numbers, charges (batch, n) and bonds (batch, n, n)
        int64; properties (batch, properties) in the order of the statistics, composition (batch,
        elements); positions (batch, n, 3) in Å where there are any.
        """
        rows = self.numbers[np.asarray(indices)]
        counts = self.atom_count[rows]
        # an atom alone has no pair to learn a bond of: a place beside it gives it one, of no bond
        mask = np.arange(max(counts.max(), 2)) < counts[:, None]
        atoms = np.where(mask, self.first_atom[rows][:, None] + np.arange(mask.shape[1]), 0)
        elements = self._taken(self.atomic_numbers, atoms, mask)
        batch = {
            "id": torch.from_numpy(rows),
            "mask": torch.from_numpy(mask),
            "atomic_numbers": torch.from_numpy(elements),
            "charges": torch.from_numpy(self._taken(self.charges, atoms, mask)),
            "bonds": torch.from_numpy(self._bonds(rows, mask.shape[1])),
            "properties": torch.from_numpy(self.properties[rows]),
            "composition": torch.from_numpy(
                (elements[..., None] == self.elements).sum(1).astype(np.float32)
            ),
        }
        if self.positions is not None:
            positions = np.where(mask[..., None], self.positions[atoms], 0)
            batch["positions"] = torch.from_numpy(positions.astype(np.float32))
        return batch

    @staticmethod
    def _taken(values: np.ndarray, atoms: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.where(mask, values[atoms], 0).astype(np.int64)

    def _bonds(self, rows: np.ndarray, size: int) -> np.ndarray:
        counts = self.bond_count[rows]
        row = np.repeat(np.arange(len(rows)), counts)
        offset = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        bonds = np.repeat(self.first_bond[rows], counts) + offset
        first, second = self.bond_atoms[bonds].astype(np.int64).T
        dense = np.zeros((len(rows), size, size), dtype=np.int64)
        dense[row, first, second] = dense[row, second, first] = self.bond_orders[bonds]
        return dense


class TrainingBatches:
    """Batches of molecules by number, in a new order at every pass.

    Molecules are sorted by size, equal sizes at random, and cut so that a batch has at most
    `batch_size` molecules and `pair_budget` pairs of atoms, padding included. As sizes are the same
    in every pass, so are the cuts.
    """

    def __init__(self, prepared: Prepared, split: str, run: MoleculesRun) -> None:
        training = run.training
        half = training.half if split == "train" else "all"
        most = None if split == "train" else training.validation_molecules
        self.molecules = PaddedMolecules.of_split(prepared, split, half, most)
        self.training, self.seed, self.run = split == "train", training.seed, run
        most = 0 if isinstance(run.flow, PropertySettings) else run.network.fake_atoms
        sizes = np.sort(self.molecules.sizes) + most
        self.cuts = cuts(sizes, training.batch_size, training.pair_budget)
        # what the network cannot be asked for
        every = prepared.statistics.get("properties", {})
        self.unknown = torch.tensor(
            [name not in run.network.properties for name in every], dtype=torch.bool
        )
        self._kept: tuple[int, tuple[np.ndarray, np.ndarray]] | None = None

    def __len__(self) -> int:
        return len(self.cuts)

    def __getitem__(self, index: int) -> Batch:
        number_of_pass, place = divmod(index, len(self))
        molecules, batches = self._order(number_of_pass)
        start, stop = self.cuts[batches[place]]
        batch = self.molecules.padded(molecules[start:stop])
        if isinstance(self.run.flow, PropertySettings):
            return batch
        # noise of its own for the views: the first streams belong to the passes
        (generator,) = sample_generators(self.seed, [-1 - index])
        batch["properties"] = batch["properties"].masked_fill(self.unknown, torch.nan)
        return random_views(batch, self.run.network, self.run.training, generator)

    def _order(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        # sorting a hundred thousand molecules takes as long as a step of training
        if self._kept is None or self._kept[0] != number:
            self._kept = number, self._order_of_pass(number)
        return self._kept[1]

    def _order_of_pass(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Give the molecules of a pass, sorted by size, and the order of its batches."""
        sizes = self.molecules.sizes
        if not self.training:
            return np.argsort(sizes, kind="stable"), np.arange(len(self))
        (generator,) = sample_generators(self.seed, [number])
        batches = torch.randperm(len(self), generator=generator).numpy()
        shuffled = torch.randperm(len(sizes), generator=generator).numpy()
        return shuffled[np.argsort(sizes[shuffled], kind="stable")], batches


def property_table(prepared: Prepared) -> np.ndarray:
    """Give the properties (molecules, properties) that the statistics name, in their order."""
    names = prepared.arrays["property"].values.tolist()
    columns = [names.index(name) for name in prepared.statistics.get("properties", {})]
    return prepared.arrays["properties"].values[:, columns].astype(np.float32)


def cuts(sizes: np.ndarray, batch_size: int, pair_budget: int) -> list[tuple[int, int]]:
    """Cut sorted sizes into runs of at most `batch_size` and `pair_budget` pairs of padded atoms.

    Raises `FlowsciError` where one molecule alone is over the budget.
    """
    largest = int(sizes[-1])
    if largest * (largest - 1) // 2 > pair_budget:
        raise FlowsciError(
            f"A molecule of {largest} atoms has {largest * (largest - 1) // 2:,} pairs, over "
            f"training.pair_budget ({pair_budget:,}). Raise it (memory grows with it), or leave "
            "such molecules out by `largest_atoms` of the dataset."
        )
    found, start = [], 0
    for stop in range(1, len(sizes) + 1):
        full = stop - start == batch_size
        if stop < len(sizes) and not full:
            size = int(sizes[stop])
            full = (stop + 1 - start) * size * (size - 1) // 2 > pair_budget
        if full or stop == len(sizes):
            found.append((start, stop))
            start = stop
    return found
