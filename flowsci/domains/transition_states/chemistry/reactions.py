"""From a molecule and a product in mind to a verified reaction, or to a named failure."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flowsci.domains.transition_states.chemistry.bonds import (
    adjacency,
    bond_orders,
    distances,
    fragments,
)
from flowsci.domains.transition_states.chemistry.calculator import Gfn2
from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.domains.transition_states.chemistry.frequencies import (
    Potential,
    Vibrations,
    hessian,
    vibrations,
)
from flowsci.domains.transition_states.chemistry.intrinsic import descend
from flowsci.domains.transition_states.chemistry.minimum import Minimum, relax
from flowsci.domains.transition_states.chemistry.path import Band, climb
from flowsci.domains.transition_states.chemistry.products import product_geometry, ready_reactant
from flowsci.domains.transition_states.chemistry.saddle import Saddle, SaddleSearch, find_saddle

IMAGINARY = 15.0
"""Wavenumbers (cm⁻¹) below minus this are imaginary; smaller ones are noise of the differences."""
WEAKEST = 50.0
"""A saddle's imaginary wavenumber (cm⁻¹) is at least this."""
HOT = 2000.0
"""Temperature (K) of the electrons along a band, where bonds are half broken."""
FURTHEST_FRAGMENT = 6.0
HIGHEST_PRODUCT = 6.0
LOWEST_BARRIER = 0.01
Surface = Callable[[], Potential]
"""Makes a fresh potential, so that a result depends on no calculation before it."""


@dataclass(frozen=True)
class End:
    """A verified minimum: positions (n, 3), energy, largest force, Kekulé matrix (n, n)."""

    positions: np.ndarray
    energy: float
    largest_force: float
    orders: np.ndarray

    @property
    def bonded(self) -> np.ndarray:
        """Give the graph (n, n)."""
        return self.orders > 0


@dataclass(frozen=True)
class Reaction:
    """A first-order saddle and the two minima that its intrinsic path ends in.

    `imaginary_frequency` is the positive number in cm⁻¹.
    """

    atomic_numbers: np.ndarray
    reactant: End
    product: End
    positions: np.ndarray
    energy: float
    largest_force: float
    imaginary_frequency: float

    @property
    def barrier(self) -> float:
        """Give the height of the saddle above the reactant in eV."""
        return self.energy - self.reactant.energy


def find_end(atomic_numbers: np.ndarray, positions: np.ndarray) -> End:
    """Relax a geometry to a minimum that its Hessian confirms, with its bonds."""
    return checked_end(atomic_numbers, relax(Gfn2(atomic_numbers), positions))


def find_reaction(atomic_numbers: np.ndarray, start: End, orders: np.ndarray) -> Reaction:
    """Look for the saddle between a minimum and the product with the Kekulé matrix `orders`.

    The reactant is folded so that what will bond is near, the product relaxed from there, a
    climbing band laid between the two, its highest image refined to a saddle, and the intrinsic
    path followed down both sides. Its ends may be other molecules than those asked for; they must
    differ. Raises `Failure`.
    """
    reactant, product = _ends(atomic_numbers, start, orders)
    band = Band()
    guess = climb(
        [Gfn2(atomic_numbers, temperature=HOT, accuracy=10.0) for _ in range(band.images)],
        (reactant.positions, reactant.energy),
        (product.positions, product.energy),
        band,
    )
    saddle = find_saddle(Gfn2(atomic_numbers), guess.positions, guess.direction, SaddleSearch())
    return verify(atomic_numbers, saddle, start.bonded)


def verify(atomic_numbers: np.ndarray, saddle: Saddle, first: np.ndarray) -> Reaction:
    """Check a saddle: one imaginary mode, and an intrinsic path between different minima.

    The end whose graph is `first` (n, n) becomes the reactant.
    """
    curvature = hessian(Gfn2(atomic_numbers), saddle.positions)
    found = check_saddle(vibrations(curvature, saddle.positions, atomic_numbers))
    ends = [
        checked_end(
            atomic_numbers,
            descend(
                Gfn2(atomic_numbers),
                saddle.positions,
                curvature,
                sign * found.modes[0],
                atomic_numbers,
            )[0],
        )
        for sign in (1, -1)
    ]
    if (ends[0].bonded == ends[1].bonded).all():
        raise Failure("ends_are_the_same")
    if not (ends[0].bonded == first).all():
        ends.reverse()
    if saddle.energy - max(end.energy for end in ends) < LOWEST_BARRIER:
        raise Failure("no_barrier")
    return Reaction(
        atomic_numbers,
        *ends,
        saddle.positions,
        saddle.energy,
        saddle.largest_force,
        float(-found.wavenumbers[0]),
    )


def check_saddle(found: Vibrations) -> Vibrations:
    """Raise `Failure` where a stationary point has not exactly one imaginary mode."""
    count = found.imaginary(IMAGINARY)
    if count == 0 or found.wavenumbers[0] > -WEAKEST:
        raise Failure("saddle_is_no_saddle")
    if count > 1:
        raise Failure("saddle_of_higher_order", f"{count} imaginary modes")
    return found


def checked_end(atomic_numbers: np.ndarray, minimum: Minimum) -> End:
    """Confirm a minimum by its Hessian; a saddle is left once, along its imaginary mode."""
    for attempt in (0, 1):
        potential = Gfn2(atomic_numbers)
        curvature = hessian(potential, minimum.positions)
        found = vibrations(curvature, minimum.positions, atomic_numbers)
        if found.imaginary(IMAGINARY) == 0:
            break
        if attempt:
            raise Failure("end_is_no_minimum", f"{found.wavenumbers[0]:.0f} cm⁻¹")
        pushed = minimum.positions + 0.4 * found.modes[0]
        minimum = relax(potential, pushed, start=curvature, force=0.001)
    bonded = adjacency(atomic_numbers, minimum.positions)
    require_together(bonded, minimum.positions)
    orders = bond_orders(atomic_numbers, bonded)
    return End(minimum.positions, minimum.energy, minimum.largest_force, orders)


def require_together(bonded: np.ndarray, positions: np.ndarray) -> None:
    """Raise `Failure` where a fragment is far from all others."""
    parts = fragments(bonded)
    apart = distances(positions)
    for part in range(1, parts.max() + 1):
        if apart[parts == part][:, parts != part].min() > FURTHEST_FRAGMENT:
            raise Failure("fragments_far_apart")


def _ends(atomic_numbers: np.ndarray, start: End, orders: np.ndarray) -> tuple[Minimum, Minimum]:
    """Give minima of both ends that lie near one another."""
    folded = ready_reactant(atomic_numbers, start.orders, orders, start.positions)
    product = relax(
        Gfn2(atomic_numbers), product_geometry(atomic_numbers, orders, folded), force=0.02
    )
    if (adjacency(atomic_numbers, product.positions) == start.bonded).all():
        raise Failure("product_falls_back")
    if product.energy > start.energy + HIGHEST_PRODUCT:
        raise Failure("product_too_high", f"{product.energy - start.energy:.1f} eV")
    reactant = relax(Gfn2(atomic_numbers), folded, force=0.02)
    if (adjacency(atomic_numbers, reactant.positions) != start.bonded).any():
        raise Failure("reactant_reacts_at_once")
    return reactant, product
