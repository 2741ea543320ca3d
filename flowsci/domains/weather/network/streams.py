"""Two streams over one condition: a deterministic mean, and the velocity of a flow around it.

A deterministic stream beside the flow is foresight diffusion's idea: what can be foretold is not
left to noise.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from flowsci.domains.contract import Batch
from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.network.residuals import Residuals
from flowsci.domains.weather.network.transformer import Transformer
from flowsci.domains.weather.network.unet import UNet
from flowsci.domains.weather.settings import TransformerSettings, UNetSettings
from flowsci.flow import Linear, Path
from flowsci.nets.times import TimeFeatures

STATIC = 6
TOLD = 128
SCALARS = 8
STRAIGHT = Linear()


@dataclass(frozen=True)
class Context:
    """What the velocity's stream is told: features (batch, width, ...), scalars (batch, 8)."""

    features: Tensor
    scalars: Tensor

    def repeat(self, times: int) -> "Context":
        """Give every condition `times` rows, one after the other."""
        return Context(*(part.repeat_interleave(times, 0) for part in vars(self).values()))


class Stem(nn.Module):
    """Fields to features: a convolution of patches that overlap by a cell, right at the poles."""

    def __init__(
        self, grid: Grid, flips: Tensor, width: int, patch: int, bias: bool = True
    ) -> None:
        """Take fields of which those with `flips` (inputs,) bool change sign over a pole."""
        super().__init__()
        self.grid, self.patch = grid, patch
        self.register_buffer("vectors", flips.nonzero().flatten(), persistent=False)
        self.convolution = nn.Conv2d(len(flips), width, patch + 2, stride=patch, bias=bias)

    def forward(self, fields: Tensor) -> Tensor:
        """Map (batch, inputs, rows, columns) to (batch, width, rows / patch, columns / patch)."""
        padded = self.grid.pad(fields, 1, self.vectors)
        rows, columns = (-size % self.patch for size in fields.shape[-2:])
        if rows or columns:
            padded = functional.pad(padded, (0, columns, 0, rows), mode="replicate")
        return self.convolution(padded)


class Stream(nn.Module):
    """A backbone between a stem and the full grid."""

    def __init__(
        self, settings: UNetSettings | TransformerSettings, grid: Grid, channels: int
    ) -> None:
        super().__init__()
        self.patch, outputs = settings.patch, channels * settings.patch**2
        self.scalars = nn.Sequential(nn.Linear(SCALARS, TOLD), nn.SiLU(), nn.Linear(TOLD, TOLD))
        self.backbone = (
            UNet(settings, grid, outputs, TOLD)
            if isinstance(settings, UNetSettings)
            else Transformer(settings, outputs, TOLD)
        )

    def forward(
        self, features: Tensor, scalars: Tensor, time: Tensor | None, like: Tensor
    ) -> Tensor:
        """Map features (batch, width, ...) to fields of the grid of `like`."""
        told = self.scalars(scalars)
        told = functional.silu(told if time is None else told + time)
        fine = functional.pixel_shuffle(self.backbone(features, told), self.patch)
        return fine[..., : like.shape[-2], : like.shape[-1]]


class Streams(nn.Module):
    """The mean of the next fields, and the velocity of a flow around it.

    `forward(batch)` gives the mean, `forward(batch, x, t, mean)` the velocity; of the trained
    network, `context` and `velocity` share the condition's features among members and calls.
    `residuals` holds what is known of the mean's errors.
    """

    def __init__(
        self,
        settings: UNetSettings | TransformerSettings,
        grid: Grid,
        flips: Tensor,
        noise_spread: float = 1.0,
        degrees: int = 0,
        path: Path = STRAIGHT,
    ) -> None:
        """Build untrained streams for channels of which `flips` (channel,) are parts of a wind.

        `degrees` is the number of degrees of harmonics or waves, 0 where there are none.
        """
        super().__init__()
        self.noise_spread, self.path = noise_spread, path
        channels, rows, stem = len(flips), len(grid.latitudes), (settings.width, settings.patch)
        still = torch.zeros_like(flips)
        condition = [flips, flips, flips, torch.zeros(STATIC, dtype=torch.bool)]
        self.conditions = nn.ModuleList(
            Stem(grid, torch.cat([*condition, *more]), *stem) for more in ([], [flips])
        )
        known = torch.cat([flips, still, flips])
        self.known = nn.ModuleList(Stem(grid, known, *stem, bias=False) for _ in range(2))
        self.state = Stem(grid, flips, *stem, bias=False)
        self.time = TimeFeatures(TOLD)
        self.mean, self.flow = (Stream(settings, grid, channels) for _ in range(2))
        self.carry = nn.Parameter(torch.full((channels, 1, 1), 0.5))
        self.residuals = Residuals(channels, rows, degrees)

    def forward(
        self,
        batch: Batch,
        x: Tensor | None = None,
        t: Tensor | None = None,
        mean: Tensor | None = None,
    ) -> Tensor:
        """Give the mean (batch, channel, rows, columns), or the velocity at state x and times t."""
        if x is None:
            return self.foretell(batch)
        return self.velocity(x, t, self.context(batch, mean))

    def foretell(self, batch: Batch) -> Tensor:
        """Give the mean stream's fields: what is carried on from the present, and a change."""
        context = self._context(0, batch, [])
        now = batch["previous"][:, -1]
        change = self.mean(context.features, context.scalars, None, now)
        return self.carry * now + batch["coarse"] + change

    def context(self, batch: Batch, mean: Tensor) -> Context:
        """Encode the condition and its mean for the velocity."""
        return self._context(1, batch, [mean])

    def velocity(self, x: Tensor, t: Tensor, context: Context) -> Tensor:
        """Give the velocity of state x (rows, channel, ...) at times t; a row of context a state.

        Written as what Gaussian noise and unit data would do, and the network's correction (the
        preconditioning of Karras et al., 2022).
        """
        features = context.features + self.state(x)
        said = self.flow(features, context.scalars, self.time(t), x)
        c, variance = self.path.coefficients(t).expand(x), self.noise_spread**2
        total = c.beta.square() + variance * c.alpha.square()
        known = (c.beta * c.d_beta + variance * c.alpha * c.d_alpha) / total
        return known * x + self.noise_spread * c.determinant / total.sqrt() * said

    def _context(self, stream: int, batch: Batch, extra: list[Tensor]) -> Context:
        previous = batch["previous"].flatten(1, 2)
        fields = torch.cat([previous, batch["climatology"], batch["static"], *extra], dim=1)
        features = self.conditions[stream](fields)
        known = torch.cat([batch[name] for name in ("observed", "observed_mask", "coarse")], dim=1)
        # a convolution without bias of nothing is nothing, and costs as much as another
        if bool(known.any()):
            features = features + self.known[stream](known)
        return Context(features, _scalars(batch))


def _scalars(batch: Batch) -> Tensor:
    """Stack what is one number a case: day, hour, lead, and which task it is."""
    flags = [
        batch["has_previous"],
        batch["coarse_factor"] / 4,
        batch["observed_mask"].amax((1, 2, 3)),
    ]
    return torch.cat([batch["times"], torch.stack(flags, dim=1)], dim=1)
