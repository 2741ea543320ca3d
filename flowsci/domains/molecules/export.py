"""Generated molecules as other programs read them: SDF, Parquet, extended XYZ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr
from ase import Atoms
from rdkit import Chem
from rdkit.Chem import rdDepictor

from flowsci.domains.molecules.decode import bonds_of
from flowsci.domains.molecules.graphs import bond_matrix
from flowsci.domains.molecules.measures.soundness import Soundness, sanitised, soundness
from flowsci.domains.molecules.record import Graph
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared
from flowsci.store.samples import Exported

TABLE, MOLECULES, GEOMETRIES = "samples.parquet", "samples.sdf", "samples.extxyz"
COLUMNS = {
    "condition": (pa.int32(), "Number of the condition."),
    "molecule": (pa.int64(), "Row of the dataset that the condition came from; -1 if none."),
    "sample": (pa.int32(), "Number of the sample of its condition."),
    "smiles": (pa.string(), "Canonical, without stereo marks; empty if not sanitised."),
    "formula": (pa.string(), "Elements in the order of Hill."),
    "atoms": (pa.int32(), "Number of atoms, 0 if nothing came."),
    "charge": (pa.int32(), "Total charge in e."),
    "stable": (pa.bool_(), "Every atom has a valence that its charge allows."),
    "sanitised": (pa.bool_(), "RDKit sanitises it without help."),
    "connected": (pa.bool_(), "It is in one piece."),
    "closed_shell": (pa.bool_(), "No atom has an unpaired electron."),
    "told_atoms": (pa.int32(), "Atoms that the condition told of: a fragment, or all."),
    "kept": (pa.bool_(), "Atoms that were told came as told, with their bonds and positions."),
}
KINDS = {
    "target": "asked for",
    "judged": "of the sample, by a net that judges",
    "judged_real": "of the real molecule that the condition came from, by the same net",
}


@dataclass(frozen=True)
class Generated:
    """Samples as a user reads them: `table`, a row a sample, and the molecules beside it."""

    table: pd.DataFrame
    graphs: list[Graph]


def export(samples: xr.Dataset, prepared: Prepared, folder: Path) -> Exported:
    """Write the samples; `samples` has rows as `decode` gives them."""
    starts, graphs = graphs_of(samples, bool(prepared.statistics["has_hydrogens"]))
    sound = soundness(graphs)
    table, schema = _table(samples, starts, graphs, sound, prepared)
    pq.write_table(pa.Table.from_pandas(table, schema, preserve_index=False), folder / TABLE)
    _write_sdf(graphs, table, folder / MOLECULES)
    files = {
        TABLE: "A row a sample: SMILES, properties, flags; the columns' meanings and units stand "
        "in its schema.",
        MOLECULES: "A record a sample, in the order of the table, as it was drawn: one that RDKit "
        "refuses is there too, to be read without sanitising. Bonds are Kekulé, all charges "
        "stand.",
    }
    if prepared.statistics["has_positions"]:
        ase.io.write(folder / GEOMETRIES, list(_frames(graphs, table)), format="extxyz")
        files[GEOMETRIES] = "A frame a sample with atoms, positions in Å; names in the keys."
    units = {"position": "Å", "charge": "e"}
    for name in table.columns:
        _, _, key = _split(name)
        if key in prepared.units:
            units[name] = prepared.units[key]
    return Exported(files, units)


def read_samples(folder: Path) -> Generated:
    """Read the samples as `export` wrote them; raise `FlowsciError` where they don't fit."""
    content = pq.read_table(folder / TABLE)
    said = content.schema.metadata or {}
    hydrogens = said.get(b"has_hydrogens") == b"1"
    positions = said.get(b"has_positions") == b"1"
    table = content.to_pandas()
    supplier = Chem.SDMolSupplier(str(folder / MOLECULES), sanitize=False, removeHs=False)
    graphs = [_graph(molecule, hydrogens, positions) for molecule in supplier]
    if len(graphs) != len(table):
        raise FlowsciError(
            f"{folder}: {MOLECULES} holds {len(graphs)} molecules, {TABLE} {len(table)}. Sample "
            "again."
        )
    return Generated(table, graphs)


