"""Generated transition states as other programs read them: extended XYZ, SDF, Parquet."""

from collections.abc import Iterator, Mapping
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
from rdkit.Geometry import Point3D

from flowsci.domains.contract import Batch
from flowsci.domains.transition_states import verdicts
from flowsci.domains.transition_states.record import Reactions
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared
from flowsci.store.samples import Exported

TABLE, GEOMETRIES, ENDS = "samples.parquet", "transition_states.extxyz", "ends.sdf"
COLUMNS = {
    "reaction": (pa.int32(), "", "Number of the reaction in the prepared dataset."),
    "name": (pa.string(), "", "Name of the reaction."),
    "sample": (pa.int32(), "", "Number of the sample; 0 starts from the stress embedding itself."),
    "expected_d_mae": (
        pa.float32(),
        "Å",
        "Confidence: the mean error of distances to expect, calibrated on validation reactions.",
    ),
    "smiles": (pa.string(), "", "Reaction SMILES with map numbers; empty where not known."),
}
VERDICTS = {name: (pa.float64(), unit, text) for name, (_, unit, text) in verdicts.COLUMNS.items()}
BOND_TYPES = {
    1.0: Chem.BondType.SINGLE,
    1.5: Chem.BondType.AROMATIC,
    2.0: Chem.BondType.DOUBLE,
    3.0: Chem.BondType.TRIPLE,
}


@dataclass(frozen=True)
class Generated:
    """Samples as a user reads them: `table`, a row a sample, and its positions (n, 3) in Å."""

    table: pd.DataFrame
    positions: list[np.ndarray]


def decode(samples: Mapping[str, Any], batch: Batch) -> xr.Dataset:
    """Give a row for each atom: its reaction, positions (row, sample, axis) in Å, and the values
    (row, sample) of its reaction's samples.
    """
    reaction, atom = batch["mask"].nonzero(as_tuple=True)
    variables = {"reaction": ("row", batch["id"][reaction].numpy())}
    for name, values in samples.items():
        of_atoms = values.ndim == 4
        part = values[reaction, :, atom] if of_atoms else values[reaction]
        variables[name] = (("row", "sample", "axis")[: part.ndim], part.numpy())
    return xr.Dataset(variables)


def export(samples: xr.Dataset, prepared: Prepared, folder: Path) -> Exported:
    """Write the samples; `samples` has rows as `decode` gives them."""
    numbers, first = np.unique(samples["reaction"].values, return_index=True)
    numbers = numbers[np.argsort(first)]
    reactions = Reactions(prepared.arrays, numbers)
    first = np.sort(first)
    columns = {**COLUMNS, **{n: c for n, c in VERDICTS.items() if n in samples}}
    table = _table(samples, reactions, first, columns)
    pq.write_table(
        pa.Table.from_pandas(table, _schema(columns), preserve_index=False), folder / TABLE
    )
    frames = list(_frames(samples, reactions, table))
    ase.io.write(folder / GEOMETRIES, frames, format="extxyz")
    with Chem.SDWriter(str(folder / ENDS)) as writer:
        writer.SetKekulize(False)
        for index in range(len(reactions)):
            for end, name in enumerate(("reactant", "product")):
                writer.write(_molecule(reactions, index, end, name))
    files = {
        TABLE: "A row a sample: reaction, confidence, SMILES; units in the metadata of columns.",
        GEOMETRIES: "Reactant, generated transition states and product of each reaction, in one "
        "order of atoms, as extended XYZ; reactant and product are the input's.",
        ENDS: "Reactant and product of each reaction with bonds (the input), as SDF.",
    }
    units = {name: unit for name, (_, unit, _) in columns.items() if unit}
    return Exported(files, {"positions": "Å", **units})


