"""Exponential moving average of a network's weights."""

import copy
from typing import cast

import torch
from torch import Tensor, nn


class Average:
    """A copy of a network that follows its weights; `network` is the averaged network.

    The decay grows from 0.1 towards its setting, so that the first weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network after its optimiser step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine = cast(list[Tensor], list(self.network.parameters()))
        theirs = cast(list[Tensor], list(network.parameters()))
        torch._foreach_lerp_(mine, theirs, 1 - decay)
        for own, other in zip(self.network.buffers(), network.buffers(), strict=True):
            own.copy_(other)
