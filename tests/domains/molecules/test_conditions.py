from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from flowsci.domains.molecules import domain
from flowsci.domains.molecules.formulas import parse_formula
from flowsci.domains.molecules.record import Molecules
from flowsci.domains.molecules.settings import MoleculesSampling
from flowsci.domains.molecules.told import graph_of_smiles, ring_atoms
from flowsci.errors import FlowsciError
from tests.domains.molecules import made


def conditions(**wanted):
    settings = MoleculesSampling(samples=1, steps=3, conditions=wanted)
    return domain.conditions(made.prepared(), settings)


def test_numbers_of_atoms_follow_the_training_molecules_and_are_sorted():
    listed = conditions(molecules=3000)
    sizes = listed.batch(range(3000))["mask"].sum(1).numpy()
    assert (np.diff(sizes) >= 0).all()
    counts = made.prepared().statistics["atom_counts"]
    total = sum(counts.values())
    for size, count in counts.items():
        assert (sizes == int(size)).mean() == pytest.approx(count / total, abs=0.04)
    assert conditions(molecules=2, atoms=7).batch([0, 1])["mask"].shape == (2, 7)


def test_a_formula_gives_counts_and_a_size():
    batch = conditions(kind="composition", formulas=["C2H6O"]).batch([0])
    elements = made.prepared().statistics["atomic_numbers"]
    expected = [{1: 6, 6: 2, 8: 1}.get(element, 0) for element in elements]
    assert batch["composition"].tolist() == [expected]
    assert batch["mask"].sum() == 9
    assert parse_formula("CH3CH2OH", [1, 6, 8]) == {6: 2, 1: 6, 8: 1}
    with pytest.raises(FlowsciError, match="Cl is none of the dataset's elements"):
        parse_formula("CH3Cl", elements)
    with pytest.raises(FlowsciError, match="is no formula"):
        parse_formula("C2-H6", elements)


def test_a_property_that_is_not_there_is_named():
    with pytest.raises(FlowsciError, match="no property 'alpha'; it has none"):
        conditions(kind="properties", molecules=2, names=["alpha"])


def test_a_smiles_becomes_its_graph_with_hydrogens():
    graph = graph_of_smiles("[NH3+]CC(=O)[O-]")
    assert (graph.atomic_numbers == 1).sum() == 5
    assert graph.atomic_numbers[0] == 7
    assert graph.charges.sum() == 0
    assert set(graph.charges) == {-1, 0, 1}
    assert graph.bonds.sum() == 2 * (9 + 1)
    with pytest.raises(FlowsciError, match="'C\\(' is no SMILES"):
        graph_of_smiles("C(")
    with pytest.raises(FlowsciError, match=r"conditions\.smiles: .*RDKit cannot sanitise.*Correct"):
        graph_of_smiles("C(C)(C)(C)(C)C")


@pytest.mark.parametrize("smiles", ["C1CC1C", "CCO", "C1CC2CC1CO2", "CC1CC1CC1CCC1", "c1ccccc1C"])
def test_the_largest_ring_system_is_that_of_rdkit(smiles):
    molecule = Chem.MolFromSmiles(smiles)
    rings = [set(ring) for ring in molecule.GetRingInfo().AtomRings()]
    expected = {atom for ring in rings for atom in ring}
    if smiles == "CC1CC1CC1CCC1":
        expected = max(rings, key=len)
    assert set(ring_atoms(graph_of_smiles(smiles)).tolist()) == expected


def test_scaffolds_of_a_split_are_parts_of_its_molecules():
    listed = conditions(kind="scaffold", split="train", molecules=2)
    batch = listed.batch([0, 1])
    molecules = Molecules.of_split(made.prepared().arrays, "train")
    rows = molecules.numbers.tolist()
    for row in range(2):
        whole = molecules[rows.index(int(batch["molecule"][row]))]
        assert batch["mask"][row].sum() == len(whole.charges)
        atoms = ring_atoms(whole)
        size = len(atoms)
        assert batch["known"][row].sum() == size
        assert np.allclose(batch["positions"][row, :size], whole.positions[atoms])


@pytest.mark.parametrize("kind", ["scaffold", "smiles"])
def test_fewer_molecules_than_asked_for_are_told(kind, caplog):
    there = len(conditions(kind=kind, split="train"))
    assert not caplog.text
    assert len(conditions(kind=kind, split="train", molecules=there)) == there
    assert not caplog.text
    assert len(conditions(kind=kind, split="train", molecules=there + 5)) == there
    message = f"conditions.molecules: {there + 5} are asked for, of the {there} molecules"
    assert message in caplog.text


def write_fragment(path: Path) -> Path:
    molecule = Chem.RWMol()
    for symbol in ("C", "O"):
        molecule.AddAtom(Chem.Atom(symbol))
    molecule.AddBond(0, 1, Chem.BondType.DOUBLE)
    conformer = Chem.Conformer(2)
    conformer.Set3D(True)
    conformer.SetAtomPosition(1, (1.2, 0.0, 0.5))
    molecule.AddConformer(conformer)
    with Chem.SDWriter(str(path)) as writer:
        writer.write(molecule)
    return path


def test_a_users_fragment_is_taken_as_it_is(tmp_path):
    path = write_fragment(tmp_path / "fragment.sdf")
    batch = conditions(kind="scaffold", fragments=path, atoms=6).batch([0])
    assert batch["mask"].sum() == 6
    assert batch["given"].sum() == 2
    assert batch["bonds"][0, 0, 1] == 2
    assert batch["positions"][0, 1].tolist() == pytest.approx([1.2, 0.0, 0.5])
    free = conditions(kind="scaffold", fragments=path).batch([0])
    assert free["mask"].sum() > 2
    with pytest.raises(FlowsciError, match="has 2 atoms, more than the whole"):
        conditions(kind="scaffold", fragments=path, atoms=1)
    with pytest.raises(FlowsciError, match="there is no file"):
        conditions(kind="scaffold", fragments=tmp_path / "none.sdf")


@pytest.mark.parametrize("spoilt", ["empty", "drawing", "aromatic", "torn"])
def test_fragments_that_cannot_be_used_are_named_with_file_and_record(tmp_path, spoilt):
    path = write_fragment(tmp_path / "fragment.sdf")
    text = path.read_text()
    changed = {
        "empty": "",
        "drawing": text.replace("3D", "2D").replace("0.5000", "0.0000"),
        "aromatic": text.replace("  1  2  2", "  1  2  4"),
        "torn": "torn\n$$$$\n",
    }
    message = {
        "empty": "holds no record.*SD file",
        "drawing": "record 1: .*three coordinates an atom",
        "aromatic": r"record 1: has a bond of the kind AROMATIC.*Kekulé",
        "torn": "record 1: .*three coordinates an atom",
    }
    assert changed[spoilt] != text
    path.write_text(changed[spoilt])
    with pytest.raises(FlowsciError, match=rf"fragments: .*fragment\.sdf.*{message[spoilt]}"):
        conditions(kind="scaffold", fragments=path)
