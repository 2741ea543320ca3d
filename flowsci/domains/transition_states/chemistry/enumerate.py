"""Products within reach: two bonds broken and two formed on the Kekulé matrix of a molecule.

P. M. Zimmerman, J. Comput. Chem. 34, 1385 (2013) searches graphs in this way.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from scipy.sparse.csgraph import shortest_path

from flowsci.domains.transition_states.chemistry.bonds import Pair, graph_hash

LARGEST_ORDER = 3


def products(
    atomic_numbers: np.ndarray, orders: np.ndarray, *, furthest: int = 4
) -> Iterator[np.ndarray]:
    """Give the Kekulé matrices (n, n) of all products that keep every atom's valence.

    Two bonds a-b and c-d lose an order each, a-c and b-d (or a-d and b-c) gain one. Pairs further
    apart than `furthest` bonds do not react. Products that differ by a symmetry of the reactant are
    given once.
    """
    lengths = shortest_path(orders > 0, directed=False, unweighted=True)
    seen = set()
    for first, second in combinations(bonds(orders), 2):
        for formed in _exchanges(first, second):
            if any(lengths[pair] > furthest for pair in formed):
                continue
            product = _exchange(orders, (first, second), formed)
            if product.max() > LARGEST_ORDER or not plausible(product):
                continue
            name = graph_hash(atomic_numbers, orders, product)
            if name not in seen:
                seen.add(name)
                yield product


def bonds(orders: np.ndarray) -> list[Pair]:
    """List the bonded pairs (i, j), i < j."""
    return list(zip(*np.nonzero(np.triu(orders, 1)), strict=True))


def plausible(orders: np.ndarray) -> bool:
    """Refuse rings of three or four with a triple bond or with two double bonds at one atom."""
    for i, j in bonds(orders):
        twice = (orders[i] == 2).sum() > 1 or (orders[j] == 2).sum() > 1
        if orders[i, j] == 3 or (orders[i, j] == 2 and twice):
            without = orders.copy()
            without[i, j] = without[j, i] = 0
            around = shortest_path(without > 0, directed=False, unweighted=True, indices=int(i))[j]
            if around <= 4:
                return False
    return True


def _exchanges(first: Pair, second: Pair) -> Iterator[tuple[Pair, Pair]]:
    (a, b), (c, d) = first, second
    if len({a, b, c, d}) == 4:
        yield (a, c), (b, d)
        yield (a, d), (b, c)


def _exchange(
    orders: np.ndarray, broken: tuple[Pair, Pair], formed: tuple[Pair, Pair]
) -> np.ndarray:
    product = orders.copy()
    for change, pairs in ((-1, broken), (1, formed)):
        for i, j in pairs:
            product[i, j] += change
            product[j, i] += change
    return product
