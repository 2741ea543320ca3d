"""What is known of the mean's errors, for each task: buffers that go with the network."""

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch

TASKS = ("forecast", "downscale", "inpaint")
MEMORY = 0.99
"""Share that running moments keep at each step of training, of a batch of their task alone."""


class Residuals(nn.Module):
    """Moments of the mean's errors in units of the anomalies' spread, and what is fitted to them.

    Running, in training: `variance` and `fourth` (task, channel), mean square and fourth power, and
    `power` (task, channel, degree), the share of each degree of spherical harmonics. Fitted on
    validation: `gain` and `spread` (task, channel, degree), what the mean and the flow's residuals
    are multiplied by, `carried` and `share` (task, channel, degree), how much of an error of the
    present the mean goes on with and the error's power over the mean's, both with the gain, and
    `mean_spread` (task, channel, row), the mean's error.
    """

    def __init__(self, channels: int, rows: int, degrees: int) -> None:
        super().__init__()
        tasks = len(TASKS)
        shape = tasks, channels
        count = 2 * torch.arange(degrees) + 1.0
        self.register_buffer("variance", torch.full(shape, 0.25))
        self.register_buffer("fourth", torch.full(shape, 3 * 0.25**2))
        self.register_buffer("power", (count / count.sum()).repeat(*shape, 1))
        # what has no degrees has one factor for all scales
        self.register_buffer("gain", torch.ones(*shape, max(degrees, 1)))
        self.register_buffer("spread", torch.ones(*shape, max(degrees, 1)))
        self.register_buffer("carried", torch.zeros(*shape, max(degrees, 1)))
        self.register_buffer("share", torch.zeros(*shape, max(degrees, 1)))
        self.register_buffer("mean_spread", torch.ones(*shape, rows))

    def scale(self, batch: Batch) -> Tensor:
        """Give the spread of the mean's error in training for each case, (cases, channel, 1, 1)."""
        return self.variance[tasks_of(batch)].sqrt()[..., None, None]

    @torch.no_grad()
    def follow(self, batch: Batch, squares: Tensor, fourths: Tensor, power: Tensor | None) -> None:
        """Follow the moments (cases, channel) and powers (cases, channel, degree) of cases.

        Of all devices that train together: each has the same moments.
        """
        tasks = tasks_of(batch)
        pairs = [(self.variance, squares), (self.fourth, fourths)]
        if power is not None:
            pairs.append((self.power, power / power.sum(-1, keepdim=True)))
        for task in range(len(TASKS)):
            own = tasks == task
            sums = [values[own].sum(0) for _, values in pairs]
            count = own.sum().to(squares)
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                for part in (*sums, count):
                    torch.distributed.all_reduce(part)
            if count > 0:
                for (moment, _), part in zip(pairs, sums, strict=True):
                    moment[task].lerp_(part / count, 1 - MEMORY)


def tasks_of(batch: Batch) -> Tensor:
    """Tell the task of each case by what it is given: indices (cases,) into `TASKS`."""
    coarse = (batch["coarse_factor"] > 0).long()
    observed = (batch["observed_mask"].amax((1, 2, 3)) > 0).long()
    return coarse + 2 * observed * (1 - coarse)
