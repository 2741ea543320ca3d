"""Fake atoms: places that a molecule leaves empty, so that its number of atoms is free.

As in FlowMol3 (Dunn and Koes, 2025): training views hold up to so many atoms of the number 0 beside
the real ones, each about a real one, without charge or bond. A sample gets as many more places as
a training view, and what comes out as such an atom is left out of it.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flowsci.domains.contract import Batch
from flowsci.flow.generators import Generators, uniform
from flowsci.flow.masks import centre, zero_padding

NUMBER = 0
ABOUT_ANGSTROM = 1.0
"""Standard deviation of a fake atom's place about that of a real one."""
OF_ATOMS = ("atomic_numbers", "charges", "known", "given")


def with_fake(statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Give statistics whose elements begin with the fake one."""
    return {**statistics, "atomic_numbers": [NUMBER, *statistics["atomic_numbers"]]}


def widen(batch: Batch, most: int, generators: Generators) -> Batch:
    """Give a batch 0 to `most` more places a molecule, equally likely, behind its own.

    A molecule whose atoms are all known gets none.
    """
    mask = batch["mask"]
    count = mask.sum(1)
    draws = uniform((len(mask), 1), generators, device=mask.device)
    more = (draws[:, 0] * (most + 1)).long()
    if "known" in batch:
        more = more * (batch["known"] != mask).any(1)
    size = max(int((count + more).max()), mask.shape[1])
    wide = {name: _widened(name, part, size - mask.shape[1]) for name, part in batch.items()}
    wide["mask"] = torch.arange(size, device=mask.device) < (count + more).unsqueeze(1)
    return wide


def with_fake_atoms(batch: Batch, most: int, generator: torch.Generator) -> Batch:
    """Put fake atoms behind the atoms (batch, n, ...) of a training batch, in Å about real ones."""
    mask = batch["mask"]
    wide = widen(batch, most, generator)
    if "positions" not in wide:
        return wide
    n = wide["mask"].shape[1]
    fake = wide["mask"].clone()
    fake[:, : mask.shape[1]] &= ~mask
    chance = torch.rand(len(mask), n, mask.shape[1], generator=generator) * mask.unsqueeze(1)
    about = batch["positions"].gather(1, chance.argmax(-1, keepdim=True).expand(-1, -1, 3))
    about = about + ABOUT_ANGSTROM * torch.randn(about.shape, generator=generator)
    wide["positions"] = torch.where(fake.unsqueeze(-1), about, wide["positions"])
    return wide


def left_out(drawn: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """Take fake atoms out of samples (rows, n, ...): their places are padding, without bonds.

    Positions are centred on the real atoms, where no given atom sets the frame.
    """
    real = drawn["mask"] & (drawn["atomic_numbers"] != NUMBER)
    both = real.unsqueeze(1) & real.unsqueeze(2)
    found = {"mask": real, "charges": drawn["charges"] * real, "bonds": drawn["bonds"] * both}
    if "positions" in drawn:
        positions = zero_padding(drawn["positions"], real)
        found["positions"] = positions if "given" in batch else centre(positions, real)
    return {**drawn, **found}


def _widened(name: str, part: Tensor, more: int) -> Tensor:
    if name == "bonds":
        return torch.nn.functional.pad(part, (0, more, 0, more))
    if name == "positions":
        return torch.nn.functional.pad(part, (0, 0, 0, more))
    return torch.nn.functional.pad(part, (0, more)) if name in OF_ATOMS else part
