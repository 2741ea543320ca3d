import pytest
import torch

from flowsci.domains.transition_states import domain
from flowsci.domains.transition_states.batches import jitter, mirrored, random_rotations
from flowsci.domains.transition_states.stress import distances
from flowsci.errors import FlowsciError


def test_a_pass_holds_every_reaction_once_and_passes_differ(prepared, run_settings):
    batches = domain.batches(prepared, run_settings, "train")
    passes = [
        [i for k in range(len(batches)) for i in batches[p * len(batches) + k]["id"].tolist()]
        for p in range(2)
    ]
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(batches.reactions.numbers.tolist())
    assert passes[0] != passes[1]


def test_a_batch_is_a_function_of_its_number(prepared, run_settings):
    one, other = (domain.batches(prepared, run_settings, "train")[3] for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_frames_are_moved_apart_and_distances_stay(prepared, run_settings):
    batch = domain.batches(prepared, run_settings, "train")[0]
    plain = domain.batches(prepared, run_settings, "train").reactions
    rows = [plain.numbers.tolist().index(i) for i in batch["id"].tolist()]
    before = plain.padded(rows)
    assert torch.allclose(
        distances(batch["transition_state"]), distances(before["transition_state"]), atol=1e-4
    )
    assert not torch.allclose(batch["start"], before["start"], atol=0.1)
    assert (batch["reactant"][~batch["mask"]] == 0).all()


def test_jitter_displaces_both_ends_and_nothing_else(prepared, run_settings):
    conditions = domain.batches(prepared, run_settings, "validation").reactions
    batch = conditions.padded(range(len(conditions)))
    batch["mask"][0, -1] = False
    moved = jitter(batch, 0.05, torch.Generator().manual_seed(0))
    real = batch["mask"]
    for name in ("reactant", "product"):
        assert 0.03 < (moved[name] - batch[name])[real].std() < 0.07
        assert (moved[name][~real] == 0).all()
    assert all(moved[name] is batch[name] for name in ("transition_state", "start", "orders"))
    assert jitter(batch, 0.0, torch.Generator()) is batch


def test_mirror_images_keep_distances_and_turn_handedness(prepared, run_settings):
    reactions = domain.batches(prepared, run_settings, "validation").reactions
    batch = reactions.padded(range(2))
    found = mirrored(batch, torch.tensor([True, False]))

    def volume(positions):
        return torch.linalg.det((positions[:, 1:4] - positions[:, :1]).double())

    for name in ("reactant", "product", "start", "transition_state"):
        assert torch.allclose(distances(found[name]), distances(batch[name]), atol=1e-5)
        assert torch.equal(found[name][1], batch[name][1])
        assert torch.isclose(volume(found[name])[0], -volume(batch[name])[0])
        assert volume(batch[name])[0].abs() > 1e-3
    assert all(found[name] is batch[name] for name in ("orders", "atomic_numbers", "mask"))


def test_rotations_are_proper():
    turn = random_rotations(50, torch.Generator().manual_seed(0))
    assert torch.allclose(turn @ turn.mT, torch.eye(3).expand(50, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(turn), torch.ones(50), atol=1e-5)


def test_conditions_hold_no_transition_state(prepared, run_settings):
    batch = domain.conditions(prepared, run_settings.sampling).batch([0])
    assert "transition_state" not in batch


def test_training_on_reactions_without_a_transition_state_is_refused(prepared, run_settings):
    arrays = prepared.arrays.copy(deep=True)
    arrays["transition_state"][:] = float("nan")
    from flowsci.domains.transition_states.batches import TrainingBatches

    with pytest.raises(FlowsciError, match="have no transition state, such as made_"):
        TrainingBatches(arrays, "train", run_settings.training)
