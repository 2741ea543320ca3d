"""Free energies along torsions, in kT, of weighted conformers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from flowsci.domains.molecules.equilibrium.coordinates import torsions
from flowsci.domains.molecules.equilibrium.zmatrix import z_matrix

BINS = 36
WELLS = 3


def turning_torsions(positions: np.ndarray, statistics: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Give the torsions that turn freely and are no rotors, in degrees in (-180, 180], by name."""
    molecule = statistics["molecule"]
    matrix = z_matrix(np.array(molecule["atomic_numbers"]), np.array(molecule["bonds"]))
    names = [matrix.name(row, molecule["symbols"]) for row in matrix.turning]
    atoms = torch.from_numpy(matrix.rows[list(matrix.turning)].astype(np.int64))
    values = torsions(torch.from_numpy(positions.astype(np.float64)), atoms)
    return dict(zip(names, np.rad2deg(values.numpy()).T, strict=True))


def bins_of(degrees: np.ndarray) -> np.ndarray:
    """Give the bin of each torsion, of `BINS` around the circle from -180 degrees."""
    return np.floor((degrees + 180) / 360 * BINS).astype(np.int64) % BINS


def wells_of(degrees: np.ndarray) -> np.ndarray:
    """Give the third of the circle: 0 for gauche below zero, 1 for gauche above, 2 for trans."""
    return np.where(np.abs(degrees) > 120, 2, (degrees > 0).astype(np.int64))


def rotamers_of(angles: Mapping[str, np.ndarray]) -> np.ndarray:
    """Give the number (conformers,) of the combination of wells."""
    total: Any = 0
    for degrees in angles.values():
        total = WELLS * total + wells_of(degrees)
    return total


def shares(cells: np.ndarray, count: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the share (count,) of each cell among weighted conformers, and its standard error.

    The error is that of self-normalised weights of independent conformers (Owen, 2013).
    """
    weights = weights / weights.sum()
    share = np.bincount(cells, weights, count)
    squares = np.bincount(cells, weights**2, count)
    # sum of w^2 (inside - share)^2
    variance = squares * (1 - 2 * share) + (weights**2).sum() * share**2
    return share, np.sqrt(np.maximum(variance, 0))


def chain_shares(
    cells: np.ndarray, count: int, chains: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give the share (count,) of each cell, and its standard error from the spread of chains."""
    each = np.array(
        [np.bincount(cells[chains == c], minlength=count) for c in np.unique(chains)], dtype=float
    )
    each /= each.sum(1, keepdims=True)
    return each.mean(0), each.std(0, ddof=min(1, len(each) - 1)) / np.sqrt(len(each))
