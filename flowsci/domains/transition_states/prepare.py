"""From reactions to the flat record: bonds, starts, splits."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from ase.data import chemical_symbols

from flowsci.domains.transition_states import graphs, splits
from flowsci.domains.transition_states.reactions import Fault, Reaction, check
from flowsci.domains.transition_states.record import ENDS, SPLITS
from flowsci.domains.transition_states.settings import TransitionStatesData
from flowsci.domains.transition_states.sources import read_reactions
from flowsci.domains.transition_states.stress import start_between
from flowsci.errors import FlowsciError
from flowsci.flow.alignment import superpose
from flowsci.store.prepared import Prepared

UNITS = dict.fromkeys((*ENDS, "start"), "Å") | {f"energy_{name}": "eV" for name in ENDS}
LISTED_FAULTS = 20
REACTIONS_AT_ONCE = 256
DOCUMENTATION = (".txt", ".md", ".rst")
"""Files that may stand beside the data: they are named in the manifest and not read."""


def prepare(files: Sequence[Path], settings: TransitionStatesData) -> Prepared:
    """Make the dataset; raise `FlowsciError` where a reaction is unusable or none is left."""
    beside = [path for path in files if path.suffix.lower() in DOCUMENTATION]
    reactions, orders, faults = _usable([p for p in files if p not in beside], settings)
    if not reactions:
        raise FlowsciError(
            f"{', '.join(str(path) for path in files)}: no usable reaction is left. "
            + "; ".join(str(fault) for fault in faults[:3])
        )
    wanted = splits.GROUPS.get(settings.splits.kind, ())
    names = {"reactant_graph": graphs.reactant_graph, "core": graphs.core}
    groups = {
        group: [names[group](*pair) for pair in zip(reactions, orders, strict=True)]
        for group in wanted
    }
    split = splits.assign(reactions, groups, settings)
    kept = np.flatnonzero(split >= 0)
    arrays = to_dataset(
        [reactions[i] for i in kept],
        [orders[i] for i in kept],
        {name: [values[i] for i in kept] for name, values in groups.items()},
        split[kept],
    )
    arrays.attrs["level"] = settings.level
    counts = {
        "reactions": {
            **{name: int((split == number).sum()) for number, name in enumerate(SPLITS)},
            "dropped": {
                **Counter(fault.cause for fault in faults),
                "reactant graph is on another side": int((split < 0).sum()),
            },
        },
        "atoms": arrays.sizes["atom"],
        "faults": [str(fault) for fault in faults[:LISTED_FAULTS]],
        "files not read": [path.name for path in beside],
    }
    description = (
        "Reactions as reactant, transition state and product in one order of atoms, in Å; "
        f"level of theory: {settings.level}. `start` is the stress embedding of 1/2 min(D_R, D_P) "
        "+ 1/4 (D_R + D_P), parameter-free, from both ends alone. Bond orders come from the map "
        "numbers of the reaction SMILES, or are perceived from the geometry."
    )
    return Prepared(arrays, counts, _statistics(arrays), UNITS, description)


def _usable(
    files: Sequence[Path], settings: TransitionStatesData
) -> tuple[list[Reaction], list[np.ndarray], list[Fault]]:
    """Read, check and give bonds; the first fault stops unless the settings skip faults."""
    reactions, orders, faults = [], [], []
    for found in read_reactions(files, settings.atom_order):
        try:
            if isinstance(found, Fault):
                raise found
            check(found, settings.largest_atoms)
            orders.append(graphs.orders_of(found))
            reactions.append(found)
        except Fault as fault:
            if settings.on_fault == "stop":
                raise FlowsciError(
                    f"{fault} (`on_fault: skip` leaves such reactions out, counted.)"
                ) from None
            faults.append(fault)
    names = [reaction.name for reaction in reactions]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FlowsciError(
            f"{len(twice)} reactions have a name that another one has, such as {twice[0]}. Name "
            "each reaction once over all files."
        )
    return reactions, orders, faults


def to_dataset(
    reactions: Sequence[Reaction],
    orders: Sequence[np.ndarray],
    groups: dict[str, list[str]],
    split: np.ndarray,
) -> xr.Dataset:
    """Write reactions as the flat record that `record` describes."""
    bonds = [np.nonzero(np.triu(part.any(0), 1)) for part in orders]
    bonded = [part[:, i, j] for part, (i, j) in zip(orders, bonds, strict=True)]
    starts = starts_of(reactions)
    variables: dict[str, Any] = {
        "atom_start": ("atom_bound", _bounds(len(r.atomic_numbers) for r in reactions)),
        "atomic_numbers": ("atom", _joined([r.atomic_numbers for r in reactions], np.int8)),
        "start": (("atom", "axis"), _joined(starts, np.float32)),
        "bond_start": ("bond_bound", _bounds(len(i) for i, _ in bonds)),
        "bond_first": ("bond", _joined([i for i, _ in bonds], np.int16)),
        "bond_second": ("bond", _joined([j for _, j in bonds], np.int16)),
        "order_reactant": ("bond", _joined([part[0] for part in bonded], np.float32)),
        "order_product": ("bond", _joined([part[1] for part in bonded], np.float32)),
        "reaction": ("reaction", np.array([r.name for r in reactions], dtype=object)),
        "smiles": ("reaction", np.array([r.smiles for r in reactions], dtype=object)),
        "split": ("reaction", split.astype(np.int8)),
        **{name: ("reaction", np.array(v, dtype=object)) for name, v in groups.items()},
    }
    for end in ENDS:
        parts = [_positions(reaction, end) for reaction in reactions]
        variables[end] = (("atom", "axis"), _joined(parts, np.float32))
        energies = [reaction.energies.get(end, np.nan) for reaction in reactions]
        variables[f"energy_{end}"] = ("reaction", np.array(energies))
    return xr.Dataset(variables)


def starts_of(reactions: Sequence[Reaction]) -> list[np.ndarray]:
    """Give the stress embedding (n, 3) of each reaction, in Å and centred."""
    sizes = np.array([len(reaction.atomic_numbers) for reaction in reactions])
    starts: list[np.ndarray] = [np.empty(0)] * len(reactions)
    for rows in np.array_split(np.argsort(sizes), -(-len(reactions) // REACTIONS_AT_ONCE)):
        n = sizes[rows].max()
        mask = torch.arange(n) < torch.from_numpy(sizes[rows])[:, None]
        ends = torch.zeros(2, len(rows), n, 3, dtype=torch.float64)
        for place, row in enumerate(rows):
            for end, name in enumerate(("reactant", "product")):
                ends[end, place, : sizes[row]] = torch.from_numpy(getattr(reactions[row], name))
        for place, start in enumerate(start_between(ends[0], ends[1], mask)):
            starts[rows[place]] = start[: sizes[rows[place]]].numpy()
    return starts


def _positions(reaction: Reaction, end: str) -> np.ndarray:
    """Give the positions of an end, laid on the reactant; NaN where not known."""
    positions = getattr(reaction, end)
    if positions is None:
        return np.full_like(reaction.reactant, np.nan)
    pair = (torch.from_numpy(x)[None] for x in (positions, reaction.reactant))
    return superpose(*pair)[0].numpy()


def _statistics(arrays: xr.Dataset) -> dict[str, Any]:
    """Give the elements that training reactions hold, and the level of theory."""
    sizes = np.diff(arrays["atom_start"].values)
    training = np.repeat(arrays["split"].values == SPLITS.index("train"), sizes)
    numbers = np.unique(arrays["atomic_numbers"].values[training])
    return {
        "elements": [chemical_symbols[number] for number in numbers],
        "atomic_numbers": numbers.tolist(),
        "level": arrays.attrs.get("level", ""),
    }


def _bounds(sizes: Iterable[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(list(sizes))]).astype(np.int64)


def _joined(parts: Sequence[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate(parts).astype(kind)
