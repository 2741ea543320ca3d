"""Mixed states: one time, one call, and the law of both parts together."""

import pytest
import torch
from torch import nn

from flowsci.errors import FlowsciError
from flowsci.flow import (
    ConditionalLeap,
    DiscreteFlowMatching,
    Euler,
    FlowMatching,
    ImportanceByLoss,
    MaskedPath,
    Mixed,
    MixedField,
    MixedMatching,
    NormMatchedGaussian,
    StudentT,
    Uniform,
    grids,
    sample_generators,
    solve,
)

COMPONENTS = {
    "position": FlowMatching(),
    "kind": DiscreteFlowMatching(MaskedPath(3)),
}
CENTRES = torch.tensor([-2.0, 0.0, 3.0])


class Joint(nn.Module):
    """Says the velocity of the position and the logits of the kind from both."""

    def __init__(self):
        super().__init__()
        self.calls = 0
        self.layers = nn.Sequential(
            nn.Linear(6, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 4)
        )

    def forward(self, x, t, condition=None):
        self.calls += 1
        kinds = nn.functional.one_hot(x["kind"], 4).float()
        said = self.layers(torch.cat([x["position"], kinds, t[:, None]], 1))
        return {"position": said[:, :1], "kind": said[:, 1:]}


def data(count, generator):
    kind = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), count, True, generator=generator)
    noise = torch.randn(count, 1, generator=generator)
    return {"position": CENTRES[kind, None] + 0.3 * noise, "kind": kind}


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Joint()


def test_position_and_kind_come_out_together():
    generator = torch.Generator().manual_seed(0)
    net, objective = network(), MixedMatching(COMPONENTS)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(600):
        optimiser.zero_grad()
        objective(net, data(256, generator), generator).value.backward()
        optimiser.step()
    net.calls, count = 0, 2000
    start = {
        "position": torch.randn(count, 1, generator=generator),
        "kind": torch.full((count,), 3),
    }
    methods = Mixed({"position": Euler(), "kind": ConditionalLeap()})
    field = MixedField(net, COMPONENTS)
    with torch.no_grad():
        drawn = solve(field, start, grids.uniform(40), methods, generators=generator)
    assert net.calls == 40
    shares = torch.bincount(drawn["kind"], minlength=3) / count
    assert (shares - torch.tensor([0.5, 0.3, 0.2])).abs().max() < 0.08
    distance = (drawn["position"] - CENTRES).abs()
    assert (distance.argmin(1) == drawn["kind"]).float().mean() > 0.93


def test_the_loss_is_the_weighted_sum_of_its_terms():
    net = network()
    x1 = data(64, torch.Generator().manual_seed(1))
    losses = [
        MixedMatching(COMPONENTS, weights)(net, x1, torch.Generator().manual_seed(2))
        for weights in ({}, {"kind": 0.25})
    ]
    for loss, weight in zip(losses, (1.0, 0.25), strict=True):
        terms = loss.terms["position"] + weight * loss.terms["kind"]
        assert torch.allclose(loss.value, terms.mean())
        assert torch.allclose(loss.per_sample, terms)


def test_a_single_component_is_its_own_objective():
    x1 = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))

    def shift(x, t, condition=None):
        return x + 1

    alone = FlowMatching()(shift, x1, torch.Generator().manual_seed(3))
    mixed = MixedMatching({"x": FlowMatching()})(
        lambda x, t, c: {"x": shift(x["x"], t)}, {"x": x1}, torch.Generator().manual_seed(3)
    )
    assert torch.equal(alone.value, mixed.value)


def test_samples_do_not_depend_on_the_batch():
    net, field = network(), None
    field = MixedField(net, COMPONENTS)
    methods = Mixed({"position": Euler(), "kind": ConditionalLeap()})

    def sample(rows):
        start = {"position": torch.ones(len(rows), 1), "kind": torch.full((len(rows),), 3)}
        generators = sample_generators(0, rows)
        with torch.no_grad():
            return solve(field, start, grids.uniform(5), methods, generators=generators)

    whole, parts = sample(range(8)), [sample(range(3)), sample(range(3, 8))]
    for name in COMPONENTS:
        joined = torch.cat([part[name] for part in parts])
        assert torch.allclose(whole[name].float(), joined.float(), atol=1e-5)


