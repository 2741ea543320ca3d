"""Futures that meet a newly seen frame: re-weighted and resampled, without a network call."""

import torch
from torch import Tensor

from flowsci.errors import FlowsciError


def update(
    futures: Tensor, seen: Tensor, spread: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Choose the futures that agree with the first future step, now seen, in every scene.

    A future's weight is the density of what was seen around what it said: a Gaussian of standard
    deviation `spread` an axis, in the unit of length, over all agents of the scene. Systematic
    resampling then draws as many indices as there are futures (Kitagawa, 1996).

    `futures` (scenes, n, agents, steps, axes); `seen` (scenes, agents, axes), NaN for an agent
    that was not seen. Gives indices (scenes, n) into the futures, ascending, and the effective
    sample size (scenes,), from 1 to n: near 1, no future comes close to what was seen.
    """
    if not spread > 0:
        raise FlowsciError(f"update: the spread of what was seen must be above 0; it is {spread}.")
    scenes, count = futures.shape[:2]
    away = futures[..., 0, :].flatten(2) - seen.nan_to_num().flatten(1).unsqueeze(1)
    told = (~seen.isnan()).flatten(1).to(away) / (-2 * spread**2)
    weight = torch.softmax((away.square_() @ told.unsqueeze(-1)).squeeze(-1), dim=1)
    start = torch.rand(scenes, 1, generator=generator, device=generator.device).to(futures.device)
    edges = weight.cumsum(1, dtype=torch.float64)
    # how many of the levels (start + i) / n lie below each edge
    below = (edges * (count / edges[:, -1:]) - start).ceil_().clamp_(0, count).long()
    copies = below.diff(dim=1, prepend=below.new_zeros(scenes, 1))
    every = torch.arange(count, device=futures.device).expand(scenes, -1)
    chosen = every.reshape(-1).repeat_interleave(copies.reshape(-1)).reshape(scenes, count)
    return chosen, weight.sum(1).square() / weight.square().sum(1)
