"""SD files: graphs with positions and fields."""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rdkit import Chem

from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.molecule import Fault, Molecule
from flowsci.domains.molecules.sources.finish import finished
from flowsci.domains.molecules.sources.text import kind_of, opened, stem
from flowsci.domains.molecules.sources.values import properties_of, stored_units

FIELD = re.compile(r"^>.*?<([^>\n]+)>", re.MULTILINE)


class Sdf:
    """Records that end with `$$$$`; the title line is the name."""

    kind = "SD files (.sdf)"

    def knows(self, path: Path, beginning: bytes) -> bool:
        return kind_of(path) in (".sdf", ".sd", ".mol")

    def properties(self, settings: MoleculesData) -> Mapping[str, str]:
        return stored_units(settings)

    def records(
        self, path: Path, files: Sequence[Path], settings: MoleculesData
    ) -> Iterator[tuple[str, str]]:
        number, lines = 1, []
        with opened(path) as stream:
            for line in stream:
                lines.append(line)
                if line.startswith("$$$$"):
                    yield f"{stem(path)}_{number}", "".join(lines)
                    number, lines = number + 1, []
        if "".join(lines).strip():
            yield f"{stem(path)}_{number}", "".join(lines)

    def fields(self, record: tuple[str, str]) -> Iterable[str]:
        return FIELD.findall(record[1])

    def parse(self, record: tuple[str, str], settings: MoleculesData, row: int) -> list[Molecule]:
        default, text = record
        name = text.partition("\n")[0].strip() or default
        stream = io.BytesIO(text.encode())
        supplier = Chem.ForwardSDMolSupplier(stream, sanitize=False, removeHs=False)
        molecule = next(iter(supplier), None)
        if molecule is None:
            raise Fault("unreadable record", f"{name} ({default}): RDKit cannot read the record.")
        fields = {key: molecule.GetProp(key) for key in molecule.GetPropNames()}
        return [finished(molecule, name, properties_of(fields, settings, name), settings)]


source = Sdf()
