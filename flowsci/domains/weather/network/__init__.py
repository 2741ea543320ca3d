"""Networks on the grid: a U-Net, or a transformer over patches, in two streams."""

from flowsci.domains.weather.network.streams import Context, Streams

__all__ = ["Context", "Streams"]
