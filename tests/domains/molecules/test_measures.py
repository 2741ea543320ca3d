"""Measures against molecules whose score is known."""

import numpy as np
import pytest

from flowsci.domains.molecules.measures import chemnet, internal, posebusters
from flowsci.domains.molecules.measures.perception import perceived_smiles
from flowsci.domains.molecules.measures.relaxation import relaxed
from flowsci.domains.molecules.measures.soundness import soundness
from flowsci.domains.molecules.measures.stability import allowed_valences, stable_atoms
from flowsci.domains.molecules.record import Graph, Molecules, graphs

from .files import conformer
from .made import prepared


def graph(numbers, bonds, charges=None, positions=None, hydrogens=True) -> Graph:
    """Build a graph of bonds (i, j, order)."""
    orders = np.zeros((len(numbers), len(numbers)), dtype=np.int64)
    for i, j, order in bonds:
        orders[i, j] = orders[j, i] = order
    charges = np.zeros(len(numbers), dtype=np.int64) if charges is None else np.array(charges)
    return Graph(np.array(numbers), charges, orders, positions, hydrogens)


def of_rdkit(smiles: str) -> Graph:
    """Embed a molecule and give it as a graph."""
    molecule = conformer(smiles)
    bonds = [
        (b.GetBeginAtomIdx(), b.GetEndAtomIdx(), int(b.GetBondTypeAsDouble()))
        for b in molecule.GetBonds()
    ]
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    charges = [atom.GetFormalCharge() for atom in molecule.GetAtoms()]
    return graph(numbers, bonds, charges, molecule.GetConformer().GetPositions())


@pytest.mark.parametrize(
    ("atomic_number", "charge", "valences"),
    [
        (1, 0, {1}),
        (1, 1, set()),
        (6, 0, {4}),
        (6, 1, {3}),
        (6, -1, {3}),
        (7, 0, {3}),
        (7, 1, {4}),
        (7, -1, {2}),
        (8, 0, {2}),
        (8, -1, {1}),
        (8, 1, {3}),
        (9, 0, {1}),
        (16, 0, {2, 4, 6}),
        (5, -1, {4}),
        (17, 0, {1}),
    ],
)
def test_valences_go_by_element_and_charge(atomic_number, charge, valences):
    assert set(allowed_valences(atomic_number, charge)) == valences


def test_stability_counts_kekule_orders_and_charges():
    benzene = [(i, (i + 1) % 6, 1 + i % 2) for i in range(6)] + [(i, 6 + i, 1) for i in range(6)]
    assert stable_atoms(graph([6] * 6 + [1] * 6, benzene)).all()
    methane = [(0, i, 1) for i in range(1, 5)]
    assert stable_atoms(graph([7, 1, 1, 1, 1], methane)).tolist() == [False, *[True] * 4]
    assert stable_atoms(graph([7, 1, 1, 1, 1], methane, [1, 0, 0, 0, 0])).all()
    assert not stable_atoms(graph([6, 1], [(0, 1, 1)]))[0]


def test_nothing_is_repaired():
    water = graph([8, 1, 1], [(0, 1, 1), (0, 2, 1)])
    methyl = graph([6, 1, 1, 1], [(0, 1, 1), (0, 2, 1), (0, 3, 1)])
    two = graph([8, 1, 1, 1, 1], [(0, 1, 1), (0, 2, 1), (3, 4, 1)])
    crowded = graph([6, 1, 1, 1, 1, 1], [(0, i, 1) for i in range(1, 6)])
    nothing = graph([], [])
    found = soundness([water, methyl, two, crowded, nothing, water])
    assert found.stable.tolist() == [True, False, True, False, False, True]
    assert found.sanitised.tolist() == [True, True, True, False, False, True]
    assert found.connected.tolist() == [True, True, False, True, False, True]
    assert found.closed_shell.tolist() == [True, False, True, False, False, True]
    assert found.valid.tolist() == [True, True, False, False, False, True]
    assert found.first_of_its_kind().tolist() == [True, True, False, False, False, False]
    assert found.smiles.tolist() == ["O", "[CH3]", "O.[H][H]", "", "", "O"]


def test_without_hydrogens_the_open_valences_are_theirs():
    ring = [(i, (i + 1) % 5, order) for i, order in enumerate([2, 1, 2, 1, 1])]
    pyrrole = graph([6, 6, 6, 6, 7], ring, hydrogens=False)
    over = graph([8, 6, 6, 6], [(0, 1, 1), (0, 2, 1), (0, 3, 1)], hydrogens=False)
    found = soundness([pyrrole, over])
    assert found.smiles.tolist() == ["c1cc[nH]c1", ""]
    assert found.valid.tolist() == [True, False]


