"""Bonds of both ends: orders from map numbers or from the geometry, and what a reaction changes."""

import numpy as np
from ase.data import chemical_symbols
from rdkit import Chem, rdBase

from flowsci.domains.transition_states.chemistry import bonds
from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.domains.transition_states.reactions import Fault, Reaction


def molecule_of_smiles(smiles: str) -> Chem.Mol:
    """Read SMILES with all hydrogens written; raise `Fault` where RDKit cannot."""
    parameters = Chem.SmilesParserParams()
    parameters.removeHs = False
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles, parameters)
    if molecule is None:
        raise Fault("SMILES", f"'{smiles}' is not SMILES that RDKit can read.")
    return molecule


def orders_of_smiles(smiles: str, atomic_numbers: np.ndarray) -> np.ndarray:
    """Give bond orders (atoms, atoms), aromatic ones 1.5; map numbers are atoms counted from 1."""
    molecule, atoms = molecule_of_smiles(smiles), len(atomic_numbers)
    place = [atom.GetAtomMapNum() - 1 for atom in molecule.GetAtoms()]
    if sorted(place) != list(range(atoms)):
        raise Fault("SMILES", f"'{smiles}': the map numbers are not 1 to {atoms}, each once.")
    for atom, number in zip(molecule.GetAtoms(), atomic_numbers[place], strict=True):
        if atom.GetAtomicNum() != number:
            raise Fault(
                "SMILES",
                f"'{smiles}': atom {atom.GetAtomMapNum()} is {atom.GetSymbol()}, the geometry has "
                f"{chemical_symbols[number]} there. List the atoms by their map numbers, or set "
                "`atom_order: mapped`.",
            )
    return _orders(molecule, place, atoms)


def orders_of_geometry(atomic_numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Perceive bond orders (atoms, atoms); where no Kekulé structure is found, 1 for each bond."""
    bonded = bonds.adjacency(atomic_numbers, positions)
    try:
        kekule = bonds.bond_orders(atomic_numbers, bonded)
        molecule = bonds.molecule_of(atomic_numbers, kekule)
    except Failure:
        return bonded.astype(float)
    return _orders(molecule, list(range(len(atomic_numbers))), len(atomic_numbers))


def orders_of(reaction: Reaction) -> np.ndarray:
    """Give the bond orders (2, atoms, atoms) of reactant and product."""
    if reaction.smiles:
        ends = reaction.smiles.split(">>")
        if len(ends) != 2:
            raise Fault("SMILES", f"{reaction.name}: '{reaction.smiles}' is not of two ends.")
        return np.stack([orders_of_smiles(end, reaction.atomic_numbers) for end in ends])
    ends = (reaction.reactant, reaction.product)
    return np.stack([orders_of_geometry(reaction.atomic_numbers, x) for x in ends])


def reactant_graph(reaction: Reaction, orders: np.ndarray) -> str:
    """Name the reactant by its elements and bonds, whatever the order of atoms."""
    return bonds.graph_hash(reaction.atomic_numbers, orders[0] > 0)


def core(reaction: Reaction, orders: np.ndarray) -> str:
    """Name the atoms whose bonds form or break, with their bonds before and after."""
    changed = ((orders[0] > 0) != (orders[1] > 0)).any(1)
    atoms = np.flatnonzero(changed)
    before, after = (np.rint(2 * part[np.ix_(atoms, atoms)]) for part in orders)
    return bonds.graph_hash(reaction.atomic_numbers[atoms], before, after)


def _orders(molecule: Chem.Mol, place: list[int], atoms: int) -> np.ndarray:
    dense = np.zeros((atoms, atoms))
    for bond in molecule.GetBonds():
        i, j = place[bond.GetBeginAtomIdx()], place[bond.GetEndAtomIdx()]
        dense[i, j] = dense[j, i] = bond.GetBondTypeAsDouble()
    return dense
