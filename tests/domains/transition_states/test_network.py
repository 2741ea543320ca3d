import pytest
import torch

from flowsci.domains.transition_states.batches import move_apart, random_rotations
from flowsci.domains.transition_states.record import Reactions
from flowsci.errors import FlowsciError
from flowsci.flow.alignment import rotate


@pytest.fixture(scope="module")
def batch(prepared):
    return Reactions.of_split(prepared.arrays, "train").padded([0, 3, 5])


def say(model, batch, t=0.3):
    with torch.no_grad():
        return model.network(batch["start"], torch.full((len(batch["start"]),), t), batch)


def test_the_frames_of_the_ends_cannot_leak(model, batch):
    """Reactant and product turned and shifted apart: the output does not care."""
    moved = move_apart(batch, torch.Generator().manual_seed(1))
    apart = {**batch, "reactant": moved["reactant"], "product": moved["product"]}
    assert not torch.allclose(apart["reactant"], batch["reactant"])
    assert torch.allclose(say(model, apart).positions, say(model, batch).positions, atol=1e-4)


def test_the_output_turns_and_moves_with_the_state(model, batch):
    turn = random_rotations(3, torch.Generator().manual_seed(2))
    shift = torch.tensor([1.0, -2.0, 3.0]) * batch["mask"][..., None]
    turned = {**batch, "start": rotate(batch["start"], turn) + shift}
    expected = rotate(say(model, batch).positions, turn) + shift
    assert torch.allclose(say(model, turned).positions, expected, atol=1e-4)
    assert torch.allclose(say(model, turned).log_error, say(model, batch).log_error, atol=1e-4)


def test_a_mirror_image_is_told_only_by_a_handed_network(batch):
    from flowsci.domains.transition_states.network import ReactionTransformer
    from flowsci.domains.transition_states.settings import NetworkSettings

    mirror = torch.tensor([-1.0, 1.0, 1.0])
    image = {name: batch[name] * mirror for name in ("start", "reactant", "product")}
    differences = {}
    for handed in (True, False):
        torch.manual_seed(0)
        settings = NetworkSettings(width=16, pair_width=8, layers=2, heads=2, handed=handed)
        network = ReactionTransformer(settings, {"atomic_numbers": [1, 6, 7]})
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        t = torch.full((3,), 0.3)
        with torch.no_grad():
            plain = network(batch["start"], t, batch).positions
            other = network(image["start"], t, {**batch, **image}).positions
        differences[handed] = (other - plain * mirror).abs().max()
    assert differences[False] < 1e-4 < 1e-3 < differences[True]


def test_padding_changes_nothing(model, prepared, batch):
    alone = Reactions.of_split(prepared.arrays, "train").padded([3])
    wide = {
        name: torch.nn.functional.pad(value, (0, 0, 0, 2)) if value.ndim == 3 else value
        for name, value in alone.items()
    }
    wide["mask"] = torch.nn.functional.pad(alone["mask"], (0, 2))
    wide["atomic_numbers"] = torch.nn.functional.pad(alone["atomic_numbers"], (0, 2))
    wide["orders"] = torch.nn.functional.pad(alone["orders"], (0, 2, 0, 2))
    n = alone["mask"].shape[1]
    found = say(model, wide)
    assert torch.allclose(found.positions[:, :n], say(model, alone).positions, atol=1e-4)
    assert (found.positions[:, n:] == 0).all()
    assert torch.allclose(found.log_error, say(model, alone).log_error, atol=1e-4)


def test_atoms_in_another_order_give_the_same_in_that_order(model, prepared):
    alone = Reactions.of_split(prepared.arrays, "train").padded([0])
    order = torch.randperm(alone["mask"].shape[1], generator=torch.Generator().manual_seed(0))
    mixed = {
        name: value[:, order] if name not in ("id", "orders") else value
        for name, value in alone.items()
    }
    mixed["orders"] = alone["orders"][:, :, order][..., order]
    assert torch.allclose(
        say(model, mixed).positions, say(model, alone).positions[:, order], atol=1e-4
    )


def test_elements_that_training_never_saw_are_named(model, batch):
    strange = {**batch, "atomic_numbers": batch["atomic_numbers"].clone()}
    strange["atomic_numbers"][0, 0] = 17
    with pytest.raises(FlowsciError, match=r"never seen the elements Cl; it knows H, C, N"):
        say(model, strange)


def test_a_context_that_is_repeated_is_that_of_repeated_reactions(model, batch):
    context = model.network.encode(batch).repeat(2)
    x = batch["start"].repeat_interleave(2, dim=0)
    with torch.no_grad():
        found = model.network(x, torch.zeros(6), context).positions
    assert torch.allclose(found[::2], say(model, batch, 0.0).positions, atol=1e-5)
    assert torch.allclose(found[1::2], found[::2], atol=1e-5)
