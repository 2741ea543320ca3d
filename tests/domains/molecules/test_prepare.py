"""The record: flat arrays, splits, statistics."""

import numpy as np
import pytest
from rdkit import Chem

from flowsci.domains.molecules import domain, splits
from flowsci.domains.molecules.data_settings import PermutationSplits, ShareSplits
from flowsci.domains.molecules.graphs import canonical_smiles
from flowsci.domains.molecules.measures.soundness import sanitised
from flowsci.domains.molecules.record import Molecules
from flowsci.errors import FlowsciError

from .files import settings
from .made import SMILES, prepared


def test_every_molecule_of_the_record_is_the_one_that_was_read():
    arrays = prepared().arrays
    everyone = Molecules(arrays, np.arange(arrays.sizes["molecule"]))
    for index, smiles in enumerate(SMILES):
        graph = everyone[index]
        assert canonical_smiles(sanitised(graph)) == everyone.smiles[index]
        assert everyone.smiles[index] == Chem.CanonSmiles(smiles)
        hydrogens = graph.atomic_numbers == 1
        assert (np.diff(hydrogens.astype(int)) >= 0).all()
        assert graph.positions.mean(0) == pytest.approx(0, abs=1e-5)


def test_pytorch_geometric_gets_both_directions_of_each_bond():
    data = Molecules.of_split(prepared().arrays, "train").to_data(0)
    size = len(data.z)
    assert data.pos.shape == (size, 3)
    assert data.is_undirected()
    assert data.edge_index.shape[1] == len(data.edge_attr)
    assert data.smiles


def test_the_splits_share_no_graph_and_are_about_as_large_as_asked():
    names = [f"molecule {n // 2}" for n in range(1000)]
    side = splits.by_graph(names, ShareSplits(), 3)
    assert np.array_equal(side[::2], side[1::2])
    assert np.bincount(side) == pytest.approx([800, 100, 100], abs=2)
    assert not np.array_equal(side, splits.by_graph(names, ShareSplits(), 4))


def test_the_published_split_is_numpys_permutation_cut_in_order():
    asked = PermutationSplits(train=100_000, validation=17_748, test=13_083)
    order = np.random.RandomState(0).permutation(130_831)
    side = splits.by_permutation(np.arange(130_831), asked, 0)
    assert (side[order[:100_000]] == 0).all()
    assert (side[order[100_000:117_748]] == 1).all()
    assert (side[order[117_748:]] == 2).all()
    part = splits.by_permutation(np.array([5, 77, 4000]), asked, 0)
    assert part.tolist() == side[[5, 77, 4000]].tolist()
    with pytest.raises(FlowsciError, match="sum to 3, but row 6"):
        splits.by_permutation(np.array([5]), PermutationSplits(train=1, validation=1, test=1), 0)


def test_halves_go_by_the_graph_and_are_about_equal():
    half = splits.halves([f"C{n}" for n in range(2000)])
    assert half.mean() == pytest.approx(0.5, abs=0.05)
    assert splits.halves(["CO", "CC", "CO"]).tolist()[::2] == [splits.halves(["CO"])[0]] * 2


def test_statistics_are_of_the_training_molecules():
    made = prepared()
    train = Molecules.of_split(made.arrays, "train")
    counted = {int(size): count for size, count in made.statistics["atom_counts"].items()}
    sizes, counts = np.unique(train.atom_counts, return_counts=True)
    assert counted == dict(zip(sizes.tolist(), counts.tolist(), strict=True))
    assert made.statistics["atomic_numbers"] == [1, 6, 7, 8, 9]
    assert made.statistics["charges"] == [0, 1]
    assert made.statistics["bond_orders"] == [1, 2, 3]
    assert made.counts["molecules"]["train"] == len(train)


def test_unknown_values_are_counted_and_left_out_of_the_mean(tmp_path):
    path = tmp_path / "made.csv"
    rows = [f"{'C' * n},{n if n % 2 else ''}" for n in range(1, 13)]
    path.write_text("\n".join(["smiles,alpha", *rows]))
    made = domain.prepare([path], settings(mode="2d", properties={"alpha": "Bohr^3"}))
    assert made.counts["unknown properties"] == {"alpha": 6}
    train = Molecules.of_split(made.arrays, "train").properties[:, 0]
    assert made.statistics["properties"]["alpha"]["mean"] == pytest.approx(np.nanmean(train))
    assert made.units["alpha"] == "Bohr^3"


def test_a_name_that_is_given_twice_is_named(tmp_path):
    path = tmp_path / "made.smi"
    path.write_text("CO one\nCC one\n")
    message = r"made\.smi, record 2: one: is the name of made\.smi, record 1 too"
    with pytest.raises(FlowsciError, match=message):
        domain.prepare([path], settings(mode="2d"))


def test_of_molecules_of_one_name_the_first_is_kept_and_the_others_are_counted(tmp_path, caplog):
    path = tmp_path / "made.smi"
    names = ["one", "two", "one", "three", "one"]
    lines = [f"{'C' * (n + 1)} {name}" for n, name in enumerate(names)]
    lines += [f"{'C' * n}O more{n}" for n in range(1, 20)]
    path.write_text("\n".join([*lines, "[CH3] radical"]))
    made = domain.prepare([path], settings(mode="2d", on_fault="skip"))
    kept = Molecules(made.arrays, np.arange(made.arrays.sizes["molecule"]))
    assert kept.smiles.tolist()[:3] == ["C", "CC", "CCCC"]
    assert len(set(made.arrays["name"].values)) == len(kept) == 22
    for index in range(len(kept)):
        assert canonical_smiles(sanitised(kept[index])) == kept.smiles[index]
    assert made.counts["molecules"]["dropped"] == {"name given before": 2, "radical": 1}
    listed = made.counts["faults"]
    assert [text.split(":")[0] for text in listed["name given before"]] == [
        "made.smi, record 3",
        "made.smi, record 5",
    ]
    assert "Left out, name given before: 2. First: made.smi, record 3: one" in caplog.text
    assert "Left out, radical: 1. First: made.smi, record 25: radical" in caplog.text


def test_where_nothing_is_left_the_causes_are_said(tmp_path):
    path = tmp_path / "made.smi"
    path.write_text("[CH3] a\n*C b\n")
    with pytest.raises(FlowsciError, match="no usable molecule is left: radical: 1"):
        domain.prepare([path], settings(mode="2d", on_fault="skip"))
