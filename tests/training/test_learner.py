"""The learner: one step by hand, streams of its own, judgement by the averaged weights."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from flowsci.errors import FlowsciError
from flowsci.flow import Loss, sample_generators
from flowsci.training.interruption import Interruption
from flowsci.training.learner import Learner
from flowsci.training.processes import make_fabric
from tests.training.conftest import Mixture, loss, network


def make(settings, net=None, loss=loss):
    return Learner(make_fabric(torch.device("cpu"), 1, "32-true"), net or network(), loss, settings)


def test_a_step_is_a_clipped_step_of_adamw(settings):
    """Noise is drawn from the step's generator, and dropout from the global one."""
    settings = settings.model_copy(update={"gradient_clip": 0.1})
    net = network()
    bare = copy.deepcopy(net)
    learner = make(settings, net)
    optimiser = torch.optim.AdamW(bare.parameters(), lr=0.01, weight_decay=settings.weight_decay)
    averaged = net.layers[0].weight.detach().clone()
    for step in range(3):
        values = learner.learn(Mixture(), step, 0.01)
        averaged.lerp_(net.layers[0].weight.detach(), 1 - (1 + step) / (10 + step))
        with torch.random.fork_rng():
            torch.manual_seed(sample_generators(learner.dropout, [step])[0].initial_seed())
            expected = loss(bare, Mixture()[step], sample_generators(learner.noise, [step])[0])
        optimiser.zero_grad()
        expected.value.backward()
        norm = nn.utils.clip_grad_norm_(bare.parameters(), 0.1)
        optimiser.step()
        assert values["train_loss"] == expected.value.item()
        # sums of one gradient differ in the last digit with the place of its numbers in memory
        assert values["gradient_norm"] == pytest.approx(norm.item(), rel=1e-6)
        assert norm > 0.1
    for mine, other in zip(net.parameters(), bare.parameters(), strict=True):
        assert torch.allclose(mine, other, rtol=1e-5)
    assert torch.allclose(learner.averaged_state()["layers.0.weight"], averaged, rtol=1e-5)


def test_noise_and_dropout_are_streams_of_their_own(settings):
    """Were they one, the noise of a case would tell which units are dropped."""
    learner = make(settings)
    seeds = [learner.noise, learner.dropout, learner.validation, settings.seed]
    draws = [torch.randn(4, generator=sample_generators(seed, [0])[0]) for seed in seeds]
    seen = []

    def recording(net, batch, generator):
        seen.append((torch.randn(4), torch.randn(4, generator=generator)))
        return loss(net, batch, generator)

    make(settings, loss=recording).learn(Mixture(), 0, 0.01)
    (dropout, noise) = seen[0]
    assert torch.equal(noise, draws[0])
    assert torch.equal(dropout, draws[1])
    assert len({tuple(draw.tolist()) for draw in draws}) == 4


def test_judgement_is_of_the_averaged_weights_over_all_cases(settings):
    """A smaller last batch counts by its cases; dropout is off; the network is left as it was."""

    def cut(batch, index):
        return {name: tensor[: 32 if index == 0 else 5] for name, tensor in batch.items()}

    class Uneven(Mixture):
        def __getitem__(self, index):
            return cut(super().__getitem__(index), index)

    learner = make(settings)
    for step in range(5):
        learner.learn(Mixture(), step, 0.01)
    trained = copy.deepcopy(learner.plain.state_dict())
    found = learner.judge(Uneven(batches=2), Interruption())
    assert all(torch.equal(trained[k], v) for k, v in learner.plain.state_dict().items())
    assert learner.plain.training
    averaged = network().eval()
    averaged.load_state_dict(learner.averaged_state())
    assert not torch.equal(averaged.layers[0].weight, learner.plain.layers[0].weight)
    sums = 0.0
    for index, cases in enumerate((32, 5)):
        (generator,) = sample_generators(learner.validation, [index])
        sums += cases * loss(averaged, cut(Mixture()[index], index), generator).value.item()
    assert found == pytest.approx(sums / 37, rel=1e-6)
    assert learner.judge(Uneven(batches=2), Interruption()) == found


def test_a_signal_leaves_the_judgement_open(settings):
    interruption = Interruption()
    interruption.signal = 15
    assert make(settings).judge(Mixture(), interruption) is None


def test_a_loss_that_is_not_finite_leaves_the_weights(settings):
    learner = make(settings)
    before = copy.deepcopy(learner.plain.state_dict())
    with pytest.raises(FlowsciError, match=r"loss is not finite at step 2; cases with id 67\."):
        learner.learn(Mixture(poisoned=2), 2, 0.01)
    assert all(torch.equal(before[k], v) for k, v in learner.plain.state_dict().items())
    with pytest.raises(FlowsciError, match=r"of the validation is not finite; cases with id 35\."):
        learner.judge(Mixture(poisoned=1), Interruption())


def test_a_gradient_or_term_that_is_not_finite_names_the_batch(settings):
    def steep(net, batch, generator):
        found = loss(net, batch, generator)
        return replace(found, value=found.value + net.module.layers[0].bias.sum().sqrt())

    net = network()
    nn.init.zeros_(net.layers[0].bias)
    with pytest.raises(FlowsciError, match=r"gradient_norm is not finite at step 0; .* 0, 1, "):
        make(settings, net, steep).learn(Mixture(), 0, 0.01)

    def empty(net, batch, generator):
        found = loss(net, batch, generator)
        return replace(found, terms={"bonds": torch.empty(0)})

    with pytest.raises(FlowsciError, match="train_bonds is not finite"):
        make(settings, loss=empty).learn(Mixture(), 0, 0.01)


def test_batches_need_no_ids(settings):
    def of_rows(net, batch, generator):
        row = torch.tensor([0.0, torch.nan, 0.0])
        return Loss(net(torch.zeros(3, 2), torch.zeros(3)).sum() * row.sum(), row)

    with pytest.raises(FlowsciError, match=r"id 1\."):
        make(settings, loss=of_rows).learn([{"x": torch.zeros(3)}], 0, 0.01)


def test_it_is_restored_exactly(settings):
    one, other = make(settings), make(settings)
    for step in range(4):
        one.learn(Mixture(), step, 0.01)
    other.restore(one.tensors())
    for learner in (one, other):
        learner.learn(Mixture(), 4, 0.01)
    for group, tensors in one.tensors().items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other.tensors()[group][name]), (group, name)


def test_another_network_is_refused_by_name(settings):
    learner = make(settings)
    with pytest.raises(FlowsciError, match=r"such as bias: expected \(2,\), found none"):
        make(settings, nn.Linear(3, 2)).restore(learner.tensors())
