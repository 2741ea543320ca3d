"""Geometries refined to saddles at GFN2-xTB, each with a verdict, in several processes."""

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flowsci.domains.transition_states.chemistry.settings import RefineSettings

if TYPE_CHECKING:
    from flowsci.domains.transition_states.chemistry.refine import Verdict


@dataclass(frozen=True)
class Task:
    """A guess (n, 3) in Å for the transition state between two ends; `truth` may be None."""

    atomic_numbers: np.ndarray
    reactant: np.ndarray
    product: np.ndarray
    guess: np.ndarray


def verdicts(
    tasks: Sequence[Task], settings: RefineSettings, processes: int = 1
) -> "list[Verdict]":
    """Refine every guess; a refinement that fails says so in its verdict."""
    from flowsci.progress import progress

    jobs = [(task, settings) for task in tasks]
    with progress("refining", len(jobs), "guesses") as bar:
        found = []
        if processes == 1:
            for job in jobs:
                found.append(_refine(job))
                bar.advance(1)
            return found
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            for verdict in pool.imap(_refine, jobs):
                found.append(verdict)
                bar.advance(1)
        return found


def energies(atomic_numbers: np.ndarray, geometries: Sequence[np.ndarray]) -> list[float]:
    """Give GFN2-xTB energies in eV; NaN where the field does not converge."""
    from flowsci.domains.transition_states.chemistry.calculator import Gfn2
    from flowsci.domains.transition_states.chemistry.failure import Failure

    calculator, found = Gfn2(atomic_numbers), []
    for geometry in geometries:
        try:
            found.append(float(calculator(geometry)[0]))
        except Failure:
            found.append(np.nan)
    return found


def _refine(job: tuple[Task, RefineSettings]) -> "Verdict":
    from flowsci.domains.transition_states.chemistry.refine import refine

    task, settings = job
    return refine(task.atomic_numbers, task.reactant, task.product, task.guess, settings=settings)
