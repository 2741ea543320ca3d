"""Reactions that are the same but for the order of their atoms, their direction or a mirror."""

from dataclasses import dataclass, field

import numpy as np

from flowsci.domains.transition_states.chemistry.bonds import graph_hash

SAME_ENERGY = 0.002
SAME_WAVENUMBER = 5.0


@dataclass
class Distinct:
    """A growing set of reactions, known by their graphs and by energy and curvature of the saddle.

    Two are the same where the graphs of both ends agree under one permutation of atoms, in either
    direction, and the saddles agree within 0.002 eV and 5 cm⁻¹.
    """

    _known: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(
        self,
        atomic_numbers: np.ndarray,
        graphs: tuple[np.ndarray, np.ndarray],
        energy: float,
        imaginary_frequency: float,
    ) -> bool:
        """Tell whether a reaction is new, and remember it. Graphs are (n, n), energy in eV."""
        place = self._known.setdefault(reaction_hash(atomic_numbers, *graphs), [])
        saddle = np.array([energy / SAME_ENERGY, imaginary_frequency / SAME_WAVENUMBER])
        if any((np.abs(saddle - other) <= 1).all() for other in place):
            return False
        place.append(saddle)
        return True


def reaction_hash(atomic_numbers: np.ndarray, before: np.ndarray, after: np.ndarray) -> str:
    """Name a pair of graphs (n, n), the same for both directions and every order of atoms."""
    return min(graph_hash(atomic_numbers, before, after), graph_hash(atomic_numbers, after, before))
