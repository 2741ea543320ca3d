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
    """Give a row for each atom: positions (row, sample, axis) in Å, and its reaction."""
    reaction, atom = batch["mask"].nonzero(as_tuple=True)
    positions = samples["positions"][reaction, :, atom]
    return xr.Dataset(
        {
            "positions": (("row", "sample", "axis"), positions.numpy()),
            "expected_d_mae": (("row", "sample"), samples["expected_d_mae"][reaction].numpy()),
            "reaction": ("row", batch["id"][reaction].numpy()),
        }
    )


def export(samples: xr.Dataset, prepared: Prepared, folder: Path) -> Exported:
    """Write the samples; `samples` has rows as `decode` gives them."""
    numbers, first = np.unique(samples["reaction"].values, return_index=True)
    numbers = numbers[np.argsort(first)]
    reactions = Reactions(prepared.arrays, numbers)
    expected = samples["expected_d_mae"].values[np.sort(first)]
    rows = [
        (int(number), str(reactions.names[number]), sample, float(value), reactions.smiles[number])
        for number, values in zip(numbers, expected, strict=True)
        for sample, value in enumerate(values)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    pq.write_table(pa.Table.from_pandas(table, _schema(), preserve_index=False), folder / TABLE)
    frames = list(_frames(samples, reactions, expected))
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
    return Exported(files, {"positions": "Å", "expected_d_mae": "Å"})


def read_samples(folder: Path) -> Generated:
    """Read table and geometries; raise `FlowsciError` where they are missing or do not match."""
    try:
        table = pd.read_parquet(folder / TABLE)
        frames = ase.io.read(folder / GEOMETRIES, index=":", format="extxyz")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FlowsciError(f"{folder}: cannot be read: {error}. Sample again.") from None
    made = [frame for frame in frames if frame.info["role"] == "transition_state"]
    told = [(str(frame.info["reaction"]), int(frame.info["sample"])) for frame in made]
    if told != list(zip(table["name"], table["sample"], strict=True)):
        raise FlowsciError(
            f"{folder}: {GEOMETRIES} and {TABLE} do not list the same samples. Sample again."
        )
    return Generated(table, [frame.positions for frame in made])


def _frames(samples: xr.Dataset, reactions: Reactions, expected: np.ndarray) -> Iterator[Atoms]:
    bounds = np.concatenate([[0], np.cumsum(reactions.sizes)])
    positions = samples["positions"].values
    for index, number in enumerate(reactions.numbers):
        atoms = reactions.atoms(index)
        info = {"reaction": str(reactions.names[number])}
        if reactions.smiles[number]:
            info["smiles"] = str(reactions.smiles[number])
        numbers = reactions.atomic_numbers[atoms]
        ends = {name: reactions.positions[name][atoms] for name in ("reactant", "product")}
        yield Atoms(numbers, ends["reactant"], info={**info, "role": "reactant"})
        for sample, value in enumerate(expected[index]):
            made = positions[bounds[index] : bounds[index + 1], sample]
            about = {"role": "transition_state", "sample": sample, "generated": True}
            about["expected_d_mae"] = round(float(value), 4)
            yield Atoms(numbers, made, info={**info, **about})
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


def _schema() -> pa.Schema:
    return pa.schema(
        [
            pa.field(
                name,
                kind,
                metadata={"description": meaning, **({"units": unit} if unit else {})},
            )
            for name, (kind, unit, meaning) in COLUMNS.items()
        ]
    )
