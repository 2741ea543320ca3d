"""First-order saddles: partitioned rational-function optimisation (P-RFO).

A. Banerjee et al., J. Phys. Chem. 89, 52 (1985); J. M. Bofill, J. Comput. Chem. 15, 1 (1994).
"""

from dataclasses import dataclass

import numpy as np

from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.domains.transition_states.chemistry.frequencies import (
    Potential,
    hessian,
    internal_basis,
)
from flowsci.domains.transition_states.chemistry.minimum import largest_force, lowest_shift


@dataclass(frozen=True)
class SaddleSearch:
    """How a saddle is looked for.

    A new Hessian comes every `hessian_every` steps, Bofill's updates between. The search is given
    up after `steps`, where an energy is more than `height` (eV) above the first one's, and where
    after `patience` steps the largest force (eV/Å) is above `hopeless_force` or no curvature is
    below -`flat` (eV/Å²).
    """

    force: float = 0.01
    steps: int = 60
    hessian_every: int = 3
    radius: float = 0.15
    largest_radius: float = 0.3
    smallest_radius: float = 0.01
    height: float = 5.0
    patience: int = 10
    hopeless_force: float = 2.0
    flat: float = 0.05


@dataclass(frozen=True)
class Saddle:
    """A stationary point that a search ended at, with the curvature it used (3n, 3n) in eV/Å²."""

    positions: np.ndarray
    energy: float
    largest_force: float
    steps: int
    curvature: np.ndarray


def find_saddle(
    potential: Potential,
    positions: np.ndarray,
    direction: np.ndarray | None = None,
    search: SaddleSearch = SaddleSearch(),
) -> Saddle:
    """Go uphill along one mode and downhill along all others.

    The mode is one of negative curvature like `direction` (n, 3), and then like the mode before.
    Raises `Failure` where no stationary point is found.
    """
    energy, gradient = potential(positions)
    first = energy
    curvature = hessian(potential, positions, gradient=gradient)
    followed = None if direction is None else _unit(direction.reshape(-1))
    radius = search.radius
    for step in range(search.steps + 1):
        if largest_force(gradient) < search.force:
            return Saddle(positions, energy, largest_force(gradient), step, curvature)
        if energy > first + search.height:
            raise Failure("saddle_climbed_away", f"{energy - first:.1f} eV above its start")
        if step >= search.patience and largest_force(gradient) > search.hopeless_force:
            raise Failure("saddle_hopeless", f"largest force {largest_force(gradient):.2f} eV/Å")
        if step and step % search.hessian_every == 0:
            curvature = hessian(potential, positions, gradient=gradient)
        move, expected, followed, lowest = _step(curvature, gradient, positions, followed, radius)
        if step >= search.patience and lowest > -search.flat:
            raise Failure("saddle_lost_curvature")
        new_energy, new_gradient = potential(positions + move)
        curvature = bofill(curvature, move.reshape(-1), (new_gradient - gradient).reshape(-1))
        radius = _trust(radius, new_energy - energy, expected, np.linalg.norm(move), search)
        positions, energy, gradient = positions + move, new_energy, new_gradient
    raise Failure("saddle_not_found", f"largest force {largest_force(gradient):.3f} eV/Å")


def bofill(curvature: np.ndarray, move: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Update a Hessian that may be indefinite: symmetric rank one and Powell's, mixed."""
    error = change - curvature @ move
    square = move @ move
    along = error @ move
    if square < 1e-16 or error @ error < 1e-16:
        return curvature
    share = along**2 / ((error @ error) * square)
    powell = (np.outer(error, move) + np.outer(move, error)) / square
    powell -= along * np.outer(move, move) / square**2
    if share < 1e-8:
        return curvature + powell
    return curvature + share * np.outer(error, error) / along + (1 - share) * powell


def _step(
    curvature: np.ndarray,
    gradient: np.ndarray,
    positions: np.ndarray,
    followed: np.ndarray | None,
    radius: float,
) -> tuple[np.ndarray, float, np.ndarray, float]:
    """Give the step, the model's change of energy, the mode and the lowest curvature."""
    basis = internal_basis(positions)
    values, vectors = np.linalg.eigh(basis.T @ curvature @ basis)
    modes = basis @ vectors
    up = _choose(modes, values, followed)
    slope = modes.T @ gradient.reshape(-1)
    down = np.arange(len(values)) != up
    step = np.empty_like(slope)
    shift = lowest_shift(values[down], slope[down])
    step[down] = -slope[down] / (values[down] - shift)
    highest = values[up] / 2 + np.sqrt(values[up] ** 2 / 4 + slope[up] ** 2)
    step[up] = slope[up] / max(highest - values[up], 1e-6)
    step *= min(1.0, radius / max(np.linalg.norm(step), 1e-12))
    expected = slope @ step + 0.5 * step @ (values * step)
    return (modes @ step).reshape(positions.shape), float(expected), modes[:, up], float(values[0])


def _choose(modes: np.ndarray, values: np.ndarray, followed: np.ndarray | None) -> int:
    """Choose the mode to climb: the most negative curvature, weighted by likeness squared."""
    if followed is None:
        return 0
    likeness = (modes.T @ followed) ** 2
    weight = -values * likeness
    return int(weight.argmax()) if weight.max() > 0 else int(likeness.argmax())


def _trust(
    radius: float, change: float, expected: float, length: float, search: SaddleSearch
) -> float:
    """Shrink where the quadratic model was wrong, grow where it was right and the step was long."""
    wrong = abs(change - expected) / max(abs(expected), 1e-4)
    if wrong > 0.75:
        return max(min(radius, length) / 2, search.smallest_radius)
    if wrong < 0.35 and length > 0.8 * radius:
        return min(1.4 * radius, search.largest_radius)
    return radius


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
