"""Do the valences of atoms agree with their charges, by the bonds that are said?"""

from functools import cache

import numpy as np
from rdkit import Chem

from flowsci.domains.molecules.record import Graph


@cache
def allowed_valences(atomic_number: int, charge: int) -> tuple[int, ...]:
    """Give the valences that an atom may have: RDKit's, of the element with as many electrons.

    A hydrogen has one bond and no charge.
    """
    if atomic_number <= 1:
        return (1,) if (atomic_number, charge) == (1, 0) else ()
    twin = atomic_number - charge
    if not 1 <= twin <= 118:
        return ()
    return tuple(v for v in Chem.GetPeriodicTable().GetValenceList(twin) if v >= 0)


def stable_atoms(graph: Graph) -> np.ndarray:
    """Tell for each atom (n,) whether its bond orders sum to a valence that its charge allows.

    Bonds are those of a Kekulé structure: no order is 1.5, which whole numbers would round.
    """
    valences = graph.bonds.sum(1)
    return np.array(
        [
            int(valence) in allowed_valences(int(number), int(charge))
            for number, charge, valence in zip(
                graph.atomic_numbers, graph.charges, valences, strict=True
            )
        ],
        dtype=bool,
    )
