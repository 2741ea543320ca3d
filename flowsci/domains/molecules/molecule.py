"""A molecule as it is read, and what makes one unusable."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from ase.data import covalent_radii

from flowsci.errors import FlowsciError

LONGEST_BOND = 1.3
"""Longest bond, in sums of covalent radii; in QM9 the longest is 1.28."""
CLOSEST_STRANGERS = 1.1
"""Least distance of heavy atoms without a bond, in sums of covalent radii; in QM9 it is 1.14."""
SHORTEST_BOND = 0.7


class Fault(FlowsciError):
    """A molecule that cannot be used; `cause` is what it is counted by."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause

    def __reduce__(self) -> tuple[type["Fault"], tuple[str, str]]:
        return Fault, (self.cause, str(self))

    def at(self, place: str) -> "Fault":
        """Give the fault with the file and the record that it stands in."""
        return Fault(self.cause, f"{place}: {self}")


class LeftOut(Exception):
    """A molecule that the settings leave out; `str` says why."""


@dataclass(frozen=True)
class Molecule:
    """Atoms, Kekulé bonds, charges and, where known, positions.

    `atomic_numbers`, `charges` (n,), heavy atoms first where there are hydrogens; `bond_atoms`
    (bonds, 2) with the smaller number first, `bond_orders` (bonds,) of 1, 2 or 3; `positions`
    (n, 3) in Å or None; `smiles` canonical, without stereo marks; `properties` in the units of
    `units.STORED`.
    """

    name: str
    atomic_numbers: np.ndarray
    charges: np.ndarray
    bond_atoms: np.ndarray
    bond_orders: np.ndarray
    positions: np.ndarray | None
    smiles: str
    properties: Mapping[str, float] = field(default_factory=dict)


def check_size(name: str, atoms: int, largest_atoms: int) -> None:
    """Raise `Fault` where a molecule has more atoms than the settings allow."""
    if atoms > largest_atoms:
        raise Fault(
            "too many atoms",
            f"{name}: has {atoms} atoms, more than largest_atoms = {largest_atoms}. Its pairs "
            f"alone take about {memory_mb(atoms):.0f} MB in each training view, growing as the "
            "square of the atoms. Raise largest_atoms where there is memory, and "
            "training.pair_budget to its square at least.",
        )


def memory_mb(atoms: int) -> float:
    """Estimate the memory of a training view, in MB: 48 features a pair, 20 times over."""
    return atoms**2 * 48 * 4 * 20 / 1e6


def check_geometry(molecule: Molecule) -> None:
    """Hold the bonds against the positions; raise `Fault` where they don't belong together.

    A bond is between 0.7 and 1.3 sums of covalent radii (Cordero et al. 2008) long, heavy atoms
    without a bond are more than 1.1 sums apart, and the heavy atom that is nearest to a hydrogen
    is the one that it is bonded to.
    """
    name, numbers, positions = molecule.name, molecule.atomic_numbers, molecule.positions
    if not np.isfinite(positions).all():
        missing = np.flatnonzero(~np.isfinite(positions).all(1)) + 1
        raise Fault(
            "positions missing",
            f"{name}: has no finite position for the atoms {', '.join(map(str, missing))}.",
        )
    ratios = distance_ratios(numbers, positions)
    bonded = np.zeros(ratios.shape, dtype=bool)
    i, j = molecule.bond_atoms.T
    bonded[i, j] = bonded[j, i] = True
    lengths = ratios[i, j]
    wrong = (lengths > LONGEST_BOND) | (lengths < SHORTEST_BOND)
    if wrong.any():
        raise _misfit(name, molecule.bond_atoms[wrong][0], lengths[wrong][0], "bonded")
    heavy = numbers > 1
    strangers = np.where(bonded | ~heavy | ~heavy[:, None], np.inf, ratios)
    if strangers.size and strangers.min() < CLOSEST_STRANGERS:
        pair = np.unravel_index(strangers.argmin(), strangers.shape)
        raise _misfit(name, pair, strangers.min(), "not bonded")
    _check_hydrogens(name, heavy, bonded, ratios)


def distance_ratios(atomic_numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Give distances (n, n) in sums of covalent radii, infinite on the diagonal."""
    radii = covalent_radii[atomic_numbers]
    squares = ((positions[:, None] - positions[None]) ** 2).sum(-1)
    ratios = np.sqrt(squares) / (radii[:, None] + radii)
    np.fill_diagonal(ratios, np.inf)
    return ratios


def _check_hydrogens(name: str, heavy: np.ndarray, bonded: np.ndarray, ratios: np.ndarray) -> None:
    hydrogens = np.flatnonzero(~heavy)
    if not heavy.any() or not len(hydrogens):
        return
    places = np.flatnonzero(heavy)
    nearest = places[ratios[hydrogens][:, heavy].argmin(1)]
    astray = ~bonded[hydrogens, nearest]
    if astray.any():
        pair = hydrogens[astray][0], nearest[astray][0]
        raise _misfit(name, pair, ratios[pair], "not bonded, but nearest")


def _misfit(name: str, pair: tuple[int, int], ratio: float, how: str) -> Fault:
    i, j = sorted(int(atom) + 1 for atom in pair)
    return Fault(
        "graph and geometry differ",
        f"{name}: the atoms {i} and {j} are {how}, {ratio:.2f} sums of covalent radii apart. "
        "The bonds belong to another geometry.",
    )
