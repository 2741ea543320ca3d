"""What a reader of molecules answers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.molecule import Molecule


class Source(Protocol):
    """One kind of file. Records are cut off cheaply in one process and parsed in several."""

    kind: str

    def knows(self, path: Path, beginning: bytes) -> bool:
        """Tell whether a file, whose first bytes are given, is of this kind."""

    def properties(self, settings: MoleculesData) -> Mapping[str, str]:
        """Give the stored unit of each property by its name."""

    def records(self, path: Path, files: Sequence[Path], settings: MoleculesData) -> Iterator[Any]:
        """Cut a file into records that can be sent to another process; `files` are all files."""

    def fields(self, record: Any) -> Iterable[str]:
        """Name the fields of a record, each of which may be a property; it is not parsed."""

    def parse(self, record: Any, settings: MoleculesData, row: int) -> Sequence[Molecule]:
        """Read record number `row`; raise `Fault` or `LeftOut` where it gives no molecule."""
