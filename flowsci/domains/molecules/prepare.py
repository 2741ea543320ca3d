"""From raw files to the flat record, with splits and statistics."""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from flowsci.domains.molecules import splits
from flowsci.domains.molecules.blocks import Block
from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.molecule import Fault
from flowsci.domains.molecules.record import HALVES, SPLITS
from flowsci.domains.molecules.sources import property_units, read_molecules
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared

logger = logging.getLogger("flowsci")
ATOMS_A_CHUNK = 1_000_000


def prepare(files: Sequence[Path], settings: MoleculesData) -> Prepared:
    """Make the dataset; raise `FlowsciError` where a molecule is unusable or none is left."""
    units = property_units(files, settings)
    block = read_molecules(files, settings)
    if not block.names:
        raise FlowsciError(
            f"{', '.join(str(path) for path in files)}: no usable molecule is left: "
            + "; ".join(f"{cause}: {count}" for cause, count in block.causes.items())
            + "".join(f". {fault}" for fault in block.faults[:3])
        )
    block = _named_once(block, settings)
    _tell_faults(block)
    split = splits.assign(block.rows, block.smiles, settings)
    arrays = to_dataset(block, split, list(units), settings)
    unknown = np.isnan(block.properties).sum(0)
    counts = {
        "records": block.records,
        "molecules": {
            **{name: int((split == number).sum()) for number, name in enumerate(SPLITS)},
            "dropped": dict(block.causes.most_common()),
        },
        "atoms": arrays.sizes["atom"],
        "bonds": arrays.sizes["bond"],
        "unknown properties": {
            name: int(count) for name, count in zip(units, unknown, strict=True) if count
        },
        "faults": _faults_of(block),
    }
    return Prepared(
        arrays,
        counts,
        statistics_of(arrays, units, settings),
        {"positions": "Å", "formal_charges": "e", **units},
        _description(settings),
    )


def to_dataset(
    block: Block, split: np.ndarray, properties: Sequence[str], settings: MoleculesData
) -> xr.Dataset:
    """Write molecules as the flat record that `record` describes."""
    arrays = xr.Dataset(
        {
            "name": ("molecule", np.array(block.names, dtype=object)),
            "smiles": ("molecule", np.array(block.smiles, dtype=object)),
            "split": ("molecule", split.astype(np.int8)),
            "half": ("molecule", splits.halves(block.smiles)),
            "properties": (("molecule", "property"), block.properties),
            "first_atom": ("molecule", _starts(block.atom_counts)),
            "atom_count": ("molecule", block.atom_counts),
            "first_bond": ("molecule", _starts(block.bond_counts)),
            "bond_count": ("molecule", block.bond_counts),
            "atomic_numbers": ("atom", block.atomic_numbers),
            "formal_charges": ("atom", block.charges),
            "positions": (("atom", "axis"), block.positions),
            "bond_atoms": (("bond", "end"), block.bond_atoms),
            "bond_orders": ("bond", block.bond_orders),
        },
        coords={"property": np.array(properties, dtype=object)},
        attrs={
            "level": settings.level,
            "has_positions": int(settings.mode == "3d"),
            "has_hydrogens": int(settings.hydrogens != "none"),
        },
    )
    for variable in arrays.variables.values():
        variable.encoding["chunks"] = tuple(
            max(1, min(size, ATOMS_A_CHUNK)) for size in variable.shape
        )
    return arrays


def statistics_of(
    arrays: xr.Dataset, units: Mapping[str, str], settings: MoleculesData
) -> dict[str, Any]:
    """Give what a model needs of the data: elements, charges, sizes, scales of properties.

    Elements, charges and the largest size are those of all splits; counts, means and deviations
    are of the training molecules.
    """
    counts = arrays["atom_count"].values.astype(np.int64)
    training = arrays["split"].values == SPLITS.index("train")
    sizes = Counter(counts[training].tolist())
    values = arrays["properties"].values[training]
    known = np.isfinite(values)
    filled = np.where(known, values, 0)
    number = np.maximum(known.sum(0), 1)
    mean = filled.sum(0) / number
    deviation = np.sqrt((np.where(known, values - mean, 0) ** 2).sum(0) / number)
    return {
        "atomic_numbers": np.unique(arrays["atomic_numbers"].values).tolist(),
        "charges": np.unique(arrays["formal_charges"].values).tolist(),
        "bond_orders": np.unique(arrays["bond_orders"].values).tolist(),
        "most_atoms": int(counts.max()),
        "atom_counts": {str(size): sizes[size] for size in sorted(sizes)},
        "properties": {
            name: {"unit": unit, "mean": float(mean[p]), "deviation": float(deviation[p])}
            for p, (name, unit) in enumerate(units.items())
            if known[:, p].any()
        },
        "has_positions": settings.mode == "3d",
        "has_hydrogens": settings.hydrogens != "none",
        "level": settings.level,
    }


def _starts(counts: np.ndarray) -> np.ndarray:
    ends = np.cumsum(counts, dtype=np.int64)
    return np.concatenate([[0], ends[:-1]]).astype(np.int64)


def _named_once(block: Block, settings: MoleculesData) -> Block:
    """Keep the first molecule of each name; the others are faults."""
    first: dict[str, int] = {}
    again = [n for n, name in enumerate(block.names) if first.setdefault(name, n) != n]
    faults = [
        Fault(
            "name given before",
            f"{block.names[n]}: is the name of {block.places[first[block.names[n]]]} too. Name "
            "each molecule once over all files.",
        ).at(block.places[n])
        for n in again
    ]
    if faults and settings.on_fault == "stop":
        raise FlowsciError(
            f"{faults[0]} There are {len(faults)} such. (`on_fault: skip` keeps the first of each "
            "name, and counts the others.)"
        )
    return block.without(again, faults) if again else block


def _faults_of(block: Block) -> dict[str, list[str]]:
    """Give the first faults by their causes."""
    found = defaultdict(list)
    for fault in block.faults:
        found[fault.cause].append(str(fault))
    return dict(found)


def _tell_faults(block: Block) -> None:
    for cause, faults in _faults_of(block).items():
        logger.warning("Left out, %s: %d. First: %s", cause, block.causes[cause], " ".join(faults))


def _description(settings: MoleculesData) -> str:
    made_of = (
        f"with positions in Å about the mean of the atoms ({settings.level or 'level not said'})"
        if settings.mode == "3d"
        else "without positions"
    )
    hydrogens = "without hydrogens" if settings.hydrogens == "none" else "with all hydrogens"
    return (
        f"Molecules {hydrogens}, {made_of}. Bonds are those of one Kekulé structure, charges are "
        "formal, heavy atoms stand first; SMILES are canonical, without stereo marks. `half` "
        f"cuts the molecules in two by the hash of the SMILES ({HALVES[0]}, {HALVES[1]}), so that "
        "a net that judges properties is trained on molecules that the generator has not seen."
    )
