"""Which source row is paired with which data row, within a batch.

A coupling returns indices and rotations, never copies of the data, so it can run in a loader's
worker: couplings are frozen records of numbers and hold no state. Data rows stay where they are
(their conditions with them) and every source row is used exactly once, so that the marginals are
kept exactly; pairs drawn with replacement would lose about a third of a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow import alignment, masks
from flowsci.flow.sources import Source

SCIPY_BATCH = 512
"""The largest batch for scipy's shortest augmenting paths; POT's network simplex takes over."""


@dataclass(frozen=True)
class Pairing:
    """Row i of the data belongs with row `source_index[i]` of the source, permuted, then rotated.

    `source_index` is `(batch,)`, a permutation of the rows; `permutation` `(batch, n)` and
    `rotation` `(batch, d, d)` are None where nothing is permuted or rotated.
    """

    source_index: Tensor
    permutation: Tensor | None = None
    rotation: Tensor | None = None

    def source(self, x0: Tensor) -> Tensor:
        """Return the source `(batch, ...)` in the order and the pose of the data."""
        if len(x0) != len(self.source_index):
            raise FlowsciError(
                f"a pairing of {len(self.source_index)} rows can't serve a source {tuple(x0.shape)}"
            )
        x0 = x0[self.source_index]
        if self.permutation is not None:
            x0 = alignment.permute(x0, self.permutation)
        return x0 if self.rotation is None else alignment.rotate(x0, self.rotation)


class Coupling(ABC):
    """Pairs source rows with data rows; subclasses give `_pair` for rows that may all be paired."""

    @property
    def keeps_conditions(self) -> bool:
        """Whether a data row gets only source rows that were drawn for its own condition."""
        return False

    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Any = None,
        generator: torch.Generator | None = None,
        mask: Tensor | None = None,
    ) -> Pairing:
        """Pair x0 `(batch, ...)` with x1 of the same shape.

        `mask` `(batch, n)` tells the real entries of both ends of a row. Raises for shapes that
        differ, for an empty row of the mask, and for NaN where distances are needed.
        """
        if x0.shape != x1.shape:
            raise FlowsciError(
                f"a coupling takes as many source rows as data rows, of one shape, "
                f"got {tuple(x0.shape)} and {tuple(x1.shape)}"
            )
        masks.check(mask, x1)
        return self._pair(x0, x1, condition, generator, mask)

    @abstractmethod
    def _pair(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Any,
        generator: torch.Generator | None,
        mask: Tensor | None,
    ) -> Pairing: ...


@dataclass(frozen=True)
class Independent(Coupling):
    """Leave the rows as they come: a source drawn apart from the data is independent of it."""

    @property
    def keeps_conditions(self) -> bool:
        return True

    def _pair(self, x0: Tensor, *_: Any) -> Pairing:
        return _in_place(x0)


@dataclass(frozen=True)
class Given(Coupling):
    """Row i of the source was made for row i of the data: known pairs, or those of a reflow."""

    @property
    def keeps_conditions(self) -> bool:
        return True

    def _pair(self, x0: Tensor, *_: Any) -> Pairing:
        return _in_place(x0)


@dataclass(frozen=True)
class OptimalTransport(Coupling):
    """The pairing with the least sum of squared distances in the batch (Tong et al., 2024).

    Exact: scipy's assignment up to 512 rows, POT's network simplex above (the `pot` extra; its
    absence raises). With a mask, a row is paired only with rows of the same mask.
    """

    def _pair(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Any,
        generator: torch.Generator | None,
        mask: Tensor | None,
    ) -> Pairing:
        return _by_group(x0, x1, mask, lambda a, b: assign(squared_distances(a, b)))


@dataclass(frozen=True)
class EntropicTransport(Coupling):
    """A random pairing close to the entropic plan, for Schroedinger bridges (Tong et al., 2024).

    `epsilon` is the weight of the entropy against squared distances, in their units: for a bridge
    of diffusion sigma, 2 sigma^2. The plan is not a permutation, so one is drawn: each row of
    log-plan gets Gumbel noise and the best assignment is taken. A row's best column alone would be
    an exact draw from the row; the assignment settles the collisions. The expected pairing tends to
    the plan as the batch grows, to exact transport as epsilon goes to 0, and to uniformly random
    pairs as it goes to infinity. The plan's potentials add the same to every permutation, so
    Sinkhorn's iterations (`sinkhorn`) are not needed to draw one.
    """

    epsilon: float

    def __post_init__(self) -> None:
        _check_positive(self.epsilon)

    def _pair(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Any,
        generator: torch.Generator | None,
        mask: Tensor | None,
    ) -> Pairing:
        if generator is None:
            raise FlowsciError("EntropicTransport is random: pass a torch.Generator")

        def draw(a: Tensor, b: Tensor) -> Tensor:
            costs = squared_distances(a, b)
            return assign(costs / self.epsilon - _gumbel(costs, generator))

        return _by_group(x0, x1, mask, draw)


@dataclass(frozen=True)
class WithinConditions(Coupling):
    """Another coupling within rows of equal condition, so that no condition's source is biased.

    The condition is a tensor `(batch, ...)`, or a mapping of which `key` names one. `inner` must
    not rotate or permute (put `Aligned` outside). Raises without a condition.
    """

    inner: Coupling = field(default_factory=OptimalTransport)
    key: str | None = None

    @property
    def keeps_conditions(self) -> bool:
        return True

    def _pair(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Any,
        generator: torch.Generator | None,
        mask: Tensor | None,
    ) -> Pairing:
        labels = _select(condition, self.key, x1, "WithinConditions")
        index = torch.arange(len(x1), device=x1.device)
        for rows in _groups(labels):
            part = None if mask is None else mask[rows]
            pairing = self.inner(x0[rows], x1[rows], None, generator, part)
            if pairing.permutation is not None or pairing.rotation is not None:
                raise FlowsciError("put Aligned outside: Aligned(inner=WithinConditions(...))")
            index[rows] = rows[pairing.source_index]
        return Pairing(index)


@dataclass(frozen=True)
class Aligned(Coupling):
    """Turn and permute each source system towards its data system.

    States are `(batch, n, d)`, centred (`CentredGaussian`), and rotations proper. Entries are
    permuted within equal classes: the condition `(batch, n)`, or its entry `key`; `permute` without
    a condition takes all entries for equal. Permutation and rotation are optimal in turn, `rounds`
    times, which never raises the distance; the best pair of both together is not guaranteed.
    `inner` chooses the rows before. Equivariant optimal transport (Klein et al., 2023; Song et al.,
    2023).
    """

    inner: Coupling = field(default_factory=Independent)
    permute: bool = True
    rotate: bool = True
    rounds: int = 2
    key: str | None = None

    def __post_init__(self) -> None:
        if self.rounds < 1 or not (self.permute or self.rotate):
            raise FlowsciError("Aligned needs rounds of at least 1, and permute or rotate")

    @property
    def keeps_conditions(self) -> bool:
        return self.inner.keeps_conditions

    def _pair(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Any,
        generator: torch.Generator | None,
        mask: Tensor | None,
    ) -> Pairing:
        index = self.inner(x0, x1, condition, generator, mask).source_index
        classes = None if condition is None else _select(condition, self.key, x1, "Aligned")
        x0, permutation, rotation = x0[index], None, None
        for _ in range(self.rounds if self.permute and self.rotate else 1):
            if self.permute:
                turned = x0 if rotation is None else alignment.rotate(x0, rotation)
                permutation = alignment.permutation_between(turned, x1, mask, classes)
            if self.rotate:
                placed = x0 if permutation is None else alignment.permute(x0, permutation)
                rotation = alignment.rotation_between(placed, x1, mask)
        return Pairing(index, permutation, rotation)


def check_rows_stay(source: Source, coupling: Coupling | None) -> None:
    """Raise where a coupling would pair a row with a source about another row's condition."""
    if source.conditional and coupling and not coupling.keeps_conditions:
        raise FlowsciError(
            f"{coupling} would give a row the source drawn about another row's condition: "
            f"with {type(source).__name__}, pair within conditions or leave rows in place"
        )


