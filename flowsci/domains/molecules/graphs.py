"""Between RDKit's molecules and plain arrays of atoms, Kekulé bonds and charges."""

from collections.abc import Mapping

import numpy as np
from rdkit import Chem
from rdkit.Geometry import Point3D

from flowsci.domains.molecules.molecule import Fault, Molecule

ORDERS = {
    Chem.BondType.SINGLE: 1,
    Chem.BondType.DOUBLE: 2,
    Chem.BondType.TRIPLE: 3,
}
BOND_TYPES = {order: kind for kind, order in ORDERS.items()}


def sanitized(molecule: Chem.Mol, name: str) -> Chem.Mol:
    """Give a copy that RDKit has sanitised; raise `Fault` with what it finds wrong."""
    copy = Chem.Mol(molecule)
    problems = Chem.DetectChemistryProblems(copy)
    if problems:
        listed = "; ".join(problem.Message() for problem in problems[:3])
        raise Fault("not sanitisable", f"{name}: RDKit cannot sanitise it: {listed}.")
    Chem.SanitizeMol(copy)
    return copy


def bond_matrix(molecule: Chem.Mol) -> np.ndarray:
    """Give the orders (n, n) of Kekulé bonds, 0 for none."""
    bonds = np.zeros((molecule.GetNumAtoms(),) * 2, dtype=np.int64)
    for bond in molecule.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        bonds[i, j] = bonds[j, i] = ORDERS[bond.GetBondType()]
    return bonds


def canonical_smiles(molecule: Chem.Mol) -> str:
    """Give the canonical SMILES of a sanitised molecule, without stereo marks and hydrogens."""
    return Chem.MolToSmiles(without_hydrogens(molecule), isomericSmiles=False)


def without_hydrogens(molecule: Chem.Mol) -> Chem.Mol:
    """Give a sanitised molecule without hydrogens, also those that stereo marks would keep."""
    parameters = Chem.RemoveHsParameters()
    parameters.removeDefiningBondStereo = True
    return Chem.RemoveHs(molecule, parameters)


def from_rdkit(
    molecule: Chem.Mol,
    name: str,
    properties: Mapping[str, float],
    *,
    positions: bool,
    smiles: str | None = None,
) -> Molecule:
    """Read a sanitised molecule, all of whose atoms are explicit, with heavy atoms first.

    Raises `Fault` where it is none of one closed-shell molecule of common bonds.
    """
    kekulized = Chem.Mol(molecule)
    Chem.Kekulize(kekulized, clearAromaticFlags=True)
    numbers, charges = [], []
    for atom in kekulized.GetAtoms():
        _check_atom(atom, name)
        numbers.append(atom.GetAtomicNum())
        charges.append(atom.GetFormalCharge())
    atomic_numbers = np.array(numbers, dtype=np.int64)
    order = np.argsort(atomic_numbers == 1, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    bonds = [_bond(bond, name) for bond in kekulized.GetBonds()]
    table = np.array(bonds, dtype=np.int64).reshape(-1, 3)
    _check_connected(len(numbers), table[:, :2], name)
    return Molecule(
        name=name,
        atomic_numbers=atomic_numbers[order],
        charges=np.array(charges, dtype=np.int64)[order],
        bond_atoms=np.sort(place[table[:, :2]], axis=1),
        bond_orders=table[:, 2],
        positions=molecule.GetConformer().GetPositions()[order] if positions else None,
        smiles=canonical_smiles(molecule) if smiles is None else smiles,
        properties=properties,
    )


def to_rdkit(
    atomic_numbers: np.ndarray,
    charges: np.ndarray,
    bonds: np.ndarray,
    positions: np.ndarray | None = None,
    *,
    hydrogens: bool = True,
) -> Chem.Mol:
    """Build a molecule as it is said, without sanitising it: nothing is checked or mended.

    `bonds` (n, n) holds orders; with `hydrogens` every hydrogen is explicit and RDKit adds none.
    """
    molecule = Chem.RWMol()
    for number, charge in zip(atomic_numbers, charges, strict=True):
        atom = Chem.Atom(int(number))
        atom.SetFormalCharge(int(charge))
        atom.SetNoImplicit(hydrogens)
        molecule.AddAtom(atom)
    first, second = np.nonzero(np.triu(bonds, 1))
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        molecule.AddBond(i, j, BOND_TYPES[int(bonds[i, j])])
    if positions is not None:
        conformer = Chem.Conformer(len(atomic_numbers))
        for atom, place in enumerate(positions.astype(float)):
            conformer.SetAtomPosition(atom, Point3D(*place))
        molecule.AddConformer(conformer, assignId=True)
    return molecule.GetMol()


def _check_atom(atom: Chem.Atom, name: str) -> None:
    if atom.GetAtomicNum() == 0:
        raise Fault("unknown element", f"{name}: the atom {atom.GetIdx() + 1} is no element.")
    if atom.GetNumRadicalElectrons():
        raise Fault(
            "radical",
            f"{name}: the atom {atom.GetIdx() + 1} ({atom.GetSymbol()}) has an unpaired electron: "
            "hydrogens or a charge are missing, or it is a radical, which the record cannot hold.",
        )
    if atom.GetIsotope():
        raise Fault("isotope", f"{name}: the atom {atom.GetIdx() + 1} is an isotope.")


def _bond(bond: Chem.Bond, name: str) -> tuple[int, int, int]:
    kind = bond.GetBondType()
    if kind not in ORDERS:
        raise Fault(
            "unknown bond", f"{name}: has a bond of the kind {kind}; single, double and triple go."
        )
    return bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), ORDERS[kind]


def _check_connected(atoms: int, bonds: np.ndarray, name: str) -> None:
    pieces = count_pieces(atoms, bonds)
    if pieces != 1:
        raise Fault(
            "several molecules",
            f"{name}: consists of {pieces} molecules that no bond joins. Give each alone.",
        )


def count_pieces(atoms: int, bonds: np.ndarray) -> int:
    """Count the connected pieces of a graph; `bonds` is (bonds, 2)."""
    parent = list(range(atoms))

    def root(atom: int) -> int:
        while parent[atom] != atom:
            parent[atom] = atom = parent[parent[atom]]
        return atom

    for i, j in bonds.tolist():
        parent[root(i)] = root(j)
    return sum(root(atom) == atom for atom in range(atoms))
