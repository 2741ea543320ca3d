"""Undirected pairs of systems of one padded size: each pair once, in the order of its places.

What `Pairs` is to ragged lists, with the batch kept as a dimension: pairs of padding are carried
along, so that every batch of one size shares its indices.
"""

from functools import lru_cache

import torch
from torch import Tensor

from flowsci.flow.masks import expand


class Triangle:
    """The pairs i < j of `size` entries; packed values are (batch, pairs, ...).

    Sums and differences over partners are products with the pairs' incidence, which are faster
    than gathers, forwards and backwards.
    """

    def __init__(self, size: int, device: torch.device | str = "cpu") -> None:
        self.size = size
        self.first, self.second = torch.triu_indices(size, size, offset=1, device=device)
        number = torch.arange(len(self.first), device=device)
        place = torch.full((size, size), len(number), device=device)
        place[self.first, self.second] = place[self.second, self.first] = number
        self.place = place.flatten()
        self.upper = self.first * size + self.second
        self.incidence = torch.zeros(len(number), size, device=device)
        self.incidence[number, self.first] = 1
        self.direction = self.incidence.clone()
        self.incidence[number, self.second] = 1
        self.direction[number, self.second] = -1

    def __len__(self) -> int:
        return len(self.first)

    def pack(self, dense: Tensor) -> Tensor:
        """Take symmetric values (batch, n, n, ...) to (batch, pairs, ...)."""
        return dense.flatten(1, 2).index_select(1, self.upper)

    def unpack(self, packed: Tensor) -> Tensor:
        """Take values (batch, pairs, ...) to (batch, n, n, ...), zero on the diagonal."""
        zero = packed.new_zeros(len(packed), 1, *packed.shape[2:])
        dense = torch.cat([packed, zero], dim=1).index_select(1, self.place)
        return dense.unflatten(1, (self.size, self.size))

    def both(self, mask: Tensor) -> Tensor:
        """Tell which pairs (batch, pairs) are of two real entries of a mask (batch, n)."""
        return mask[:, self.first] & mask[:, self.second]

    def sums(self, entries: Tensor) -> Tensor:
        """Add the values (batch, n, width) of both partners: (batch, pairs, width)."""
        return self.incidence.to(entries.dtype) @ entries

    def between(self, positions: Tensor) -> Tensor:
        """Give the vectors (batch, pairs, 3) from the second to the first partner."""
        # of 16 bits a position would keep a hundredth of an angstrom
        with torch.autocast(positions.device.type, enabled=False):
            return self.direction.to(positions.dtype) @ positions

    def push(self, along: Tensor) -> Tensor:
        """Add vectors (batch, pairs, 3) to the first partner and take them from the second."""
        return self.direction.to(along.dtype).T @ along

    def collect(self, packed: Tensor, mask: Tensor | None = None) -> Tensor:
        """Add the values (batch, pairs, width) of an entry's pairs, real ones only."""
        if mask is not None:
            packed = packed * expand(self.both(mask), packed).to(packed.dtype)
        return self.incidence.to(packed.dtype).T @ packed


@lru_cache(maxsize=512)
def triangle(size: int, device: torch.device | str = "cpu") -> Triangle:
    """Give the pairs of `size` entries, made once."""
    return Triangle(size, device)
