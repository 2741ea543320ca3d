import pytest
import torch

from flowsci.domains.trajectories.network import AgentTransformer
from flowsci.domains.trajectories.settings import NetworkSettings

from .test_frames import turned


def build(prepared, locations: bool) -> AgentTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = NetworkSettings(
            width=16, heads=2, encoder_layers=1, decoder_layers=2, locations=locations
        )
        network = AgentTransformer(settings, 6, prepared.statistics)
        torch.nn.init.normal_(network.out.weight, std=0.3)
    return network.double().eval()


def say(network, x, t, condition) -> torch.Tensor:
    """Give the velocity."""
    return network(x, t, condition)[0]


@pytest.fixture(scope="module")
def network(prepared):
    return build(prepared, locations=True)


@pytest.fixture
def case(prepared):
    """Two scenes of four agents, three states a scene, and times."""
    generator = torch.Generator().manual_seed(0)
    start = 20 * torch.randn(2, 4, 1, 3, generator=generator)
    moves = torch.randn(2, 4, 8, 3, generator=generator)
    observed = (start + moves.cumsum(dim=2)).double()
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    x = torch.randn(6, 4, 6, generator=generator).double()
    t = torch.rand(6, generator=generator).double()
    return x, t, {"observed": observed, "mask": mask, "place": torch.zeros(2, dtype=torch.int64)}


def test_the_order_of_agents_does_not_matter(network, case):
    x, t, condition = case
    order = torch.tensor([2, 0, 3, 1])
    shuffled = dict(condition)
    for name in ("observed", "mask"):
        shuffled[name] = condition[name][:, order]
    said = say(network, x, t, condition)
    again = say(network, x[:, order], t, shuffled)
    real = shuffled["mask"].repeat_interleave(3, dim=0)
    assert torch.allclose(said[:, order][real], again[real], atol=1e-10)


def test_padding_changes_nothing(network, case):
    x, t, condition = case
    small = {name: tensor[1:] for name, tensor in condition.items()}
    for name in ("observed", "mask"):
        small[name] = small[name][:, :2]
    alone = say(network, x[3:, :2], t[3:], small)
    assert torch.allclose(say(network, x, t, condition)[3:, :2], alone, atol=1e-10)


def test_agents_of_a_scene_see_each_other_and_scenes_do_not(network, case):
    x, t, condition = case
    moved = x.clone()
    moved[0, 1] += 1.0
    change = (say(network, moved, t, condition) - say(network, x, t, condition)).abs().amax(dim=-1)
    assert (change[0] > 1e-6).all()
    assert (change[1:] == 0).all()


def test_an_agent_sees_its_nearest_only(prepared, case):
    x, t, condition = case
    settings = NetworkSettings(width=16, heads=2, encoder_layers=1, decoder_layers=1, nearest=2)
    short = AgentTransformer(settings, 6, prepared.statistics).double().eval()
    biases = short.encode(condition).biases
    place = condition["observed"][0, :, -1]
    farther = torch.cdist(place, place).argsort(dim=1).argsort(dim=1) >= 2
    assert torch.equal(biases[0, 0, 0, 0].isinf(), farther)
    assert torch.equal(biases[0, 1, 0, 0].isinf(), ~condition["mask"][1].expand(4, 4))
    assert say(short, x, t, condition).isfinite().all()


def test_agents_of_a_scene_that_are_alone_do_not_see_each_other(network, case):
    x, t, condition = case
    alone = {**condition, "alone": torch.tensor([True, False])}
    moved = x.clone()
    moved[[0, 3], 0] += 1.0
    change = (say(network, moved, t, alone) - say(network, x, t, alone)).abs().amax(dim=-1)
    assert (change[0, 1:] == 0).all()
    assert change[3, 1] > 1e-6
    single = {name: v[:1, 1:2] if v.ndim > 1 else v[:1] for name, v in condition.items()}
    assert torch.allclose(
        say(network, x[:3, 1:2], t[:3], single), say(network, x, t, alone)[:3, 1:2]
    )


def test_a_context_says_the_same_as_what_it_was_made_of(network, case):
    x, t, condition = case
    context = network.encode(condition)
    assert torch.equal(network.velocity(x, t, context), say(network, x, t, condition))


@pytest.mark.parametrize("angle", [0.4, -2.5])
def test_without_locations_a_turned_and_shifted_scene_is_the_same(prepared, case, angle):
    x, t, condition = case
    network = build(prepared, locations=False)
    elsewhere = condition | {"observed": turned(condition["observed"], angle, (40.0, -90.0))}
    assert torch.allclose(say(network, x, t, condition), say(network, x, t, elsewhere), atol=1e-5)


