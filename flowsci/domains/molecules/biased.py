"""A transformer over points in space whose pair features are computed once for many layers.

Layers attend with a bias from the pairs, and gather the pairs' features, relative positions and
vectors by the same weights. Scalars are invariant and vectors equivariant to turns and shifts; a
triple product tells a system from its mirror image.
"""

import torch
from torch import Tensor, nn

from flowsci.domains.molecules.triangle import Triangle
from flowsci.nets.equivariant import triple_product

TYPICAL_LENGTH = 5.0
"""Of vectors, root mean square over channels: longer ones are held to about this in a gate."""


class BiasedTransformer(nn.Module):
    """Layers that share one set of pair features; `guide` (time, say) modulates all of them alike.

    The modulation is one linear map for all layers and an offset a layer (PixArt-alpha, Chen et
    al., 2024), so that it costs few weights.
    """

    def __init__(
        self, width: int, pair_width: int, layers: int, heads: int, vectors: int, guide_width: int
    ) -> None:
        super().__init__()
        self.heads = heads
        self.bias = nn.Linear(pair_width, layers * heads, bias=False)
        self.modulation = nn.Linear(guide_width, 6 * width)
        self.offsets = nn.Parameter(torch.zeros(layers, 6 * width))
        self.layers = nn.ModuleList(
            BiasedLayer(width, pair_width, heads, vectors) for _ in range(layers)
        )
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self,
        points: Tensor,
        vectors: Tensor,
        packed: Tensor,
        positions: Tensor,
        triangle: Triangle,
        mask: Tensor | None,
        guide: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Refine points (batch, n, width) and their vectors (batch, n, 3, vectors).

        `packed` (batch, pairs, pair_width) are the features of the pairs, `positions` (batch, n, 3)
        what distances are measured in; a `mask` (batch, n) of None says that all entries are real.
        """
        dense = triangle.unpack(packed).flatten(0, 1)
        biases = self._biases(packed, triangle, mask)
        modulation = self.modulation(nn.functional.silu(guide))
        places = positions.unsqueeze(1).expand(-1, self.heads, -1, -1)
        for layer, bias, offset in zip(self.layers, biases, self.offsets, strict=True):
            shared = (modulation + offset).unsqueeze(1).chunk(6, dim=-1)
            points, vectors = layer(points, vectors, dense, places, bias, shared)
        return points, vectors

    def _biases(self, packed: Tensor, triangle: Triangle, mask: Tensor | None) -> Tensor:
        """Give the bias (layers, batch * heads, n, n) of every layer, -inf for keys of padding."""
        n = triangle.size
        said = self.bias(packed).unflatten(-1, (-1, self.heads)).permute(2, 0, 3, 1)
        said = nn.functional.pad(said, (0, 1)).flatten(0, 2).index_select(1, triangle.place)
        said = said.view(len(self.layers), len(packed), self.heads, n, n)
        if mask is not None:
            # keys stand in the last dimension but one
            said = said.masked_fill(~mask[None, :, None, :, None], -torch.inf)
        return said.flatten(1, 2)


class BiasedLayer(nn.Module):
    """Attention over points, pairs and vectors, then an MLP that sees the vectors' invariants."""

    def __init__(self, width: int, pair_width: int, heads: int, vectors: int) -> None:
        super().__init__()
        self.width, self.heads, self.vectors = width, heads, vectors
        self.queries = nn.Linear(width, 3 * width)
        self.spread = nn.Linear(vectors, heads, bias=False)
        self.collect = nn.Linear(2 * heads, vectors, bias=False)
        self.merge = nn.Linear(width + heads * pair_width, width)
        self.mix = nn.Linear(vectors, 3 * vectors, bias=False)
        self.triples = vectors // 2
        self.inner = nn.Linear(width + 2 * vectors + self.triples, 2 * width)
        self.outer = nn.Linear(2 * width, width + vectors)

    def forward(
        self,
        h: Tensor,
        vectors: Tensor,
        dense: Tensor,
        places: Tensor,
        bias: Tensor,
        modulation: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor]:
        scale_1, shift_1, gate_1, scale_2, shift_2, gate_2 = modulation
        normed = torch.addcmul(shift_1, _norm(h), 1 + scale_1)
        heard, seen = self._attend(normed, vectors, dense, places, bias)
        h = torch.addcmul(h, 1 + gate_1, heard)
        vectors = vectors + self.collect(seen)
        said, vectors = self._mix(torch.addcmul(shift_2, _norm(h), 1 + scale_2), vectors)
        return torch.addcmul(h, 1 + gate_2, said), vectors

    def _attend(
        self, h: Tensor, vectors: Tensor, dense: Tensor, places: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        batch, n, _ = h.shape
        heads = (batch, self.heads, n)
        query, key, value = self.queries(h).view(batch, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        size = query.shape[-1]
        query, key = query.reshape(-1, n, size), key.reshape(-1, n, size)
        # keys before queries: a softmax over the last but one dimension is faster for short rows,
        # and the bias is symmetric
        weights = torch.baddbmm(bias, key, query.transpose(1, 2), alpha=size**-0.5).softmax(1)
        # relative positions and vectors are values too
        carried = self.spread(vectors).permute(0, 3, 1, 2)
        values = torch.cat([value, carried, places], dim=-1).view(-1, n, size + 6)
        gathered = (weights.transpose(1, 2) @ values).view(*heads, size + 6)
        towards = gathered[..., size + 3 :] - places
        seen = torch.cat([gathered[..., size : size + 3], towards], dim=1).permute(0, 2, 3, 1)
        by_query = weights.view(*heads, n).permute(0, 3, 1, 2).reshape(batch * n, self.heads, n)
        paired = (by_query @ dense.view(batch * n, n, -1)).view(batch, n, -1)
        heard = gathered[..., :size].transpose(1, 2).reshape(batch, n, -1)
        return self.merge(torch.cat([heard, paired], dim=-1)), seen

    def _mix(self, h: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        # gates grow with the vectors that they multiply: unbounded, a rare state explodes
        square = vectors.square().sum(-2, keepdim=True).mean(-1, keepdim=True)
        bounded = vectors * torch.rsqrt(1 + square / TYPICAL_LENGTH**2)
        a, b, c = self.mix(bounded).chunk(3, dim=-1)
        squares, products = (a * a).sum(-2), (a * b).sum(-2)
        few = (part[..., : self.triples] for part in (a, b, c))
        invariants = torch.cat([squares, products, triple_product(*few)], dim=-1)
        # roots keep the invariants of the order of the vectors' lengths
        squeezed = invariants / (1 + invariants.abs()).sqrt()
        said = self.outer(nn.functional.silu(self.inner(torch.cat([h, squeezed], dim=-1))))
        said, gate = said.split((self.width, self.vectors), dim=-1)
        return said, vectors + gate.unsqueeze(-2) * c


def _norm(h: Tensor) -> Tensor:
    return nn.functional.layer_norm(h, h.shape[-1:])