def test_real_molecules_are_sound_and_their_smiles_are_those_of_the_record():
    made = Molecules.of_split(prepared().arrays, "train")
    found = soundness(graphs(made))
    assert found.stable.all()
    assert found.valid.all()
    assert found.closed_shell.all()
    assert found.smiles.tolist() == made.smiles.tolist()


def test_lengths_angles_and_torsions_are_those_of_rdkit():
    from rdkit.Chem import rdMolTransforms

    molecule = of_rdkit("CC#CO")
    found = internal.internal_coordinates([molecule])
    lengths = np.sort(np.concatenate(list(found.bond_lengths.values())))
    i, j = np.nonzero(np.triu(molecule.bonds))
    expected = np.linalg.norm(molecule.positions[i] - molecule.positions[j], axis=1)
    assert lengths == pytest.approx(np.sort(expected))
    ethanol = of_rdkit("CCO")
    place = conformer("CCO").GetConformer()
    found = internal.internal_coordinates([ethanol])
    heavy = next(values for kind, values in found.angles.items() if _is(kind, (6, 6, 8)))
    assert heavy[0] == pytest.approx(rdMolTransforms.GetAngleDeg(place, 0, 1, 2))
    assert sum(len(values) for values in found.angles.values()) == 6 + 6 + 1
    torsions = [
        abs(rdMolTransforms.GetDihedralDeg(place, *four))
        for four in [(h, 0, 1, x) for h in (3, 4, 5) for x in (2, 6, 7)]
        + [(x, 1, 2, 8) for x in (0, 6, 7)]
    ]
    all_found = np.sort(np.concatenate(list(found.torsions.values())))
    assert all_found == pytest.approx(np.sort(torsions))


def _is(kind: int, numbers: tuple[int, int, int]) -> bool:
    return tuple(kind // 128**place % 128 for place in (3, 2, 1)) == numbers


def test_a_shift_of_all_bonds_is_the_distance():
    draw = np.random.default_rng(0)
    true = {1: draw.normal(1.5, 0.01, 500), 2: draw.normal(1.1, 0.01, 1500), 3: np.ones(10)}
    found = {kind: values + 0.02 for kind, values in true.items()}
    assert internal.distance(true, true) == 0
    assert internal.distance(found, true) == pytest.approx(0.02)
    assert internal.distance({2: true[2] + 0.04}, true) == pytest.approx(0.04)
    assert np.isnan(internal.distance({}, true))


def test_posebusters_passes_a_conformer_and_not_a_crushed_one():
    good = of_rdkit("CC(=O)N")
    crushed = Graph(good.atomic_numbers, good.charges, good.bonds, 0.7 * good.positions)
    crowded = graph([6, 1, 1, 1, 1, 1], [(0, i, 1) for i in range(1, 6)], None, np.eye(6, 3))
    tests = posebusters.busted([good, crushed, crowded], "fast")
    assert posebusters.passes(tests).tolist() == [True, False, False]
    assert tests["sanitization"].tolist() == [True, True, False]
    assert tests["bond_lengths"].tolist() == [True, False, False]
    assert not posebusters.passes(posebusters.busted([crowded], "fast")).any()


def test_relaxation_releases_nothing_at_a_minimum_and_more_when_stretched():
    water = of_rdkit("O")
    stretched = Graph(water.atomic_numbers, water.charges, water.bonds, 1.1 * water.positions)
    found = relaxed([water, stretched], steps=100)
    assert found.energy[1] > found.energy[0] > 0
    assert found.rmsd[1] > found.rmsd[0]
    assert np.isnan(relaxed([stretched], steps=1).energy).all()


def test_charges_are_relaxed_as_they_are():
    found = relaxed([of_rdkit("[NH4+]"), of_rdkit("[OH-]")], steps=100)
    assert np.isfinite(found.energy).all()


def test_positions_alone_say_the_molecule_or_nothing():
    good = of_rdkit("CC#N")
    torn = good.positions.copy()
    torn[0] += 5.0
    far = Graph(good.atomic_numbers, good.charges, good.bonds, torn)
    assert perceived_smiles([good, far]).tolist() == ["CC#N", ""]


def test_the_chemnet_distance_is_that_of_its_package():
    from fcd import calculate_frechet_distance

    names = ["CCO", "CCN", "c1ccccc1", "CC(=O)O", "C1CC1"]
    here = chemnet.activations(names)
    assert here.values.shape == (5, 512)
    assert chemnet.frechet_distance(here, here) == pytest.approx(0, abs=1e-9)
    draw = np.random.default_rng(0)
    a, b = (chemnet.Activations(draw.normal(size=(40, 12)) * scale) for scale in (1.0, 1.5))
    moments = [part for side in (a, b) for part in (side.mean, np.cov(side.values.T))]
    with pytest.warns(DeprecationWarning, match="disp"):
        expected = calculate_frechet_distance(*moments)
    assert chemnet.frechet_distance(a, b) == pytest.approx(expected)
    assert a.resampled(draw).values.shape == a.values.shape
