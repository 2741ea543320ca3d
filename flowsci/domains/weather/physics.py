"""Winds without divergence: measured, projected, or learned beside the flow.

In a periodic box by Fourier series; on the sphere by vector harmonics, whose divergence-free part
comes from the curl alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flowsci.domains.weather.grids import Grid
from flowsci.errors import FlowsciError
from flowsci.flow import Field, Prediction


class Winds:
    """The pairs of wind channels of a dataset, in anomalies of different spreads."""

    def __init__(self, statistics: Mapping[str, Any]) -> None:
        channels = statistics["channels"]
        self.grid = Grid.of(statistics)
        self.pairs = [
            (index, channel["partner"])
            for index, channel in enumerate(channels)
            if channel["vector"] == "u"
        ]
        if not self.pairs:
            raise FlowsciError("flow.divergence: the dataset has no winds; set it to 'free'.")
        if self.grid.kind not in ("periodic", "gaussian"):
            raise FlowsciError(
                "flow.divergence: needs a periodic box or a global Gaussian grid; the dataset's is "
                f"of the kind '{self.grid.kind}'. Set it to 'free', or interpolate the dataset."
            )
        self.spread = torch.tensor(statistics["anomaly_spread"], dtype=torch.float32)
        self.truncation = statistics.get("truncation")
        self._spheres: dict[torch.device, SphericalWinds] = {}

    def project(self, fields: Tensor) -> Tensor:
        """Give the nearest fields (..., channel, rows, columns) whose winds have no divergence."""
        parts = list(fields.unbind(-3))
        for u, v in self.pairs:
            scaled = [parts[i] * self.spread[i].to(fields) for i in (u, v)]
            for i, wind in zip((u, v), self._solenoidal(*scaled), strict=True):
                parts[i] = wind / self.spread[i].to(fields)
        return torch.stack(parts, dim=-3)

    def divergence(self, fields: Tensor) -> Tensor:
        """Give the divergence (..., pair, rows, columns) in spreads of u a radian, by harmonics."""
        return torch.stack([self._divergence(fields, u, v) for u, v in self.pairs], dim=-3)

    def _divergence(self, fields: Tensor, u: int, v: int) -> Tensor:
        wind = [fields[..., i, :, :] * (self.spread[i] / self.spread[u]).to(fields) for i in (u, v)]
        if self.grid.kind != "periodic":
            return self._sphere(fields.device).divergence(*wind)
        spectra = [torch.fft.rfft2(part) for part in wind]
        along_x, along_y = self._waves(fields)
        total = 1j * (along_x * spectra[0] + along_y * spectra[1])
        return torch.fft.irfft2(total, s=fields.shape[-2:])

    def _solenoidal(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if self.grid.kind != "periodic":
            return self._sphere(u.device).solenoidal(u, v)
        along_x, along_y = self._waves(u)
        first, second = torch.fft.rfft2(u), torch.fft.rfft2(v)
        square = along_x**2 + along_y**2
        # the mean flow has no divergence
        share = (along_x * first + along_y * second) / torch.where(square > 0, square, 1.0)
        found = first - along_x * share, second - along_y * share
        there = tuple(torch.fft.irfft2(part, s=u.shape[-2:]) for part in found)
        return there[0], there[1]

    def _waves(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Give wave numbers along x and y; the highest, which has no derivative, counts as 0."""
        rows, columns = like.shape[-2:]
        along_y = torch.fft.fftfreq(rows, 1 / rows, device=like.device, dtype=like.dtype)
        along_x = torch.fft.rfftfreq(columns, 1 / columns, device=like.device, dtype=like.dtype)
        along_y = torch.where(along_y == -rows / 2, 0.0, along_y)
        along_x = torch.where(along_x == columns / 2, 0.0, along_x)
        return along_x[None], along_y[:, None]

    def _sphere(self, device: torch.device) -> "SphericalWinds":
        """Give the harmonics on a device, made once."""
        if device not in self._spheres:
            self._spheres[device] = SphericalWinds(self.grid, device, self.truncation)
        return self._spheres[device]


