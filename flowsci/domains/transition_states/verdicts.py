"""Geometries refined to saddles at GFN2-xTB, each with a verdict, in several processes."""

import importlib.util
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flowsci.domains.transition_states.chemistry.settings import RefineSettings
from flowsci.errors import FlowsciError

if TYPE_CHECKING:
    from torch import Tensor

    from flowsci.domains.contract import Batch
    from flowsci.domains.transition_states.chemistry.refine import Verdict


COLUMNS = {
    "verified": (
        "verified",
        "",
        "1 where the refined saddle has one imaginary mode and belongs to the asked reaction: its "
        "path connects the molecules, or, where none was followed, the mode changes the bonds; "
        "else 0.",
    ),
    "energy": ("energy", "eV", "Total energy of the refined saddle, GFN2-xTB."),
    "barrier": ("barrier", "eV", "Height above the relaxed reactant, GFN2-xTB."),
    "imaginary_frequency": (
        "imaginary_frequency",
        "cm^-1",
        "Imaginary wavenumber of the refined saddle, as a positive number.",
    ),
    "imaginary_modes": ("imaginary_modes", "", "Number of imaginary modes; a saddle has one."),
    "refinement_steps": ("steps", "", "Steps of the search for the saddle."),
}
"""Columns of a verdict: its attribute, unit and meaning."""


@dataclass(frozen=True)
class Task:
    """A guess (n, 3) in Å for the transition state between two ends."""

    atomic_numbers: np.ndarray
    reactant: np.ndarray
    product: np.ndarray
    guess: np.ndarray


def verdicts(
    tasks: Sequence[Task], settings: RefineSettings, processes: int = 1
) -> "list[Verdict]":
    """Refine every guess; a refinement that fails says so in its verdict."""
    from flowsci.progress import progress

    require_program()
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


def judge_samples(
    batch: "Batch", positions: "Tensor", settings: RefineSettings
) -> "dict[str, Tensor]":
    """Refine positions (reactions, samples, n, 3) in Å; give what `COLUMNS` names, by sample.

    Tensors are (reactions, samples), in float64; `refined` holds the saddles in the shape of
    `positions`, NaN where there is none.
    """
    import torch

    require_program()
    shape = positions.shape[:2]
    found = {name: torch.full(shape, torch.nan, dtype=torch.float64) for name in COLUMNS}
    found["refined"] = torch.full_like(positions, torch.nan)
    for row, real in enumerate(batch["mask"].cpu()):
        numbers, *ends = (
            batch[name][row, real].cpu().numpy()
            for name in ("atomic_numbers", "reactant", "product")
        )
        ends = [end.astype(np.float64) for end in ends]
        for sample in range(shape[1]):
            guess = positions[row, sample, real].double().cpu().numpy()
            verdict = _refine((Task(numbers, *ends, guess), settings))
            for name, (attribute, _, _) in COLUMNS.items():
                found[name][row, sample] = float(getattr(verdict, attribute))
            if verdict.converged:
                saddle = torch.from_numpy(np.asarray(verdict.positions)).to(positions)
                found["refined"][row, sample, real] = saddle
    return found


def require_program() -> None:
    """Raise `FlowsciError` where this installation cannot compute GFN2-xTB."""
    if importlib.util.find_spec("tblite") is None:
        raise FlowsciError(
            "`refine: gfn2` needs tblite, which is not installed here. Install it (pip install "
            "tblite), or set `refine: none` under `sampling` and `evaluation`."
        )


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
