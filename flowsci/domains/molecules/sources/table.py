"""Tables with a column of SMILES, such as ZINC250k."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.molecule import Molecule
from flowsci.domains.molecules.sources.smiles import molecules_of
from flowsci.domains.molecules.sources.text import kind_of, opened, stem
from flowsci.domains.molecules.sources.values import properties_of, stored_units
from flowsci.errors import FlowsciError

NAMES = ("name", "id")


class Table:
    """Comma-separated values with the column `smiles`, and `name` or `id` where there is one."""

    kind = "tables with a column of SMILES (.csv)"

    def knows(self, path: Path, beginning: bytes) -> bool:
        return kind_of(path) == ".csv"

    def properties(self, settings: MoleculesData) -> Mapping[str, str]:
        return stored_units(settings)

    def records(
        self, path: Path, files: Sequence[Path], settings: MoleculesData
    ) -> Iterator[tuple[str, str, dict[str, str]]]:
        with opened(path) as stream:
            rows = csv.DictReader(stream)
            columns = {name.strip().lower(): name for name in rows.fieldnames or ()}
            _check_columns(path, columns, rows.fieldnames or (), settings)
            label = next((columns[name] for name in NAMES if name in columns), None)
            for number, row in enumerate(rows, 1):
                said = (row[label] or "").strip() if label else ""
                name = said or f"{stem(path)}_{number}"
                fields = {key: row[key] for key in settings.properties}
                yield name, (row[columns["smiles"]] or "").strip(), fields

    def fields(self, record: tuple[str, str, dict[str, str]]) -> Iterable[str]:
        return record[2]

    def parse(
        self, record: tuple[str, str, dict[str, str]], settings: MoleculesData, row: int
    ) -> list[Molecule]:
        name, smiles, fields = record
        properties = properties_of(fields, settings, name)
        return molecules_of(name, smiles, properties, settings, row)


def _check_columns(
    path: Path, columns: Mapping[str, str], names: Sequence[str], settings: MoleculesData
) -> None:
    missing = [] if "smiles" in columns else ["smiles"]
    missing += [name for name in settings.properties if name not in names]
    if missing:
        raise FlowsciError(
            f"{path}: has no column {', '.join(missing)}; it has {', '.join(names)}. Name the "
            "column of SMILES `smiles`, and `properties` of the dataset file as the table does."
        )


source = Table()
