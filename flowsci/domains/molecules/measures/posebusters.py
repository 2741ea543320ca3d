"""PoseBusters' tests of single molecules (Buttenschoen et al., Chem. Sci. 15, 3130, 2024)."""

import logging
import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np

from flowsci.domains.molecules.measures.soundness import sanitised
from flowsci.domains.molecules.parallel import each, in_lists
from flowsci.domains.molecules.record import Graph

MOLECULES_AT_ONCE = 25
CONFIGURATIONS = {"fast": "mol_fast", "full": "mol"}
Thoroughness = Literal["fast", "full"]


def busted(
    graphs: Sequence[Graph], thoroughness: Thoroughness, processes: int = 1
) -> dict[str, np.ndarray]:
    """Give for each test (molecules,) what passes it; a molecule that RDKit refuses passes none.

    `fast` leaves out the energy beside that of RDKit's conformers, which takes seconds a molecule
    and fails for cages.
    """
    jobs = ((thoroughness, part) for part in in_lists(graphs, MOLECULES_AT_ONCE))
    parts = list(each(_bust, jobs, processes))
    names = sorted({name for part in parts for name in part})
    return {
        name: np.concatenate(
            [part.get(name, np.zeros(part["sanitization"].shape, dtype=bool)) for part in parts]
        )
        for name in names
    }


def passes(tests: dict[str, np.ndarray]) -> np.ndarray:
    """Tell what passes all tests (molecules,)."""
    return np.logical_and.reduce(list(tests.values()))


def _bust(job: tuple[Thoroughness, Sequence[Graph]]) -> dict[str, np.ndarray]:
    from posebusters import PoseBusters
    from rdkit import rdBase

    thoroughness, graphs = job
    logging.getLogger("posebusters").setLevel(logging.CRITICAL)
    sound = [sanitised(graph) for graph in graphs]
    places = [place for place, molecule in enumerate(sound) if molecule is not None]
    if not places:
        return {"sanitization": np.zeros(len(graphs), dtype=bool)}
    with rdBase.BlockLogs(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = PoseBusters(config=CONFIGURATIONS[thoroughness]).bust([sound[p] for p in places])
    tests = {}
    for name in table.columns:
        tests[name] = np.zeros(len(graphs), dtype=bool)
        tests[name][places] = table[name].fillna(False).to_numpy(dtype=bool)
    return tests
