"""Potential energies of one molecule: energy and gradient of positions (n, 3) in Å, kcal/mol."""

from typing import Protocol

import numpy as np
from ase.units import kcal, mol
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from flowsci.errors import FlowsciError

BOLTZMANN = 0.0019872042586408316
"""kcal / (mol K)"""


class Energy(Protocol):
    """An energy of positions (n, 3) in Å."""

    def energy(self, positions: np.ndarray) -> float:
        """Give the energy in kcal/mol."""

    def gradient(self, positions: np.ndarray) -> np.ndarray:
        """Give the gradient (n, 3) in kcal/mol/Å."""


class Mmff94:
    """MMFF94 without a cutoff, by RDKit (Halgren, J. Comput. Chem. 17, 490, 1996)."""

    def __init__(self, molecule: Chem.Mol) -> None:
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule)
        if properties is None:
            raise FlowsciError(
                f"simulation.smiles: MMFF94 knows no parameters of {Chem.MolToSmiles(molecule)}. "
                "Use `energy: gfn2`."
            )
        # the molecule must outlive its force field
        self.molecule = Chem.Mol(molecule)
        self.field = rdForceFieldHelpers.MMFFGetMoleculeForceField(
            self.molecule, properties, nonBondedThresh=1e3
        )
        self.field.Initialize()

    def energy(self, positions: np.ndarray) -> float:
        """Give the energy in kcal/mol."""
        return self.field.CalcEnergy(positions.ravel().tolist())

    def gradient(self, positions: np.ndarray) -> np.ndarray:
        """Give the gradient (n, 3) in kcal/mol/Å."""
        flat = positions.ravel().tolist()
        # RDKit's gradient takes distances from the last call of its energy
        self.field.CalcEnergy(flat)
        return np.array(self.field.CalcGrad(flat)).reshape(positions.shape)


class Gfn2:
    """GFN2-xTB by tblite (Bannwarth, Ehlert, Grimme, JCTC 15, 1652, 2019)."""

    def __init__(self, molecule: Chem.Mol) -> None:
        from ase import Atoms
        from tblite.ase import TBLite

        charges = np.zeros(molecule.GetNumAtoms())
        charges[0] = Chem.GetFormalCharge(molecule)
        self.atoms = Atoms(
            numbers=[atom.GetAtomicNum() for atom in molecule.GetAtoms()], charges=charges
        )
        self.atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)

    def energy(self, positions: np.ndarray) -> float:
        """Give the energy in kcal/mol."""
        self.atoms.positions = positions
        return self.atoms.get_potential_energy() / (kcal / mol)

    def gradient(self, positions: np.ndarray) -> np.ndarray:
        """Give the gradient (n, 3) in kcal/mol/Å."""
        self.atoms.positions = positions
        return -self.atoms.get_forces() / (kcal / mol)


ENERGIES = {"mmff94": Mmff94, "gfn2": Gfn2}


def molecule_of(smiles: str) -> Chem.Mol:
    """Give a molecule with hydrogens and one conformer near a minimum, always the same.

    Its order of atoms and its handedness, that of labelled hydrogens too, are those of all data.
    """
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise FlowsciError(f"simulation.smiles: RDKit cannot read '{smiles}'.")
    molecule = Chem.AddHs(molecule)
    if rdDistGeom.EmbedMolecule(molecule, randomSeed=1) != 0:
        raise FlowsciError(f"simulation.smiles: RDKit finds no conformer of '{smiles}'.")
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=2000)
    return molecule


def energies(energy: Energy, positions: np.ndarray) -> np.ndarray:
    """Give the energies (conformers,) in kcal/mol of positions (conformers, n, 3)."""
    return np.array([energy.energy(one) for one in positions.astype(np.float64)])
