"""The band limit of the data: its degrees, and fields without those that they can't have."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.harmonics import SphericalTransform
from flowsci.domains.weather.waves import PlaneTransform


class Band:
    """Projection of fields (..., channel, latitude, longitude) on degrees up to the truncation.

    `area` (latitude, longitude) are the cells' shares; `degrees` is how many degrees there are.

    Parts of a wind are projected times the cosine of latitude, as they alone are not smooth at a
    pole. In a box, waves up to the truncation along each side. Without a truncation, or on part of
    the sphere, everything stays.
    """

    def __init__(self, statistics: Mapping[str, Any]) -> None:
        self.grid = Grid.of(statistics)
        truncation = statistics.get("truncation")
        self.transform: SphericalTransform | PlaneTransform | None = None
        latitudes, longitudes = self.grid.latitudes, self.grid.longitudes
        if truncation is not None and self.grid.is_global:
            self.transform = SphericalTransform(latitudes, longitudes, truncation)
        if truncation is not None and self.grid.kind == "periodic":
            self.transform = PlaneTransform(len(latitudes), len(longitudes), truncation)
        flips = torch.tensor([c["vector"] is not None for c in statistics["channels"]])
        cosines = torch.tensor(np.cos(np.radians(self.grid.latitudes)), dtype=torch.float32)
        self.flips = flips
        on_sphere = flips & self.grid.is_global
        self.weight = torch.where(on_sphere[:, None, None], cosines[:, None], 1.0)
        self.area = torch.tensor(self.grid.area, dtype=torch.float32)
        self.degrees = 1 if self.transform is None else self.transform.l_max + 1

    def project(self, fields: Tensor) -> Tensor:
        """Give the nearest fields that the data could have."""
        if self.transform is None:
            return fields
        weight = self.weight.to(fields)
        return self.transform.project(fields * weight) / weight

    def power(self, fields: Tensor) -> Tensor:
        """Give the mean square (..., channel, degree); one degree where there is no transform."""
        if self.transform is None:
            return (fields.square() * self.area.to(fields)).sum((-2, -1)).unsqueeze(-1)
        return self.transform.power(fields * self.weight.to(fields))

    def product(self, fields: Tensor, others: Tensor) -> Tensor:
        """Give the mean product (..., channel, degree) of fields of one shape, as `power` does."""
        return (self.power(fields + others) - self.power(fields - others)) / 4

    def scaled(self, fields: Tensor, factors: Tensor) -> Tensor:
        """Multiply the degrees of fields by factors (..., channel, degree), and project."""
        if self.transform is None:
            return fields * factors.unsqueeze(-1)
        weight = self.weight.to(fields)
        return self.transform.scaled(fields * weight, factors) / weight
