"""Atoms put in the order of the map numbers of a reaction SMILES."""

from collections.abc import Mapping

import numpy as np
from rdkit import Chem

from flowsci.domains.transition_states.chemistry import bonds
from flowsci.domains.transition_states.graphs import molecule_of_smiles
from flowsci.domains.transition_states.reactions import Fault

MOST_MATCHES = 2000
MOST_PAIRS = 100_000
Ends = Mapping[str, np.ndarray]


def in_mapped_order(
    name: str, smiles: str, numbers: Ends, positions: Ends
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Reorder atomic numbers and positions of all ends by the map numbers of `smiles`.

    Each end's bonds, perceived from its geometry, are matched with those of its SMILES. Of several
    matches those are taken with which the distances of the ends are nearest to each other's, or,
    where there is a transition state, with which the means of both are nearest to its own: it is
    taken to be listed as the reactant. Raises `Fault` where too many fit.
    """
    if smiles.count(">>") != 1:
        raise Fault("SMILES", f"{name}: `atom_order: mapped` needs a mapped reaction SMILES.")
    ends = dict(zip(("reactant", "product"), smiles.split(">>"), strict=True))
    matches = {
        end: _matches(name, end, text, numbers[end], positions[end]) for end, text in ends.items()
    }
    orders = _nearest(name, matches, positions)
    if "transition_state" in numbers:
        orders["transition_state"] = orders["reactant"]
    return (
        {end: numbers[end][order] for end, order in orders.items()},
        {end: positions[end][order] for end, order in orders.items()},
    )


def _nearest(
    name: str, matches: Mapping[str, list[np.ndarray]], positions: Ends
) -> dict[str, np.ndarray]:
    """Choose a match of each end, together: like atoms differ by what becomes of them."""
    fitting = len(matches["reactant"]) * len(matches["product"])
    if fitting > MOST_PAIRS:
        raise Fault(
            "SMILES",
            f"{name}: {fitting} orders of atoms fit the SMILES, more than are tried. List the "
            "atoms of all geometries in one order.",
        )
    products = [(m, bonds.distances(positions["product"][m])) for m in matches["product"]]
    least, chosen = np.inf, {}
    for reactant in matches["reactant"]:
        before = bonds.distances(positions["reactant"][reactant])
        saddle = positions.get("transition_state")
        between = None if saddle is None else bonds.distances(saddle[reactant])
        for product, after in products:
            wanted, found = (before, after) if between is None else (between, (before + after) / 2)
            # near atoms tell more than far ones
            near = np.minimum(before, after) + np.eye(len(before))
            apart = (np.abs(found - wanted) / near).sum()
            # of what is alike up to rounding the first one
            if apart < least * (1 - 1e-9):
                least, chosen = apart, {"reactant": reactant, "product": product}
    return chosen


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