def squared_distances(x0: Tensor, x1: Tensor) -> Tensor:
    """Squared distances in double precision: row i of x1 against row j of x0, `(batch, batch)`."""
    a, b = x1.detach().flatten(1).double(), x0.detach().flatten(1).double()
    centre = a.mean(0)
    a, b = a - centre, b - centre
    costs = a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T
    if not costs.isfinite().all():
        raise FlowsciError("a coupling can't measure distances: the states hold NaN or infinity")
    return costs


def assign(costs: Tensor) -> Tensor:
    """Return the column of each row, each column once, with the least total cost `(n, n)`."""
    if len(costs) > SCIPY_BATCH:
        return _network_simplex(costs)
    from scipy.optimize import linear_sum_assignment

    return torch.from_numpy(linear_sum_assignment(costs.cpu().numpy())[1]).to(costs.device)


def sinkhorn(costs: Tensor, epsilon: float, tolerance: float = 1e-6, limit: int = 10_000) -> Tensor:
    """Return the logarithm of the entropic plan between equal weights, `(n, n)`, by Sinkhorn.

    Iterates in the log domain until every column sums to 1/n within `tolerance` of it; rows are
    exact. Raises when `limit` iterations do not suffice.
    """
    _check_positive(epsilon)
    n = len(costs)
    log_kernel = -costs / epsilon
    rows = costs.new_zeros(n)
    for _ in range(limit):
        columns = -torch.logsumexp(log_kernel + rows[:, None], 0)
        rows = -torch.logsumexp(log_kernel + columns, 1)
        log_plan = log_kernel + rows[:, None] + columns
        if (torch.logsumexp(log_plan, 0).exp() - 1).abs().max() <= tolerance:
            return log_plan - torch.tensor(n).log()
    raise FlowsciError(
        f"Sinkhorn did not converge in {limit} iterations at epsilon = {epsilon}: "
        "raise epsilon or the limit"
    )


