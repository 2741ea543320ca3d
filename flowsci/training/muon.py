"""Muon: momentum whose matrices are made orthogonal, and AdamW for everything else.

Jordan et al. (2024); with the factor of Liu et al. (2025), steps are of AdamW's size, so that
learning rates of one serve the other. Weights and momentum keep their precision; what makes
matrices orthogonal is in bfloat16, as there, where the device is made for it.
"""

from collections.abc import Iterable
from functools import reduce

import torch
from torch import Tensor, nn

from flowsci.training.devices import multiplies_bfloat16

SMALLEST_SIDE = 16
"""Narrower matrices, with vectors and tables, are left to AdamW; a convolution is a matrix too."""
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
ADAMW_SIZE = 0.2
WIDE, WIDE_IN_BFLOAT16 = 1.5, 4.5
"""Columns a row from which iterating on squares was measured to be faster."""
ROWS_IN_BFLOAT16 = 96
"""Rows from which products in bfloat16 were measured to be faster."""


class Muon(torch.optim.AdamW):
    """Muon for the network's matrices of at least 16 features a side, AdamW for the rest.

    A convolution's kernel is the matrix from all that one output sees (Jordan et al., 2024).
    """

    def __init__(
        self, network: nn.Module, lr: float, weight_decay: float, momentum: float = 0.95
    ) -> None:
        self.momentum = momentum
        matrices, rest = split(network.parameters())
        groups = [{"params": matrices, "matrices": True}, {"params": rest, "matrices": False}]
        super().__init__([g for g in groups if g["params"]], lr=lr, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move the matrices, then let AdamW move the rest."""
        for group in self.param_groups:
            if group["matrices"]:
                for same in _of_one_shape(p for p in group["params"] if p.grad is not None):
                    self._move(same, group["lr"], group["weight_decay"])
        super().step(closure)

    def _move(self, weights: list[nn.Parameter], rate: float, decay: float) -> None:
        moments = torch.stack([self._momentum(weight) for weight in weights])
        updates = orthogonal(moments.flatten(2), multiplies_bfloat16(moments.device))
        size = rate * ADAMW_SIZE * max(updates.shape[-2:]) ** 0.5
        for weight, update in zip(weights, updates.view_as(moments), strict=True):
            weight.mul_(1 - rate * decay).add_(update, alpha=-size)
            # AdamW passes over what has no gradient
            weight.grad = None

    def _momentum(self, weight: nn.Parameter) -> Tensor:
        """Give Nesterov's momentum after this step's gradient."""
        state, gradient = self.state[weight], weight.grad
        if not state:
            # AdamW, which this is to its state's reader, counts the steps of every weight
            state["step"] = torch.zeros(())
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(gradient, 1 - self.momentum)
        return torch.lerp(gradient, state["momentum"], self.momentum)


def orthogonal(matrices: Tensor, in_bfloat16: bool = False) -> Tensor:
    """Bring the singular values of matrices (count, rows, columns) near one, by Newton-Schulz.

    `in_bfloat16` lets large ones be multiplied in that precision, which moves their singular values
    by a hundredth.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-12)
    rows, columns = x.shape[-2:]
    # not by squares: rounding makes the smallest of a square negative, which grows
    if in_bfloat16 and rows >= ROWS_IN_BFLOAT16 and columns <= WIDE_IN_BFLOAT16 * rows:
        x = _by_itself(x.bfloat16()).to(x)
    else:
        x = _by_squares(x) if columns > WIDE * rows else _by_itself(x)
    return x.mT if tall else x


def _by_itself(x: Tensor) -> Tensor:
    """Iterate on the matrices."""
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x


def _by_squares(x: Tensor) -> Tensor:
    """Iterate on their squares x x^T alone, which is less work where rows are long.

    Every iterate is a polynomial in the square times x, and polynomials in one matrix commute.
    """
    a, b, c = COEFFICIENTS
    square = x @ x.mT
    factors = []
    for _ in range(ITERATIONS):
        factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        factors.append(factor)
        square = factor @ square @ factor
    return reduce(torch.matmul, factors) @ x


def split(parameters: Iterable[nn.Parameter]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Part the matrices that are wide enough from all other parameters."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for parameter in parameters:
        wide = parameter.ndim > 1 and min(parameter.flatten(1).shape) >= SMALLEST_SIDE
        (matrices if wide else rest).append(parameter)
    return matrices, rest


def _of_one_shape(weights: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Group weights by shape: one product for all of a group is faster than one each."""
    groups: dict[torch.Size, list[nn.Parameter]] = {}
    for weight in weights:
        groups.setdefault(weight.shape, []).append(weight)
    return list(groups.values())
