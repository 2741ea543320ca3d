"""Sampled tensors as rows of atoms."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from flowsci.domains.contract import Batch
from flowsci.store.prepared import Prepared

if TYPE_CHECKING:
    from torch import Tensor


LABELS = ("atomic_numbers", "charges")
TOLD = ("known", "given", *LABELS, "bonds", "positions")
SAME_ANGSTROM = 1e-3


def decode(samples: Mapping[str, "Tensor"], batch: Batch, prepared: Prepared) -> xr.Dataset:
    """Give a row for each atom, condition by condition and sample by sample.

    `condition`, `molecule` (the row of the dataset that the condition came from, or -1), `sample`,
    `atomic_number`, `charge`, `position` (row, axis) in Å, NaN without positions; `bonds`: the
    molecule's bonds that this atom is the first of, as `atom:order` with spaces between;
    `told`: whether the condition told of the atom, and `kept`: whether it then came as told;
    `target_<name>` where a property was asked for and `judged_<name>` where a net judged it, the
    same for all atoms of a molecule.

    A sample without atoms gets a row of the atomic number 0: it was asked for, so it counts.
    """
    arrays = {name: tensor.numpy() for name, tensor in samples.items()}
    shape = arrays["mask"].shape[:2]
    parts = [
        _rows(arrays, batch, condition, sample)
        for condition in range(shape[0])
        for sample in range(shape[1])
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    names = list(prepared.statistics["properties"])
    counts = [len(part["atomic_number"]) for part in parts]
    for kind, values in _of_molecules(arrays, batch, shape).items():
        for number, name in enumerate(names[: values.shape[1]]):
            columns[f"{kind}_{name}"] = np.repeat(values[:, number], counts)
    return xr.Dataset(
        {name: (("row", "axis")[: values.ndim], values) for name, values in columns.items()}
    )


def _rows(
    arrays: Mapping[str, np.ndarray], batch: Batch, condition: int, sample: int
) -> dict[str, np.ndarray]:
    real = np.flatnonzero(arrays["mask"][condition, sample])
    empty = not len(real)
    count = max(len(real), 1)
    positions = np.full((count, 3), np.nan, dtype=np.float32)
    if "positions" in arrays and not empty:
        positions = arrays["positions"][condition, sample, real].astype(np.float32)
    bonds = arrays["bonds"][condition, sample][np.ix_(real, real)]
    told = _told(arrays, batch, condition, sample, real) if "known" in batch and not empty else None
    molecule = int(batch["molecule"][condition]) if "molecule" in batch else -1
    return {
        "condition": np.full(count, int(batch["id"][condition]), dtype=np.int32),
        "molecule": np.full(count, molecule, dtype=np.int64),
        "sample": np.full(count, sample, dtype=np.int32),
        "atomic_number": _or_nothing(arrays["atomic_numbers"][condition, sample, real], empty),
        "charge": _or_nothing(arrays["charges"][condition, sample, real], empty),
        "position": positions,
        "bonds": np.array(_texts(bonds) or [""], dtype=object),
        "told": np.zeros(count, dtype=bool) if told is None else told[0],
        "kept": np.ones(count, dtype=bool) if told is None else told[1],
    }


def _told(
    arrays: Mapping[str, np.ndarray], batch: Batch, condition: int, sample: int, real: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tell which atoms the condition told of, and which of these came as they were told.

    Element, charge, bonds between told atoms, and positions to `SAME_ANGSTROM` where given.
    """
    wanted = {name: batch[name][condition].numpy() for name in TOLD}
    shared = real[real < len(wanted["known"])]
    kept = np.ones(len(real), dtype=bool)
    told = np.zeros(len(real), dtype=bool)
    told[: len(shared)] = wanted["known"][shared]
    found = {name: arrays[name][condition, sample] for name in (*LABELS, "bonds")}
    both = wanted["known"][shared]
    same = np.logical_and.reduce([found[n][shared] == wanted[n][shared] for n in LABELS])
    pairs = np.ix_(shared, shared)
    same &= ((found["bonds"][pairs] == wanted["bonds"][pairs]) | ~both).all(1)
    if "positions" in arrays:
        away = arrays["positions"][condition, sample, shared] - wanted["positions"][shared]
        same &= (np.linalg.norm(away, axis=1) < SAME_ANGSTROM) | ~wanted["given"][shared]
    kept[: len(shared)] = same | ~both
    # a told atom that is missing altogether shows in the first that is there
    kept[0] &= told.sum() == wanted["known"].sum()
    return told, kept


def _or_nothing(values: np.ndarray, empty: bool) -> np.ndarray:
    return np.zeros(1, dtype=np.int8) if empty else values.astype(np.int8)


def _texts(bonds: np.ndarray) -> list[str]:
    """Write bonds (n, n) as a text an atom, each bond once."""
    upper = np.triu(bonds, 1)
    return [" ".join(f"{j}:{row[j]}" for j in np.flatnonzero(row)) for row in upper]


def bonds_of(texts: np.ndarray) -> np.ndarray:
    """Read what `_texts` wrote: orders (n, n)."""
    bonds = np.zeros((len(texts), len(texts)), dtype=np.int64)
    for i, text in enumerate(texts):
        for pair in text.split():
            j, order = map(int, pair.split(":"))
            bonds[i, j] = bonds[j, i] = order
    return bonds


def _of_molecules(
    arrays: Mapping[str, np.ndarray], batch: Batch, shape: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Give values (samples of all conditions, properties) of whole molecules."""
    found = {}
    if "properties" in batch and np.isfinite(batch["properties"].numpy()).any():
        found["target"] = np.repeat(batch["properties"].numpy(), shape[1], axis=0)
    for kind in ("judged", "judged_real"):
        if kind in arrays:
            values = arrays[kind]
            if values.ndim == 2:
                values = np.repeat(values[:, None], shape[1], axis=1)
            found[kind] = values.reshape(-1, values.shape[-1])
    return found
