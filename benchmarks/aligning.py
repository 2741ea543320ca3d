"""Aligned coupling of 48 systems of 18 atoms: rotations and permutations within elements."""

from __future__ import annotations

from functools import partial
from statistics import median

import torch

from benchmarks.network import normal
from benchmarks.timing import OURS, Contender, Result, take_turns
from flowsci.flow import Aligned, Pairing
from flowsci.flow.masks import centre

SYSTEMS, ATOMS = 48, 18


def systems() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Give source and data `(systems, atoms, 3)` and the atoms' elements."""
    x0, x1 = (centre(normal(SYSTEMS, ATOMS, 3, seed=seed)) for seed in (0, 1))
    elements = torch.tensor([1, 6, 7, 8]).repeat_interleave(5)[:ATOMS].repeat(SYSTEMS, 1)
    return x0, x1, elements


def couple(x0: torch.Tensor, x1: torch.Tensor, elements: torch.Tensor) -> Pairing:
    return Aligned()(x0, x1, elements)


def couple_each(x0: torch.Tensor, x1: torch.Tensor, elements: torch.Tensor) -> list[Pairing]:
    """Do the same, a system at a time."""
    rows = [slice(row, row + 1) for row in range(len(x0))]
    return [couple(x0[row], x1[row], elements[row]) for row in rows]


def measure(rounds: int = 100) -> Result:
    """Give the CPU time of one coupling in milliseconds."""
    x0, x1, elements = systems()
    contenders: dict[str, Contender] = {
        OURS: partial(couple, x0, x1, elements),
        "one at a time": partial(couple_each, x0, x1, elements),
    }
    seconds = take_turns(contenders, rounds)
    values = {name: 1000 * median(times) for name, times in seconds.items()}
    return Result("aligned coupling", "ms", 3.0, values)
