"""Simulations of this domain: each leaves one file that `prepare` reads."""

from collections.abc import Sequence
from pathlib import Path

from flowsci.domains.contract import Simulated
from flowsci.domains.weather.data_settings import SpeedySimulation, WeatherData
from flowsci.errors import FlowsciError


def simulate(settings: WeatherData, chunk: int, folder: Path) -> Simulated:
    """Compute chunk number `chunk` (0-based) in `folder`; an interrupted one goes on."""
    if isinstance(settings.simulation, SpeedySimulation):
        from flowsci.domains.weather.simulate import speedy

        if settings.source.chunks != 1:
            raise FlowsciError("source.chunks: a SPEEDY run is one run in time; set it to 1.")
        return speedy.simulate(settings.simulation, folder)
    from flowsci.domains.weather.simulate import kolmogorov

    return kolmogorov.simulate(
        settings.simulation, settings.seed, chunk, settings.source.chunks, folder
    )


def join(settings: WeatherData, chunks: Sequence[Path], folder: Path) -> Simulated:
    """Make one file of the chunks of a simulation, in order."""
    if isinstance(settings.simulation, SpeedySimulation):
        from flowsci.domains.weather.simulate import speedy

        return speedy.join(settings.simulation, chunks[0], folder)
    from flowsci.domains.weather.simulate import kolmogorov

    return kolmogorov.join(chunks, folder)
