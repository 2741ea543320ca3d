"""Known reactions: the whole chain must find the saddles of independent references at GFN2-xTB."""

import numpy as np
import pytest
from ase.build import molecule
from rdkit import Chem
from rdkit.Chem import AllChem

from flowsci.domains.transition_states.chemistry.bonds import bond_changes
from flowsci.domains.transition_states.chemistry.calculator import Gfn2
from flowsci.domains.transition_states.chemistry.enumerate import products
from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.domains.transition_states.chemistry.frequencies import hessian, vibrations
from flowsci.domains.transition_states.chemistry.minimum import relax
from flowsci.domains.transition_states.chemistry.reactions import find_end, find_reaction, verify
from flowsci.domains.transition_states.chemistry.saddle import find_saddle


def embedded(smiles: str) -> tuple[np.ndarray, np.ndarray]:
    """Give atomic numbers and positions of a molecule, the same at each call."""
    built = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(built, randomSeed=7) == 0
    AllChem.UFFOptimizeMolecule(built)
    numbers = np.array([atom.GetAtomicNum() for atom in built.GetAtoms()])
    return numbers, built.GetConformer().GetPositions()


def barriers(smiles: str, product: str) -> list[float]:
    """Give the barriers of all reactions found from one molecule to another."""
    numbers, positions = embedded(smiles)
    start = find_end(numbers, positions)
    wanted = Chem.CanonSmiles(product)
    found = []
    for orders in products(numbers, start.orders):
        if canonical(numbers, orders) != wanted:
            continue
        try:
            reaction = find_reaction(numbers, start, orders)
        except Failure:
            continue
        if canonical(numbers, reaction.product.orders) == wanted:
            found.append(reaction.energy - start.energy)
    return found


def canonical(numbers: np.ndarray, orders: np.ndarray) -> str:
    from flowsci.domains.transition_states.chemistry.bonds import molecule_of

    return Chem.MolToSmiles(Chem.RemoveHs(molecule_of(numbers, orders)), isomericSmiles=False)


def test_hydrogen_cyanide_becomes_isocyanide():
    numbers = np.array([6, 7, 1])
    guess = np.array([[0.0, 0.0, 0.0], [1.18, 0.0, 0.0], [0.3, 1.15, 0.0]])
    start = find_end(numbers, molecule("HCN").positions)
    saddle = find_saddle(Gfn2(numbers), guess)
    reaction = verify(numbers, saddle, start.bonded)
    assert reaction.imaginary_frequency == pytest.approx(1426, abs=10)
    assert reaction.barrier == pytest.approx(3.18, abs=0.02)
    changes = bond_changes(reaction.reactant.bonded, reaction.product.bonded)
    assert (changes.broken, changes.formed) == (((0, 2),), ((1, 2),))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reactant", "product", "barrier"),
    [
        ("C=CO", "CC=O", 2.67),
        ("C1=CCC1", "C=CC=C", 1.92),
        ("N=CO", "NC=O", 1.31),
    ],
)
def test_barriers_agree_with_references(reactant: str, product: str, barrier: float):
    found = barriers(reactant, product)
    assert found
    assert min(abs(height - barrier) for height in found) < 0.03


def test_frequencies_of_water_are_those_of_the_method():
    numbers = np.array([8, 1, 1])
    minimum = relax(Gfn2(numbers), molecule("H2O").positions, force=0.0005)
    found = vibrations(hessian(Gfn2(numbers), minimum.positions), minimum.positions, numbers)
    assert found.wavenumbers == pytest.approx([1539, 3643, 3652], abs=5)
