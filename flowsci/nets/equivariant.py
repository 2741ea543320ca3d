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
LARGEST_SQUARE = 60.0


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
        squares = ((logs - self.centres) * self.sharpness) ** 2
        # products with denormal numbers are a hundred times slower
        return torch.exp(-squares.clamp(max=LARGEST_SQUARE) / 2)


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
    ) -> None:
        super().__init__()
        self.vectors = vectors
        self.layers = nn.ModuleList(
            Layer(width, pair_width, heads, vectors, handed) for _ in range(layers)
        )

    def forward(self, cloud: PointCloud, pairs: Pairs, mask: Tensor, guide: Tensor) -> PointCloud:
        """Refine a cloud; `guide` (batch, width) scales and shifts every layer (time, say)."""
        barred = torch.where(mask[:, None, None, :], 0.0, -torch.inf)
        vectors = cloud.positions.new_zeros(*mask.shape, 3, self.vectors)
        for layer in self.layers:
            cloud, vectors = layer(cloud, vectors, pairs, barred, guide)
        positions = zero_padding(cloud.positions, mask)
        return PointCloud(cloud.points, cloud.pairs, positions)


class Layer(nn.Module):
    """Pairs learn from points and distances, points attend with a bias of pairs, positions move."""

    def __init__(self, width: int, pair_width: int, heads: int, vectors: int, handed: bool) -> None:
        super().__init__()
        self.pair_update = PairUpdate(width, pair_width)
        self.attention = Attention(width, pair_width, heads, vectors)
        self.mixing = Mixing(width, vectors, handed)
        self.modulation = nn.Linear(width, 6 * width)
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.pair_norm = nn.LayerNorm(pair_width)
        self.force = nn.Linear(pair_width, 1)
        for module in (self.modulation, self.force):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)

    def forward(
        self, cloud: PointCloud, vectors: Tensor, pairs: Pairs, barred: Tensor, guide: Tensor
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
            self.norms[0](h) * (1 + scale_1) + shift_1, vectors, x, pairs.unpack, told, barred
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

    def __init__(self, width: int, pair_width: int) -> None:
        super().__init__()
        self.distances = DistanceFeatures()
        self.norm = nn.LayerNorm(pair_width)
        self.from_distance = nn.Linear(len(self.distances.centres) + 1, 2 * pair_width)
        self.from_points = nn.Linear(width, 2 * pair_width, bias=False)
        self.inner = nn.Linear(pair_width, 2 * pair_width)
        self.outer = nn.Linear(2 * pair_width, pair_width)

    def forward(self, p: Tensor, h: Tensor, distance: Tensor, pairs: Pairs) -> Tensor:
        near = torch.cat([self.distances(distance), distance.unsqueeze(-1) / 4], dim=-1)
        hidden = self.inner(self.norm(p)) + self.from_distance(near)
        hidden = hidden + pairs.sums(self.from_points(h))
        return p + self.outer(nn.functional.silu(hidden))


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
        self, h: Tensor, vectors: Tensor, x: Tensor, unpack, p: Tensor, barred: Tensor
    ) -> tuple[Tensor, Tensor]:
        query, key, value = (
            self.queries(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        weights = (scores + unpack(self.bias(p)).movedim(-1, 1) + barred).softmax(-1)
        heard = self.merge((weights @ value).transpose(1, 2).flatten(-2))
        # positions and vectors are values too: (batch, heads, n, 6)
        carried = self.spread(vectors).permute(0, 3, 1, 2)
        places = x.unsqueeze(1).expand(-1, self.heads, -1, -1)
        seen = weights @ torch.cat([places, carried], dim=-1)
        seen = torch.cat([seen[..., :3] - places, seen[..., 3:]], dim=1).permute(0, 2, 3, 1)
        return heard, self.collect(seen)


class Mixing(nn.Module):
    """An MLP over a point's features and the invariants of its vectors; gates vectors, moves."""

    def __init__(self, width: int, vectors: int, handed: bool) -> None:
        super().__init__()
        self.handed = handed
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
            invariants.append((torch.linalg.cross(a, b, dim=-2) * c).sum(-2))
        squeezed = [torch.asinh(value) for value in invariants]
        said = self.outer(nn.functional.silu(self.inner(torch.cat([h, *squeezed], dim=-1))))
        said, gate, weights = said.split((self.width, self.vectors, self.vectors), dim=-1)
        vectors = vectors + gate.unsqueeze(-2) * c
        return said, vectors, (weights.unsqueeze(-2) * vectors).sum(-1)
