"""Graphs and Kekulé matrices: known molecules, invariance under permutation, what changes."""

import numpy as np
import pytest
from ase.build import molecule
from rdkit import Chem

from flowsci.domains.transition_states.chemistry.bonds import (
    adjacency,
    bond_changes,
    bond_orders,
    change_direction,
    change_overlap,
    distances,
    graph_hash,
    mapped_smiles,
)
from flowsci.domains.transition_states.chemistry.distinct import Distinct, reaction_hash
from flowsci.domains.transition_states.chemistry.enumerate import products
from flowsci.domains.transition_states.chemistry.failure import Failure


def orders_of(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    atoms = molecule(name)
    return (
        atoms.numbers,
        atoms.positions,
        bond_orders(atoms.numbers, adjacency(atoms.numbers, atoms.positions)),
    )


@pytest.mark.parametrize(
    ("name", "smiles"),
    [
        ("H2", "[H][H]"),
        ("HCN", "C#N"),
        ("CO", "[C-]#[O+]"),
        ("CH3CHO", "CC=O"),
        ("CH3NO2", "C[N+](=O)[O-]"),
        ("C6H6", "c1ccccc1"),
        ("trans-butane", "CCCC"),
    ],
)
def test_molecules_are_read_from_their_geometry(name: str, smiles: str):
    numbers, _, orders = orders_of(name)
    written = Chem.MolFromSmiles(mapped_smiles(numbers, orders), sanitize=True)
    for atom in written.GetAtoms():
        atom.SetAtomMapNum(0)
    assert Chem.CanonSmiles(Chem.MolToSmiles(written)) == Chem.CanonSmiles(smiles)


def test_radicals_have_no_kekule_structure():
    atoms = molecule("CH3")
    with pytest.raises(Failure, match="no_kekule_structure"):
        bond_orders(atoms.numbers, adjacency(atoms.numbers, atoms.positions))


def test_hashes_know_graphs_and_not_the_order_of_atoms():
    numbers, _, orders = orders_of("CH3CHO")
    order = np.random.default_rng(0).permutation(len(numbers))
    shuffled = orders[order][:, order]
    assert graph_hash(numbers, orders) == graph_hash(numbers[order], shuffled)
    others = {graph_hash(numbers, product) for product in products(numbers, orders)}
    assert len(others - {graph_hash(numbers, orders)}) == 3


def test_a_reaction_has_one_name_in_both_directions_and_counts_once():
    numbers, _, before = orders_of("CH3CHO")
    after = next(products(numbers, before))
    assert reaction_hash(numbers, before, after) == reaction_hash(numbers, after, before)
    known = Distinct()
    assert known.add(numbers, (before, after), -10.0, 500.0)
    assert not known.add(numbers, (after, before), -10.001, 502.0)
    assert known.add(numbers, (before, after), -10.01, 500.0)


def test_products_keep_valences_and_differ_by_no_symmetry():
    numbers, _, orders = orders_of("CH3CHO")
    found = list(products(numbers, orders))
    assert all((product.sum(0) == orders.sum(0)).all() for product in found)
    assert all((product >= 0).all() for product in found)
    names = [graph_hash(numbers, orders, product) for product in found]
    assert len(set(names)) == len(names)
    # vinyl alcohol is among them
    assert any((product > 0).sum() == (orders > 0).sum() for product in found)


def test_the_direction_of_a_reaction_forms_and_breaks_its_bonds():
    numbers, positions, before = orders_of("CH3CHO")
    after = next(products(numbers, before))
    changes = bond_changes(before > 0, after > 0)
    direction = change_direction(positions, before, after)
    moved = distances(positions + 0.01 * direction) - distances(positions)
    assert np.linalg.norm(direction) == pytest.approx(1)
    assert sum(moved[pair] for pair in changes.formed) < 0 < sum(moved[p] for p in changes.broken)
    assert change_overlap(direction, positions, before, after) == pytest.approx(1)
    assert change_overlap(direction, positions, before, before) == 0
