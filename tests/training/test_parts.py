"""The parts of training against their closed forms."""

import csv
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from flowsci.errors import FlowsciError
from flowsci.settings import TrainingSettings
from flowsci.training.average import Average
from flowsci.training.devices import choose_device
from flowsci.training.history import Means, write_history
from flowsci.training.schedule import learning_rate, progress_of

SETTINGS = TrainingSettings(steps=100, minutes=2, warm_up_steps=10, learning_rate=0.5)


def test_the_budget_is_the_larger_share():
    assert progress_of(SETTINGS, 50, 12.0) == 0.5
    assert progress_of(SETTINGS, 50, 90.0) == 0.75
    assert progress_of(SETTINGS, 50, 1e9) == 1.0


def test_the_learning_rate_warms_up_and_falls_to_zero():
    rates = [learning_rate(SETTINGS, step, step / 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[50] == pytest.approx(0.25)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert rates[80] == pytest.approx(0.25 * (1 + math.cos(0.8 * math.pi)))
    assert all(a > b for a, b in pairwise(rates[10:]))
    without = SETTINGS.model_copy(update={"warm_up_steps": 0})
    assert learning_rate(without, 0, 0.0) == 0.5


def test_the_average_is_the_exponential_one():
    network = nn.Linear(2, 1)
    average = Average(network, 0.5)
    expected = network.weight.detach().clone()
    for step in range(200):
        with torch.no_grad():
            network.weight.add_(1.0)
        average.update(network, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network.weight.detach()
    assert torch.allclose(average.network.weight, expected)
    assert torch.allclose(network.weight - average.network.weight, torch.ones(1, 2), atol=1e-4)
    assert not average.network.weight.requires_grad


def test_buffers_are_copied_not_averaged():
    network = nn.BatchNorm1d(2)
    average = Average(network, 0.9)
    network(torch.randn(8, 2))
    average.update(network, 0)
    assert torch.equal(average.network.running_mean, network.running_mean)
    assert average.network.num_batches_tracked == 1


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(FlowsciError, match="CUDA_VISIBLE_DEVICES is ''"):
        choose_device("cuda")


def test_auto_falls_back_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with caplog.at_level("INFO", logger="flowsci"):
        assert choose_device("auto") == torch.device("cpu")
    assert "device: cpu" in caplog.text


def test_means_are_over_what_was_added():
    means = Means()
    means.add({"loss": 1.0})
    means.add({"loss": 3.0})
    assert means.take() == {"loss": 2.0}
    assert means.take() == {}


def test_the_history_is_a_table(tmp_path):
    rows = [
        {"step": 0, "seconds": 0.1, "learning_rate": 0.5, "validation_loss": 2.0},
        {"step": 5, "seconds": 0.2, "learning_rate": 0.4, "train_loss": 1.0, "distance": 3.0},
    ]
    path = tmp_path / "history.csv"
    write_history(rows, path)
    with path.open() as stream:
        read = list(csv.DictReader(stream))
    assert read[0]["validation_loss"] == "2.0"
    assert read[0]["train_loss"] == ""
    assert read[1]["distance"] == "3.0"
    assert next(iter(read[0])) == "step"
