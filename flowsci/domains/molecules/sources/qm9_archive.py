"""QM9 as published: one `.xyz` file a molecule in `dsgdb9nsd.xyz.tar.bz2`.

The archive is read as a stream and never unpacked to the disk. The list of molecules whose
geometry belongs to another graph, `uncharacterized.txt`, stands beside it in the source: its
molecules are left out before they are numbered, as the published split wants it.
"""

import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.molecule import Fault, Molecule
from flowsci.domains.molecules.sources.finish import check_heavy
from flowsci.domains.molecules.sources.qm9_wheel import (
    COLUMNS,
    finite,
    molecule_of,
    own_properties,
)
from flowsci.domains.molecules.sources.text import opened
from flowsci.domains.molecules.units import conversion
from flowsci.errors import FlowsciError

LIST = "uncharacterized.txt"
LARGEST_MEMBER_BYTES = 100_000
FIELDS = (
    *("mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u298", "h298", "g298", "cv"),
)
FIRST_FIELD = 5
FACTORS = {name: conversion(name, COLUMNS[name][1])[1] for name in FIELDS}


def is_list(path: Path) -> bool:
    """Tell whether a file is the list of molecules to leave out."""
    return path.name == LIST


class Qm9Archive:
    """The archive of QM9, Ramakrishnan et al., Scientific Data 1, 140022 (2014)."""

    kind = "QM9's archive (.xyz.tar.bz2)"

    def knows(self, path: Path, beginning: bytes) -> bool:
        return path.name.lower().endswith((".tar.bz2", ".tar.gz", ".tar"))

    def properties(self, settings: MoleculesData) -> Mapping[str, str]:
        units = own_properties(settings)
        return {name: units[name] for name in FIELDS}

    def records(
        self, path: Path, files: Sequence[Path], settings: MoleculesData
    ) -> Iterator[tuple[str, str]]:
        excluded = excluded_indices(files)
        try:
            with tarfile.open(path, "r|*") as archive:
                for member in archive:
                    name = Path(member.name).name
                    if not member.isfile() or not name.endswith(".xyz"):
                        continue
                    if member.size > LARGEST_MEMBER_BYTES:
                        raise FlowsciError(
                            f"{path}: {name} is too large for a molecule of QM9. Give the archive "
                            "as published."
                        )
                    text = archive.extractfile(member).read().decode()
                    if _index(text) not in excluded:
                        yield name, text
        except (tarfile.TarError, OSError, EOFError, UnicodeDecodeError) as error:
            raise FlowsciError(f"{path}: is no whole archive: {error}. Fetch it again.") from None

    def fields(self, record: tuple[str, str]) -> Iterable[str]:
        return FIELDS

    def parse(self, record: tuple[str, str], settings: MoleculesData, row: int) -> list[Molecule]:
        file, text = record
        lines = text.splitlines()
        name = f"gdb_{_index(text)}"
        try:
            count = int(lines[0])
            cells = [line.split() for line in lines[2 : 2 + count]]
            elements = [cell[0] for cell in cells]
            check_heavy(count - elements.count("H"), settings.most_heavy_atoms)
            # Fortran's way of writing powers of ten
            positions = np.array(
                [[float(x.replace("*^", "e")) for x in cell[1:4]] for cell in cells]
            )
            values = map(finite, lines[1].split()[FIRST_FIELD:])
            properties = {
                key: value * FACTORS[key] for key, value in zip(FIELDS, values, strict=True)
            }
            relaxed = lines[3 + count].split()[1]
        except (IndexError, ValueError) as error:
            raise Fault("unreadable file", f"{file}: is no file of QM9: {error}.") from None
        return [molecule_of(name, relaxed, elements, positions, properties, settings)]


def excluded_indices(files: Sequence[Path]) -> set[int]:
    """Read the numbers of the molecules to leave out; none without the list."""
    found = set()
    for path in filter(is_list, files):
        with opened(path) as lines:
            cells = [line.split() for line in lines]
        found |= {int(cell[0]) for cell in cells if len(cell) > 1 and cell[0].isdigit()}
    return found


def _index(text: str) -> int:
    """Read the number of a molecule, the second word of the second line."""
    try:
        return int(text.split("\n", 2)[1].split()[1])
    except (IndexError, ValueError):
        return -1


source = Qm9Archive()
