"""Which internal coordinates one molecule has: a Z-matrix over its tree of bonds.

Every atom but the first three is placed by its distance to `bond`, its angle to `angle` and its
torsion about the axis between both, measured from `torsion`. For the first atom placed about an
axis, `torsion` lies at the other end: its torsion is free, on the circle. Further ones are measured
from the first: their relative torsions stay near one value, whose side is the handedness of the
atom `bond`.

Three equal atoms that end at one atom, such as a methyl's, are a rotor: turned by a third, it is
the same molecule with other labels.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from flowsci.errors import FlowsciError


@dataclass(frozen=True)
class ZMatrix:
    """Rows (atoms, 4) of atom, bond, angle, torsion, in the order of placing; -1 for none.

    `free` are the rows with a free torsion, `relative` those measured from an atom that they name
    as `torsion`; `rotors` (rotors, 3) are rows of three equal atoms, the first one free.
    """

    rows: np.ndarray
    free: tuple[int, ...]
    relative: tuple[int, ...]
    rotors: tuple[tuple[int, int, int], ...]

    @property
    def turning(self) -> tuple[int, ...]:
        """Free rows that are no rotor: the torsions whose profiles are of interest."""
        return tuple(row for row in self.free if row not in {rotor[0] for rotor in self.rotors})

    def name(self, row: int, symbols: list[str]) -> str:
        """Name a torsion by its atoms, numbered from one, along the bonds."""
        return "-".join(f"{symbols[atom]}{atom + 1}" for atom in self.rows[row][::-1])


def z_matrix(atomic_numbers: np.ndarray, bonds: np.ndarray) -> ZMatrix:
    """Make the Z-matrix of a molecule without rings, `bonds` (n, n) of orders.

    Raises `FlowsciError` for rings, several pieces, and molecules without a torsion of interest.
    """
    neighbours = [np.flatnonzero(row).tolist() for row in bonds]
    _check(bonds)
    path = _longest_path(atomic_numbers, neighbours)
    if len(path) < 3:
        raise FlowsciError(
            "simulation.smiles: the molecule has no torsion between heavy atoms. Choose one with a "
            "chain of four."
        )
    first, second, third = path[:3]
    rows = [(first, -1, -1, -1), (second, first, -1, -1), (third, second, first, -1)]
    free, relative, rotors = [], [], []
    # an atom to place others about, the axis' other end, what a free torsion is measured from
    queue = deque([(first, second, third), (second, first, -1), (third, second, first)])
    placed = {first, second, third}
    while queue:
        centre, axis, far = queue.popleft()
        children = [atom for atom in neighbours[centre] if atom not in placed]
        children.sort(key=lambda atom: (-len(neighbours[atom]), -atomic_numbers[atom], atom))
        leading = third if far < 0 else None
        group = []
        for child in children:
            group.append(len(rows))
            (free if leading is None else relative).append(len(rows))
            rows.append((child, centre, axis, far if leading is None else leading))
            leading = child if leading is None else leading
            placed.add(child)
            queue.append((child, centre, axis))
        ends = all(len(neighbours[child]) == 1 for child in children)
        if far >= 0 and len(group) == 3 and ends and len(set(atomic_numbers[children])) == 1:
            rotors.append(tuple(group))
    matrix = ZMatrix(np.array(rows), tuple(free), tuple(relative), tuple(rotors))
    if not matrix.turning:
        raise FlowsciError(
            "simulation.smiles: the molecule has no torsion but of equal ends, such as methyl "
            "groups, whose turns change nothing. Choose one with a chain of four heavy atoms."
        )
    return matrix


def _check(bonds: np.ndarray) -> None:
    pieces = _reached(bonds, 0)
    if not pieces.all():
        raise FlowsciError("simulation.smiles: the molecule is in several pieces.")
    if np.count_nonzero(np.triu(bonds)) != len(bonds) - 1:
        raise FlowsciError(
            "simulation.smiles: the molecule has rings, whose torsions don't turn freely. Choose "
            "one without."
        )


def _reached(bonds: np.ndarray, start: int) -> np.ndarray:
    reached = np.zeros(len(bonds), dtype=bool)
    reached[start] = True
    for _ in range(len(bonds)):
        reached |= (bonds[reached] > 0).any(0)
    return reached


def side(bonds: np.ndarray, start: int, end: int) -> np.ndarray:
    """Give the atoms beyond `end`, without it, that the bond from `start` to it holds."""
    cut = bonds.copy()
    cut[start, end] = cut[end, start] = 0
    reached = _reached(cut, end)
    reached[end] = False
    return np.flatnonzero(reached)


def _longest_path(atomic_numbers: np.ndarray, neighbours: list[list[int]]) -> list[int]:
    """Give the longest chain of heavy atoms, hydrogens only where those are too few."""

    def furthest(start: int) -> list[int]:
        paths, queue = {start: [start]}, deque([start])
        while queue:
            atom = queue.popleft()
            for other in neighbours[atom]:
                if other not in paths:
                    paths[other] = [*paths[atom], other]
                    queue.append(other)
        heavy = [path for atom, path in paths.items() if atomic_numbers[atom] > 1]
        return max(heavy, key=len)

    return furthest(furthest(int(np.argmax(atomic_numbers > 1)))[-1])
