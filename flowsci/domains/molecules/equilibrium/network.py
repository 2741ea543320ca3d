"""A residual network that says how internal coordinates move."""

import torch
from torch import Tensor, nn

from flowsci.domains.molecules.equilibrium.settings import InternalNetwork
from flowsci.nets.times import TimeFeatures


class Residual(nn.Module):
    """A layer of a residual network whose features time shifts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.time, self.inner = nn.Linear(width, width), nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, features: Tensor, time: Tensor) -> Tensor:
        hidden = nn.functional.silu(self.inner(features) + self.time(time))
        return features + self.outer(hidden)


class InternalVelocity(nn.Module):
    """The velocity of states (batch, dimensions), angles first, at times (batch,).

    Normal coordinates that are independent of everything move as they do between two standard
    normal laws, angles stand still: the network adds what differs. It begins with nothing.
    """

    def __init__(self, settings: InternalNetwork, circles: int, dimensions: int) -> None:
        super().__init__()
        self.circles = circles
        waves = torch.arange(1, settings.harmonics + 1)
        self.register_buffer("waves", waves, persistent=False)
        inputs = dimensions - circles + 2 * settings.harmonics * circles
        self.times = TimeFeatures(settings.width)
        self.inward = nn.Linear(inputs, settings.width)
        self.layers = nn.ModuleList(Residual(settings.width) for _ in range(settings.layers))
        self.outward = nn.Linear(settings.width, dimensions)
        nn.init.zeros_(self.outward.weight)
        nn.init.zeros_(self.outward.bias)

    def forward(self, x: Tensor, t: Tensor, condition: object = None) -> Tensor:
        angles, rest = x[:, : self.circles], x[:, self.circles :]
        phases = (angles.unsqueeze(-1) * self.waves).flatten(1)
        features = self.inward(torch.cat([phases.sin(), phases.cos(), rest], dim=1))
        time = self.times(t)
        for layer in self.layers:
            features = layer(features, time)
        share = ((2 * t - 1) / (t**2 + (1 - t) ** 2)).unsqueeze(1)
        return self.outward(features) + torch.cat([torch.zeros_like(angles), share * rest], dim=1)
