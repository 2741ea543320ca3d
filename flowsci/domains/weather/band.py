"""The band limit of the data: degrees that the fields can't have are taken out."""

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

    def project(self, fields: Tensor) -> Tensor:
        """Give the nearest fields that the data could have."""
        if self.transform is None:
            return fields
        weight = self.weight.to(fields)
        return self.transform.project(fields * weight) / weight
