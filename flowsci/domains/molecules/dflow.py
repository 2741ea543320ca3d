"""D-Flow: the start of a solve is moved until what comes out has the properties that are asked for.

Ben-Hamu et al. (2024): the gradient goes through the whole sampler, with its steps computed again
in the backward pass, so that memory is that of one step. A sampler may be stochastic where its
noise is the same in every solve.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from flowsci.domains.molecules.settings import DFlowSettings
from flowsci.flow.masks import centre

State = dict[str, Tensor]


def optimised_start(
    start: Mapping[str, Tensor],
    solved: Callable[[State], State],
    error: Callable[[State], Tensor],
    settings: DFlowSettings,
) -> tuple[State, Tensor]:
    """Give, for each row, the start with the least error on the way, and that error (batch,).

    `solved` carries a start to t = 1 and can be differentiated; `error` (batch,) is of what comes
    out, and a row whose error is within the tolerance stays as it is. The start's parts are
    floating point; positions keep their centre. Adam moves them.
    """
    parts = {name: part.detach().clone().requires_grad_() for name, part in start.items()}
    optimiser = torch.optim.Adam(parts.values(), lr=settings.learning_rate)
    best = {name: part.detach().clone() for name, part in start.items()}
    least = torch.full((len(next(iter(start.values()))),), torch.inf)
    for iteration in range(settings.iterations + 1):
        last = iteration == settings.iterations
        with torch.set_grad_enabled(not last):
            found = error(solved(parts))
            total = found.square().sum()
        better = (found.detach().cpu() < least) & (least > settings.tolerance)
        least = torch.where(better, found.detach().cpu(), least)
        for name, part in parts.items():
            best[name][better] = part.detach()[better]
        if last or bool((least <= settings.tolerance).all()):
            break
        gradients = torch.autograd.grad(total, list(parts.values()), materialize_grads=True)
        for part, gradient in zip(parts.values(), gradients, strict=True):
            part.grad = gradient
        optimiser.step()
        if "positions" in parts:
            parts["positions"].data = centre(parts["positions"].data)
    return best, least
