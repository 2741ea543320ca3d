"""Exponential moving average of a network's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """Averaged parameters of a network, kept beside it; buffers are the network's own.

    The decay grows from 0.1 towards its setting, so that the first weights are soon forgotten.
    Make it when the network is on its device.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.names = [name for name, _ in network.named_parameters()]
        self.live = [parameter.detach() for parameter in network.parameters()]
        self.averaged = [parameter.clone() for parameter in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the network after its optimiser step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(decay)(self.averaged, self.live, step)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in the place of the network's weights within the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def tensors(self) -> dict[str, Tensor]:
        """Give the averaged parameters by name."""
        return dict(zip(self.names, self.averaged, strict=True))

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        for name, averaged in zip(self.names, self.averaged, strict=True):
            averaged.copy_(tensors[name])

    @torch.no_grad()
    def _swap(self) -> None:
        for live, averaged in zip(self.live, self.averaged, strict=True):
            kept = live.clone()
            live.copy_(averaged)
            averaged.copy_(kept)
