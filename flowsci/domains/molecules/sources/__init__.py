"""Raw files as molecules, in several processes: a file's ending and beginning say what it is."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flowsci.domains.molecules.blocks import Block, BlockBuilder
from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.molecule import Fault, LeftOut
from flowsci.domains.molecules.parallel import each, in_lists
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

    Raises `FlowsciError` where a file is of no known kind, empty or damaged, or no record has a
    property that the settings name.
    """
    source, paths = _source_of_all(files)
    names = list(source.properties(settings))
    _check_properties(source, paths, files, settings)
    places = _records(source, paths, files, settings)
    records = ((row, place, record) for row, (place, record) in enumerate(places))
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
    records: Sequence[tuple[int, str, Any]],
) -> Block:
    """Parse records with their numbers and places; what cannot be used is kept as its fault."""
    from rdkit import rdBase

    builder = BlockBuilder(names)
    with rdBase.BlockLogs():
        for row, place, record in records:
            try:
                for molecule in source.parse(record, settings, row):
                    builder.add(row, place, molecule)
            except LeftOut as reason:
                builder.leave_out(str(reason))
            except Fault as fault:
                builder.fault(fault.at(place))
    return builder.block(len(records))


def _records(
    source: Source, paths: Sequence[Path], files: Sequence[Path], settings: MoleculesData
) -> Iterator[tuple[str, Any]]:
    """Cut all files into records, each with its place: a file's name and a number in it."""
    for path in paths:
        number = 0
        for number, record in enumerate(source.records(path, files, settings), 1):
            yield f"{path.name}, record {number}", record
        if not number:
            raise FlowsciError(f"{path}: holds no molecule; leave the file out, or give another.")


def _check_properties(
    source: Source, paths: Sequence[Path], files: Sequence[Path], settings: MoleculesData
) -> None:
    """Raise where no record has a property that the settings name, before any is parsed."""
    missing, seen = set(settings.properties), set()
    if not missing:
        return
    for _, record in _records(source, paths, files, settings):
        found = set(source.fields(record))
        missing, seen = missing - found, seen | found
        if not missing:
            return
    raise FlowsciError(
        f"{', '.join(str(path) for path in paths[:3])}: no record has the property "
        f"{', '.join(sorted(missing))} of `properties`; their fields are: "
        f"{', '.join(sorted(seen)) or 'none'}. Name it in the dataset file as the records do, or "
        "leave it out."
    )
