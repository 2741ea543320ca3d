"""Small molecules of QM9 as starting points of reactions.

R. Ramakrishnan et al., Scientific Data 1, 140022 (2014); the table is that of the package qm9pack,
which is read and never imported.
"""

import ast
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers as numbers_by_symbol

from flowsci.errors import FlowsciError

COLUMNS = ("Index", "SMILES", "Elements", "XYZ_Ang")


@dataclass(frozen=True)
class Molecule:
    """A molecule: its name, SMILES, atomic numbers (n,) and positions (n, 3) in Å."""

    name: str
    smiles: str
    atomic_numbers: np.ndarray
    positions: np.ndarray


def read_molecules(
    files: Sequence[Path], elements: Sequence[str], most_heavy_atoms: int
) -> list[Molecule]:
    """Read the molecules of QM9 tables that consist of `elements`, by number of atoms and name.

    Raises `FlowsciError` naming file, line and column where a table is not of that kind.
    """
    wanted = [
        molecule for path in files for molecule in _read(path, set(elements), most_heavy_atoms)
    ]
    if not wanted:
        raise FlowsciError(
            f"{', '.join(map(str, files))}: no molecule has up to {most_heavy_atoms} heavy atoms "
            f"of {', '.join(elements)} only."
        )
    return sorted(wanted, key=lambda molecule: (len(molecule.atomic_numbers), molecule.name))


def _read(path: Path, elements: set[str], most_heavy_atoms: int) -> Iterator[Molecule]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            table = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise FlowsciError(f"{path}: the column {', '.join(missing)} is missing.")
            for row in table:
                symbols = ast.literal_eval(row["Elements"])
                heavy = sum(symbol != "H" for symbol in symbols)
                if heavy <= most_heavy_atoms and elements.issuperset(symbols):
                    yield _molecule(row, symbols)
    except FileNotFoundError:
        raise FlowsciError(f"{path}: there is no such file.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FlowsciError(f"{path}: cannot be read: {error}.") from None
    except (ValueError, SyntaxError, KeyError) as error:
        line = table.line_num
        raise FlowsciError(f"{path}: line {line} is not a molecule of QM9: {error}.") from None


def _molecule(row: dict[str, str], symbols: list[str]) -> Molecule:
    positions = np.array(ast.literal_eval(row["XYZ_Ang"]), dtype=float)
    if positions.shape != (len(symbols), 3):
        raise ValueError(f"{len(symbols)} elements, positions of shape {positions.shape}")
    numbers = np.array([numbers_by_symbol[symbol] for symbol in symbols])
    return Molecule(f"qm9_{int(row['Index']):06d}", row["SMILES"], numbers, positions)
