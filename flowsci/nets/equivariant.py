"""A dense transformer over points in space with features of points and of pairs.

Scalars are invariant and positions equivariant to shifts and turns of the whole system; pairs are
undirected. Turns are proper: a triple product of vectors tells a system from its mirror image,
unless `handed` is False.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flowsci.flow.masks import zero_padding
from flowsci.nets.pairs import Pairs

SMALLEST_DISTANCE = 1e-4
SMALLEST_EXPONENT = -40.0
"""Below it a feature is as good as zero; products with denormal numbers are slow."""
LARGEST_SCORE = 30.0
"""A larger score of attention is as certain; within it exponentials neither overflow nor vanish."""


@dataclass(frozen=True)
class PointCloud:
    """Features of `points` (batch, n, width) and `pairs` (pairs, pair_width), and `positions`."""

    points: Tensor
    pairs: Tensor
    positions: Tensor


class DistanceFeatures(nn.Module):
    """Distances (...,) as `size` smooth bumps, equally spaced in the logarithm of the distance."""

    def __init__(self, size: int = 20, shortest: float = 0.6, longest: float = 12.0) -> None:
        super().__init__()
        centres = torch.linspace(torch.tensor(shortest).log(), torch.tensor(longest).log(), size)
        self.register_buffer("centres", centres, persistent=False)
        self.sharpness = float((size - 1) / (centres[-1] - centres[0]))

    def forward(self, distance: Tensor) -> Tensor:
        logs = distance.clamp(min=SMALLEST_DISTANCE).log().unsqueeze(-1)
        away = (logs - self.centres) * (self.sharpness / 2**0.5)
        return (-away.square()).clamp(min=SMALLEST_EXPONENT).exp()


class EquivariantTransformer(nn.Module):
    """Refine features and positions, layer by layer; each layer sees the positions of the last."""

    def __init__(
        self,
        width: int,
        pair_width: int,
        layers: int,
        heads: int,
        vectors: int = 16,
        handed: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.vectors = vectors
        self.layers = nn.ModuleList(
            Layer(width, pair_width, heads, vectors, handed, dropout) for _ in range(layers)
        )

    def forward(
        self,
        cloud: PointCloud,
        pairs: Pairs,
        mask: Tensor,
        guide: Tensor,
        vectors: Tensor | None = None,
    ) -> PointCloud:
        """Refine a cloud; `guide` (batch, width) scales and shifts every layer (time, say).

        `vectors` (batch, n, 3, vectors) are what the points know of directions; zero if not given.
        """
        real = mask[:, None, None, :].to(cloud.points)
        if vectors is None:
            vectors = cloud.positions.new_zeros(*mask.shape, 3, self.vectors)
        for layer in self.layers:
            cloud, vectors = layer(cloud, vectors, pairs, real, guide)
        positions = zero_padding(cloud.positions, mask)
        return PointCloud(cloud.points, cloud.pairs, positions)


class Layer(nn.Module):
    """Pairs learn from points and distances, points attend with a bias of pairs, positions move."""

    def __init__(
        self,
        width: int,
        pair_width: int,
        heads: int,
        vectors: int,
        handed: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.pair_update = PairUpdate(width, pair_width, dropout)
        self.attention = Attention(width, pair_width, heads, vectors)
        self.mixing = Mixing(width, vectors, handed, dropout)
        self.modulation = nn.Linear(width, 6 * width)
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.pair_norm = nn.LayerNorm(pair_width)
        self.force = nn.Linear(pair_width, 1)
        for module in (self.modulation, self.force):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)

    def forward(
        self, cloud: PointCloud, vectors: Tensor, pairs: Pairs, real: Tensor, guide: Tensor
    ) -> tuple[PointCloud, Tensor]:
        x, h = cloud.positions, cloud.points
        scale_1, shift_1, gate_1, scale_2, shift_2, gate_2 = (
            self.modulation(nn.functional.silu(guide)).unsqueeze(1).chunk(6, -1)
        )
        between = pairs.between(x)
        distance = torch.linalg.vector_norm(between, dim=-1)
        p = self.pair_update(cloud.pairs, h, distance, pairs)
        told = self.pair_norm(p)
        heard, seen = self.attention(
            self.norms[0](h) * (1 + scale_1) + shift_1, vectors, x, pairs.unpack, told, real
        )
        h = h + (1 + gate_1) * heard
        vectors = vectors + seen
        said, vectors, step = self.mixing(self.norms[1](h) * (1 + scale_2) + shift_2, vectors)
        h = h + (1 + gate_2) * said
        unit = between / (distance.unsqueeze(-1) + 1)
        x = x + step + pairs.push(self.force(told) * unit, x)
        return PointCloud(h, p, x), vectors


class PairUpdate(nn.Module):
    """An MLP over a pair's features, its partners' and their distance."""

    def __init__(self, width: int, pair_width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.distances = DistanceFeatures()
        self.norm = nn.LayerNorm(pair_width)
        self.from_distance = nn.Linear(len(self.distances.centres) + 1, 2 * pair_width, bias=False)
        self.from_points = nn.Linear(width, 2 * pair_width, bias=False)
        self.inner = nn.Linear(pair_width, 2 * pair_width)
        self.outer = nn.Linear(2 * pair_width, pair_width)

    def forward(self, p: Tensor, h: Tensor, distance: Tensor, pairs: Pairs) -> Tensor:
        known = [self.norm(p), self.distances(distance), distance.unsqueeze(-1) / 4]
        weight = torch.cat([self.inner.weight, self.from_distance.weight], dim=1)
        hidden = nn.functional.linear(torch.cat(known, dim=-1), weight, self.inner.bias)
        hidden = pairs.sums(self.from_points(h), hidden)
        return p + self.outer(self.dropout(nn.functional.silu(hidden)))


class Attention(nn.Module):
    """Attention whose weights also gather relative positions and vectors."""

    def __init__(self, width: int, pair_width: int, heads: int, vectors: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Linear(width, 3 * width)
        self.bias = nn.Linear(pair_width, heads, bias=False)
        self.merge = nn.Linear(width, width)
        self.spread = nn.Linear(vectors, heads, bias=False)
        self.collect = nn.Linear(2 * heads, vectors, bias=False)

    def forward(
        self, h: Tensor, vectors: Tensor, x: Tensor, unpack, p: Tensor, real: Tensor
    ) -> tuple[Tensor, Tensor]:
        query, key, value = (
            self.queries(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        scores = scores + unpack(self.bias(p)).movedim(-1, 1)
        # over rows this short, torch's own softmax is several times slower
        weights = scores.clamp(-LARGEST_SCORE, LARGEST_SCORE).exp() * real
        weights = weights / weights.sum(-1, keepdim=True)
        heard = self.merge((weights @ value).transpose(1, 2).flatten(-2))
        # positions and vectors are values too: (batch, heads, n, 6)
        carried = self.spread(vectors).permute(0, 3, 1, 2)
        places = x.unsqueeze(1).expand(-1, self.heads, -1, -1)
        seen = weights @ torch.cat([places, carried], dim=-1)
        seen = torch.cat([seen[..., :3] - places, seen[..., 3:]], dim=1).permute(0, 2, 3, 1)
        return heard, self.collect(seen)


class Mixing(nn.Module):
    """An MLP over a point's features and the invariants of its vectors; gates vectors, moves."""

    def __init__(self, width: int, vectors: int, handed: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.handed = handed
        self.dropout = nn.Dropout(dropout)
        self.mix = nn.Linear(vectors, 3 * vectors, bias=False)
        invariants = (2 + handed) * vectors
        self.inner = nn.Linear(width + invariants, 2 * width)
        self.outer = nn.Linear(2 * width, width + 2 * vectors)
        self.width, self.vectors = width, vectors
        nn.init.zeros_(self.outer.weight[width:])
        nn.init.zeros_(self.outer.bias[width:])

    def forward(self, h: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b, c = self.mix(vectors).chunk(3, dim=-1)
        invariants = [(a * a).sum(-2), (a * b).sum(-2)]
        if self.handed:
            invariants.append(triple_product(a, b, c))
        squeezed = _asinh(torch.cat(invariants, dim=-1))
        hidden = nn.functional.silu(self.inner(torch.cat([h, squeezed], dim=-1)))
        said = self.outer(self.dropout(hidden))
        said, gate, weights = said.split((self.width, self.vectors, self.vectors), dim=-1)
        vectors = vectors + gate.unsqueeze(-2) * c
        return said, vectors, (weights.unsqueeze(-2) * vectors).sum(-1)


def triple_product(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Give a x b . c of vectors (..., 3, k) as (..., k): its sign tells the handedness."""
    (a1, a2, a3), (b1, b2, b3), (c1, c2, c3) = (v.unbind(-2) for v in (a, b, c))
    return (a2 * b3 - a3 * b2) * c1 + (a3 * b1 - a1 * b3) * c2 + (a1 * b2 - a2 * b1) * c3


def _asinh(values: Tensor) -> Tensor:
    """Give the inverse hyperbolic sine; torch's own takes one number at a time on the CPU."""
    size, square = values.abs(), values.square()
    return values.sign() * (size + square / (1 + (1 + square).sqrt())).log1p()
