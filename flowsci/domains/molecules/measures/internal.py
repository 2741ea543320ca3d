"""Bond lengths, angles and torsions by type, and how far two sets of them lie apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wasserstein_distance

from flowsci.domains.molecules.record import Graph

FEWEST = 50
"""Values of a type that both sides must have, for their distance to be counted."""


@dataclass(frozen=True)
class Internal:
    """Values by type: bond lengths in Å, angles in degrees, torsions in degrees, 0 to 180.

    The sign of a torsion is left out: the data hold no more of one hand than of the other.
    """

    bond_lengths: Mapping[int, np.ndarray]
    angles: Mapping[int, np.ndarray]
    torsions: Mapping[int, np.ndarray]


def internal_coordinates(graphs: Sequence[Graph]) -> Internal:
    """Measure molecules along the bonds that they say.

    Types: a bond by both elements and the order; an angle by its middle element and the sum of
    its bond orders, and the end elements; a torsion by the elements of its four atoms and the
    order of its middle bond.
    """
    graphs = [graph for graph in graphs if len(graph.atomic_numbers)]
    numbers = np.concatenate([graph.atomic_numbers for graph in graphs])
    positions = np.concatenate([graph.positions for graph in graphs]).astype(np.float64)
    starts = np.cumsum([0, *(len(graph.atomic_numbers) for graph in graphs)])
    edges, orders = [], []
    for start, graph in zip(starts, graphs, strict=False):
        pairs = np.argwhere(graph.bonds)
        edges.append(pairs + start)
        orders.append(graph.bonds[pairs[:, 0], pairs[:, 1]])
    i, j = np.concatenate(edges).T
    order = np.concatenate(orders)
    neighbours, neighbour_orders = _table(len(numbers), i, j, order)
    return Internal(
        _bond_lengths(numbers, positions, i, j, order),
        _angles(numbers, positions, neighbours, neighbour_orders),
        _torsions(numbers, positions, (i, j, order), neighbours),
    )


def distance(found: Mapping[int, np.ndarray], true: Mapping[int, np.ndarray]) -> float:
    """Give the mean Wasserstein-1 distance over types, weighted by how common each is in `true`.

    Types of which one side has fewer than `FEWEST` values are left out; NaN where none is left.
    """
    total, weight = 0.0, 0
    for kind, values in true.items():
        others = found.get(kind, np.empty(0))
        if min(len(values), len(others)) >= FEWEST:
            total += len(values) * wasserstein_distance(others, values)
            weight += len(values)
    return total / weight if weight else float("nan")


def _table(
    atoms: int, i: np.ndarray, j: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give neighbours (atoms, most) with -1 behind, and the orders of the bonds to them."""
    degree = np.bincount(i, minlength=atoms)
    first = np.cumsum(degree) - degree
    by_atom = np.argsort(i, kind="stable")
    column = np.arange(len(i)) - first[i[by_atom]]
    neighbours = np.full((atoms, max(degree.max(initial=0), 1)), -1)
    orders = np.zeros_like(neighbours)
    neighbours[i[by_atom], column] = j[by_atom]
    orders[i[by_atom], column] = order[by_atom]
    return neighbours, orders


def _bond_lengths(numbers, positions, i, j, order) -> Mapping[int, np.ndarray]:
    once = i < j
    i, j, order = i[once], j[once], order[once]
    a, b = np.sort([numbers[i], numbers[j]], axis=0)
    lengths = np.linalg.norm(positions[i] - positions[j], axis=1)
    return _by_kind(_key(a, b, order), lengths)


def _angles(numbers, positions, neighbours, orders) -> Mapping[int, np.ndarray]:
    kinds, values = [], []
    for p in range(neighbours.shape[1]):
        for q in range(p + 1, neighbours.shape[1]):
            middle = np.flatnonzero(neighbours[:, q] >= 0)
            first, last = neighbours[middle, p], neighbours[middle, q]
            a, b = np.sort([numbers[first], numbers[last]], axis=0)
            both = orders[middle, p] + orders[middle, q]
            kinds.append(_key(numbers[middle], a, b, both))
            values.append(_angle(positions[first], positions[middle], positions[last]))
    if not kinds:
        return {}
    return _by_kind(np.concatenate(kinds), np.concatenate(values))


def _torsions(numbers, positions, bonds, neighbours) -> Mapping[int, np.ndarray]:
    i, j, order = (part[bonds[0] < bonds[1]] for part in bonds)
    kinds, values = [], []
    for p in range(neighbours.shape[1]):
        for q in range(neighbours.shape[1]):
            first, last = neighbours[i, p], neighbours[j, q]
            there = (first >= 0) & (last >= 0) & (first != j) & (last != i) & (first != last)
            four = first[there], i[there], j[there], last[there]
            forwards = _key(*(numbers[atom] for atom in four), order[there])
            backwards = _key(*(numbers[atom] for atom in four[::-1]), order[there])
            kinds.append(np.minimum(forwards, backwards))
            values.append(_torsion(*(positions[atom] for atom in four)))
    return _by_kind(np.concatenate(kinds), np.concatenate(values))


def _key(*parts: np.ndarray) -> np.ndarray:
    key = np.zeros(len(parts[0]), dtype=np.int64)
    for part in parts:
        key = key * 128 + part
    return key


def _by_kind(kinds: np.ndarray, values: np.ndarray) -> Mapping[int, np.ndarray]:
    order = np.argsort(kinds, kind="stable")
    found, first = np.unique(kinds[order], return_index=True)
    parts = np.split(values[order], first[1:])
    return dict(zip(found.tolist(), parts, strict=True)) if len(found) else {}


def _angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    u, v = a - b, c - b
    sine = np.linalg.norm(np.cross(u, v), axis=1)
    return np.degrees(np.arctan2(sine, (u * v).sum(1)))


def _torsion(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    u, v = np.cross(b - a, c - b), np.cross(c - b, d - c)
    sine = np.linalg.norm(np.cross(u, v), axis=1)
    return np.degrees(np.arctan2(sine, (u * v).sum(1)))