def test_padding_counts_in_no_component():
    mask = torch.tensor([[True, True, False]])
    x1 = {"position": torch.ones(1, 3, 2), "kind": torch.ones(1, 3, dtype=torch.int64)}

    def poisoned(value):
        def net(x, t, condition=None):
            position = torch.zeros(1, 3, 2)
            position[:, 2] = value
            logits = torch.zeros(1, 3, 3)
            logits[:, 2, 0] = value
            return {"position": position, "kind": logits}

        masks = dict.fromkeys(COMPONENTS, mask)
        generator = torch.Generator().manual_seed(0)
        return MixedMatching(COMPONENTS)(net, x1, generator, mask=masks).value

    assert torch.equal(poisoned(0.0), poisoned(1e6))


def test_names_that_do_not_match_are_named():
    x1 = data(4, torch.Generator().manual_seed(0))
    generator = torch.Generator()
    with pytest.raises(FlowsciError, match=r"weights for \['charge'\]"):
        MixedMatching(COMPONENTS, {"charge": 1.0})
    with pytest.raises(FlowsciError, match=r"the data has \['position'\]"):
        MixedMatching(COMPONENTS)(network(), {"position": x1["position"]}, generator)
    with pytest.raises(FlowsciError, match="the network's output has Tensor"):
        MixedMatching(COMPONENTS)(lambda x, t, c: x["position"], x1, generator)


def test_biased_times_are_weighed_for_every_component_and_only_those_of_the_mixture():
    # the loss of the position is 1 at t < 1/2 and 4 above: its mean is 2.5
    uneven = ImportanceByLoss(torch.tensor([1.0, 100.0]), torch.ones(2))

    def loss(times, own):
        objective = MixedMatching({"x": FlowMatching(times=own)}, times=times)
        return objective(
            lambda x, t, c: {"x": x["x"] * 0 + torch.where(t < 0.5, 1, 2)[:, None]},
            {"x": torch.zeros(4000, 1)},
            torch.Generator().manual_seed(0),
            x0={"x": torch.zeros(4000, 1)},
        ).value

    for times in (Uniform(), uneven):
        for own in (Uniform(), uneven):
            assert abs(loss(times, own) - 2.5) < 0.15


@pytest.mark.parametrize("source", [StudentT(4.0), NormMatchedGaussian(2.0)], ids=repr)
def test_a_component_of_any_source_can_be_sampled_and_only_its_score_is_unknown(source):
    field = MixedField(
        lambda x, t, c: {"x": torch.ones_like(x["x"])}, {"x": FlowMatching(source=source)}
    )
    start = {"x": torch.zeros(3, 2)}
    end = solve(field, start, grids.uniform(4), Mixed({"x": Euler()}))
    assert torch.equal(end["x"], torch.ones(3, 2))
    prediction = field(start, torch.full((3,), 0.5))["x"]
    assert torch.equal(prediction.clean, torch.full((3, 2), 0.5))
    for unknown in ("score", "whitened_score", "noise_scale"):
        with pytest.raises(FlowsciError, match="not Gaussian"):
            getattr(prediction, unknown)


def test_the_time_is_as_exact_as_the_data():
    seen = []

    def net(x, t, condition=None):
        seen.append(t.dtype)
        return {"a": torch.zeros_like(x["a"])}

    x1 = {"a": torch.randn(4, 2, dtype=torch.float64)}
    loss = MixedMatching({"a": FlowMatching()})(net, x1, torch.Generator().manual_seed(0))
    assert seen == [torch.float64]
    assert loss.value.dtype == torch.float64
