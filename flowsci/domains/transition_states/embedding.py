"""Ends of a reaction that is known as SMILES only: embedded in space, in one order of atoms."""

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from flowsci.domains.transition_states.graphs import molecule_of_smiles
from flowsci.domains.transition_states.reactions import Fault, Reaction

SEED = 7
CONFORMERS = 8
FRAGMENT_GAP_ANGSTROM = 3.0


def embed_ends(name: str, smiles: str, file: str) -> Reaction:
    """Embed both ends of a mapped reaction SMILES by distance geometry and the MMFF94 field.

    Of several conformers of the product the one whose distances are nearest to the reactant's is
    taken. Fragments are placed beside each other. Raises `Fault` where an end cannot be embedded
    or the ends do not hold the same atoms.
    """
    if smiles.count(">>") != 1:
        raise Fault("SMILES", f"{name}: '{smiles}' is not a reaction SMILES `reactant>>product`.")
    reactant, product = (_with_hydrogens(name, end) for end in smiles.split(">>"))
    if [a.GetAtomicNum() for a in reactant.GetAtoms()] != [
        a.GetAtomicNum() for a in product.GetAtoms()
    ]:
        raise Fault(
            "different atoms",
            f"{name}: the ends of '{smiles}' do not map the same atoms to the same elements. Give "
            "every atom, hydrogens too, one map number in both.",
        )
    x_r = _conformers(name, reactant)[0]
    known = _distances(x_r)
    x_p = min(_conformers(name, product), key=lambda x: np.abs(_distances(x) - known).sum())
    return Reaction(
        name=name,
        atomic_numbers=np.array([atom.GetAtomicNum() for atom in reactant.GetAtoms()]),
        reactant=x_r,
        product=x_p,
        smiles=smiles,
        charge=sum(atom.GetFormalCharge() for atom in reactant.GetAtoms()),
        file=file,
    )


def _with_hydrogens(name: str, smiles: str) -> Chem.Mol:
    """Read an end; atoms in the order of their map numbers, which must be 1 to n."""
    molecule = molecule_of_smiles(smiles)
    numbers = [atom.GetAtomMapNum() for atom in molecule.GetAtoms()]
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        raise Fault(
            "SMILES",
            f"{name}: the map numbers of '{smiles}' are not 1 to {len(numbers)}, each once: every "
            "atom needs its number, hydrogens too.",
        )
    return Chem.RenumberAtoms(molecule, [int(i) for i in np.argsort(numbers)])


def _conformers(name: str, molecule: Chem.Mol) -> list[np.ndarray]:
    """Give positions (n, 3) in Å of conformers, the lowest in energy first."""
    fragments = Chem.GetMolFrags(molecule, asMols=True, sanitizeFrags=True)
    places = Chem.GetMolFrags(molecule)
    parts = [_conformers_of_one(name, fragment) for fragment in fragments]
    return [
        _side_by_side([part[k % len(part)] for part in parts], places, molecule.GetNumAtoms())
        for k in range(max(len(part) for part in parts))
    ]


def _conformers_of_one(name: str, molecule: Chem.Mol) -> list[np.ndarray]:
    if molecule.GetNumAtoms() == 1:
        return [np.zeros((1, 3))]
    with rdBase.BlockLogs():
        found = rdDistGeom.EmbedMultipleConfs(molecule, CONFORMERS, randomSeed=SEED)
        if not found:
            raise Fault(
                "cannot be embedded",
                f"{name}: RDKit finds no geometry of {Chem.MolToSmiles(molecule)}; give one.",
            )
        energies = [0.0] * len(found)
        if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
            results = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule)
            energies = [energy for _, energy in results]
    return [molecule.GetConformer(int(k)).GetPositions() for k in np.argsort(energies)]


def _side_by_side(parts: list[np.ndarray], places: tuple, atoms: int) -> np.ndarray:
    positions, edge = np.zeros((atoms, 3)), 0.0
    for part, place in zip(parts, places, strict=True):
        centred = part - part.mean(0)
        positions[list(place)] = centred + np.array([edge - centred[:, 0].min(), 0.0, 0.0])
        edge = positions[list(place), 0].max() + FRAGMENT_GAP_ANGSTROM
    return positions


def _distances(positions: np.ndarray) -> np.ndarray:
    return np.linalg.norm(positions[:, None] - positions[None], axis=-1)
