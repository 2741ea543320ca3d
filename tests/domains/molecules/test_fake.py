from statistics import mean

import pytest
import torch

from flowsci.domains.molecules import domain
from flowsci.domains.molecules.batches import PaddedMolecules, TrainingBatches
from flowsci.domains.molecules.fake import left_out, widen, with_fake_atoms
from flowsci.flow import sample_generators
from tests.domains.molecules import made
from tests.domains.molecules.test_flow import model, sample, train

MOST = 3


@pytest.fixture(scope="module")
def batch():
    molecules = PaddedMolecules.of_split(made.prepared(), "train")
    return molecules.padded(range(len(molecules)))


def test_a_view_has_fake_atoms_about_real_ones_behind_them(batch):
    wide = with_fake_atoms(batch, MOST, torch.Generator().manual_seed(0))
    before, n = batch["mask"].sum(1), batch["mask"].shape[1]
    more = wide["mask"].sum(1) - before
    assert set(more.tolist()) == {0, 1, 2, 3}
    for row, (count, added) in enumerate(zip(before, more, strict=True)):
        assert wide["mask"][row].nonzero().flatten().tolist() == list(range(count + added))
        fake = slice(int(count), int(count + added))
        for name in ("atomic_numbers", "charges"):
            assert torch.equal(wide[name][row, :count], batch[name][row, :count])
            assert not wide[name][row, count:].any()
        assert not wide["bonds"][row, fake].any()
        near = torch.cdist(wide["positions"][row, fake], batch["positions"][row, :count])
        assert (near.amin(-1) < 5).all()
        assert not wide["positions"][row, count + added :].any()
    assert torch.equal(wide["bonds"][:, :n, :n], batch["bonds"])


def test_a_molecule_that_is_known_whole_gets_no_place(batch):
    known = batch["mask"].clone()
    known[::2] = False
    wide = widen({**batch, "known": known}, MOST, torch.Generator().manual_seed(0))
    more = wide["mask"].sum(1) - batch["mask"].sum(1)
    assert not more[1::2].any()
    assert more[::2].any()


def test_fake_atoms_are_left_out_with_their_bonds(batch):
    wide = with_fake_atoms(batch, MOST, torch.Generator().manual_seed(0))
    wide["bonds"] = torch.ones_like(wide["bonds"])
    found = left_out(wide, {})
    n = batch["mask"].shape[1]
    assert torch.equal(found["mask"][:, :n], batch["mask"])
    assert not found["mask"][:, n:].any()
    assert not found["bonds"][~found["mask"]].any()
    assert found["positions"].sum(1).abs().max() < 1e-4
    assert not found["positions"][~found["mask"]].any()


def test_samples_have_as_many_atoms_as_come_out():
    built, run = model(
        network={"fake_atoms": MOST}, training={"batch_size": 16}, sampling={"steps": 20}
    )
    atoms = [row["atoms"] for row in train(built, run, made.prepared(), 60)]
    assert mean(atoms[-20:]) < 0.8 * mean(atoms[:3])
    conditions = domain.conditions(made.prepared(), run.sampling)
    asked = conditions.batch([0, 1, 2, 3])["mask"].sum(1)
    drawn = sample(built, run, [0, 1, 2, 3], samples=8)
    assert set(drawn["atomic_numbers"][drawn["mask"]].tolist()) <= {1, 6, 7, 8, 9}
    count = drawn["mask"].sum(-1)
    assert (count <= asked[:, None] + MOST).all()
    assert any(len(set(row.tolist())) > 1 for row in count)
    alone = sample(built, run, [2], samples=8)
    assert torch.equal(alone["mask"].sum(-1)[0], count[2])


def test_a_scaffold_stays_and_the_number_of_atoms_beside_it_is_free():
    scaffold = {"conditions": {"kind": "scaffold", "split": "train", "molecules": 3}}
    built, run = model(network={"fragments": True, "fake_atoms": MOST}, sampling=scaffold)
    told = domain.conditions(made.prepared(), run.sampling).batch([0, 1, 2])
    drawn = sample(built, run, [0, 1, 2], samples=4)
    known, n = told["known"], told["mask"].shape[1]
    for copy in range(4):
        assert drawn["mask"][:, copy, :n][known].all()
        for name in ("atomic_numbers", "positions"):
            assert torch.equal(drawn[name][:, copy, :n][known], told[name][known])


def test_batches_keep_their_budget_with_fake_atoms():
    run = made.run(network={"fake_atoms": MOST}, training={"batch_size": 64, "pair_budget": 200})
    batches = TrainingBatches(made.prepared(), "train", run)
    for index in range(len(batches)):
        rows, n = batches[index]["mask"].shape
        assert rows * n * (n - 1) // 2 <= 200


def test_nets_of_properties_and_fake_atoms_are_refused_together():
    with pytest.raises(ValueError, match="a guide knows no fake atoms"):
        made.run(network={"properties": ["alpha"], "guide": "tiny", "fake_atoms": 2})
    judged = {"properties": ["alpha"], "judge": "tiny", "fake_atoms": 2}
    with pytest.raises(ValueError, match="a judge knows no fake atoms"):
        made.run(teacher="judge", network=judged)


def test_places_are_drawn_by_each_sample_alone(batch):
    generators = sample_generators(0, range(len(batch["mask"])))
    whole = widen(batch, MOST, generators)["mask"].sum(1)
    few = {name: part[3:5] for name, part in batch.items()}
    assert torch.equal(widen(few, MOST, sample_generators(0, [3, 4]))["mask"].sum(1), whole[3:5])


def test_what_is_learned_is_centred_on_real_and_fake_atoms_as_answers_are(batch):
    built, _ = model(network={"fake_atoms": MOST})
    wide = with_fake_atoms(batch, MOST, torch.Generator().manual_seed(0))
    assert wide["positions"].sum(1).abs().max() > 0.1
    assert built._ends(wide)["positions"].sum(1).abs().max() < 1e-4
