"""A small real training: flow matching of a two-dimensional mixture, with dropout."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from flowsci.flow import FlowMatching, sample_generators
from flowsci.settings import TrainingSettings

MODES = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0], [0.0, -2.0]])


@dataclass
class Mixture:
    """Batches of a mixture of four Gaussians, by number."""

    batches: int = 8
    size: int = 32
    seed: int = 0
    poisoned: int | None = None

    def __len__(self):
        return self.batches

    def __getitem__(self, index):
        (generator,) = sample_generators(self.seed, [index])
        modes = MODES[torch.randint(4, (self.size,), generator=generator)]
        points = modes + 0.2 * torch.randn(self.size, 2, generator=generator)
        if index == self.poisoned:
            points[3] = torch.nan
        ids = torch.arange(self.size) + index * self.size
        return {"id": ids, "points": points}


class Network(nn.Module):
    """A velocity of two-dimensional points."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 32), nn.SiLU(), nn.Dropout(0.1), nn.Linear(32, 2))

    def forward(self, x, t, condition=None):
        return self.layers(torch.cat([x, t[:, None]], dim=1))


def loss(network, batch, generator):
    return FlowMatching()(network, batch["points"], generator)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Network()


@pytest.fixture
def settings():
    return TrainingSettings(
        steps=60, minutes=5, warm_up_steps=5, validate_every_steps=10, learning_rate=3e-3
    )
