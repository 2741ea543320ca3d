"""A reaction as it is read, and what makes one unusable."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.distance import pdist

from flowsci.domains.transition_states.chemistry.bonds import adjacency
from flowsci.errors import FlowsciError

LARGEST_GAP_ANGSTROM = 8.0
LEAST_DISTANCE_ANGSTROM = 0.5
SAME_ANGSTROM = 0.05


class Fault(FlowsciError):
    """A reaction that cannot be used; `cause` is what it is counted by."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Reaction:
    """Reactant, transition state and product in one order of atoms.

    `atomic_numbers` (n,), positions (n, 3) in Å (`transition_state` None where not known), `smiles`
    the reaction SMILES with map numbers or empty, `energies` in eV by end, `charge` in e, `file`
    the stem of the file it came from.
    """

    name: str
    atomic_numbers: np.ndarray
    reactant: np.ndarray
    product: np.ndarray
    transition_state: np.ndarray | None = None
    smiles: str = ""
    energies: Mapping[str, float] = field(default_factory=dict)
    charge: int = 0
    file: str = ""


def check(reaction: Reaction, largest_atoms: int) -> None:
    """Raise `Fault` where a reaction is none of a neutral closed-shell system of fair size."""
    n, name = len(reaction.atomic_numbers), reaction.name
    if n > largest_atoms:
        raise Fault(
            "too many atoms",
            f"{name}: has {n} atoms, more than largest_atoms = {largest_atoms}. A network call "
            f"would take about {memory_mb(n):.0f} MB a reaction, a training step three times as "
            "much, growing as the square. Raise largest_atoms where there is memory, and lower the "
            "batch sizes.",
        )
    if reaction.charge:
        raise Fault(
            "charge",
            f"{name}: has the charge {reaction.charge:+d}. Neutral systems only: neither the "
            "training reactions nor the network know charges.",
        )
    electrons = int(reaction.atomic_numbers.sum())
    if electrons % 2:
        raise Fault(
            "radical",
            f"{name}: has {electrons} electrons, an odd number: a radical. Closed shells only: add "
            "the missing hydrogen, or leave the reaction out.",
        )
    for end in ("reactant", "transition_state", "product"):
        _check_end(reaction, end)
    if _rms_distance_change(reaction) < SAME_ANGSTROM:
        raise Fault(
            "identical ends",
            f"{name}: reactant and product are the same geometry (distances differ by less than "
            f"{SAME_ANGSTROM} Å). There is no transition state between them: give the product.",
        )


def memory_mb(atoms: int) -> float:
    """Estimate the memory of a network call a reaction, in MB, with the default network."""
    return 0.002 * atoms**2


def _check_end(reaction: Reaction, end: str) -> None:
    positions = getattr(reaction, end)
    if positions is None:
        return
    if not np.isfinite(positions).all():
        atoms = np.flatnonzero(~np.isfinite(positions).all(1)) + 1
        raise Fault(
            "positions missing",
            f"{reaction.name}: the {end.replace('_', ' ')} has no finite position for the atoms "
            f"{', '.join(map(str, atoms))}.",
        )
    nearest = pdist(positions).min() if len(positions) > 1 else np.inf
    if nearest < LEAST_DISTANCE_ANGSTROM:
        raise Fault(
            "atoms on each other",
            f"{reaction.name}: two atoms of the {end.replace('_', ' ')} are {nearest:.2f} Å apart. "
            "Positions are in Å, each atom once.",
        )
    if end != "transition_state" and not adjacency(reaction.atomic_numbers, positions).any():
        raise Fault(
            "no bonds",
            f"{reaction.name}: the {end} has no bond, its nearest atoms are {nearest:.2f} Å apart. "
            "Positions are in Å.",
        )
    gap = largest_gap(positions)
    if gap > LARGEST_GAP_ANGSTROM:
        raise Fault(
            "fragments far apart",
            f"{reaction.name}: fragments of the {end.replace('_', ' ')} are {gap:.1f} Å apart, "
            f"more than {LARGEST_GAP_ANGSTROM:g} Å. Their placement decides on the transition "
            "state: bring them together, for instance by relaxing the complex.",
        )


def largest_gap(positions: np.ndarray) -> float:
    """Give the longest edge of the tree that joins all atoms by the shortest edges, in Å."""
    from scipy.sparse.csgraph import minimum_spanning_tree

    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    return float(minimum_spanning_tree(distance).max()) if len(positions) > 1 else 0.0


def _rms_distance_change(reaction: Reaction) -> float:
    d_r, d_p = (
        np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (reaction.reactant, reaction.product)
    )
    return float(np.sqrt(((d_r - d_p) ** 2).mean()))
