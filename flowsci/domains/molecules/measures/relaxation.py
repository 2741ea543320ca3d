"""How far molecules are from a minimum of GFN2-xTB (Bannwarth et al., JCTC 15, 1652, 2019)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase.units import kcal, mol

from flowsci.domains.molecules.parallel import each
from flowsci.domains.molecules.record import Graph
from flowsci.flow.alignment import superpose

LARGEST_FORCE = 0.02
"""Force on any atom at the minimum, in eV/Å."""


@dataclass(frozen=True)
class Relaxed:
    """Energy released in kcal/mol and RMSD of all atoms in Å (molecules,); NaN where it failed."""

    energy: np.ndarray
    rmsd: np.ndarray


def relaxed(graphs: Sequence[Graph], steps: int, processes: int = 1) -> Relaxed:
    """Relax molecules in their own total charge, by L-BFGS within `steps` steps."""
    jobs = [(graph.atomic_numbers, graph.positions, graph.charges.sum(), steps) for graph in graphs]
    found = np.array(list(each(_relax, jobs, processes))).reshape(-1, 2)
    return Relaxed(found[:, 0], found[:, 1])


def _relax(job: tuple[np.ndarray, np.ndarray, int, int]) -> tuple[float, float]:
    from ase import Atoms
    from ase.optimize import LBFGS
    from tblite.ase import TBLite

    numbers, positions, charge, steps = job
    atoms = Atoms(numbers=numbers, positions=positions.astype(np.float64))
    charges = np.zeros(len(numbers))
    charges[0] = charge
    atoms.set_initial_charges(charges)
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    try:
        before = atoms.get_potential_energy()
        minimiser = LBFGS(atoms, logfile=None)
        if not minimiser.run(fmax=LARGEST_FORCE, steps=steps):
            return np.nan, np.nan
        after = atoms.get_potential_energy()
    except (RuntimeError, ValueError, np.linalg.LinAlgError):
        # tblite says in this way that the field does not converge
        return np.nan, np.nan
    return (before - after) / (kcal / mol), _rmsd(positions, atoms.positions)


def _rmsd(a: np.ndarray, b: np.ndarray) -> float:
    """Give the RMSD of all atoms after the best shift and proper rotation."""
    pair = (torch.from_numpy(x.astype(np.float64))[None] for x in (a, b))
    return float(((superpose(*pair)[0].numpy() - b) ** 2).sum(1).mean() ** 0.5)
