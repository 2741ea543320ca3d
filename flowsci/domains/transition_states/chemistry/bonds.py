"""Bonds from geometries: graphs, Kekulé matrices, and what changes in a reaction.

A pair is bonded where it is closer than 1.25 times the sum of its covalent radii (B. Cordero et
al., Dalton Trans. 2832 (2008); hydrogen 0.33 Å). A Kekulé matrix holds 0, 1, 2 or 3 for each pair.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase.data import covalent_radii
from rdkit import Chem, rdBase
from rdkit.Chem import rdDetermineBonds
from scipy.sparse.csgraph import connected_components, shortest_path

from flowsci.domains.transition_states.chemistry.failure import Failure

BOND_FACTOR = 1.25
RADII = covalent_radii.copy()
# with Cordero's 0.31 Å the hydrogen molecule (0.777 Å at GFN2) would count as two atoms
RADII[1] = 0.33
BOND_TYPES = {
    0: Chem.BondType.ZERO,
    1: Chem.BondType.SINGLE,
    2: Chem.BondType.DOUBLE,
    3: Chem.BondType.TRIPLE,
}
Pair = tuple[int, int]


@dataclass(frozen=True)
class BondChanges:
    """Pairs (i, j), i < j, whose bond a reaction weakens, and those whose bond it strengthens."""

    broken: tuple[Pair, ...]
    formed: tuple[Pair, ...]


def distances(positions: np.ndarray) -> np.ndarray:
    """Give the distances (n, n) in Å."""
    return np.sqrt(((positions[:, None] - positions[None]) ** 2).sum(-1))


def adjacency(atomic_numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Tell which pairs are bonded: bool (n, n), from positions (n, 3) in Å."""
    radii = RADII[np.asarray(atomic_numbers)]
    bonded = distances(positions) < BOND_FACTOR * (radii[:, None] + radii[None])
    np.fill_diagonal(bonded, False)
    return bonded


def fragments(bonded: np.ndarray) -> np.ndarray:
    """Number the connected parts of a graph: (n,) from 0."""
    return connected_components(bonded, directed=False)[1]


def bond_orders(atomic_numbers: np.ndarray, bonded: np.ndarray) -> np.ndarray:
    """Give a Kekulé matrix (n, n) int of a neutral closed-shell graph; `Failure` where none is.

    Formal charges are allowed where no neutral structure exists (nitro groups, isocyanides).
    """
    molecule = _skeleton(atomic_numbers, bonded)
    with rdBase.BlockLogs():
        try:
            rdDetermineBonds.DetermineBondOrders(molecule, charge=0, embedChiral=False)
            Chem.Kekulize(molecule, clearAromaticFlags=True)
        except (ValueError, RuntimeError) as error:
            raise Failure("no_kekule_structure", " ".join(str(error).split())) from None
    orders = np.zeros(bonded.shape, dtype=int)
    for bond in molecule.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        orders[i, j] = orders[j, i] = round(bond.GetBondTypeAsDouble())
    if any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()):
        raise Failure("no_kekule_structure", "an atom keeps unpaired electrons")
    return orders


def _skeleton(atomic_numbers: np.ndarray, bonded: np.ndarray) -> Chem.RWMol:
    molecule = Chem.RWMol()
    for number in atomic_numbers:
        atom = Chem.Atom(int(number))
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for i, j in _pairs(bonded):
        molecule.AddBond(i, j, Chem.BondType.SINGLE)
    return molecule


def molecule_of(atomic_numbers: np.ndarray, orders: np.ndarray) -> Chem.Mol:
    """Build an RDKit molecule with every hydrogen, formal charges from valences.

    Raises `Failure` where an atom's valence is none that its element has.
    """
    molecule = _skeleton(atomic_numbers, orders > 0)
    for bond in molecule.GetBonds():
        bond.SetBondType(BOND_TYPES[int(orders[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()])])
    for atom, valence in zip(molecule.GetAtoms(), orders.sum(0), strict=True):
        atom.SetFormalCharge(_formal_charge(atom.GetAtomicNum(), int(valence)))
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(molecule)
        except ValueError as error:
            raise Failure("no_kekule_structure", str(error)) from None
    return molecule.GetMol()


def _formal_charge(atomic_number: int, valence: int) -> int:
    if atomic_number == 6:
        return -1 if valence == 3 else 0
    neutral = {1: 1, 5: 3, 7: 3, 8: 2, 9: 1}.get(atomic_number)
    return 0 if neutral is None else valence - neutral


