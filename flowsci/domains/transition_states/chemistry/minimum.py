"""Minima: a rational-function step on a BFGS Hessian, inside a trust radius."""

from dataclasses import dataclass

import numpy as np

from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.domains.transition_states.chemistry.frequencies import (
    Potential,
    hessian,
    internal_basis,
)

LARGEST_RADIUS = 0.4
SMALLEST_RADIUS = 0.01


@dataclass(frozen=True)
class Minimum:
    """Where a search for a minimum ended: positions (n, 3), energy (eV), largest force (eV/Å)."""

    positions: np.ndarray
    energy: float
    largest_force: float
    steps: int


def largest_force(gradient: np.ndarray) -> float:
    """Give the largest norm of the force on an atom."""
    return float(np.sqrt((gradient**2).sum(-1).max()))


def relax(
    potential: Potential,
    positions: np.ndarray,
    *,
    force: float = 0.005,
    steps: int = 150,
    start: np.ndarray | None = None,
) -> Minimum:
    """Go downhill until the largest force is below `force` (eV/Å).

    `start` is a Hessian (3n, 3n) to begin with, by default one of forward differences. Raises
    `Failure` where `steps` do not suffice. A. Banerjee et al., J. Phys. Chem. 89, 52 (1985).
    """
    energy, gradient = potential(positions)
    if start is None:
        start = hessian(potential, positions, gradient=gradient)
    curvature = definite(start)
    radius = LARGEST_RADIUS / 2
    for step in range(steps):
        if largest_force(gradient) < force:
            return Minimum(positions, energy, largest_force(gradient), step)
        move, expected = _downhill(curvature, gradient, positions, radius)
        moved = positions + move
        new_energy, new_gradient = potential(moved)
        curvature = bfgs(curvature, move.reshape(-1), (new_gradient - gradient).reshape(-1))
        gain = (new_energy - energy) / expected
        radius = _trust(radius, gain, np.linalg.norm(move))
        if new_energy < energy + 1e-4 or radius <= SMALLEST_RADIUS:
            positions, energy, gradient = moved, new_energy, new_gradient
    raise Failure("not_relaxed", f"largest force {largest_force(gradient):.3f} eV/Å")


def definite(curvature: np.ndarray, smallest: float = 0.05) -> np.ndarray:
    """Turn negative curvatures of a Hessian around, so that every mode has a way down."""
    values, vectors = np.linalg.eigh(curvature)
    return (vectors * np.maximum(np.abs(values), smallest)) @ vectors.T


def bfgs(curvature: np.ndarray, move: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Update a positive definite Hessian towards a `change` of the gradient; it stays definite.

    Powell's damping: J. Nocedal and S. Wright, Numerical Optimization (2006), procedure 18.2.
    """
    pushed = curvature @ move
    weight = move @ pushed
    along = change @ move
    if weight < 1e-16:
        return curvature
    if along < 0.2 * weight:
        share = 0.8 * weight / (weight - along)
        change = share * change + (1 - share) * pushed
        along = change @ move
    return curvature + np.outer(change, change) / along - np.outer(pushed, pushed) / weight


def _downhill(
    curvature: np.ndarray, gradient: np.ndarray, positions: np.ndarray, radius: float
) -> tuple[np.ndarray, float]:
    """Give the step and the change of energy that the quadratic model expects of it."""
    basis = internal_basis(positions)
    values, vectors = np.linalg.eigh(basis.T @ curvature @ basis)
    slope = vectors.T @ (basis.T @ gradient.reshape(-1))
    step = -slope / (values - lowest_shift(values, slope))
    length = np.linalg.norm(step)
    if length > radius:
        step *= radius / length
    expected = min(slope @ step + 0.5 * step @ (values * step), -1e-12)
    return (basis @ (vectors @ step)).reshape(positions.shape), expected


def lowest_shift(values: np.ndarray, slope: np.ndarray) -> float:
    """Give the lowest eigenvalue of the rational-function matrix of these modes."""
    size = len(values)
    matrix = np.zeros((size + 1, size + 1))
    matrix[range(size), range(size)] = values
    matrix[size, :size] = matrix[:size, size] = slope
    return float(np.linalg.eigvalsh(matrix)[0])


def _trust(radius: float, gain: float, length: float) -> float:
    if gain < 0.25:
        return max(min(radius, length) / 2, SMALLEST_RADIUS)
    if gain > 0.6 and length > 0.8 * radius:
        return min(1.5 * radius, LARGEST_RADIUS)
    return radius
