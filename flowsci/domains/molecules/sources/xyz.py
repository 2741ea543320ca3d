"""Extended XYZ: positions alone, whose bonds are perceived."""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds

from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.graphs import to_rdkit
from flowsci.domains.molecules.molecule import Fault, Molecule, check_size
from flowsci.domains.molecules.sources.finish import check_heavy, finished
from flowsci.domains.molecules.sources.text import kind_of, opened, stem
from flowsci.domains.molecules.sources.values import properties_of, stored_units
from flowsci.errors import FlowsciError

KEY = re.compile(r"([^\s=\"']+)[\"']?\s*=")


class Xyz:
    """Frames of extended XYZ; the keys `name`, `charge` and the properties are read."""

    kind = "extended XYZ (.xyz, .extxyz)"

    def knows(self, path: Path, beginning: bytes) -> bool:
        return kind_of(path) in (".xyz", ".extxyz")

    def properties(self, settings: MoleculesData) -> Mapping[str, str]:
        return stored_units(settings)

    def records(
        self, path: Path, files: Sequence[Path], settings: MoleculesData
    ) -> Iterator[tuple[str, str]]:
        number = 0
        with opened(path) as lines:
            for line in lines:
                if not line.strip():
                    continue
                number += 1
                try:
                    atoms = int(line)
                except ValueError:
                    raise FlowsciError(
                        f"{path}: frame {number} begins with '{line.strip()[:40]}', not with its "
                        "number of atoms. A frame is this number, a line of keys, and as many "
                        "lines of atoms."
                    ) from None
                frame = [line, *(next(lines, "") for _ in range(atoms + 1))]
                yield f"{stem(path)}_{number}", "".join(frame)

    def fields(self, record: tuple[str, str]) -> Iterable[str]:
        comment = record[1].partition("\n")[2].partition("\n")[0]
        return set(KEY.findall(comment)) - {"Properties"}

    def parse(self, record: tuple[str, str], settings: MoleculesData, row: int) -> list[Molecule]:
        default, text = record
        atoms = _frame(default, text)
        name = str(atoms.info.get("name", default))
        check_heavy(int((atoms.numbers > 1).sum()), settings.most_heavy_atoms)
        check_size(name, len(atoms), settings.largest_atoms)
        fields = {**atoms.info, **(atoms.calc.results if atoms.calc is not None else {})}
        texts = {key: str(value) for key, value in fields.items()}
        charge = _charge(texts.get("charge", "0"), name)
        molecule = perceived(name, atoms.numbers, atoms.positions, charge)
        return [finished(molecule, name, properties_of(texts, settings, name), settings)]


def perceived(
    name: str, atomic_numbers: np.ndarray, positions: np.ndarray, charge: int = 0
) -> Chem.Mol:
    """Find bonds from positions in Å (Kim and Kim, Bull. Korean Chem. Soc. 36, 1769, 2015).

    All hydrogens must be there. Raises `Fault` where no sound molecule is found.
    """
    bare = np.zeros(len(atomic_numbers), dtype=int)
    molecule = to_rdkit(atomic_numbers, bare, np.diag(bare), positions)
    try:
        rdDetermineBonds.DetermineBonds(molecule, charge=charge, maxIterations=1000)
    except (ValueError, RuntimeError) as error:
        raise Fault(
            "bonds not perceived",
            f"{name}: no bonds of a molecule of charge {charge:+d} fit the positions: "
            f"{str(error).strip().splitlines()[0]}. All hydrogens must be there; a charge is "
            "said by the key `charge`.",
        ) from None
    return molecule


def _charge(text: str, name: str) -> int:
    try:
        charge = float(text)
    except ValueError:
        charge = np.nan
    if not charge.is_integer():
        raise Fault(
            "charge is no whole number",
            f"{name}: the key charge is '{text}', a whole number in e was expected.",
        )
    return int(charge)


def _frame(name: str, text: str) -> Atoms:
    try:
        return ase.io.read(io.StringIO(text), format="extxyz")
    except Exception as error:
        raise Fault(
            "unreadable frame", f"{name}: is no frame of extended XYZ: {str(error)[:200]}."
        ) from None


source = Xyz()
