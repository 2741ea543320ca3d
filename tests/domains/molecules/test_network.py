from dataclasses import replace

import pytest
import torch

from flowsci.domains.molecules.batches import PaddedMolecules
from flowsci.domains.molecules.network import MoleculeTransformer
from flowsci.domains.molecules.settings import NetworkSettings
from flowsci.domains.molecules.sizes import SIZES
from flowsci.domains.molecules.triangle import triangle
from flowsci.domains.molecules.trunk import Context
from flowsci.errors import FlowsciError
from flowsci.flow.alignment import rotate
from tests.domains.molecules import made


def network(**changes):
    torch.manual_seed(0)
    settings = made.run(network=changes).network
    built = MoleculeTransformer(settings, made.prepared().statistics, 1.5)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return built.eval()


def states(n=6, rows=3):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, n, 3, generator=generator)
    counts = {"atoms": 5, "charges": 3, "bonds": 5}
    shapes = {"atoms": (rows, n), "charges": (rows, n), "bonds": (rows, n * (n - 1) // 2)}
    labels = {
        name: torch.randint(0, counts[name], shape, generator=generator)
        for name, shape in shapes.items()
    }
    return {"positions": x - x.mean(1, keepdim=True), **labels}


def context(rows=3, n=6):
    return Context(torch.full((rows,), float(n)))


def say(built, states, told, t=0.4):
    with torch.no_grad():
        first = built(states, torch.full((len(states["atoms"]),), t), told)
        return built(states, torch.full((len(states["atoms"]),), t), told.after(first))


def test_labels_are_invariant_and_positions_turn_along():
    built, start = network(), states()
    turn = torch.linalg.qr(torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(1)))[0]
    turn = turn * torch.linalg.det(turn)[:, None, None]
    plain = say(built, start, context())
    other = say(built, {**start, "positions": rotate(start["positions"], turn)}, context())
    assert torch.allclose(other["positions"], rotate(plain["positions"], turn), atol=1e-3)
    for name in ("atoms", "charges", "bonds"):
        assert torch.allclose(other[name], plain[name], atol=1e-3)


def test_atoms_in_another_order_give_the_same_in_that_order():
    built, start = network(), states()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(2))
    pairs = triangle(6)
    mixed = {name: start[name][:, order] for name in ("positions", "atoms", "charges")}
    mixed["bonds"] = pairs.pack(pairs.unpack(start["bonds"])[:, order][:, :, order])
    plain, other = say(built, start, context()), say(built, mixed, context())
    for name in ("positions", "atoms", "charges"):
        assert torch.allclose(other[name], plain[name][:, order], atol=1e-4)
    dense = pairs.unpack(plain["bonds"])[:, order][:, :, order]
    assert torch.allclose(other["bonds"], pairs.pack(dense), atol=1e-4)


def test_padding_changes_nothing_and_stays_zero():
    built, start = network(), states()
    small, large = triangle(6), triangle(8)
    wide = {
        "positions": torch.nn.functional.pad(start["positions"], (0, 0, 0, 2)),
        "atoms": torch.nn.functional.pad(start["atoms"], (0, 2)),
        "charges": torch.nn.functional.pad(start["charges"], (0, 2)),
        "bonds": large.pack(torch.nn.functional.pad(small.unpack(start["bonds"]), (0, 2, 0, 2))),
    }
    mask = torch.arange(8).expand(3, 8) < 6
    plain = say(built, start, context())
    other = say(built, wide, replace(context(), mask=mask))
    assert torch.allclose(other["positions"][:, :6], plain["positions"], atol=1e-3)
    assert not other["positions"][:, 6:].any()
    assert torch.allclose(other["atoms"][:, :6], plain["atoms"], atol=1e-3)
    inside = large.both(mask)[0]
    assert torch.allclose(other["bonds"][:, inside], plain["bonds"], atol=1e-3)


def test_near_the_data_positions_stay_and_their_mean_is_zero():
    built, start = network(), states()
    late, early = say(built, start, context(), t=1 - 1e-5), say(built, start, context(), t=0.0)
    assert torch.allclose(late["positions"], start["positions"], atol=1e-3)
    assert not torch.allclose(early["positions"], start["positions"], atol=0.1)
    assert early["positions"].mean(1).abs().max() < 1e-5


def test_given_atoms_stay_where_they_are():
    built, start = network(fragments=True), states()
    given = torch.zeros(3, 6, dtype=torch.bool)
    given[0, :2] = True
    told = replace(context(), given=given, known=given)
    moved = {**start, "positions": start["positions"] + given.any(1)[:, None, None] * 0.7}
    said = say(built, moved, told)["positions"]
    assert torch.equal(said[0, :2], moved["positions"][0, :2])
    assert said[1:].mean(1).abs().max() < 1e-5


def test_what_was_said_before_and_what_is_asked_for_matter():
    built, start = network(composition=True), states()
    once = built(start, torch.full((3,), 0.4), context())
    assert not torch.allclose(once["atoms"], say(built, start, context())["atoms"], atol=1e-3)
    elements = len(made.prepared().statistics["atomic_numbers"])
    asked = replace(context(), composition=torch.full((3, elements), 2.0))
    assert not torch.allclose(built(start, torch.full((3,), 0.4), asked)["atoms"], once["atoms"])
    null = replace(context(), composition=torch.full((3, elements), torch.nan))
    assert torch.equal(built(start, torch.full((3,), 0.4), null)["atoms"], once["atoms"])


def test_a_wish_that_was_not_trained_is_refused():
    elements = len(made.prepared().statistics["atomic_numbers"])
    asked = replace(context(), composition=torch.full((3, elements), 2.0))
    with pytest.raises(FlowsciError, match="not trained to be asked for composition"):
        network()(states(), torch.full((3,), 0.4), asked)
    with pytest.raises(FlowsciError, match="names alpha, which the dataset has not"):
        network(properties=["alpha"])


def test_the_named_sizes_are_of_their_millions():
    statistics = made.prepared().statistics
    millions = {}
    for size in SIZES:
        built = MoleculeTransformer(NetworkSettings(size=size), statistics, 1.5)
        millions[size] = sum(p.numel() for p in built.parameters()) / 1e6
    assert millions["tiny"] == pytest.approx(0.5, rel=0.3)
    assert millions["small"] == pytest.approx(1.0, rel=0.3)
    assert millions["base"] == pytest.approx(7.0, rel=0.3)
    assert millions["large"] == pytest.approx(40.0, rel=0.3)


def test_heads_must_divide_the_width():
    with pytest.raises(FlowsciError, match=r"heads \(7\) must divide width \(24\)"):
        network(heads=7)


def test_a_batch_becomes_a_context():
    molecules = PaddedMolecules.of_split(made.prepared(), "train")
    found = Context.of(molecules.padded([0, 5]))
    assert found.count.tolist() == molecules.sizes[[0, 5]].tolist()
