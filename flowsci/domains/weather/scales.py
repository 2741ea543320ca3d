"""Fields that a model is used on are those that it was trained on: names, units, grid, scales."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowsci.domains.weather.grids import TOLERANCE_DEGREES, Grid
from flowsci.errors import FlowsciError

LARGEST_FACTOR = 1.3
LARGEST_SHIFT = 1.0
LARGEST_CHANGE = 0.3
"""Root mean square difference of two climatologies over seasons and places, in spreads."""


def check_fields(found: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise `FlowsciError` where a dataset's statistics (`found`) aren't those of a model's fields.

    Channels have the same names, order and units, on the same grid. Their spread may differ by 30 %
    and their mean by one spread, as climates do; units that nobody states differ by more. Their
    climatologies are nearly the same, as a model sees anomalies from its dataset's own.
    """
    _check_channels(found["channels"], known["channels"])
    grids = Grid.of(found), Grid.of(known)
    if not grids[0].is_same(grids[1], TOLERANCE_DEGREES):
        raise FlowsciError(
            f"the model was trained on a grid {grids[1].say()}; this dataset's is "
            f"{grids[0].say()}. Interpolate the dataset, or train on it."
        )
    means, spreads = (
        [np.array(statistics[name], dtype=np.float64) for statistics in (found, known)]
        for name in ("anomaly_mean", "anomaly_spread")
    )
    factor = np.maximum(spreads[0] / spreads[1], spreads[1] / spreads[0])
    wrong = (factor > LARGEST_FACTOR) | (abs(means[0] - means[1]) > LARGEST_SHIFT * spreads[1])
    if wrong.any():
        place = int(wrong.argmax())
        channel = known["channels"][place]
        raise FlowsciError(
            f"{channel['name']}: the model was trained on a mean of {means[1][place]:.6g} and a "
            f"spread of {spreads[1][place]:.6g} {channel['units']}; this dataset has "
            f"{means[0][place]:.6g} and {spreads[0][place]:.6g}. Its units or its climate are "
            "others: convert it, or train on it."
        )
    climates = [np.array(statistics["climate"]) for statistics in (found, known)]
    change = np.sqrt(((climates[0] - climates[1]) ** 2).mean(axis=(1, 2))) / spreads[1]
    if (change > LARGEST_CHANGE).any():
        place = int(change.argmax())
        raise FlowsciError(
            f"{known['channels'][place]['name']}: the climatology of this dataset's training times "
            f"differs from that of the model's by {change[place]:.2f} spreads, so that anomalies "
            "are others. Prepare the new times together with those of training: the same range as "
            "splits.train, and the new times as splits.test."
        )


def _check_channels(found: list[Mapping[str, Any]], known: list[Mapping[str, Any]]) -> None:
    names = [[channel["name"] for channel in channels] for channels in (found, known)]
    if names[0] != names[1]:
        raise FlowsciError(
            f"the model was trained on the channels {', '.join(names[1])}; this dataset has "
            f"{', '.join(names[0])}. Name the same variables in the same order in "
            "fields.variables, or train on it."
        )
    for has, wanted in zip(found, known, strict=True):
        if has["units"] != wanted["units"]:
            raise FlowsciError(
                f"{has['name']}: the model was trained in '{wanted['units']}'; this dataset has "
                f"'{has['units']}'. Convert the dataset, or train on it."
            )
