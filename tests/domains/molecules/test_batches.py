import pickle
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from flowsci.domains.molecules.batches import PaddedMolecules, TrainingBatches, cuts
from flowsci.domains.molecules.record import Molecules
from flowsci.errors import FlowsciError
from tests.domains.molecules import made


@pytest.fixture(scope="module")
def prepared():
    return made.prepared()


def test_padded_molecules_are_those_of_the_record(prepared):
    dense = PaddedMolecules.of_split(prepared, "train")
    plain = Molecules.of_split(prepared.arrays, "train")
    batch = dense.padded([3, 0, 7])
    for row, index in enumerate([3, 0, 7]):
        graph, size = plain[index], int(batch["mask"][row].sum())
        assert batch["atomic_numbers"][row, :size].tolist() == graph.atomic_numbers.tolist()
        assert batch["charges"][row, :size].tolist() == graph.charges.tolist()
        assert batch["bonds"][row, :size, :size].tolist() == graph.bonds.tolist()
        assert np.allclose(batch["positions"][row, :size], graph.positions)
        assert batch["composition"][row].sum() == size
        for name in ("atomic_numbers", "charges", "positions"):
            assert not batch[name][row, size:].any()
        assert not batch["bonds"][row, size:].any()


def test_every_pass_sees_every_molecule_once_and_passes_differ(prepared):
    batches = TrainingBatches(prepared, "train", made.run())
    passes = [
        [batches[i]["id"].tolist() for i in range(p * len(batches), (p + 1) * len(batches))]
        for p in (0, 1)
    ]
    numbers = sorted(PaddedMolecules.of_split(prepared, "train").numbers.tolist())
    assert [sorted(chain.from_iterable(ids)) for ids in passes] == [
        numbers,
        numbers,
    ]
    assert passes[0] != passes[1]
    assert torch.equal(batches[1]["id"], batches[1]["id"])


def test_batches_go_to_other_processes(prepared):
    batches = TrainingBatches(prepared, "train", made.run())
    first = batches[0]["id"]
    assert torch.equal(pickle.loads(pickle.dumps(batches))[0]["id"], first)


def test_batches_keep_to_the_budget_and_to_like_sizes():
    sizes = np.sort(np.random.default_rng(0).integers(3, 30, 500))
    found = cuts(sizes, 64, 2000)
    assert [start for start, _ in found[1:]] == [stop for _, stop in found[:-1]]
    assert found[0][0] == 0
    assert found[-1][1] == 500
    for start, stop in found:
        largest = int(sizes[stop - 1])
        assert stop - start <= 64
        assert (stop - start) * largest * (largest - 1) // 2 <= 2000


def test_a_molecule_over_the_budget_is_refused_with_its_pairs():
    with pytest.raises(FlowsciError, match=r"300 atoms has 44,850 pairs.*pair_budget"):
        cuts(np.array([5, 300]), 64, 30_000)


def test_halves_share_the_training_molecules(prepared):
    parts = [PaddedMolecules.of_split(prepared, "train", half) for half in ("generator", "judge")]
    every = sorted(PaddedMolecules.of_split(prepared, "train").numbers.tolist())
    assert sorted([*parts[0].numbers.tolist(), *parts[1].numbers.tolist()]) == every


def test_an_empty_split_is_named(prepared):
    arrays = prepared.arrays.assign(split=prepared.arrays["split"] * 0)
    with pytest.raises(FlowsciError, match="no molecule in the split 'validation'"):
        PaddedMolecules.of_split(replace(prepared, arrays=arrays), "validation")
