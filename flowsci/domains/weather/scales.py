"""Fields that a model is used on have the scales that it was trained in, to within the climate."""

from collections.abc import Mapping
from typing import Any

import torch

from flowsci.domains.contract import Batch
from flowsci.errors import FlowsciError

LARGEST_FACTOR = 1.3
LARGEST_SHIFT = 1.0


def check_scale(batch: Batch, statistics: Mapping[str, Any]) -> None:
    """Raise `FlowsciError` where a channel's scale in a batch isn't that of the statistics.

    Its spread may differ by 30 % and its mean by one spread, as climates do; units differ by more.
    """
    mean, spread = batch["scale"][0].double().cpu()
    known = [torch.tensor(statistics[name]).double() for name in ("anomaly_mean", "anomaly_spread")]
    if mean.shape != known[0].shape:
        raise FlowsciError(
            f"The model was trained on {len(known[0])} channels; this dataset has {len(mean)}."
        )
    factor = torch.maximum(spread / known[1], known[1] / spread)
    wrong = (factor > LARGEST_FACTOR) | ((mean - known[0]).abs() > LARGEST_SHIFT * known[1])
    if wrong.any():
        place = int(wrong.int().argmax())
        channel = statistics["channels"][place]
        raise FlowsciError(
            f"{channel['name']}: the model was trained on a mean of {known[0][place]:.6g} and a "
            f"spread of {known[1][place]:.6g} {channel['units']}; this dataset has "
            f"{mean[place]:.6g} and {spread[place]:.6g}. Its units or its climate are others: "
            "convert it, or train on it."
        )