def graphs_of(samples: xr.Dataset, hydrogens: bool) -> tuple[np.ndarray, list[Graph]]:
    """Give the first row of each sample (samples,) and the samples."""
    condition, sample = samples["condition"].values, samples["sample"].values
    changed = (np.diff(condition) != 0) | (np.diff(sample) != 0)
    starts = np.concatenate([[0], np.flatnonzero(changed) + 1])
    ends = np.concatenate([starts[1:], [len(condition)]])
    arrays = {
        name: samples[name].values for name in ("atomic_number", "charge", "position", "bonds")
    }
    graphs = []
    for first, last in zip(starts, ends, strict=True):
        rows = slice(first, last if arrays["atomic_number"][first] else first)
        positions = arrays["position"][rows]
        graphs.append(
            Graph(
                arrays["atomic_number"][rows].astype(np.int64),
                arrays["charge"][rows].astype(np.int64),
                bonds_of(arrays["bonds"][rows]),
                None if np.isnan(positions).all() else positions,
                hydrogens,
            )
        )
    return starts, graphs


def _table(
    samples: xr.Dataset,
    starts: np.ndarray,
    graphs: Sequence[Graph],
    sound: Soundness,
    prepared: Prepared,
) -> tuple[pd.DataFrame, pa.Schema]:
    columns: dict[str, Any] = {
        **{name: samples[name].values[starts] for name in ("condition", "molecule", "sample")},
        "smiles": sound.smiles,
        "formula": [_formula(graph) for graph in graphs],
        "atoms": sound.atoms,
        "charge": sound.charge,
        "stable": sound.stable,
        "sanitised": sound.sanitised,
        "connected": sound.connected,
        "closed_shell": sound.closed_shell,
        "told_atoms": np.add.reduceat(samples["told"].values.astype(int), starts),
        "kept": np.logical_and.reduceat(samples["kept"].values, starts),
    }
    fields = [pa.field(n, k, metadata={"description": t}) for n, (k, t) in COLUMNS.items()]
    for name in sorted(set(samples.data_vars)):
        kind, meaning, key = _split(str(name))
        if kind and samples[name].notnull().any():
            columns[name] = samples[name].values[starts]
            about = {"description": f"{key}, {meaning}.", "units": prepared.units[key]}
            fields.append(pa.field(name, pa.float64(), metadata=about))
    said = {
        name: str(int(prepared.statistics[name])) for name in ("has_hydrogens", "has_positions")
    }
    return pd.DataFrame(columns), pa.schema(fields, metadata=said)


def _split(name: str) -> tuple[str, str, str]:
    """Give the kind of a column such as `target_alpha`, its meaning, and the property."""
    for kind in sorted(KINDS, key=len, reverse=True):
        if name.startswith(f"{kind}_"):
            return kind, KINDS[kind], name.removeprefix(f"{kind}_")
    return "", "", ""


def _formula(graph: Graph) -> str:
    if not len(graph.atomic_numbers):
        return ""
    return Atoms(numbers=graph.atomic_numbers).get_chemical_formula()


def _write_sdf(graphs: Sequence[Graph], table: pd.DataFrame, path: Path) -> None:
    writer = Chem.SDWriter(str(path))
    # a drawn molecule is written with the bonds it has, whether or not they make sense
    writer.SetKekulize(False)
    rows = table.to_dict("records")
    for graph, row in zip(graphs, rows, strict=True):
        molecule = _with_drawing(graph)
        molecule.UpdatePropertyCache(strict=False)
        molecule.SetProp("_Name", f"{row['condition']}_{row['sample']}")
        for name, value in row.items():
            if value == value and value != "":
                molecule.SetProp(name, str(value))
        writer.write(molecule)
    writer.close()


def _with_drawing(graph: Graph) -> Chem.Mol:
    """Build a molecule; one without positions gets those of a drawing, where it can be drawn."""
    molecule = graph.to_rdkit()
    if graph.positions is None and len(graph.atomic_numbers) and sanitised(graph) is not None:
        rdDepictor.Compute2DCoords(molecule)
    return molecule


def _frames(graphs: Sequence[Graph], table: pd.DataFrame) -> Iterator[Atoms]:
    for number, graph in enumerate(graphs):
        if len(graph.atomic_numbers):
            row = table.iloc[number]
            info: Mapping[str, Any] = {
                "condition": int(row["condition"]),
                "sample": int(row["sample"]),
                "charge": int(row["charge"]),
                "smiles": str(row["smiles"]),
            }
            yield Atoms(numbers=graph.atomic_numbers, positions=graph.positions, info=info)


def _graph(molecule: Chem.Mol, hydrogens: bool, positions: bool) -> Graph:
    atoms = list(molecule.GetAtoms())
    places = molecule.GetConformer().GetPositions() if positions and atoms else None
    return Graph(
        np.array([atom.GetAtomicNum() for atom in atoms], dtype=np.int64),
        np.array([atom.GetFormalCharge() for atom in atoms], dtype=np.int64),
        bond_matrix(molecule),
        places,
        hydrogens,
    )
