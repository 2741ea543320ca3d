import pytest
import torch

from flowsci.domains.molecules.batches import PaddedMolecules
from flowsci.domains.molecules.views import graph_distances, random_fragments, random_views
from tests.domains.molecules import made


@pytest.fixture(scope="module")
def batch():
    molecules = PaddedMolecules.of_split(made.prepared(), "train")
    return molecules.padded(range(len(molecules)))


def test_graph_distances_count_bonds(batch):
    chain = torch.diag(torch.ones(4), 1).bool()[None]
    chain = chain | chain.mT
    everything = torch.ones(1, 5, dtype=torch.bool)
    found = graph_distances(chain, everything, torch.tensor([1]))
    assert found.tolist() == [[1, 0, 1, 2, 3]]
    cut = torch.tensor([[True, True, False, True, True]])
    assert graph_distances(chain, cut, torch.tensor([1])).isinf().tolist() == [
        [False, False, True, True, True]
    ]


def test_fragments_are_connected_and_never_the_whole_molecule(batch):
    for seed in range(20):
        fragment = random_fragments(batch, torch.Generator().manual_seed(seed))
        size = fragment.sum(1)
        assert (size >= 1).all()
        assert (size < batch["mask"].sum(1)).all()
        assert not (fragment & ~batch["mask"]).any()
        start = fragment.float().argmax(1)
        reached = graph_distances(batch["bonds"] > 0, fragment, start).isfinite()
        assert torch.equal(reached, fragment)


def test_views_ask_for_shares_of_what_there_is(batch):
    settings = made.run(
        network={"composition": True, "fragments": True},
        training={"unconditional": 0.2, "fragment_share": 0.5, "graph_share": 0.4},
    )
    views = [
        random_views(
            batch, settings.network, settings.training, torch.Generator().manual_seed(seed)
        )
        for seed in range(200)
    ]
    asked = torch.stack([~view["composition"].isnan() for view in views])
    assert (asked.all(-1) == asked.any(-1)).all()
    assert asked.float().mean().item() == pytest.approx(0.8, abs=0.03)
    known = torch.stack([view["known"] for view in views])
    given = torch.stack([view["given"] for view in views])
    assert known.any(-1).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert given.any(-1).float().mean().item() == pytest.approx(0.3, abs=0.03)
    whole = (known == batch["mask"]).all(-1)
    assert not given[whole].any()
    assert torch.equal(given[~whole], known[~whole])


def test_one_of_several_conditions_is_asked_for_in_half_of_the_views_that_ask(batch):
    settings = made.run(
        network={"composition": True, "properties": ["mu"]}, training={"unconditional": 0.2}
    )
    views = [
        random_views(
            batch, settings.network, settings.training, torch.Generator().manual_seed(seed)
        )
        for seed in range(200)
    ]
    asked = torch.stack([~view["composition"].isnan() for view in views])
    assert asked.float().mean().item() == pytest.approx(0.4, abs=0.03)


def test_a_network_without_conditions_is_told_nothing(batch):
    settings = made.run()
    view = random_views(batch, settings.network, settings.training, torch.Generator())
    assert not {"properties", "composition", "known", "given"} & set(view)


def test_a_fragment_of_a_graph_gives_no_positions(batch):
    settings = made.run(network={"mode": "2d", "fragments": True})
    graphs = {name: part for name, part in batch.items() if name != "positions"}
    generator = torch.Generator().manual_seed(0)
    view = random_views(graphs, settings.network, settings.training, generator)
    assert view["known"].any()
    assert not view["given"].any()
