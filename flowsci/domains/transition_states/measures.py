"""Measures of a geometry (n, 3) against the true one, in Å; fixed order of atoms unless said."""

import numpy as np
import torch

from flowsci.flow.alignment import permutation_between, permute, superpose

CLIP_ANGSTROM = 1.0
ROUNDS = 5


def rmsd(positions: np.ndarray, truth: np.ndarray) -> float:
    """Give the root mean square distance after the best shift and proper rotation."""
    return float(_rmsd(_tensor(positions), _tensor(truth)))


def rmsd_mirror_allowed(positions: np.ndarray, truth: np.ndarray) -> float:
    """Give the smaller RMSD of the geometry and of its mirror image."""
    return min(rmsd(positions, truth), rmsd(-positions, truth))


def rmsd_permuted(positions: np.ndarray, truth: np.ndarray, atomic_numbers: np.ndarray) -> float:
    """Give the RMSD with atoms of one element exchanged, by turns with the rotation.

    The turns begin with all atoms laid upon each other, and with the heavy ones; the smaller RMSD
    counts. It is no larger than with the fixed order, and may be a local minimum.
    """
    y = _tensor(truth)
    classes = torch.from_numpy(atomic_numbers.astype(np.int64))[None]
    heavy = (classes > 1).double()
    found = [rmsd(positions, truth)]
    for weights in (None, heavy) if heavy.sum() > 2 else (None,):
        x = superpose(_tensor(positions), y, weights=weights)
        for _ in range(ROUNDS):
            x = superpose(permute(x, permutation_between(x, y, classes=classes)), y)
        found.append(float(_rmsd(x, y)))
    return min(found)


def clipped(error: float) -> float:
    """Clip an RMSD at 1 Å, as some papers do before they average."""
    return min(error, CLIP_ANGSTROM)


def d_mae(positions: np.ndarray, truth: np.ndarray) -> float:
    """Give the mean absolute error of the distances of all pairs."""
    i, j = np.triu_indices(len(truth), 1)
    lengths = [np.linalg.norm(x[i] - x[j], axis=-1) for x in (positions, truth)]
    return float(np.abs(lengths[0] - lengths[1]).mean())


def _rmsd(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return ((superpose(x, y) - y) ** 2).sum((1, 2)).div(x.shape[1]).sqrt()


def _tensor(positions: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(positions, dtype=np.float64))[None]
