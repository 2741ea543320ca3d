"""A vision transformer over patches of the grid (Dosovitskiy et al., 2021; Peebles, Xie, 2023)."""

from torch import Tensor, nn
from torch.nn import functional

from flowsci.domains.weather.settings import TransformerSettings


class Transformer(nn.Module):
    """From features of patches to `outputs` channels of each; the features tell where they are."""

    def __init__(self, settings: TransformerSettings, outputs: int, told: int) -> None:
        super().__init__()
        width = settings.width
        self.layers = nn.ModuleList(
            Layer(width, settings.heads, told) for _ in range(settings.layers)
        )
        self.norm = VectorNorm(width, told, 2)
        self.out = nn.Linear(width, outputs)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Map (batch, width, rows, columns) and (batch, told) to (batch, outputs, ...)."""
        tokens = x.flatten(2).mT
        for layer in self.layers:
            tokens = layer(tokens, vector)
        tokens, _ = self.norm(tokens, vector)
        return self.out(tokens).mT.unflatten(2, x.shape[2:])


class VectorNorm(nn.Module):
    """Layer normalisation with scale and shift, and a gate where `parts` is 3, from a vector."""

    def __init__(self, width: int, told: int, parts: int = 3) -> None:
        super().__init__()
        self.parts = parts
        self.modulation = nn.Linear(told, parts * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, tokens: Tensor, vector: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give normalised tokens (batch, n, width), and a gate (batch, 1, width) or None."""
        scale, shift, *gate = self.modulation(vector).unsqueeze(1).chunk(self.parts, dim=-1)
        normal = functional.layer_norm(tokens, tokens.shape[-1:])
        return normal * (1 + scale) + shift, gate[0] if gate else None


class Layer(nn.Module):
    """Attention and an MLP, each gated by the vector; every gate starts shut (adaLN-zero)."""

    def __init__(self, width: int, heads: int, told: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(VectorNorm(width, told) for _ in range(2))
        self.query_key_value = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor, vector: Tensor) -> Tensor:
        """Change tokens (batch, n, width) as the vector (batch, told) says."""
        normal, gate = self.norms[0](tokens, vector)
        tokens = tokens + gate * self.merge(self._attend(normal))
        normal, gate = self.norms[1](tokens, vector)
        return tokens + gate * self.mlp(normal)

    def _attend(self, tokens: Tensor) -> Tensor:
        parts = (
            self.query_key_value(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        return functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