def mapped_smiles(atomic_numbers: np.ndarray, orders: np.ndarray) -> str:
    """Write SMILES whose map numbers are the atoms' indices plus one, hydrogens written out.

    Raises `Failure` where formal charges do not cancel: carbenes that sit side by side, say.
    """
    molecule = Chem.Mol(molecule_of(atomic_numbers, orders))
    if charge := Chem.GetFormalCharge(molecule):
        raise Failure("no_neutral_structure", f"the formal charges sum to {charge:+}")
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(atom.GetIdx() + 1)
    return Chem.MolToSmiles(molecule)


def bond_changes(before: np.ndarray, after: np.ndarray) -> BondChanges:
    """Compare two graphs or Kekulé matrices (n, n) of the same atoms in one order."""
    change = np.asarray(after, dtype=int) - np.asarray(before, dtype=int)
    return BondChanges(tuple(_pairs(change < 0)), tuple(_pairs(change > 0)))


def stretches(positions: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Give a displacement (k, n, 3) of unit length for each bond that forms or breaks.

    Atoms of a forming bond approach, those of a breaking bond part.
    """
    changes = bond_changes(np.asarray(before) > 0, np.asarray(after) > 0)
    found = np.zeros((len(changes.formed) + len(changes.broken), *positions.shape))
    signs = [1.0] * len(changes.formed) + [-1.0] * len(changes.broken)
    for stretch, sign, (i, j) in zip(found, signs, (*changes.formed, *changes.broken), strict=True):
        apart = positions[j] - positions[i]
        stretch[i] = sign * apart / max(float(np.linalg.norm(apart)) * np.sqrt(2), 1e-9)
        stretch[j] = -stretch[i]
    return found


def change_direction(positions: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Give the displacement (n, 3) of unit length that forms and breaks a reaction's bonds.

    All bonds change at one rate; zero where nothing changes.
    """
    direction = stretches(positions, before, after).sum(0)
    return direction / max(float(np.linalg.norm(direction)), 1e-12)


def change_overlap(
    mode: np.ndarray, positions: np.ndarray, before: np.ndarray, after: np.ndarray
) -> float:
    """Give the share, 0 to 1, of a unit displacement (n, 3) that forms and breaks bonds.

    It is the length of the displacement's projection on all stretches of such bonds.
    """
    found = stretches(positions, before, after).reshape(-1, positions.size)
    if len(found) == 0:
        return 0.0
    _, lengths, right = np.linalg.svd(found, full_matrices=False)
    basis = right[lengths > 1e-6]
    return float(np.linalg.norm(basis @ mode.reshape(-1)))


def graph_hash(atomic_numbers: np.ndarray, *matrices: np.ndarray, rounds: int = 4) -> str:
    """Give a name that graphs share where they differ in the order of their atoms only.

    Each (n, n) matrix labels pairs of the same atoms (the bonds before and after a reaction); the
    labels, with the distances along bonds, are refined round by round (B. Weisfeiler and A. Leman).
    Neighbours are collected as sums of well mixed numbers, so that their order is nothing.
    """
    layers = [np.asarray(matrix).astype(np.int64) for matrix in matrices]
    pairs = np.zeros(layers[0].shape, dtype=np.uint64)
    for layer in (*layers, *map(_path_lengths, layers)):
        pairs = _mixed(pairs + layer.astype(np.uint64))
    colours = _mixed(np.asarray(atomic_numbers).astype(np.uint64))
    others = 1 - np.eye(len(colours), dtype=np.uint64)
    for _ in range(rounds):
        colours = _mixed(np.uint64(3) * colours + (others * _mixed(pairs + colours)).sum(1))
    return f"{_mixed(colours.sum(keepdims=True))[0]:016x}"


def _path_lengths(layer: np.ndarray) -> np.ndarray:
    lengths = shortest_path(layer > 0, directed=False, unweighted=True)
    return np.where(np.isfinite(lengths), lengths, -1).astype(int)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Scatter unsigned 64-bit numbers: the finaliser of SplitMix64 (G. Steele et al., 2014)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _pairs(matrix: np.ndarray) -> Iterator[Pair]:
    rows, columns = np.nonzero(np.triu(matrix, 1))
    return zip(rows.tolist(), columns.tolist(), strict=True)
