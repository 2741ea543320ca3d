"""The weight average against its recursion, and in the place of the network."""

import pytest
import torch
from torch import nn

from flowsci.training.average import Average


def move(network):
    with torch.no_grad():
        network.weight.add_(1.0)


@pytest.mark.parametrize("steps", [1, 8, 200])
def test_the_average_is_the_exponential_one(steps):
    """Its decay is 1 / 10 at first."""
    network = nn.Linear(2, 1)
    average = Average(network, 0.5)
    expected = network.weight.detach().clone()
    for step in range(steps):
        move(network)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network.weight.detach()
    assert torch.allclose(average.tensors()["weight"], expected)
    lag = (network.weight - average.tensors()["weight"]).flatten().tolist()
    assert steps > 1 or lag == pytest.approx([0.1, 0.1], abs=1e-5)
    assert steps < 200 or lag == pytest.approx([1, 1], abs=1e-4)


def test_the_average_stands_in_for_the_network_and_leaves_it_as_it_was():
    network = nn.Linear(2, 1)
    average = Average(network, 0.5)
    start = network.weight.detach().clone()
    move(network)
    moved = network.weight.detach().clone()
    with pytest.raises(ZeroDivisionError), average.applied():
        assert torch.equal(network.weight, start)
        raise ZeroDivisionError
    assert torch.equal(network.weight, moved)
    assert torch.equal(average.tensors()["weight"], start)


def test_it_is_restored_exactly():
    one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    average, again = Average(one, 0.5), Average(other, 0.5)
    again.restore(average.tensors())
    assert torch.equal(again.tensors()["weight"], one.weight)
    assert not torch.equal(other.weight, one.weight)
