"""Small files of every kind that is read, made from a few molecules."""

import csv
import io
import tarfile
from pathlib import Path

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from flowsci.domains.molecules.data_settings import MoleculesData

PROPERTIES = (
    "Dipole_debye Polarizability_bohr3 HOMO_au LUMO_au HOMO_LUMO_gap_au R2_bohr2 ZPVE_au "
    "InternalEnergy_0K_au InternalEnergy_298K_au Enthalphy_298K_au GibbsFreeEnergy_298K_au "
    "Heatcapacity_Cv_cal_mol_K"
)
HEADER = ["XYZ_file", "Index", "SMILES", "Elements", "XYZ_Ang", *PROPERTIES.split(" ")]
VALUES = [1.5, 13.21, -0.25, 0.1, 0.35, 35.4, 0.04, -40.5, -40.4, -40.4, -40.6, 6.5]


def settings(**changes) -> MoleculesData:
    """Settings of a dataset of such files."""
    base = {
        "domain": "molecules",
        "title": "Made molecules",
        "licence": "none",
        "citation": "none",
        "source": {"kind": "path", "path": "made"},
        "processes": 1,
    }
    return MoleculesData(**{**base, **changes})


def conformer(smiles: str) -> Chem.Mol:
    """Embed a molecule with hydrogens; heavy atoms stand first."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(molecule, randomSeed=1) == 0
    return molecule


def elements_and_positions(molecule: Chem.Mol) -> tuple[list[str], np.ndarray]:
    """Give symbols and positions in Å."""
    symbols = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    return symbols, molecule.GetConformer().GetPositions()


def qm9_row(index: int, smiles: str, elements: list[str], positions: np.ndarray) -> list:
    """Make a row as the package qm9pack has it."""
    places = "[" + ",".join(str(place.tolist()) for place in positions) + "]"
    return [f"dsgdb9nsd_{index:06}.xyz", index, smiles, str(elements), places, *VALUES]


def write_qm9_table(path: Path, rows: list[list]) -> Path:
    """Write a table as the package qm9pack has it."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([HEADER, *rows])
    return path


def qm9_text(index: int, smiles: str) -> str:
    """Write a molecule as QM9's archive has it, with Fortran's powers of ten."""
    symbols, positions = elements_and_positions(conformer(smiles))
    order = (1.5, 13.21, -0.25, 0.1, 0.35, 35.4, 0.04, -40.5, -40.4, -40.4, -40.6, 6.5)
    lines = [str(len(symbols)), f"gdb {index}\t157.7\t157.7\t157.7\t" + "\t".join(map(str, order))]
    for symbol, (x, y, z) in zip(symbols, positions, strict=True):
        lines.append(f"{symbol}\t{x:.8f}\t{y:.8f}\t{z * 1e6:.8f}*^-6\t-0.1")
    return "\n".join([*lines, "1000.0", f"{smiles}\t{smiles}", "InChI=1S/\tInChI=1S/"]) + "\n"


def write_archive(path: Path, texts: dict[str, str]) -> Path:
    """Write an archive of texts by name."""
    with tarfile.open(path, "w:bz2") as archive:
        for name, text in texts.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def write_sdf(path: Path, molecules: list[Chem.Mol], **fields) -> Path:
    """Write molecules with the same fields."""
    with Chem.SDWriter(str(path)) as writer:
        for number, molecule in enumerate(molecules):
            molecule = Chem.Mol(molecule)
            molecule.SetProp("_Name", f"made_{number}")
            for name, value in fields.items():
                molecule.SetProp(name, value)
            writer.write(molecule)
    return path