class SphericalWinds:
    """Vector harmonics on a Gaussian grid, by torch-harmonics.

    `truncation` is the largest degree of the winds times the cosine of latitude; those of vector
    harmonics have one more than these.
    """

    def __init__(self, grid: Grid, device: torch.device, truncation: int | None = None) -> None:
        from torch_harmonics import InverseRealSHT, InverseRealVectorSHT, RealVectorSHT

        rows, columns = len(grid.latitudes), len(grid.longitudes)
        # one degree less than the rows resolve keeps the quadrature exact
        size = {"lmax": rows - 1, "mmax": min(rows - 1, columns // 2)}
        grid_name = {"grid": "legendre-gauss", "csphase": False}
        self.analysis = RealVectorSHT(rows, columns, **size, **grid_name).double()
        self.synthesis = InverseRealVectorSHT(rows, columns, **size, **grid_name).double()
        self.scalar = InverseRealSHT(rows, columns, **size, **grid_name).double()
        degrees = torch.arange(size["lmax"], dtype=torch.float64)
        self.laplacian = -(degrees * (degrees + 1))[:, None].to(device)
        self.kept = size["lmax"] if truncation is None else truncation
        for transform in (self.analysis, self.synthesis, self.scalar):
            transform.to(device)

    def divergence(self, u: Tensor, v: Tensor) -> Tensor:
        """Give the divergence on the unit sphere of winds (..., rows, columns)."""
        spheroidal = self._analyse(u, v)[..., 0, :, :]
        return self.scalar(self.laplacian * spheroidal).flip(-2).to(u)

    def solenoidal(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Give the part of the winds without divergence, in their band."""
        rotation = self._analyse(u, v)[..., 1, :, :]
        rotation[..., self.kept :, :] = 0
        without = torch.stack([torch.zeros_like(rotation), rotation], -3)
        wind = self.synthesis(without).flip(-2).to(u)
        return wind[..., 1, :, :], -wind[..., 0, :, :]

    def _analyse(self, u: Tensor, v: Tensor) -> Tensor:
        # rows from north to south, components along colatitude (southwards) and longitude
        wind = torch.stack([-v, u], dim=-3).flip(-2)
        return self.analysis(wind.double())


def arrive(field: Field, prediction: Prediction, steps: int) -> Tensor:
    """Give where a sampler of so many steps arrives from a prediction's state and time.

    One step gives its clean estimate, the mean of what the state may come from. More steps, even
    in time and along the path between the estimates of both ends, come nearer to a sample, and
    their gradients reach all of them (the unrolling of physics-based flow matching).
    """
    start = prediction.t
    for step in range(1, steps):
        t = start + (1 - start) * step / steps
        x = prediction.path.blend(prediction.noise, prediction.clean, t)
        prediction = field(x, t)
    return prediction.clean


def conflict_free(
    losses: Sequence[Tensor], parameters: Sequence[nn.Parameter], weight: float = 1.0
) -> tuple[Tensor, ...]:
    """Give a gradient of two losses that follows both (ConFIG, Liu et al., 2025).

    Along the sum of what is orthogonal to the other in each, so that for gradients of unit length
    the second falls `weight` times as fast as the first; physics-based flow matching (Baldan et
    al., 2025) trains so. Its length is the sum of the projections of both.
    """
    gradients = []
    for number, loss in enumerate(losses):
        parts = torch.autograd.grad(
            loss, parameters, retain_graph=number == 0, allow_unused=True, materialize_grads=True
        )
        gradients.append(torch.cat([part.flatten() for part in parts]))
    one, other = gradients
    both = _unit(_without(one, other)) + weight * _unit(_without(other, one))
    direction = _unit(both)
    joined = (one @ direction + other @ direction) * direction
    return joined.split([parameter.numel() for parameter in parameters])


def with_gradient(
    value: Tensor, gradients: Sequence[Tensor], parameters: Sequence[nn.Parameter]
) -> Tensor:
    """Give a scalar of this value whose backward pass leaves these gradients."""
    total = sum(
        (parameter.flatten() * gradient).sum()
        for parameter, gradient in zip(parameters, gradients, strict=True)
    )
    return value.detach() + total - total.detach()


def _without(vector: Tensor, other: Tensor) -> Tensor:
    """Give the part of a vector that is orthogonal to another."""
    square = other.square().sum()
    return vector - torch.where(square > 0, vector @ other / square.clamp(min=1e-30), 0.0) * other


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm().clamp(min=1e-30)
