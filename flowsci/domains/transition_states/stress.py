"""The start of the flow: the positions whose distances best fit a mean of both ends' distances.

Weighted stress is minimised by majorisation (SMACOF, de Leeuw 1977; de Leeuw and Mair 2009), for a
whole batch at once. Positions are (batch, atoms, 3) in Å with zeros in the padding.
"""

import torch
from torch import Tensor

from flowsci.flow.alignment import superpose
from flowsci.flow.masks import centre

SMALLEST_DISTANCE = 1e-3


def pair_mask(mask: Tensor) -> Tensor:
    """Tell which pairs (batch, atoms, atoms) are of two different real atoms."""
    apart = ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    return mask[:, :, None] & mask[:, None, :] & apart


def distances(positions: Tensor) -> Tensor:
    """Give distances (batch, atoms, atoms), exact for close pairs and zero on the diagonal."""
    return torch.linalg.vector_norm(positions[:, :, None] - positions[:, None, :], dim=-1)


def target_distances(reactant: Tensor, product: Tensor) -> Tensor:
    """Give 1/2 min(D_R, D_P) + 1/4 (D_R + D_P): what breaks or forms is half bound."""
    d_r, d_p = distances(reactant), distances(product)
    return torch.minimum(d_r, d_p) / 2 + (d_r + d_p) / 4


def midpoint(reactant: Tensor, product: Tensor, mask: Tensor) -> Tensor:
    """Give the mean of the reactant and the product laid upon it, centred."""
    reactant = centre(reactant, mask)
    return (reactant + superpose(product, reactant, mask)) / 2


def start_between(reactant: Tensor, product: Tensor, mask: Tensor) -> Tensor:
    """Give the stress embedding (batch, atoms, 3) of two ends, centred, near the midpoint."""
    target = target_distances(reactant, product)
    return embed(target, midpoint(reactant, product, mask), mask)


def embed(
    target: Tensor, start: Tensor, mask: Tensor, *, power: float = 3.0, iterations: int = 50
) -> Tensor:
    """Find positions whose distances fit `target` (batch, atoms, atoms) with weights target^-power.

    The start decides on the handedness.
    """
    pairs = pair_mask(mask)
    weights = torch.where(pairs, target.clamp(min=SMALLEST_DISTANCE) ** -power, 0.0)
    return majorise(target, weights, start, mask, iterations)


def majorise(
    target: Tensor, weights: Tensor, start: Tensor, mask: Tensor, iterations: int
) -> Tensor:
    """Lower the stress of distances against `target`, `weights` (batch, atoms, atoms) at each step.

    Weights are symmetric, and zero for pairs with padding and on the diagonal. Gradients flow to
    both. Gives centred positions.
    """
    inverse = _pseudo_inverse(weights, mask)
    weighted = weights * target
    diagonal = torch.eye(mask.shape[1], dtype=start.dtype, device=start.device)
    x = centre(start, mask)
    for _ in range(iterations):
        squares = x.square().sum(-1)
        apart = squares[:, :, None] + squares[:, None, :] - 2 * x @ x.mT
        # a length has no gradient at zero, where every atom is from itself
        length = (apart.clamp(min=0) + diagonal + SMALLEST_DISTANCE**2).sqrt()
        pull = weighted / length
        x = inverse @ (pull.sum(-1, keepdim=True) * x - pull @ x)
    return x


def _laplacian(weights: Tensor) -> Tensor:
    return torch.diag_embed(weights.sum(-1)) - weights


def _pseudo_inverse(weights: Tensor, mask: Tensor) -> Tensor:
    """Invert the Laplacian of the weights on centred positions; padding stays at zero."""
    real = mask.to(weights)
    ones = real[:, :, None] * real[:, None, :] / real.sum(1)[:, None, None]
    scale = weights.sum((1, 2)) / real.sum(1)
    filled = _laplacian(weights) + scale[:, None, None] * ones + torch.diag_embed(1 - real)
    return torch.linalg.inv(filled) * (real[:, :, None] * real[:, None, :])
