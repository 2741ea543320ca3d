"""Atoms put in the order of the map numbers of a reaction SMILES."""

from collections.abc import Mapping

import numpy as np
from rdkit import Chem

from flowsci.domains.transition_states.chemistry import bonds
from flowsci.domains.transition_states.graphs import molecule_of_smiles
from flowsci.domains.transition_states.reactions import Fault

MOST_MATCHES = 2000
Ends = Mapping[str, np.ndarray]


def in_mapped_order(
    name: str, smiles: str, numbers: Ends, positions: Ends
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Reorder atomic numbers and positions of all ends by the map numbers of `smiles`.

    Each end's bonds, perceived from its geometry, are matched with those of its SMILES. Of several
    matches the reactant takes the first, and the product the one whose distances are nearest to the
    reactant's. The transition state is taken to be listed as the reactant.
    """
    if smiles.count(">>") != 1:
        raise Fault("SMILES", f"{name}: `atom_order: mapped` needs a mapped reaction SMILES.")
    ends = dict(zip(("reactant", "product"), smiles.split(">>"), strict=True))
    orders = {}
    for end, text in ends.items():
        matches = _matches(name, end, text, numbers[end], positions[end])
        if end == "reactant":
            orders[end] = matches[0]
            known = bonds.distances(positions[end][matches[0]])
        else:
            orders[end] = min(
                matches,
                key=lambda m: np.abs(bonds.distances(positions["product"][m]) - known).sum(),
            )
    if "transition_state" in numbers:
        orders["transition_state"] = orders["reactant"]
    return (
        {end: numbers[end][order] for end, order in orders.items()},
        {end: positions[end][order] for end, order in orders.items()},
    )


def _matches(
    name: str, end: str, smiles: str, numbers: np.ndarray, positions: np.ndarray
) -> list[np.ndarray]:
    """Give the atoms of an end in the order of the map numbers, in every way that fits."""
    pattern = molecule_of_smiles(smiles)
    place = np.argsort([atom.GetAtomMapNum() for atom in pattern.GetAtoms()])
    mapped = [pattern.GetAtomWithIdx(int(i)).GetAtomMapNum() for i in place]
    if mapped != list(range(1, len(numbers) + 1)):
        raise Fault(
            "SMILES",
            f"{name}: the {end} of '{smiles}' maps {len(mapped)} atoms, its geometry has "
            f"{len(numbers)}; every atom needs its number, hydrogens too.",
        )
    geometry = _skeleton(numbers, bonds.adjacency(numbers, positions))
    wanted = _skeleton(
        np.array([atom.GetAtomicNum() for atom in pattern.GetAtoms()]),
        Chem.GetAdjacencyMatrix(pattern) > 0,
    )
    found = geometry.GetSubstructMatches(wanted, uniquify=False, maxMatches=MOST_MATCHES)
    if not found or geometry.GetNumBonds() != wanted.GetNumBonds():
        raise Fault(
            "different bonds",
            f"{name}: the bonds of the {end}'s geometry are not those of '{smiles}'.",
        )
    return [np.array(match)[place] for match in found]


def _skeleton(numbers: np.ndarray, bonded: np.ndarray) -> Chem.Mol:
    molecule = Chem.RWMol()
    for number in numbers:
        atom = Chem.Atom(int(number))
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for i, j in zip(*np.nonzero(np.triu(bonded, 1)), strict=True):
        molecule.AddBond(int(i), int(j), Chem.BondType.SINGLE)
    return molecule.GetMol()