def test_a_scene_where_one_has_stopped_can_be_turned_and_where_one_never_moved_not(prepared, case):
    x, t, condition = case
    network = build(prepared, locations=False)
    changes = []
    for since in (2, 0):
        observed = condition["observed"].clone()
        observed[:, 1, since:] = observed[:, 1, since : since + 1]
        here = condition | {"observed": observed}
        elsewhere = condition | {"observed": turned(observed, 0.4, (40.0, -90.0))}
        changes.append((say(network, x, t, here) - say(network, x, t, elsewhere)).abs().max())
    assert changes[0] < 1e-9
    assert changes[1] > 1e-5


def test_with_locations_it_is_not(network, case):
    x, t, condition = case
    elsewhere = condition | {"observed": turned(condition["observed"], 0.0, (40.0, -90.0))}
    assert (say(network, x, t, condition) - say(network, x, t, elsewhere)).abs().max() > 1e-3


def test_an_untrained_network_says_zero(prepared, case, run_settings):
    x, t, condition = case
    network = AgentTransformer(run_settings.network, 6, prepared.statistics).double()
    assert (say(network, x, t, condition) == 0).all()


def test_a_place_that_is_hidden_makes_no_difference(network, case):
    x, t, condition = case
    hidden = condition | {"place": torch.full((2,), -1)}
    elsewhere = hidden | {"observed": turned(condition["observed"], 1.0, (40.0, -90.0))}
    assert torch.allclose(say(network, x, t, hidden), say(network, x, t, elsewhere), atol=1e-5)


def test_modes_are_a_mixture_that_follows_its_agents(network, case):
    x, t, condition = case
    modes = network(x, t, condition)[1]
    assert modes.mean.shape == modes.log_scale.shape == (2, 4, 28, 6)
    assert torch.allclose(modes.style.exp().sum(-1), torch.ones(2).double())
    assert torch.allclose(modes.weight.exp().sum(2), torch.ones(2, 4, 4).double())
    order = torch.tensor([2, 0, 3, 1])
    shuffled = condition | {name: condition[name][:, order] for name in ("observed", "mask")}
    again = network(x[:, order], t, shuffled)[1]
    real = shuffled["mask"]
    assert torch.allclose(modes.mean[:, order][real], again.mean[real], atol=1e-10)
    assert torch.allclose(modes.style, again.style, atol=1e-10)


@pytest.mark.parametrize("angle", [0.4, -2.5])
def test_modes_do_not_care_where_the_scene_is_and_looks(prepared, case, angle):
    x, t, condition = case
    network = build(prepared, locations=False)
    elsewhere = condition | {"observed": turned(condition["observed"], angle, (40.0, -90.0))}
    before, after = network(x, t, condition)[1], network(x, t, elsewhere)[1]
    for name in ("style", "weight", "mean", "log_scale"):
        assert torch.allclose(getattr(before, name), getattr(after, name), atol=1e-5)


def test_wind_turns_with_the_scene_and_none_is_a_wind_of_zero(prepared, case):
    settings = NetworkSettings(
        width=16, heads=2, encoder_layers=1, decoder_layers=1, locations=False, wind=True
    )
    network = AgentTransformer(settings, 6, prepared.statistics).double().eval()
    torch.nn.init.normal_(network.out.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    x, t, condition = case
    wind = torch.zeros(2, 4, 3).double()
    calm = say(network, x, t, condition)
    assert torch.equal(calm, say(network, x, t, {**condition, "wind": wind}))
    wind[..., 0], wind[..., 2] = 0.3, 1.0
    said = say(network, x, t, {**condition, "wind": wind})
    real = condition["mask"].repeat_interleave(3, dim=0)
    assert not torch.allclose(said[real], calm[real])
    around = {
        **condition,
        "observed": turned(condition["observed"], 0.9, (0.0, 0.0)),
        "wind": turned(wind, 0.9, (0.0, 0.0)),
    }
    assert torch.allclose(say(network, x, t, around)[real], said[real], atol=1e-10)


def test_each_place_has_ways_of_its_own(prepared, case):
    x, t, condition = case
    statistics = {**prepared.statistics, "places": ["one", "other"]}
    torch.manual_seed(0)
    settings = NetworkSettings(width=16, heads=2, encoder_layers=1, decoder_layers=1)
    network = AgentTransformer(settings, 6, statistics).double().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    one, other, nowhere = (
        say(network, x, t, condition | {"place": torch.full((2,), place)}) for place in (0, 1, -1)
    )
    assert (one - other).abs().max() > 1e-3
    assert (one - nowhere).abs().max() > 1e-3
