"""QM9 as the package `qm9pack` carries it: three tables whose cells hold Python literals.

The package is never imported. Heavy atoms stand first, in the order of the SMILES, in nearly all
rows; hydrogens follow, each beside the heavy atom that it is bonded to, which the geometry says.
"""

import ast
import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rdkit import Chem

from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.graphs import from_rdkit, sanitized
from flowsci.domains.molecules.molecule import (
    Fault,
    Molecule,
    check_geometry,
    check_size,
    distance_ratios,
)
from flowsci.domains.molecules.sources.finish import check_heavy
from flowsci.domains.molecules.sources.text import kind_of, opened
from flowsci.domains.molecules.units import STORED, conversion
from flowsci.errors import FlowsciError

COLUMNS = {
    "mu": ("Dipole_debye", "Debye"),
    "alpha": ("Polarizability_bohr3", "Bohr^3"),
    "homo": ("HOMO_au", "Hartree"),
    "lumo": ("LUMO_au", "Hartree"),
    "gap": ("HOMO_LUMO_gap_au", "Hartree"),
    "cv": ("Heatcapacity_Cv_cal_mol_K", "cal/(mol K)"),
    "r2": ("R2_bohr2", "Bohr^2"),
    "zpve": ("ZPVE_au", "Hartree"),
    "u0": ("InternalEnergy_0K_au", "Hartree"),
    "u298": ("InternalEnergy_298K_au", "Hartree"),
    "h298": ("Enthalphy_298K_au", "Hartree"),
    "g298": ("GibbsFreeEnergy_298K_au", "Hartree"),
}
FACTORS = {name: (column, conversion(name, unit)[1]) for name, (column, unit) in COLUMNS.items()}


class Qm9Wheel:
    """The tables `qm9_part*.csv`."""

    kind = "QM9 tables of qm9pack (.csv)"

    def knows(self, path: Path, beginning: bytes) -> bool:
        header = beginning.split(b"\n", 1)[0]
        return kind_of(path) == ".csv" and b"XYZ_Ang" in header and b"Elements" in header

    def properties(self, settings: MoleculesData) -> Mapping[str, str]:
        return own_properties(settings)

    def records(
        self, path: Path, files: Sequence[Path], settings: MoleculesData
    ) -> Iterator[tuple[list[str], str]]:
        with opened(path) as lines:
            header = next(csv.reader([next(lines)]))
            for line in lines:
                yield header, line

    def fields(self, record: tuple[list[str], str]) -> Iterable[str]:
        return COLUMNS

    def parse(
        self, record: tuple[list[str], str], settings: MoleculesData, row: int
    ) -> list[Molecule]:
        header, line = record
        cells = dict(zip(header, next(csv.reader([line])), strict=False))
        name = f"gdb_{cells.get('Index', row + 1)}"
        try:
            elements = ast.literal_eval(cells["Elements"])
            check_heavy(len(elements) - elements.count("H"), settings.most_heavy_atoms)
            positions = np.array(ast.literal_eval(cells["XYZ_Ang"]), dtype=np.float64)
            properties = {
                key: finite(cells[column]) * factor for key, (column, factor) in FACTORS.items()
            }
            smiles = cells["SMILES"]
        except (KeyError, TypeError, ValueError, SyntaxError) as error:
            raise Fault("unreadable row", f"{name}: cannot be read: {error!r}.") from None
        return [molecule_of(name, smiles, elements, positions, properties, settings)]


def own_properties(settings: MoleculesData) -> Mapping[str, str]:
    """Give the stored units of QM9's properties; raise where the settings name any."""
    if settings.properties:
        raise FlowsciError(
            "properties: QM9's own readers know all of QM9 and their units; remove the key from "
            "the dataset file."
        )
    return {name: STORED[name] for name in COLUMNS}


def finite(text: str) -> float:
    """Read a value of QM9, which knows them all; raise `ValueError` where it is not finite."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{value} is no value of a property")
    return value


def molecule_of(
    name: str,
    smiles: str,
    elements: Sequence[str],
    positions: np.ndarray,
    properties: Mapping[str, float],
    settings: MoleculesData,
) -> Molecule:
    """Join a SMILES with positions (n, 3) in Å whose heavy atoms stand first and in its order.

    Raises `Fault` where the order differs, or where graph and geometry do.
    """
    parsed = Chem.MolFromSmiles(smiles, sanitize=False)
    if parsed is None:
        raise Fault("unreadable SMILES", f"{name}: '{smiles}' is no SMILES.")
    heavy = sanitized(parsed, name)
    symbols = [atom.GetSymbol() for atom in heavy.GetAtoms()]
    count = len(symbols)
    if list(elements[:count]) != symbols or set(elements[count:]) - {"H"}:
        raise Fault(
            "atoms not in the order of the SMILES",
            f"{name}: the atoms {''.join(elements)} are not those of {smiles}, hydrogens last.",
        )
    whole = settings.hydrogens != "none"
    check_size(name, len(elements) if whole else count, settings.largest_atoms)
    graph = from_rdkit(heavy, name, properties, positions=False)
    if not whole:
        return graph
    molecule = _with_hydrogens(graph, heavy, positions)
    check_geometry(molecule)
    return molecule if settings.mode == "3d" else replace(molecule, positions=None)


def _with_hydrogens(graph: Molecule, heavy: Chem.Mol, positions: np.ndarray) -> Molecule:
    """Give each hydrogen to its nearest heavy atom; raise `Fault` where the SMILES says other."""
    count, atoms = len(graph.atomic_numbers), len(positions)
    numbers = np.concatenate([graph.atomic_numbers, np.ones(atoms - count, dtype=np.int64)])
    nearest = distance_ratios(numbers, positions)[count:, :count].argmin(1)
    expected = [atom.GetTotalNumHs() for atom in heavy.GetAtoms()]
    if (np.bincount(nearest, minlength=count) != expected).any():
        raise Fault(
            "hydrogens differ from the SMILES",
            f"{graph.name}: the hydrogens near each heavy atom are not as many as "
            f"{graph.smiles} says.",
        )
    bonds = np.column_stack([nearest, np.arange(count, atoms)])
    return replace(
        graph,
        atomic_numbers=numbers,
        charges=np.concatenate([graph.charges, np.zeros(atoms - count, dtype=np.int64)]),
        bond_atoms=np.concatenate([graph.bond_atoms, bonds]),
        bond_orders=np.concatenate([graph.bond_orders, np.ones(atoms - count, dtype=np.int64)]),
        positions=positions,
    )


source = Qm9Wheel()
