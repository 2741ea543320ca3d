"""Geometries of products, with the reactant's order of atoms and as near to it as may be."""

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdForceFieldHelpers
from rdkit.Geometry import Point3D

from flowsci.domains.transition_states.chemistry.bonds import molecule_of
from flowsci.domains.transition_states.chemistry.failure import Failure


def product_geometry(
    atomic_numbers: np.ndarray, orders: np.ndarray, reactant: np.ndarray
) -> np.ndarray:
    """Pull the reactant's positions (n, 3) into the product's bonds by the force field UFF.

    `orders` is the product's Kekulé matrix. A. Rappé et al., J. Am. Chem. Soc. 114, 10024 (1992).
    """
    molecule = Chem.Mol(molecule_of(atomic_numbers, orders))
    conformer = Chem.Conformer(len(atomic_numbers))
    for index, position in enumerate(reactant):
        conformer.SetAtomPosition(index, Point3D(*map(float, position)))
    molecule.AddConformer(conformer, assignId=True)
    with rdBase.BlockLogs():
        field = rdForceFieldHelpers.UFFGetMoleculeForceField(
            molecule, ignoreInterfragInteractions=False
        )
        if field is None:
            raise Failure("no_force_field")
        field.Initialize()
        field.Minimize(maxIts=500)
    return np.array(molecule.GetConformer().GetPositions())
