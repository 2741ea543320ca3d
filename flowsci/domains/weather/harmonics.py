"""Spherical harmonics on the grids of this domain.

Coefficients are those of harmonics of mean square 1 over the sphere, without the Condon-Shortley
phase: field = sum over l of c[l, 0] P[l, 0] + 2 Re sum over m > 0 of c[l, m] P[l, m] exp(i m lon).
Analysis is the least-squares fit by area, so that what is band-limited comes back exactly on every
grid with more rows than degrees; on a Gaussian grid it is Gauss-Legendre quadrature.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch_harmonics.legendre import legpoly

from flowsci.domains.weather.grids import Grid
from flowsci.errors import FlowsciError


class SphericalTransform:
    """Fields (..., latitude, longitude) to coefficients (..., l, m), complex, and back.

    `latitudes` ascend and `longitudes` run eastwards round the whole circle, in degrees; degrees up
    to `l_max`, orders up to the largest that the longitudes resolve. Raises `FlowsciError` where
    the grid has too few rows, or isn't global.
    """

    def __init__(self, latitudes: Sequence[float], longitudes: Sequence[float], l_max: int) -> None:
        grid = Grid.from_coordinates(latitudes, longitudes)
        rows, self.longitude_count = len(grid.latitudes), len(grid.longitudes)
        if not grid.is_global:
            raise FlowsciError("Spherical harmonics need a global grid; this one is a region.")
        if l_max >= rows:
            raise FlowsciError(
                f"Spherical harmonics up to l = {l_max} need more than {l_max} rows of latitude; "
                f"the grid has {rows}."
            )
        self.l_max = l_max
        self.m_max = min(l_max, (self.longitude_count - 1) // 2)
        sines = torch.tensor(np.sin(np.radians(grid.latitudes)), dtype=torch.float64)
        legendre = legpoly(self.m_max + 1, l_max + 1, sines, csphase=False)
        legendre *= (4 * torch.pi) ** 0.5
        weight = torch.tensor(grid.row_weights).sqrt()
        analysis = torch.linalg.pinv((legendre * weight).mT, rtol=1e-10) * weight
        orders = torch.arange(self.m_max + 1, dtype=torch.float64)
        self.shift = torch.polar(
            torch.ones(len(orders), dtype=torch.float64),
            orders * np.radians(float(grid.longitudes[0])),
        )
        self._matrices = {
            "synthesis": legendre.mT.contiguous(),
            "analysis": analysis,
            "projection": legendre.mT @ analysis,
        }
        self._cached: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def analyse(self, fields: Tensor) -> Tensor:
        """Give the coefficients (..., l, m) of fields (..., latitude, longitude)."""
        waves = torch.fft.rfft(fields, norm="forward")[..., : self.m_max + 1]
        shift = self.shift.conj().to(waves.device, waves.dtype)
        return self._along_latitude("analysis", waves * shift)

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """Give the fields (..., latitude, longitude) of coefficients (..., l, m)."""
        shift = self.shift.to(coefficients.device, coefficients.dtype)
        waves = self._along_latitude("synthesis", coefficients) * shift
        return torch.fft.irfft(waves, n=self.longitude_count, norm="forward")

    def project(self, fields: Tensor) -> Tensor:
        """Give the part of fields (..., latitude, longitude) of degrees up to `l_max`."""
        waves = torch.fft.rfft(fields, norm="forward")[..., : self.m_max + 1]
        waves = self._along_latitude("projection", waves)
        return torch.fft.irfft(waves, n=self.longitude_count, norm="forward")

    def scaled(self, fields: Tensor, factors: Tensor) -> Tensor:
        """Multiply each degree of fields by its factor (..., l); higher degrees are taken out."""
        return self.synthesise(self.analyse(fields) * factors.unsqueeze(-1))

    def power(self, fields: Tensor) -> Tensor:
        """Give the mean square (..., l) of each degree; over all degrees that of the field."""
        squares = self.analyse(fields).abs().square()
        return 2 * squares.sum(-1) - squares[..., 0]

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Give the shape of the normal numbers that fields of this shape are made of."""
        return (*shape[:-2], self.l_max + 1, self.m_max + 1, 2)

    def isotropic(self, latent: Tensor, power: Tensor | None = None) -> Tensor:
        """Make fields of normal numbers, of mean square 1 and alike everywhere; linear in them.

        Every harmonic has the same variance, unless `power` (..., l_max + 1), positive and summing
        to 1, says what share each degree has.
        """
        degrees, orders = latent.shape[-3:-1]
        there = torch.arange(degrees)[:, None] >= torch.arange(orders)
        # a harmonic of order m > 0 has two parts, which share its variance
        scale = torch.stack([there, there], dim=-1) * 0.5**0.5
        scale[:, 0, 0], scale[:, 0, 1] = 1, 0
        count = 2 * there.sum(1) - 1.0
        power = count / count.sum() if power is None else power
        scale = scale.to(latent) * (power.to(latent) / count.to(latent)).sqrt()[..., None, None]
        return self.synthesise(torch.view_as_complex(latent * scale))

    def _along_latitude(self, name: str, waves: Tensor) -> Tensor:
        """Apply one real matrix for each order to (..., latitude or l, m), complex."""
        parts = torch.view_as_real(waves)
        key = (name, parts.dtype, parts.device)
        if key not in self._cached:
            self._cached[key] = self._matrices[name].to(parts.device, parts.dtype)
        parts = torch.einsum("mab,...bmr->...amr", self._cached[key], parts)
        return torch.view_as_complex(parts.contiguous())
