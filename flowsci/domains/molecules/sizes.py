"""Sizes of the network by name."""

from typing import NamedTuple

from flowsci.domains.molecules.settings import NetworkSettings
from flowsci.errors import FlowsciError


class Size(NamedTuple):
    """Numbers of features, layers, heads, vectors, and of updates of the pairs."""

    width: int
    pair_width: int
    layers: int
    heads: int
    vectors: int
    pair_updates: int


SIZES = {
    "tiny": Size(96, 24, 5, 6, 12, 0),
    "small": Size(128, 32, 6, 8, 16, 1),
    "base": Size(256, 64, 8, 16, 32, 1),
    "large": Size(512, 96, 12, 16, 48, 2),
}


def sized(settings: NetworkSettings) -> Size:
    """Give the named size with what the settings say otherwise; raise where heads do not divide."""
    given = {name: getattr(settings, name) for name in Size._fields}
    size = SIZES[settings.size]._replace(**{k: v for k, v in given.items() if v is not None})
    if size.width % size.heads:
        raise FlowsciError(f"network: heads ({size.heads}) must divide width ({size.width}).")
    if size.layers <= size.pair_updates:
        raise FlowsciError(
            f"network: {size.layers} layers have room for at most {size.layers - 1} pair_updates, "
            f"not {size.pair_updates}."
        )
    return size
