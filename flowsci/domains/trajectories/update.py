"""Futures that meet a newly seen frame: re-weighted and resampled, without a network call."""

import torch
from torch import Tensor

from flowsci.errors import FlowsciError


def update(
    futures: Tensor,
    seen: Tensor,
    spread: float,
    generator: torch.Generator,
    probability: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose the futures that agree with the first future step, now seen, in every scene.

    A future's weight is the density of what was seen around what it said: a Gaussian of standard
    deviation `spread` an axis, in the unit of length, over all agents of the scene, times its
    `probability` (scenes, n) before, to any scale; without one, all are equally probable.
    Systematic resampling then draws as many indices as there are futures (Kitagawa, 1996).

    `futures` (scenes, n, agents, steps, axes); `seen` (scenes, agents, axes), NaN for an agent
    that was not seen. Gives indices (scenes, n) into the futures, ascending, and the effective
    sample size (scenes,), from 1 to n: near 1, one future has all the weight, or none comes close
    to what was seen. It is three times as fast where `futures` lie in memory step by step. Raises
    `FlowsciError` where the spread or the probabilities are none.
    """
    if not spread > 0:
        raise FlowsciError(f"update: the spread of what was seen must be above 0; it is {spread}.")
    scenes, count = futures.shape[:2]
    away = (futures[..., 0, :] - seen.nan_to_num().unsqueeze(1)).flatten(2)
    told = (~seen.isnan()).flatten(1).to(away) / (-2 * spread**2)
    agrees = (away.square_() @ told.unsqueeze(-1)).squeeze(-1)
    if probability is not None:
        agrees += _log(probability, futures.shape[:2]).to(agrees)
    weight = torch.softmax(agrees, dim=1)
    start = torch.rand(scenes, 1, generator=generator, device=generator.device).to(futures.device)
    edges = weight.cumsum(1, dtype=torch.float64)
    # how many of the levels (start + i) / n lie below each edge
    below = (edges * (count / edges[:, -1:]) - start).ceil_().clamp_(0, count).long()
    copies = below.diff(dim=1, prepend=below.new_zeros(scenes, 1))
    every = torch.arange(count, device=futures.device).expand(scenes, -1)
    chosen = every.reshape(-1).repeat_interleave(copies.reshape(-1)).reshape(scenes, count)
    return chosen, weight.sum(1).square() / weight.square().sum(1)


def _log(probability: Tensor, shape: torch.Size) -> Tensor:
    if probability.shape != shape:
        raise FlowsciError(
            f"update: probability must be (scenes, futures), {tuple(shape)}; it is "
            f"{tuple(probability.shape)}."
        )
    if not ((probability >= 0).all() and (probability.sum(1) > 0).all()):
        raise FlowsciError(
            "update: probabilities must be 0 or more, and above 0 for one future of each scene."
        )
    return probability.log()
