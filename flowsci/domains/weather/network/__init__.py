"""Networks on the grid: a U-Net, or a transformer over patches, in two streams."""

from flowsci.domains.weather.network.residuals import TASKS, Residuals, tasks_of
from flowsci.domains.weather.network.streams import Context, Streams

__all__ = ["TASKS", "Context", "Residuals", "Streams", "tasks_of"]
