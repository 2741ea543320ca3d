"""Who is trained on, who chooses, who judges."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from flowsci.domains.molecules.data_settings import MoleculesData, PermutationSplits, ShareSplits
from flowsci.domains.molecules.record import SPLITS
from flowsci.errors import FlowsciError


def assign(rows: np.ndarray, smiles: Sequence[str], settings: MoleculesData) -> np.ndarray:
    """Give the split (molecules,) as an index into `SPLITS`; `rows` numbers what was read."""
    if isinstance(settings.splits, PermutationSplits):
        return by_permutation(rows, settings.splits, settings.seed)
    return by_graph(smiles, settings.splits, settings.seed)


def by_permutation(rows: np.ndarray, splits: PermutationSplits, seed: int) -> np.ndarray:
    """Cut NumPy's permutation of all rows into train, validation and test, in this order.

    Anderson, Hy and Kondor, Cormorant, NeurIPS 2019, with seed 0.
    """
    sizes = [splits.train, splits.validation, splits.test]
    if len(rows) and rows.max() >= sum(sizes):
        raise FlowsciError(
            f"splits: the numbers sum to {sum(sizes)}, but row {rows.max() + 1} was read. Give "
            "numbers for all rows, those that are dropped too."
        )
    order = np.random.RandomState(seed).permutation(sum(sizes))
    side = np.empty(len(order), dtype=np.int8)
    side[order] = np.repeat(np.arange(len(SPLITS)), sizes)
    return side[rows]


def by_graph(smiles: Sequence[str], splits: ShareSplits, seed: int) -> np.ndarray:
    """Fill test, then validation, with all molecules of a graph, in random order."""
    _, group, sizes = np.unique(np.array(smiles), return_inverse=True, return_counts=True)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(sizes), generator=generator).numpy()
    before = np.cumsum(sizes[order]) - sizes[order]
    bounds = np.round(np.cumsum([splits.test, splits.validation]) * len(smiles))
    side = np.empty(len(sizes), dtype=np.int8)
    side[order] = len(SPLITS) - 1 - np.searchsorted(bounds, before, side="right")
    return side[group]


def halves(smiles: Sequence[str]) -> np.ndarray:
    """Give the half (molecules,) as an index into `HALVES`: a bit of the hash of the graph."""
    return np.array(
        [hashlib.sha256(text.encode()).digest()[0] & 1 for text in smiles], dtype=np.int8
    )
