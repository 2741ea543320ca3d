"""Where positions in km lie on the Earth."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowsci.domains.trajectories.readers.adsb import projection


def is_geographic(attributes: Mapping[str, Any]) -> bool:
    """Tell whether a dataset's positions have a longitude and a latitude."""
    return "origin_longitude_degrees" in attributes


def to_degrees(positions: np.ndarray, attributes: Mapping[str, Any]) -> tuple[np.ndarray, ...]:
    """Give longitude and latitude of positions (..., axes), the first two east and north in km."""
    metres = positions[..., :2].astype(np.float64) * 1000
    transformer = projection(
        attributes["origin_longitude_degrees"], attributes["origin_latitude_degrees"]
    )
    return transformer.transform(metres[..., 0], metres[..., 1], direction="INVERSE")
