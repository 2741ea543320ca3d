"""Which molecule do the positions alone say?"""

from collections.abc import Sequence

import numpy as np

from flowsci.domains.molecules.parallel import each, in_lists
from flowsci.domains.molecules.record import Graph

MOLECULES_AT_ONCE = 50


def perceived_smiles(graphs: Sequence[Graph], processes: int = 1) -> np.ndarray:
    """Give the canonical SMILES (molecules,) of bonds perceived from positions.

    Empty where they say no molecule in one piece and of a closed shell.
    """
    jobs = in_lists(graphs, MOLECULES_AT_ONCE)
    return np.array([s for part in each(_perceive, jobs, processes) for s in part], dtype=object)


def _perceive(graphs: Sequence[Graph]) -> list[str]:
    from rdkit import rdBase

    with rdBase.BlockLogs():
        return [_smiles(graph) for graph in graphs]


def _smiles(graph: Graph) -> str:
    from flowsci.domains.molecules.graphs import from_rdkit, sanitized
    from flowsci.domains.molecules.molecule import Fault
    from flowsci.domains.molecules.sources.xyz import perceived

    if not len(graph.atomic_numbers) or not np.isfinite(graph.positions).all():
        return ""
    charge = int(graph.charges.sum())
    try:
        found = sanitized(perceived("", graph.atomic_numbers, graph.positions, charge), "")
        return from_rdkit(found, "", {}, positions=False).smiles
    except Fault:
        return ""
