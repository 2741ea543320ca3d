"""Several devices of one machine, here two processes on the CPU."""

import os
import signal
import threading
import time
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from flowsci.errors import FlowsciError, Interrupted
from flowsci.flow import Loss
from flowsci.training import train
from tests.training.conftest import Mixture, loss, network
from tests.training.test_loop import Interrupting, assert_same

pytestmark = pytest.mark.slow


@dataclass
class Pairs(Mixture):
    """Batch i of these is batches 2 i and 2 i + 1 of a mixture."""

    def __getitem__(self, index):
        pair = [super(Pairs, self).__getitem__(2 * index + i) for i in (0, 1)]
        return {name: torch.cat([batch[name] for batch in pair]) for name in pair[0]}


@dataclass
class Slow(Mixture):
    """Batches that leave time to send a signal."""

    def __getitem__(self, index):
        time.sleep(0.02)
        return super().__getitem__(index)


def regression(net, batch, generator):
    """A loss without noise, so that only the batch matters."""
    points = batch["points"]
    error = (net(points, points[:, 0]) - points) ** 2
    return Loss(error.mean(), error.mean(1))


@pytest.fixture
def two(settings):
    return settings.model_copy(update={"devices": 2, "device": "cpu"})


def run(net, loss, batches, settings, work, validation_batches=3):
    return train(net, loss, batches, Mixture(batches=validation_batches, seed=1), settings, work)


def without_dropout():
    net = network()
    net.layers[2] = nn.Identity()
    return net


def test_two_devices_make_the_steps_of_one_with_their_batches_together(two, settings, tmp_path):
    """The third validation batch has no partner in the other process."""
    pairs = run(without_dropout(), regression, Pairs(), settings, tmp_path / "one")
    shared = run(without_dropout(), regression, Mixture(), two, tmp_path / "two")
    assert shared.device == "cpu x 2"
    for row, other in zip(pairs.history, shared.history, strict=True):
        assert {**row, "seconds": 0} == pytest.approx({**other, "seconds": 0}, rel=1e-4)
    for name, tensor in pairs.state.items():
        assert torch.allclose(tensor, shared.state[name], atol=1e-5)


def test_an_interrupted_training_on_two_devices_goes_on_exactly(two, tmp_path):
    whole = run(network(), loss, Mixture(), two, tmp_path / "whole")
    work = tmp_path / "parts"
    often = two.model_copy(update={"snapshot_minutes": 1e-9})

    def stop_when_it_has_begun():
        while not list(work.glob("step-*")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    killer = threading.Thread(target=stop_when_it_has_begun)
    killer.start()
    with pytest.raises(Interrupted, match=r"stopped at step \d+ of 60") as caught:
        run(network(), loss, Slow(), often, work)
    killer.join()
    assert caught.value.exit_status == 143
    assert_same(run(network(), loss, Mixture(), two, work), whole)


def test_a_loss_that_is_not_finite_on_one_device_stops_both(two, tmp_path):
    with pytest.raises(FlowsciError, match=r"train_loss is not finite at step 10; .* id 675\."):
        run(network(), loss, Mixture(poisoned=21), two, tmp_path)


def test_a_process_that_is_killed_stops_the_other(two, tmp_path):
    with pytest.raises(FlowsciError, match=r"ended from outside .*SIGKILL.*goes on from the last"):
        run(network(), loss, Interrupting(21, signal.SIGKILL), two, tmp_path)


def test_weights_that_a_batch_does_not_use_stop_no_one(two, tmp_path):
    net = network()
    net.idle = nn.Linear(2, 2)
    trained = run(net, loss, Mixture(), two.model_copy(update={"steps": 4}), tmp_path)
    assert trained.steps == 4


class Parts(nn.Module):
    """A network that is asked twice a loss, with other weights each time, and has a part beside."""

    def __init__(self):
        super().__init__()
        self.mean, self.rest, self.guide = (nn.Linear(2, 2) for _ in range(3))

    def forward(self, points, part):
        return getattr(self, part)(points)


def of_parts(net, batch, generator):
    points = batch["points"]
    left = points - net(points, "mean")
    error = left**2 + (left.detach() - net(points, "rest")) ** 2 + net.guide(points) ** 2
    return Loss(error.mean(), error.mean(1))


def test_a_loss_may_ask_its_network_and_its_parts_more_than_once(two, settings, tmp_path):
    torch.manual_seed(0)
    start = Parts().state_dict()

    def net():
        made = Parts()
        made.load_state_dict(start)
        return made

    pairs = run(net(), of_parts, Pairs(), settings, tmp_path / "one")
    shared = run(net(), of_parts, Mixture(), two, tmp_path / "two")
    for name, tensor in pairs.state.items():
        assert torch.allclose(tensor, shared.state[name], atol=1e-5)
        assert not torch.equal(tensor, start[name])
