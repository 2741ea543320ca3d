"""How the modes of futures learn: the best one of each agent and scene, and their likelihood."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batches
from flowsci.domains.trajectories.basis import OffsetBasis
from flowsci.domains.trajectories.density import FutureDensity
from flowsci.domains.trajectories.frames import Frames
from flowsci.domains.trajectories.mixtures import marginal_ranks
from flowsci.domains.trajectories.network import Context, Modes
from flowsci.domains.trajectories.settings import FlowSettings
from flowsci.flow.masks import masked_mean, masked_sum

LEVEL = 0.8
DRAWS = 100
EVERY = 4
"""Coverage is looked at with every fourth window and so many draws: windows overlap."""
FARTHEST = 30.0
"""Standard deviations beyond which a future pulls no harder on a mode's spread."""


def modes_losses(
    modes: Modes,
    offsets: Tensor,
    basis: OffsetBasis,
    frames: Frames,
    mask: Tensor,
    settings: FlowSettings,
) -> dict[str, Tensor]:
    """Give each scene's losses (scenes,): distances of the winners, and nats a coefficient.

    `offsets` (scenes, agents, steps, axes) are the true ones, in the agents' frames and units.
    Distances count in the mean pace of the training agents; the mean and the last distance each
    have a winner of their own, so that both `min_ade` and `min_fde` are learned.
    """
    unit = basis.unit(frames) / basis.pace
    futures = basis.expand(modes.mean[:, :, : modes.told])
    apart = torch.linalg.vector_norm(futures - offsets.unsqueeze(2), dim=-1)
    apart = apart * unit[..., None, None]
    mean, last = apart.mean(-1), apart[..., -1]
    weight = settings.last_step_weight
    winner = masked_mean(mean.amin(-1) + weight * last.amin(-1), mask)
    together = masked_mean(mean, mask).amin(-1) + weight * masked_mean(last, mask).amin(-1)
    target = basis.coefficients(offsets, len(basis.scale))
    nats = -joint_log_likelihood(modes, target, mask) / len(basis.scale)
    return {
        "winner": winner,
        "scene_winner": settings.scene_weight * together,
        "likelihood": settings.likelihood_weight * nats,
    }


def joint_log_likelihood(modes: Modes, target: Tensor, mask: Tensor) -> Tensor:
    """Give the log-density of all whitened coefficients (scenes, agents, F), a real agent.

    (scenes,), without the constants.
    """
    described, rest = target.tensor_split([modes.mean.shape[-1]], dim=-1)
    away = (described.unsqueeze(2) - modes.mean) * (-modes.log_scale).exp()
    single = _log_normal(away, modes.log_scale)
    of_style = (single.unsqueeze(-1) + modes.weight).logsumexp(2)
    shared = _log_normal(rest * (-modes.log_rest).exp(), modes.log_rest)
    joint = (masked_sum(of_style, mask) + modes.style).logsumexp(-1)
    return (joint + masked_sum(shared, mask)) / mask.sum(1)


def _log_normal(away: Tensor, log_scale: Tensor) -> Tensor:
    """Sum logarithms of normal densities over the last dimension, at standardised distances."""
    return -away.clamp(-FARTHEST, FARTHEST).square().sum(-1) / 2 - log_scale.sum(-1)


def density_of(modes: Modes, context: Context, basis: OffsetBasis) -> FutureDensity:
    """Give the density of the real agents of scenes, scene by scene."""
    mask = context.mask
    scene = mask.nonzero()[:, 0]
    return FutureDensity(
        scene=scene,
        style_weight=modes.style.exp()[scene],
        mode_weight=modes.weight.exp()[mask],
        mean=modes.mean[mask],
        scale=modes.log_scale.exp()[mask],
        rest_scale=modes.log_rest.exp()[mask],
        frames=context.frames[mask],
        basis=basis,
    )


def calibrate(network: nn.Module, validation: Batches, basis: OffsetBasis) -> None:
    """Fit the spreads to the validation futures: by likelihood, then all alike by coverage.

    One factor a component makes the futures likeliest; one for all of them then makes the regions
    of highest density that should cover 80 % of the positions do so, averaged over lead times.
    """
    said = []
    for number in range(len(validation)):
        batch = validation[number]
        context = network.encode(batch)
        said.append((network.modes(context), context, batch["future"]))
    likeliest = _likeliest(said, basis)
    network.modes.log_factor += likeliest
    network.modes.log_factor += _covering(said, likeliest, basis)


Said = tuple[Modes, Context, Tensor]


def _likeliest(said: Sequence[Said], basis: OffsetBasis) -> Tensor:
    """Find the logarithm of a factor a component (F,) that makes the futures likeliest."""
    targets = [
        basis.encode(context.frames, future, len(basis.scale)) for _, context, future in said
    ]
    log_factor = torch.zeros(len(basis.scale), device=targets[0].device, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_factor], max_iter=50, line_search_fn="strong_wolfe")

    def misfit() -> Tensor:
        optimiser.zero_grad()
        parts = [
            -joint_log_likelihood(modes.widened(log_factor), target, context.mask)
            for (modes, context, _), target in zip(said, targets, strict=True)
        ]
        loss = torch.cat(parts).mean()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(misfit)
    return log_factor.detach()


def _covering(said: Sequence[Said], log_factor: Tensor, basis: OffsetBasis) -> float:
    """Find the logarithm of a factor for all components, by halving between a half and two."""
    low, high = -math.log(2), math.log(2)
    while high - low > 0.01:
        middle = (low + high) / 2
        excess = 0.0
        for modes, context, future in said:
            density = density_of(modes.widened(log_factor + middle), context, basis)
            some = torch.arange(0, len(density), EVERY)
            truth = future[context.mask][some].cpu().numpy()
            ranks, _ = marginal_ranks(density.select(some), truth, DRAWS, 0)
            excess += ((ranks < LEVEL * (DRAWS + 1)) - LEVEL).sum()
        low, high = (low, middle) if excess > 0 else (middle, high)
    return (low + high) / 2
