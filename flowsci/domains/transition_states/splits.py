"""Who is trained on, who chooses, who judges."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from flowsci.domains.transition_states.reactions import Reaction
from flowsci.domains.transition_states.record import SPLITS
from flowsci.domains.transition_states.settings import (
    FileSplits,
    ShareSplits,
    TransitionStatesData,
)
from flowsci.errors import FlowsciError

DROPPED = -1
GROUPS = {"core": ("core", "reactant_graph"), "reactant": ("reactant_graph",)}
"""What reactions are grouped by, for each kind of splits."""


def assign(
    reactions: Sequence[Reaction],
    groups: Mapping[str, Sequence[str]],
    settings: TransitionStatesData,
) -> np.ndarray:
    """Give the split (reaction,) as an index into `SPLITS`, or `DROPPED`."""
    if isinstance(settings.splits, FileSplits):
        return by_file([r.file for r in reactions], settings.splits, settings.seed)
    if settings.splits.kind == "random":
        return by_group(np.arange(len(reactions)), settings.splits, settings.seed)
    graphs = np.array(groups["reactant_graph"])
    if settings.splits.kind == "reactant":
        return by_group(graphs, settings.splits, settings.seed)
    return apart(by_group(np.array(groups["core"]), settings.splits, settings.seed), graphs)


def by_group(names: np.ndarray, splits: ShareSplits, seed: int) -> np.ndarray:
    """Fill test, then validation, with whole groups in random order, until each has its share."""
    _, group, sizes = np.unique(names, return_inverse=True, return_counts=True)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(sizes), generator=generator).numpy()
    before = np.cumsum(sizes[order]) - sizes[order]
    bounds = np.round(np.cumsum([splits.test, splits.validation]) * len(names))
    side = np.empty(len(sizes), dtype=np.int64)
    side[order] = len(SPLITS) - 1 - np.searchsorted(bounds, before, side="right")
    return side[group]


def apart(split: np.ndarray, graphs: np.ndarray) -> np.ndarray:
    """Leave each reactant graph on its most judging side only; drop its other reactions."""
    _, group = np.unique(graphs, return_inverse=True)
    furthest = np.zeros(group.max() + 1, dtype=np.int64)
    np.maximum.at(furthest, group, split)
    return np.where(split == furthest[group], split, DROPPED)


def by_file(stems: Sequence[str], splits: FileSplits, seed: int) -> np.ndarray:
    """Read the split off the names of the files; move a share of validation to test."""
    sides = {name: number for number, side in enumerate(SPLITS) for name in getattr(splits, side)}
    unknown = sorted(set(stems) - set(sides))
    if unknown:
        raise FlowsciError(
            f"The file {unknown[0]} is of no split. Named in `splits`: {', '.join(sorted(sides))}."
        )
    split = np.array([sides[name] for name in stems])
    validation = np.flatnonzero(split == SPLITS.index("validation"))
    generator = torch.Generator().manual_seed(seed)
    order = validation[torch.randperm(len(validation), generator=generator).numpy()]
    split[order[: round(splits.test_from_validation * len(order))]] = SPLITS.index("test")
    return split
