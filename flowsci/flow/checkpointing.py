"""Gradients through a whole sampler in the memory of a segment of it.

Gradient checkpointing (Chen et al., 2016): what a segment's steps need for the backward pass is
computed again when it is needed. Differentiating data-side losses by the noise at the start is
D-Flow (Ben-Hamu et al., 2024).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from flowsci.errors import FlowsciError
from flowsci.flow.fields import Field
from flowsci.flow.generators import Generators, restore_states, save_states
from flowsci.flow.methods import Method
from flowsci.flow.solvers import check_grid, solve


def solve_checkpointed(
    field: Field,
    x: Any,
    grid: Tensor,
    method: Method | None = None,
    *,
    segment: int = 1,
    condition: Any = None,
    generators: Generators | None = None,
) -> Any:
    """Solve as `solve` does, and keep only the state after every `segment` steps.

    The backward pass runs each segment once more, with the same noise, so that the gradient is that
    of `solve`; its memory is one segment's and a state a segment. Costs one more forward pass.
    """
    if segment < 1:
        raise FlowsciError(f"a segment has at least one step, got {segment}")
    check_grid(grid)
    for start in range(0, len(grid) - 1, segment):
        times = grid[start : start + segment + 1]
        try:
            x = checkpoint(
                partial(solve, condition=condition, generators=generators),
                field,
                x,
                times,
                method,
                use_reentrant=False,
                context_fn=partial(_contexts, generators, save_states(generators)),
            )
        except FlowsciError as error:
            last = start + len(times) - 1
            raise FlowsciError(f"in the segment of steps {start + 1} to {last}: {error}") from error
    return x


def _contexts(
    generators: Generators | None, before: list[Tensor]
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return what surrounds a segment's first run and its replays."""
    return nullcontext(), _Replay(generators, before)


class _Replay(AbstractContextManager[None]):
    """Draw again what was drawn from the states `before`, and leave the generators as found.

    A segment may be replayed several times, also within a replay.
    """

    def __init__(self, generators: Generators | None, before: list[Tensor]) -> None:
        self.generators = generators
        self.before = before
        self.found: list[list[Tensor]] = []

    def __enter__(self) -> None:
        self.found.append(save_states(self.generators))
        restore_states(self.generators, self.before)

    def __exit__(self, *_: object) -> None:
        restore_states(self.generators, self.found.pop())
