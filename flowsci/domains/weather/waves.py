"""Waves in a periodic box, up to a truncation along each side."""

from collections.abc import Sequence

import torch
from torch import Tensor


class PlaneTransform:
    """The band of fields (..., rows, columns) in a box: waves of at most `truncation` a side.

    A wave's degree is its number in the box, rounded; `l_max` is the largest of the band.
    """

    def __init__(self, rows: int, columns: int, truncation: int) -> None:
        along_y = torch.fft.fftfreq(rows, 1 / rows).abs()[:, None]
        along_x = torch.fft.rfftfreq(columns, 1 / columns)[None]
        self.shape = rows, columns
        self.kept = (along_y <= truncation) & (along_x <= truncation)
        self.degree = torch.hypot(along_y, along_x).round().long() * self.kept
        self.l_max = int(self.degree.max())
        # a wave stands for its conjugate too, but for those that are their own
        own = (along_x == 0) | (along_x == columns / 2)
        self.copies = torch.where(own, 1.0, 2.0) * self.kept
        self.count = self._by_degree(self.copies)

    def project(self, fields: Tensor) -> Tensor:
        """Give the part of fields (..., rows, columns) within the band."""
        spectrum = torch.fft.rfft2(fields) * self.kept.to(fields.device)
        return torch.fft.irfft2(spectrum, s=self.shape)

    def scaled(self, fields: Tensor, factors: Tensor) -> Tensor:
        """Multiply each degree's waves by its factor (..., degree); the band alone is kept."""
        each = factors[..., self.degree.to(factors.device)] * self.kept.to(factors)
        return torch.fft.irfft2(torch.fft.rfft2(fields) * each, s=self.shape)

    def power(self, fields: Tensor) -> Tensor:
        """Give the mean square (..., degree) of each degree's waves within the band."""
        squares = torch.fft.rfft2(fields, norm="forward").abs().square()
        return self._by_degree(squares * self.copies.to(squares))

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Give the shape of the normal numbers that fields of this shape are made of."""
        return tuple(shape)

    def isotropic(self, latent: Tensor, power: Tensor | None = None) -> Tensor:
        """Make fields of normal numbers, of mean square 1 and alike everywhere; linear in them.

        Every wave of the band has the same variance, unless `power` (..., l_max + 1), positive and
        summing to 1, says what share each degree has.
        """
        power = self.count / self.count.sum() if power is None else power
        # a wave of white noise has one of all cells' variances
        each = power.to(latent) / self.count.to(latent) * (self.shape[0] * self.shape[1])
        scale = each.sqrt()[..., self.degree.to(latent.device)] * self.kept.to(latent)
        return torch.fft.irfft2(torch.fft.rfft2(latent) * scale, s=self.shape)

    def _by_degree(self, waves: Tensor) -> Tensor:
        flat = waves.flatten(-2)
        sums = flat.new_zeros(*flat.shape[:-1], self.l_max + 1)
        return sums.index_add(-1, self.degree.flatten().to(flat.device), flat)
