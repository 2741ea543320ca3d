"""Weighted conformers as other programs read them: Parquet, extended XYZ, and an SDF ensemble."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ase.io
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import xarray as xr
from ase import Atoms
from rdkit import Chem

from flowsci.domains.contract import Batch
from flowsci.domains.molecules.equilibrium.energies import (
    BOLTZMANN,
    ENERGIES,
    energies,
    molecule_of,
)
from flowsci.domains.molecules.equilibrium.profiles import turning_torsions
from flowsci.flow.importance import effective_sample_size, normalised, resample
from flowsci.store.prepared import Prepared
from flowsci.store.samples import Exported

if TYPE_CHECKING:
    from torch import Tensor

TABLE, GEOMETRIES, ENSEMBLE = "conformers.parquet", "conformers.extxyz", "ensemble.sdf"
COLUMNS = {
    "set": (pa.int32(), "Number of the set."),
    "sample": (pa.int32(), "Number of the conformer in its set."),
    "energy_kcal": (pa.float64(), "Energy in kcal/mol; NaN where the sample is no conformer."),
    "log_density": (
        pa.float64(),
        "Logarithm of the model's density, in nats, over positions in Å up to rigid motion and the "
        "labels of rotors.",
    ),
    "log_weight": (
        pa.float64(),
        "-energy / kT - log_density: -infinity where the sample is no conformer. The mean of the "
        "exponentials estimates the configuration integral.",
    ),
    "weight": (pa.float64(), "Importance weight; those of all sets together sum to one."),
}


@dataclass(frozen=True)
class Conformers:
    """Samples as a user reads them: a table, a row a conformer, and positions (rows, n, 3) in Å."""

    table: pd.DataFrame
    positions: np.ndarray


def decode(samples: Mapping[str, "Tensor"], batch: Batch, prepared: Prepared) -> xr.Dataset:
    """Give a row for each conformer, with its energy and the logarithm of its weight."""
    about = prepared.statistics["equilibrium"]
    sound = samples["sound"].flatten().numpy()
    positions = samples["positions"].flatten(0, 1).numpy()
    log_density = samples["log_density"].flatten().numpy()
    sets, count = samples["sound"].shape
    energy = np.full(len(sound), np.nan)
    field = ENERGIES[about["energy"]](molecule_of(about["smiles"]))
    energy[sound] = energies(field, positions[sound])
    kt = BOLTZMANN * about["temperature_kelvin"]
    log_weight = np.where(sound, -energy / kt - log_density, -np.inf)
    return xr.Dataset(
        {
            "set": ("row", np.repeat(batch["id"].numpy(), count).astype(np.int32)),
            "sample": ("row", np.tile(np.arange(count, dtype=np.int32), sets)),
            "position": (("row", "atom", "axis"), positions),
            "energy_kcal": ("row", energy),
            "log_density": ("row", log_density),
            "log_weight": ("row", log_weight),
        }
    )


def export(samples: xr.Dataset, prepared: Prepared, folder: Path) -> Exported:
    """Write the conformers with their weights, and some drawn in proportion to these."""
    names = [name for name in COLUMNS if name != "weight"]
    table = pd.DataFrame({name: samples[name].values for name in names})
    log_weights = torch.from_numpy(table["log_weight"].to_numpy(copy=True))
    table["weight"] = normalised(log_weights).numpy()
    positions = samples["position"].values
    torsions = turning_torsions(positions, prepared.statistics)
    fields = [pa.field(n, t, metadata={"description": d}) for n, (t, d) in COLUMNS.items()]
    for name, values in torsions.items():
        table[f"torsion_{name}"] = values
        fields.append(pa.field(f"torsion_{name}", pa.float64(), metadata={"unit": "degrees"}))
    content = pa.Table.from_pandas(table, pa.schema(fields), preserve_index=False)
    pq.write_table(content, folder / TABLE)
    ase.io.write(folder / GEOMETRIES, list(_frames(table, positions, prepared)), format="extxyz")
    chosen = resample(
        log_weights, int(effective_sample_size(log_weights)), torch.Generator().manual_seed(0)
    )
    _write_sdf(folder / ENSEMBLE, positions[chosen.numpy()], prepared)
    files = {
        TABLE: "A row a conformer: energy, log-density, weight, torsions in degrees, whose atoms "
        "are numbered from one; the columns' meanings stand in its schema.",
        GEOMETRIES: "A frame a conformer, in the order of the table.",
        ENSEMBLE: "Conformers drawn from these in proportion to their weights, as many as the "
        "effective sample size: an ensemble at the temperature, without weights.",
    }
    units = {"position": "Å", "energy_kcal": "kcal/mol", "log_density": "nats"}
    return Exported(files, units)


def read_samples(folder: Path) -> Conformers:
    """Read the conformers as `export` wrote them."""
    frames = ase.io.read(folder / GEOMETRIES, index=":", format="extxyz")
    positions = np.array([frame.positions for frame in frames])
    return Conformers(pq.read_table(folder / TABLE).to_pandas(), positions)


def _frames(table: pd.DataFrame, positions: np.ndarray, prepared: Prepared) -> Iterator[Atoms]:
    numbers = prepared.statistics["molecule"]["atomic_numbers"]
    names = ("set", "sample", "energy_kcal", "log_density", "log_weight")
    columns = [table[name].tolist() for name in names]
    for places, *values in zip(positions, *columns, strict=True):
        atoms = Atoms(numbers=numbers, positions=places)
        atoms.info.update(zip(names, values, strict=True))
        yield atoms


def _write_sdf(path: Path, positions: np.ndarray, prepared: Prepared) -> None:
    molecule = molecule_of(prepared.statistics["equilibrium"]["smiles"])
    with Chem.SDWriter(str(path)) as writer:
        for places in positions:
            molecule.GetConformer().SetPositions(places.astype(np.float64))
            writer.write(molecule)