def read_samples(folder: Path) -> Generated:
    """Read table and geometries; raise `FlowsciError` where they are missing or do not match."""
    try:
        table = pd.read_parquet(folder / TABLE)
        frames = ase.io.read(folder / GEOMETRIES, index=":", format="extxyz")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FlowsciError(f"{folder}: cannot be read: {error}. Sample again.") from None
    made = [frame for frame in frames if frame.info["role"] == "transition_state"]
    # not by name: the reader takes some names for numbers
    told = [(int(frame.info["index"]), int(frame.info["sample"])) for frame in made]
    if told != list(zip(table["reaction"], table["sample"], strict=True)):
        raise FlowsciError(
            f"{folder}: {GEOMETRIES} and {TABLE} do not list the same samples. Sample again."
        )
    return Generated(table, [frame.positions for frame in made])


def _table(
    samples: xr.Dataset, reactions: Reactions, first: np.ndarray, columns: Mapping[str, Any]
) -> pd.DataFrame:
    """Make a row a sample, in the order of the reactions; `first` is each one's first atom."""
    count = samples.sizes["sample"]
    numbers = np.repeat(reactions.numbers, count)
    made = {
        "reaction": numbers,
        "name": reactions.names[numbers],
        "sample": np.tile(np.arange(count), len(reactions)),
        "smiles": reactions.smiles[numbers],
    }
    drawn = {name: samples[name].values[first].ravel() for name in columns if name in samples}
    return pd.DataFrame({**drawn, **made})[list(columns)]


def _frames(samples: xr.Dataset, reactions: Reactions, table: pd.DataFrame) -> Iterator[Atoms]:
    bounds = np.concatenate([[0], np.cumsum(reactions.sizes)])
    count = samples.sizes["sample"]
    rows = table.drop(columns=["reaction", "name", "smiles"]).to_dict("records")
    for index, number in enumerate(reactions.numbers):
        atoms, part = reactions.atoms(index), slice(bounds[index], bounds[index + 1])
        info = {"reaction": str(reactions.names[number]), "index": int(number)}
        if reactions.smiles[number]:
            info["smiles"] = str(reactions.smiles[number])
        numbers = reactions.atomic_numbers[atoms]
        ends = {name: reactions.positions[name][atoms] for name in ("reactant", "product")}
        yield Atoms(numbers, ends["reactant"], info={**info, "role": "reactant"})
        for sample, row in enumerate(rows[index * count : (index + 1) * count]):
            about = {"role": "transition_state", "generated": True}
            # of what is not known, nothing is said
            about |= {name: round(value, 5) for name, value in row.items() if value == value}
            made = Atoms(numbers, samples["positions"].values[part, sample], info={**info, **about})
            if "refined" in samples:
                made.arrays["refined"] = samples["refined"].values[part, sample]
            yield made
        yield Atoms(numbers, ends["product"], info={**info, "role": "product"})


def _molecule(reactions: Reactions, index: int, end: int, name: str) -> Chem.Mol:
    atoms, orders = reactions.atoms(index), reactions.orders_of(index)[end]
    molecule = Chem.RWMol()
    for number in reactions.atomic_numbers[atoms]:
        atom = Chem.Atom(int(number))
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for i, j in zip(*np.nonzero(np.triu(orders, 1)), strict=True):
        molecule.AddBond(int(i), int(j), BOND_TYPES[float(orders[i, j])])
    conformer = Chem.Conformer(molecule.GetNumAtoms())
    for atom, place in enumerate(reactions.positions[name][atoms].astype(float)):
        conformer.SetAtomPosition(atom, Point3D(*place))
    molecule.AddConformer(conformer)
    molecule.SetProp("_Name", f"{reactions.names[reactions.numbers[index]]} {name}")
    molecule.SetProp("reaction", str(reactions.names[reactions.numbers[index]]))
    molecule.SetProp("role", name)
    return molecule.GetMol()


def _schema(columns: Mapping[str, Any]) -> pa.Schema:
    return pa.schema(
        [
            pa.field(
                name,
                kind,
                metadata={"description": meaning, **({"units": unit} if unit else {})},
            )
            for name, (kind, unit, meaning) in columns.items()
        ]
    )
