"""Raw files as molecules, in several processes: a file's ending and beginning say what it is."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flowsci.domains.molecules.blocks import Block, BlockBuilder
from flowsci.domains.molecules.molecule import Fault, LeftOut
from flowsci.domains.molecules.parallel import each, in_lists
from flowsci.domains.molecules.settings import MoleculesData
from flowsci.domains.molecules.sources import qm9_archive, qm9_wheel, sdf, smiles, table, xyz
from flowsci.domains.molecules.sources.source import Source
from flowsci.domains.molecules.sources.text import beginning, kind_of
from flowsci.errors import FlowsciError
from flowsci.progress import progress

RECORDS_AT_ONCE = 400
SOURCES: tuple[Source, ...] = (
    qm9_wheel.source,
    qm9_archive.source,
    table.source,
    sdf.source,
    smiles.source,
    xyz.source,
)


def read_molecules(files: Sequence[Path], settings: MoleculesData) -> Block:
    """Read files by their kind; faults are counted, or stop the reading, as the settings say.

    Raises `FlowsciError` where a file is of no known kind, empty or damaged.
    """
    source, paths = _source_of_all(files)
    names = list(source.properties(settings))
    records = enumerate(_records(source, paths, files, settings))
    read = partial(read_block, source, names, settings)
    jobs = in_lists(records, RECORDS_AT_ONCE)
    blocks = []
    with progress("reading", len(paths), "files") as bar:
        for block in each(read, jobs, settings.processes):
            if block.faults and settings.on_fault == "stop":
                raise FlowsciError(
                    f"{block.faults[0]} (`on_fault: skip` leaves such molecules out, counted.)"
                )
            blocks.append(block)
        bar.advance(len(paths))
    if not blocks:
        raise FlowsciError(f"{', '.join(map(str, files))}: holds no molecule.")
    return Block.joined(blocks)


def property_units(files: Sequence[Path], settings: MoleculesData) -> Mapping[str, str]:
    """Give the stored unit of each property that reading gives, by its name."""
    return _source_of_all(files)[0].properties(settings)


def _source_of_all(files: Sequence[Path]) -> tuple[Source, list[Path]]:
    paths = [path for path in map(Path, files) if not qm9_archive.is_list(path)]
    sources = {source_of(path) for path in paths}
    if len(sources) != 1:
        raise FlowsciError(
            f"The files are of {len(sources)} kinds: {', '.join(path.name for path in paths[:3])}. "
            "Give files of one kind to a dataset."
        )
    return sources.pop(), paths


def source_of(path: Path) -> Source:
    """Find who reads a file; raise `FlowsciError` where nobody does."""
    start = beginning(path)
    for source in SOURCES:
        if source.knows(path, start):
            return source
    known = "; ".join(source.kind for source in SOURCES)
    raise FlowsciError(
        f"{path}: files of the kind '{kind_of(path)}' are not known. Known: {known}."
    )


def read_block(
    source: Source,
    names: Sequence[str],
    settings: MoleculesData,
    records: Sequence[tuple[int, Any]],
) -> Block:
    """Parse numbered records; what cannot be used is kept as its fault."""
    from rdkit import rdBase

    builder = BlockBuilder(names)
    with rdBase.BlockLogs():
        for row, record in records:
            try:
                for molecule in source.parse(record, settings, row):
                    builder.add(row, molecule)
            except LeftOut as reason:
                builder.leave_out(str(reason))
            except Fault as fault:
                builder.fault(fault)
    return builder.block(len(records))


def _records(
    source: Source, paths: Sequence[Path], files: Sequence[Path], settings: MoleculesData
) -> Iterator[Any]:
    for path in paths:
        empty = True
        for record in source.records(path, files, settings):
            empty = False
            yield record
        if empty:
            raise FlowsciError(f"{path}: holds no molecule.")
