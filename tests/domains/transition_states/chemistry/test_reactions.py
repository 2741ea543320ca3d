"""Known reactions: the whole chain must find the saddles of independent references at GFN2-xTB."""

import numpy as np
import pytest
from ase.build import molecule
from rdkit import Chem
from rdkit.Chem import AllChem

from flowsci.domains.transition_states.chemistry.bonds import bond_changes, molecule_of
from flowsci.domains.transition_states.chemistry.calculator import Gfn2
from flowsci.domains.transition_states.chemistry.enumerate import products
from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.domains.transition_states.chemistry.frequencies import hessian, vibrations
from flowsci.domains.transition_states.chemistry.minimum import relax
from flowsci.domains.transition_states.chemistry.path import climb
from flowsci.domains.transition_states.chemistry.products import product_geometry
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


def test_vinyl_alcohol_becomes_acetaldehyde():
    """From a textbook guess: the hydrogen in the plane, 1.3 Å from oxygen, 1.5 Å from carbon."""
    numbers = np.array([6, 6, 8, 1, 1, 1, 1])
    guess = np.array(
        [
            [0.00, 0.00, 0.00],
            [1.41, 0.00, 0.00],
            [1.83, 1.22, 0.00],
            [-0.49, -0.33, 0.92],
            [-0.49, -0.33, -0.92],
            [1.96, -0.94, 0.00],
            [0.58, 1.38, 0.00],
        ]
    )
    saddle = find_saddle(Gfn2(numbers), guess)
    alcohol = np.zeros((7, 7), dtype=bool)
    for i, j in ((0, 1), (1, 2), (0, 3), (0, 4), (1, 5), (2, 6)):
        alcohol[i, j] = alcohol[j, i] = True
    reaction = verify(numbers, saddle, alcohol)
    assert (reaction.reactant.bonded == alcohol).all()
    assert canonical(numbers, reaction.product.orders) == "CC=O"
    assert reaction.barrier == pytest.approx(2.67, abs=0.02)


@pytest.mark.slow
def test_formimidic_acid_becomes_formamide():
    found = barriers("N=CO", "NC=O")
    assert found
    assert min(abs(height - 1.31) for height in found) < 0.02


@pytest.mark.slow
def test_the_ring_of_cyclobutene_opens():
    """From a shaken geometry: forces of a symmetric one would never twist the ring."""
    numbers, positions = embedded("C1=CCC1")
    start = find_end(numbers, positions)
    (orders,) = (
        orders
        for orders in products(numbers, start.orders)
        if canonical(numbers, orders) == "C=CC=C" and orders[2, 3] == 0
        if ((orders > 0) <= start.bonded).all()
    )
    shaken = start.positions + 0.1 * np.random.default_rng(0).normal(size=positions.shape)
    product = relax(Gfn2(numbers), product_geometry(numbers, orders, shaken))
    guess = climb(
        [Gfn2(numbers, temperature=2000) for _ in range(5)],
        (start.positions, start.energy),
        (product.positions, product.energy),
    )
    saddle = find_saddle(Gfn2(numbers), guess.positions, guess.direction)
    reaction = verify(numbers, saddle, start.bonded)
    assert canonical(numbers, reaction.product.orders) == "C=CC=C"
    assert reaction.barrier == pytest.approx(1.92, abs=0.02)


def test_frequencies_of_water_are_those_of_the_method():
    numbers = np.array([8, 1, 1])
    minimum = relax(Gfn2(numbers), molecule("H2O").positions, force=0.0005)
    found = vibrations(hessian(Gfn2(numbers), minimum.positions), minimum.positions, numbers)
    assert found.wavenumbers == pytest.approx([1539, 3643, 3652], abs=5)
