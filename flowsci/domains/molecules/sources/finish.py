"""What readers of graphs have in common: hydrogens, size, geometry."""

from collections.abc import Mapping

import numpy as np
from rdkit import Chem

from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.graphs import from_rdkit, sanitized, without_hydrogens
from flowsci.domains.molecules.molecule import (
    Fault,
    LeftOut,
    Molecule,
    check_geometry,
    check_size,
)

LEFT_OUT = "more heavy atoms than asked for"


def finished(
    molecule: Chem.Mol, name: str, properties: Mapping[str, float], settings: MoleculesData
) -> Molecule:
    """Check a molecule as it was read; its conformer gives the positions in the mode `3d`.

    Raises `Fault` where it cannot be used, `LeftOut` where it is not asked for.
    """
    molecule = sanitized(molecule, name)
    check_heavy(molecule.GetNumHeavyAtoms(), settings.most_heavy_atoms)
    positions = settings.mode == "3d"
    if positions:
        check_positions(molecule, name)
    molecule = with_hydrogens(molecule, name, settings.hydrogens, positions)
    check_size(name, molecule.GetNumAtoms(), settings.largest_atoms)
    read = from_rdkit(molecule, name, properties, positions=positions)
    if positions:
        check_geometry(read)
    return read


def with_hydrogens(molecule: Chem.Mol, name: str, wanted: str, positions: bool) -> Chem.Mol:
    """Give a molecule whose hydrogens are as the setting `hydrogens` wants them."""
    if wanted == "none":
        return without_hydrogens(molecule)
    lacking = sum(atom.GetTotalNumHs() for atom in molecule.GetAtoms())
    if lacking and wanted == "explicit":
        raise Fault(
            "hydrogens missing",
            f"{name}: lacks {lacking} hydrogens. Give them, or set `hydrogens: add` (with "
            "`mode: 3d` they are placed by rule, not optimised), or `hydrogens: none` with "
            "`mode: 2d`.",
        )
    return Chem.AddHs(molecule, addCoords=positions) if lacking else molecule


def check_heavy(heavy_atoms: int, most: int | None) -> None:
    """Raise `LeftOut` where a molecule has more heavy atoms than asked for."""
    if most is not None and heavy_atoms > most:
        raise LeftOut(LEFT_OUT)


def check_positions(molecule: Chem.Mol, name: str) -> None:
    """Raise `Fault` where a molecule has no positions in space."""
    if not molecule.GetNumConformers() or not molecule.GetConformer().Is3D():
        raise Fault(
            "no positions",
            f"{name}: has no positions in space (a drawing has two coordinates). Set `mode: 2d`, "
            "or give SMILES, which get conformers.",
        )
    if not np.isfinite(molecule.GetConformer().GetPositions()).all():
        raise Fault("positions missing", f"{name}: has positions that are no numbers.")
