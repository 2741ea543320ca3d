"""Undirected pairs of a padded batch, packed: each pair once, none with padding."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """The pairs i < j of real entries of all systems, one after the other.

    `first` and `second` (pairs,) number the entries in the flattened (batch * n) list; `place`
    (batch, n, n) numbers the pair of two entries, and is `len(first)` where there is none.
    """

    first: Tensor
    second: Tensor
    place: Tensor

    @classmethod
    def of(cls, mask: Tensor) -> "Pairs":
        """List the pairs of a mask (batch, n)."""
        n = mask.shape[1]
        real = mask[:, :, None] & mask[:, None, :]
        system, i, j = torch.triu(real, diagonal=1).nonzero(as_tuple=True)
        place = torch.full(real.shape, len(i), device=mask.device)
        number = torch.arange(len(i), device=mask.device)
        place[system, i, j] = number
        place[system, j, i] = number
        return cls(system * n + i, system * n + j, place)

    def pack(self, dense: Tensor) -> Tensor:
        """Take symmetric values (batch, n, n, ...) to (pairs, ...)."""
        n = dense.shape[1]
        flat = dense.reshape(-1, n, *dense.shape[3:])
        return flat[self.first, self.second % n]

    def unpack(self, packed: Tensor) -> Tensor:
        """Take values (pairs, ...) to (batch, n, n, ...), zero where there is no pair."""
        with_zero = torch.cat([packed, packed.new_zeros(1, *packed.shape[1:])])
        return with_zero.index_select(0, self.place.flatten()).unflatten(0, self.place.shape)

    def sums(self, entries: Tensor, onto: Tensor) -> Tensor:
        """Add the values (batch, n, width) of both partners to those of the pairs."""
        flat = entries.flatten(0, 1)
        return onto + flat.index_select(0, self.first) + flat.index_select(0, self.second)

    def between(self, positions: Tensor) -> Tensor:
        """Give the vectors (pairs, 3) from the second to the first partner."""
        flat = positions.flatten(0, 1)
        return flat.index_select(0, self.first) - flat.index_select(0, self.second)

    def push(self, along: Tensor, like: Tensor) -> Tensor:
        """Add vectors (pairs, ...) to the first partner and take them from the second.

        Gives (batch, n, ...) for `like` (batch, n, 3).
        """
        batch, n = like.shape[:2]
        total = along.new_zeros(batch * n, *along.shape[1:])
        total = total.index_add(0, self.first, along).index_add(0, self.second, -along)
        return total.unflatten(0, (batch, n))

    def means(self, packed: Tensor, mask: Tensor) -> Tensor:
        """Average values (pairs, ...) over the pairs of each system: (batch, ...)."""
        batch, n = mask.shape
        size = mask.sum(1).to(packed)
        count = (size * (size - 1) / 2).reshape(-1, *[1] * (packed.ndim - 1))
        total = packed.new_zeros(batch, *packed.shape[1:])
        return total.index_add(0, self.first // n, packed) / count
