"""Geometries of the two ends of a path, near to one another and in one order of atoms."""

from collections.abc import Sequence

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdForceFieldHelpers
from rdkit.Geometry import Point3D

from flowsci.domains.transition_states.chemistry.bonds import (
    RADII,
    Pair,
    bond_changes,
    molecule_of,
)
from flowsci.domains.transition_states.chemistry.failure import Failure

REACH = 1.5
"""Atoms that will bond are brought within this many times the sum of their covalent radii."""
PULL = 200.0
"""Force constant of that pull in kcal/mol/Å²."""


def ready_reactant(
    atomic_numbers: np.ndarray, before: np.ndarray, after: np.ndarray, positions: np.ndarray
) -> np.ndarray:
    """Fold the reactant's positions (n, 3) so that atoms which will bond are near one another.

    `before` and `after` are Kekulé matrices. Without this a path may begin at a conformer from
    which the reaction cannot go.
    """
    formed = bond_changes(before > 0, after > 0).formed
    return _relaxed(atomic_numbers, before, positions, formed)


def product_geometry(
    atomic_numbers: np.ndarray, orders: np.ndarray, reactant: np.ndarray
) -> np.ndarray:
    """Pull the reactant's positions (n, 3) into the product's bonds, the Kekulé matrix `orders`."""
    return _relaxed(atomic_numbers, orders, reactant, ())


def _relaxed(
    atomic_numbers: np.ndarray, orders: np.ndarray, positions: np.ndarray, near: Sequence[Pair]
) -> np.ndarray:
    """Relax by the force field UFF: A. Rappé et al., J. Am. Chem. Soc. 114, 10024 (1992)."""
    molecule = Chem.Mol(molecule_of(atomic_numbers, orders))
    conformer = Chem.Conformer(len(atomic_numbers))
    for index, position in enumerate(positions):
        conformer.SetAtomPosition(index, Point3D(*map(float, position)))
    molecule.AddConformer(conformer, assignId=True)
    with rdBase.BlockLogs():
        field = rdForceFieldHelpers.UFFGetMoleculeForceField(
            molecule, ignoreInterfragInteractions=False
        )
        if field is None:
            raise Failure("no_force_field")
        field.Initialize()
        for i, j in near:
            reach = REACH * float(RADII[atomic_numbers[i]] + RADII[atomic_numbers[j]])
            field.UFFAddDistanceConstraint(i, j, False, 0.0, reach, PULL)
        field.Minimize(maxIts=500)
    return np.array(molecule.GetConformer().GetPositions())
