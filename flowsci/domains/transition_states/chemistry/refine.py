"""A generated transition state, refined to a saddle at GFN2-xTB and judged."""

from dataclasses import dataclass, replace

import numpy as np

from flowsci.domains.transition_states.chemistry.bonds import (
    adjacency,
    change_direction,
    change_overlap,
)
from flowsci.domains.transition_states.chemistry.calculator import METHOD, Gfn2, program
from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.domains.transition_states.chemistry.frequencies import hessian, vibrations
from flowsci.domains.transition_states.chemistry.intrinsic import descend
from flowsci.domains.transition_states.chemistry.minimum import relax
from flowsci.domains.transition_states.chemistry.reactions import IMAGINARY
from flowsci.domains.transition_states.chemistry.saddle import SaddleSearch, find_saddle
from flowsci.domains.transition_states.chemistry.settings import RefineSettings
from flowsci.errors import FlowsciError

DEFAULTS = RefineSettings()
PATIENCE = 30
"""Steps before a search may be given up: longer than where candidates are many and cheap."""


@dataclass(frozen=True)
class Verdict:
    """What became of a guess.

    `reason` names why it is not `verified` ("" where it is). `steps` counts steps of the saddle
    search. `positions` (n, 3) in Å is the refined geometry, or the guess
    where the search failed. `energy` in eV is the saddle's; `largest_force` in eV/Å. `wavenumbers`
    (m,) in cm⁻¹ hold the imaginary ones as negative numbers; `imaginary_frequency` is the lowest as
    a positive number; `mode` (n, 3) is its displacement of unit length. `overlap` is the share, 0
    to 1, of that mode that forms and breaks the reaction's bonds. `connects` says whether the
    intrinsic path ends in the asked molecules, None where it was not followed. `barrier` and
    `reaction_energy`, in eV, count from the relaxed reactant. What is unknown is NaN.
    """

    converged: bool
    reason: str
    steps: int
    positions: np.ndarray
    energy: float = np.nan
    largest_force: float = np.nan
    wavenumbers: np.ndarray | None = None
    imaginary_modes: int = 0
    imaginary_frequency: float = np.nan
    mode: np.ndarray | None = None
    overlap: float = np.nan
    connects: bool | None = None
    barrier: float = np.nan
    reaction_energy: float = np.nan
    level: str = f"{METHOD} ({program()})"

    @property
    def verified(self) -> bool:
        """Tell whether the guess led to the right kind of saddle."""
        return self.converged and not self.reason


def refine(
    atomic_numbers: np.ndarray,
    reactant: np.ndarray,
    product: np.ndarray,
    guess: np.ndarray,
    *,
    settings: RefineSettings = DEFAULTS,
) -> Verdict:
    """Refine a guess (n, 3) for the transition state between two geometries (n, 3), in Å.

    P-RFO along the change of bonds, then the frequencies, their overlap with that change, the
    barrier and, where `settings.intrinsic_path`, the path down both sides. A calculation that fails
    says so in the verdict. Charges, radicals and elements without parameters raise `FlowsciError`.
    """
    numbers = np.asarray(atomic_numbers)
    _require_same_atoms(numbers, reactant, product, guess)
    potential = Gfn2(numbers)
    graphs = (adjacency(numbers, reactant), adjacency(numbers, product))
    search = SaddleSearch(force=settings.force, steps=settings.steps, patience=PATIENCE)
    direction = change_direction(guess, *graphs)
    try:
        found = find_saddle(potential, guess, direction if direction.any() else None, search)
        curvature = hessian(potential, found.positions)
    except Failure as failure:
        steps = failure.steps if failure.steps is not None else settings.steps
        return Verdict(False, failure.cause, steps, guess)
    modes = vibrations(curvature, found.positions, numbers)
    verdict = Verdict(
        True,
        "",
        found.steps,
        found.positions,
        found.energy,
        found.largest_force,
        modes.wavenumbers,
        modes.imaginary(IMAGINARY),
        float(max(-modes.wavenumbers[0], 0.0)),
        modes.modes[0],
        change_overlap(modes.modes[0], found.positions, *graphs),
    )
    verdict = _with_barrier(verdict, numbers, (reactant, product))
    if settings.intrinsic_path and verdict.imaginary_modes == 1:
        verdict = replace(verdict, connects=_connects(verdict, numbers, curvature, graphs))
    return replace(verdict, reason=_reason(verdict, settings))


def _require_same_atoms(
    numbers: np.ndarray, reactant: np.ndarray, product: np.ndarray, guess: np.ndarray
) -> None:
    geometries = {"reactant": reactant, "product": product, "guess": guess}
    for name, positions in geometries.items():
        if positions.shape != (len(numbers), 3):
            raise FlowsciError(
                f"The {name} has positions of the shape {positions.shape}; {len(numbers)} atoms "
                f"need ({len(numbers)}, 3)."
            )


def _with_barrier(
    verdict: Verdict, numbers: np.ndarray, ends: tuple[np.ndarray, np.ndarray]
) -> Verdict:
    first, last = (_relaxed_energy(numbers, end) for end in ends)
    return replace(verdict, barrier=verdict.energy - first, reaction_energy=last - first)


def _relaxed_energy(numbers: np.ndarray, positions: np.ndarray) -> float:
    """Give the energy of the minimum next to a geometry; NaN where there is none of its bonds."""
    try:
        minimum = relax(Gfn2(numbers), positions, force=0.02)
    except Failure:
        return np.nan
    same = (adjacency(numbers, minimum.positions) == adjacency(numbers, positions)).all()
    return minimum.energy if same else np.nan


def _connects(
    verdict: Verdict,
    numbers: np.ndarray,
    curvature: np.ndarray,
    graphs: tuple[np.ndarray, np.ndarray],
) -> bool:
    try:
        ends = [
            descend(Gfn2(numbers), verdict.positions, curvature, sign * verdict.mode, numbers)[0]
            for sign in (1, -1)
        ]
    except Failure:
        return False
    found = [adjacency(numbers, end.positions) for end in ends]
    return any(
        all((graph == asked).all() for graph, asked in zip(order, graphs, strict=True))
        for order in (found, found[::-1])
    )


def _reason(verdict: Verdict, settings: RefineSettings) -> str:
    if verdict.imaginary_modes != 1:
        return "no_imaginary_mode" if verdict.imaginary_modes == 0 else "saddle_of_higher_order"
    if verdict.connects is False:
        return "connects_other_molecules"
    if verdict.connects is None and verdict.overlap < settings.overlap:
        return "mode_of_another_change"
    return ""
