"""What is told of a molecule stays as it is: fragments with positions, graphs without.

A batch names atoms whose labels, and mutual bonds, are `known` (batch, n), and those whose
positions are `given` (batch, n) as well. Source and data agree there, so that the path stands
still. Positions are then measured from the mean of the given atoms, which the noise does not move.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from flowsci.domains.molecules.triangle import triangle
from flowsci.flow.masks import centre

Parts = Mapping[str, Tensor]


def frame_of(batch: Parts) -> Tensor:
    """Give the mean of the given atoms (batch, 1, 3), zero where none is given."""
    given = batch["given"].unsqueeze(-1)
    count = given.sum(1, keepdim=True).clamp(min=1)
    return (batch["positions"] * given).sum(1, keepdim=True) / count


def known_labels(known: Tensor) -> dict[str, Tensor]:
    """Tell which labels are known: of known atoms, and of bonds between two of them."""
    pairs = triangle(known.shape[1], known.device)
    return {"atoms": known, "charges": known, "bonds": pairs.both(known)}


def stand_still(x0: Parts, x1: Parts, batch: Parts) -> dict[str, Tensor]:
    """Give the source x0 with the data x1 in the place of what is told."""
    held = dict(x0)
    if "known" in batch:
        for name, known in known_labels(batch["known"]).items():
            where = known.unsqueeze(-1) if x0[name].is_floating_point() else known
            held[name] = torch.where(where, x1[name], x0[name])
    if "given" in batch and "positions" in x0:
        given = batch["given"].unsqueeze(-1)
        held["positions"] = torch.where(given, x1["positions"], x0["positions"])
    return held


def settled(noise: Tensor, batch: Parts) -> Tensor:
    """Centre noise on positions (batch, n, 3), but not where given atoms set the frame."""
    centred = centre(noise, batch["mask"])
    if "given" not in batch:
        return centred
    return torch.where(batch["given"].any(1)[:, None, None], noise, centred)
