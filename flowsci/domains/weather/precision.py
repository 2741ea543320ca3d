"""A network whose arithmetic has fewer digits, to see what a forecast makes of it."""

from typing import Any

import torch
from torch import Tensor, nn


class LowPrecision:
    """A network whose products are bfloat16 of 8 bits; states, solver and projections are float32.

    Everything else is the network's own.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, *arguments: Any) -> Tensor:
        """Give the mean, or the velocity, in float32."""
        with self._autocast():
            return self.network(*arguments).float()

    def velocity(self, x: Tensor, t: Tensor, context: Any) -> Tensor:
        """Give the velocity in float32."""
        with self._autocast():
            return self.network.velocity(x, t, context).float()

    def context(self, *arguments: Any) -> Any:
        """Give what the velocity knows of the case."""
        with self._autocast():
            return self.network.context(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)

    def _autocast(self) -> torch.autocast:
        device = next(self.network.parameters()).device.type
        return torch.autocast(device, dtype=torch.bfloat16)
