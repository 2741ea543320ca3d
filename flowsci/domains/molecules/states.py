"""A molecule as the state of a flow: positions, and labels of atoms, charges and bonds."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flowsci.domains.molecules.triangle import triangle
from flowsci.errors import FlowsciError

LABELS = ("atoms", "charges", "bonds")
ORDERS = 4
"""No bond, single, double, triple."""


def categories(statistics: Mapping[str, Any]) -> dict[str, int]:
    """Give the number of categories of each kind of label."""
    return {
        "atoms": len(statistics["atomic_numbers"]),
        "charges": len(statistics["charges"]),
        "bonds": ORDERS,
    }


def check_kind(found: Mapping[str, Any], known: Mapping[str, Any], composed: bool) -> None:
    """Raise `FlowsciError` where a dataset's statistics (`found`) aren't of a model's molecules.

    Both have positions and hydrogens, or neither; properties have the same names, order and units.
    Elements and charges are among the model's; the same ones, where it is asked for compositions
    (`composed`).
    """
    for name in ("has_positions", "has_hydrogens"):
        if found[name] != known[name]:
            raise FlowsciError(
                f"{name}: the model's training molecules say {known[name]}, this dataset's say "
                f"{found[name]}. Name a dataset like the model's, or train on this one."
            )
    units = [
        {name: scale["unit"] for name, scale in statistics["properties"].items()}
        for statistics in (found, known)
    ]
    if list(units[0].items()) != list(units[1].items()):
        raise FlowsciError(
            f"properties: the model's are {_listed(units[1])}; this dataset's are "
            f"{_listed(units[0])}. Name the same ones in the same order, or train on this dataset."
        )
    for name in ("atomic_numbers", "charges"):
        unseen = sorted(set(found[name]) - set(known[name]))
        if unseen or (composed and found[name] != known[name]):
            raise FlowsciError(
                f"{name}: the model knows {known[name]}; this dataset has {found[name]}. Leave the "
                "other molecules out, or train on this dataset."
            )


def _listed(units: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({unit})" for name, unit in units.items()) or "none"


class Vocabulary:
    """Between what a batch holds (atomic numbers, charges, orders) and labels counted from zero."""

    def __init__(self, statistics: Mapping[str, Any]) -> None:
        self.values = {
            "atoms": torch.tensor(list(statistics["atomic_numbers"])),
            "charges": torch.tensor(list(statistics["charges"])),
        }

    def labels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give atoms and charges (batch, n) and bonds (batch, pairs) as labels; padding is zero."""
        mask = batch["mask"]
        return {
            "atoms": self._label("atoms", batch["atomic_numbers"], mask),
            "charges": self._label("charges", batch["charges"], mask),
            "bonds": triangle(mask.shape[1], mask.device).pack(batch["bonds"]),
        }

    def batch(self, labels: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
        """Give atomic_numbers and charges (batch, n) and bonds (batch, n, n), zero in padding."""
        found = {name: self.values[name].to(mask.device)[labels[name]] for name in self.values}
        pairs = triangle(mask.shape[1], mask.device)
        return {
            "atomic_numbers": found["atoms"] * mask,
            "charges": found["charges"] * mask,
            "bonds": pairs.unpack(labels["bonds"] * pairs.both(mask)),
        }

    def _label(self, name: str, values: Tensor, mask: Tensor) -> Tensor:
        known = self.values[name].to(values.device)
        place = torch.searchsorted(known, values.contiguous()).clamp(max=len(known) - 1)
        unseen = (known[place] != values) & mask
        if bool(unseen.any()):
            found = sorted(set(values[unseen].tolist()))
            kind = {"atoms": "atomic numbers", "charges": "charges"}[name]
            raise FlowsciError(
                f"The model has never seen the {kind} {found}; it knows {known.tolist()}. Train on "
                "molecules that hold them, or leave these out."
            )
        return place * mask
