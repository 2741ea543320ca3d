"""Intrinsic reaction coordinates: from a saddle down both sides, to minima.

M. Page and J. W. McIver, J. Chem. Phys. 88, 922 (1988), with Bofill's updates of the saddle's
Hessian in place of new ones.
"""

from dataclasses import dataclass

import numpy as np

from flowsci.domains.transition_states.chemistry.frequencies import (
    Potential,
    internal_basis,
    masses_of,
)
from flowsci.domains.transition_states.chemistry.minimum import Minimum, largest_force, relax
from flowsci.domains.transition_states.chemistry.saddle import bofill


@dataclass(frozen=True)
class Descent:
    """Settings of a descent: the arc length of a step is in Å u^½.

    The path is followed until the largest force is below `force` (eV/Å) after having been above
    it, or for `steps`; then it relaxes to the minimum of its basin.
    """

    step: float = 0.15
    steps: int = 50
    force: float = 0.2


def descend(
    potential: Potential,
    saddle: np.ndarray,
    curvature: np.ndarray,
    direction: np.ndarray,
    atomic_numbers: np.ndarray,
    descent: Descent = Descent(),
) -> tuple[Minimum, np.ndarray]:
    """Follow the path that leaves `saddle` (n, 3) along `direction` (n, 3, Cartesian).

    `curvature` is the Hessian (3n, 3n) at the saddle. Gives the minimum that the path ends in, and
    the energies along the path in eV.
    """
    root = np.repeat(np.sqrt(masses_of(atomic_numbers)), 3)
    leaving = root * direction.reshape(-1)
    move = descent.step * leaving / np.linalg.norm(leaving) / root
    positions = saddle
    energy, gradient = potential(positions)
    energies, steepest = [energy], 0.0
    for _ in range(descent.steps):
        moved = positions + move.reshape(positions.shape)
        energy, new_gradient = potential(moved)
        if energy > energies[-1] + 1e-3:
            break
        curvature = bofill(curvature, move, (new_gradient - gradient).reshape(-1))
        positions, gradient = moved, new_gradient
        energies.append(energy)
        steepest = max(steepest, largest_force(gradient))
        if largest_force(gradient) < descent.force < steepest:
            break
        move = _along(curvature, gradient, positions, root, descent.step)
    minimum = relax(potential, positions, start=curvature)
    return minimum, np.array(energies)


def _along(
    curvature: np.ndarray,
    gradient: np.ndarray,
    positions: np.ndarray,
    root: np.ndarray,
    length: float,
) -> np.ndarray:
    """Give the Cartesian step (3n,) along steepest descent on the local quadratic surface."""
    basis = internal_basis(positions, root[::3] ** 2)
    values, vectors = np.linalg.eigh(basis.T @ (curvature / np.outer(root, root)) @ basis)
    slope = vectors.T @ (basis.T @ (gradient.reshape(-1) / root))
    time_step = length / max(np.linalg.norm(slope), 1e-12) / 20
    times = time_step * np.arange(1, 401)
    decay = np.exp(np.clip(-np.outer(times, values), -700, 50))
    speeds = np.sqrt(((slope * decay) ** 2).sum(1))
    arc = np.cumsum(speeds) * time_step
    stop = min(int(np.searchsorted(arc, length)), len(times) - 1)
    safe = np.where(np.abs(values) < 1e-8, 1e-8, values)
    step = slope * np.expm1(np.clip(-safe * times[stop], -700, 50)) / safe
    step *= min(1.0, length / max(np.linalg.norm(step), 1e-12))
    return (basis @ (vectors @ step)) / root
