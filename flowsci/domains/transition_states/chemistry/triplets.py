"""Reactions as extended XYZ: reactant, transition state and product in one order of atoms."""

from collections.abc import Iterator

import numpy as np
from ase.data import chemical_symbols

from flowsci.domains.transition_states.chemistry.bonds import mapped_smiles
from flowsci.domains.transition_states.chemistry.calculator import METHOD, program
from flowsci.domains.transition_states.chemistry.reactions import Reaction

PROPERTIES = "Properties=species:S:1:pos:R:3"


def triplet(name: str, source: str, reaction: Reaction) -> str:
    """Write three frames: positions in Å, energy in eV, largest force in eV/Å.

    `smiles` is the reaction with map numbers that count the atoms from one.
    """
    numbers = reaction.atomic_numbers
    ends = (reaction.reactant, reaction.product)
    smiles = ">>".join(mapped_smiles(numbers, end.orders) for end in ends)
    states = (
        ("reactant", reaction.reactant, ""),
        (
            "transition_state",
            reaction,
            f" imaginary_frequency={reaction.imaginary_frequency:.1f}",
        ),
        ("product", reaction.product, ""),
    )
    lines = []
    for role, state, more in states:
        lines.append(str(len(numbers)))
        lines.append(
            f'{PROPERTIES} reaction={name} role={role} smiles="{smiles}" '
            f"energy={state.energy:.6f} largest_force={state.largest_force:.4f}{more} "
            f'source={source} level={METHOD} program="{program()}"'
        )
        lines += _atoms(numbers, state.positions)
    return "\n".join(lines) + "\n"


def _atoms(numbers: np.ndarray, positions: np.ndarray) -> Iterator[str]:
    centred = positions - positions.mean(0)
    for number, (x, y, z) in zip(numbers, centred, strict=True):
        yield f"{chemical_symbols[number]:2} {x:10.6f} {y:10.6f} {z:10.6f}"
