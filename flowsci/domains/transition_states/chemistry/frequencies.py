"""Harmonic frequencies: Hessians by differences of gradients, without shifts and turns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_masses
from ase.units import _amu, _c, _e

Potential = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""Energy (eV) and gradient (n, 3) in eV/Å as a function of positions (n, 3) in Å."""

WAVENUMBER = np.sqrt(_e / _amu) * 1e10 / (2 * np.pi * _c * 100)
"""cm⁻¹ of a mode whose mass-weighted force constant is 1 eV/Å²/u."""
SMALLEST_MOMENT = 1e-3
"""Moments of rotation (Å) below this share no turn: the molecule is linear along that axis."""


@dataclass(frozen=True)
class Vibrations:
    """`wavenumbers` (m,) in cm⁻¹, ascending, imaginary ones negative; `modes` (m, n, 3), Cartesian
    displacements of unit length."""

    wavenumbers: np.ndarray
    modes: np.ndarray

    def imaginary(self, threshold: float) -> int:
        """Count modes whose wavenumber is below -`threshold`."""
        return int((self.wavenumbers < -threshold).sum())


def masses_of(atomic_numbers: np.ndarray) -> np.ndarray:
    """Give standard atomic masses (n,) in u."""
    return atomic_masses[np.asarray(atomic_numbers)]


def hessian(
    potential: Potential,
    positions: np.ndarray,
    *,
    gradient: np.ndarray | None = None,
    step: float = 0.005,
) -> np.ndarray:
    """Give the symmetric Hessian (3n, 3n) in eV/Å² by central differences with `step` (Å).

    With the `gradient` at `positions` forward differences are used: half the calls, for searches.
    """
    size = positions.size
    columns = np.empty((size, size))
    for i in range(size):
        moved = positions.copy().reshape(-1)
        moved[i] += step
        forward = potential(moved.reshape(positions.shape))[1].reshape(-1)
        if gradient is not None:
            columns[i] = (forward - gradient.reshape(-1)) / step
            continue
        moved[i] -= 2 * step
        backward = potential(moved.reshape(positions.shape))[1].reshape(-1)
        columns[i] = (forward - backward) / (2 * step)
    return (columns + columns.T) / 2


def internal_basis(positions: np.ndarray, masses: np.ndarray | None = None) -> np.ndarray:
    """Give an orthonormal basis (3n, 3n - 6 or 3n - 5) of displacements without shift and turn.

    With `masses` the basis is of mass-weighted displacements.
    """
    weights = np.ones(len(positions)) if masses is None else np.sqrt(masses)
    centre = np.average(positions, axis=0, weights=weights**2)
    turns = np.cross(np.eye(3)[:, None], (positions - centre)[None]) * weights[:, None]
    shifts = np.eye(3)[:, None] * weights[:, None]
    rigid = np.concatenate([shifts, turns]).reshape(6, -1)
    left, lengths, _ = np.linalg.svd(rigid.T, full_matrices=True)
    rank = int((lengths > SMALLEST_MOMENT * weights.min()).sum())
    return left[:, rank:]


def vibrations(
    hessian: np.ndarray, positions: np.ndarray, atomic_numbers: np.ndarray
) -> Vibrations:
    """Diagonalise the mass-weighted Hessian, shifts and turns projected out."""
    masses = masses_of(atomic_numbers)
    root = np.repeat(np.sqrt(masses), 3)
    basis = internal_basis(positions, masses)
    constants, vectors = np.linalg.eigh(basis.T @ (hessian / np.outer(root, root)) @ basis)
    modes = ((basis @ vectors).T / root).reshape(-1, *positions.shape)
    modes /= np.linalg.norm(modes, axis=(1, 2), keepdims=True)
    return Vibrations(np.sign(constants) * np.sqrt(np.abs(constants)) * WAVENUMBER, modes)