def _in_place(x0: Tensor) -> Pairing:
    return Pairing(torch.arange(len(x0), device=x0.device))


def _by_group(
    x0: Tensor, x1: Tensor, mask: Tensor | None, solve: Callable[[Tensor, Tensor], Tensor]
) -> Pairing:
    """Solve each group of rows with one mask on its own; padding takes no part in distances."""
    if mask is None:
        return Pairing(solve(x0, x1))
    x0, x1 = masks.zero_padding(x0, mask), masks.zero_padding(x1, mask)
    index = torch.arange(len(x1), device=x1.device)
    for rows in _groups(mask):
        index[rows] = rows[solve(x0[rows], x1[rows])]
    return Pairing(index)


def _groups(labels: Tensor) -> list[Tensor]:
    """The rows of each distinct label `(batch, ...)`."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for row, label in enumerate(labels.reshape(len(labels), -1).tolist()):
        groups.setdefault(tuple(label), []).append(row)
    return [torch.tensor(rows, device=labels.device) for rows in groups.values()]


def _select(condition: Any, key: str | None, x1: Tensor, user: str) -> Tensor:
    value = condition if key is None else condition[key]
    if not isinstance(value, Tensor) or len(value) != len(x1):
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise FlowsciError(
            f"{user} needs a condition tensor of {len(x1)} rows for data {tuple(x1.shape)}, "
            f"got {shape}; name one entry of a mapping by `key`"
        )
    return value


def _gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise, drawn on the generator's device."""
    exponential = torch.empty(like.shape, dtype=like.dtype, device=generator.device)
    return -exponential.exponential_(generator=generator).log().to(like.device)


def _network_simplex(costs: Tensor) -> Tensor:
    try:
        import ot
    except ImportError as error:
        raise FlowsciError(
            f"exact transport of {len(costs)} rows (above {SCIPY_BATCH}) needs POT: "
            "pip install 'flowsci[pot]', or use smaller batches"
        ) from error
    n = len(costs)
    plan, log = ot.emd([], [], costs.cpu().numpy(), numItermax=100 * n * n, log=True)
    best = torch.from_numpy(plan).argmax(1)
    if log["warning"] is not None or not torch.equal(best.sort().values, torch.arange(n)):
        raise FlowsciError(f"POT found no exact pairing of {n} rows: {log['warning']}")
    return best.to(costs.device)


def _check_positive(epsilon: float) -> None:
    if not epsilon > 0:
        raise FlowsciError(f"epsilon must be positive, got {epsilon}")
