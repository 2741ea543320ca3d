"""How the modes of futures learn: the best one of each agent and scene, and their likelihood."""

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batches
from flowsci.domains.trajectories.basis import OffsetBasis
from flowsci.domains.trajectories.frames import Frames, agent_frames
from flowsci.domains.trajectories.network import Modes
from flowsci.domains.trajectories.settings import FlowSettings
from flowsci.flow.masks import masked_mean, masked_sum

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
    have a winner of their own, so that both `min_ade` and `min_fde` are learned. Means learn from
    the winners alone, spreads and weights from the likelihood.
    """
    unit = basis.unit(frames) / basis.pace
    apart = torch.linalg.vector_norm(basis.expand(modes.mean) - offsets.unsqueeze(2), dim=-1)
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

    (scenes,), without the constants; the means are held fast.
    """
    described, rest = target.tensor_split([modes.mean.shape[-1]], dim=-1)
    away = (described.unsqueeze(2) - modes.mean.detach()) * (-modes.log_scale).exp()
    single = _log_normal(away, modes.log_scale)
    of_style = (single.unsqueeze(-1) + modes.weight).logsumexp(2)
    shared = _log_normal(rest * (-modes.log_rest).exp(), modes.log_rest)
    joint = (masked_sum(of_style, mask) + modes.style).logsumexp(-1)
    return (joint + masked_sum(shared, mask)) / mask.sum(1)


def _log_normal(away: Tensor, log_scale: Tensor) -> Tensor:
    """Sum logarithms of normal densities over the last dimension, at standardised distances."""
    return -away.clamp(-FARTHEST, FARTHEST).square().sum(-1) / 2 - log_scale.sum(-1)


def calibrate(network: nn.Module, validation: Batches, basis: OffsetBasis) -> None:
    """Fit one factor a coefficient on the spreads, by the likelihood of the validation futures."""
    said = []
    for number in range(len(validation)):
        batch = validation[number]
        frames = agent_frames(batch["observed"])
        modes = network.modes(network.encode(batch))
        target = basis.encode(frames, batch["future"], len(basis.scale))
        said.append((modes, target, batch["mask"]))
    log_factor = torch.zeros_like(network.modes.log_factor, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_factor], max_iter=50, line_search_fn="strong_wolfe")

    def misfit() -> Tensor:
        optimiser.zero_grad()
        parts = [
            -joint_log_likelihood(modes.widened(log_factor), target, mask)
            for modes, target, mask in said
        ]
        loss = torch.cat(parts).mean()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(misfit)
    network.modes.log_factor += log_factor.detach()
