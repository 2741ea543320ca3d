"""Small models and batches, for tests."""

import numpy as np
import torch

from flowsci.domains.weather.flow import WeatherFlow
from flowsci.domains.weather.grids import gauss_latitudes
from flowsci.domains.weather.settings import FlowSettings, UNetSettings

ROWS, COLUMNS, CHANNELS = 8, 16, 3
UNET = UNetSettings(width=8, multipliers=[1, 2])
STATISTICS = {
    "grid": "gaussian",
    "latitude": gauss_latitudes(ROWS)[0].tolist(),
    "longitude": (np.arange(COLUMNS) * 360 / COLUMNS).tolist(),
    "truncation": 5,
    "step_hours": 12,
    "anomaly_mean": [280.0, 1.0, -1.0],
    "anomaly_spread": [4.0, 2.0, 3.0],
    "climate": np.zeros((CHANNELS, 4, 2)).tolist(),
    "channels": [
        {"name": "surface_pressure", "units": "hPa", "vector": None, "partner": None},
        {"name": "u_wind_850", "units": "m s-1", "vector": "u", "partner": 2},
        {"name": "v_wind_850", "units": "m s-1", "vector": "v", "partner": 1},
    ],
}
BOX = {
    **STATISTICS,
    "grid": "periodic",
    "latitude": list(range(16)),
    "longitude": list(range(16)),
    "truncation": 5,
}
REGION = {
    **STATISTICS,
    "grid": "region",
    "latitude": np.linspace(40.0, 52.0, 7).tolist(),
    "longitude": np.linspace(0.0, 10.0, 9).tolist(),
    "truncation": None,
}


def model(network=UNET, flow=None, statistics=STATISTICS, seed=0):
    """Make a model whose weights are not at rest, so that everything reaches its output."""
    torch.manual_seed(seed)
    built = WeatherFlow(network, flow or FlowSettings(), statistics)
    stir(built.network)
    built.network.eval()
    return built


def stir(network):
    """Put noise on all weights, also on those that start at zero."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn_like(weight))


def batch(cases=3, statistics=STATISTICS, steps=1, seed=0):
    """Make a batch of forecasts with random fields."""
    generator = torch.Generator().manual_seed(seed)
    shape = (cases, CHANNELS, len(statistics["latitude"]), len(statistics["longitude"]))

    def fields(*more):
        return torch.randn(cases, *more, *shape[1:], generator=generator)

    nothing = torch.zeros(shape)
    return {
        "id": torch.arange(cases),
        "previous": fields(2),
        "has_previous": torch.ones(cases),
        "climatology": fields(),
        "static": torch.randn(cases, 6, *shape[2:], generator=generator),
        "times": torch.randn(cases, 5, generator=generator),
        "valid": torch.ones(shape),
        "observed": nothing,
        "observed_mask": nothing,
        "coarse": nothing,
        "coarse_factor": torch.zeros(cases),
        "target": fields(),
        "future_climatology": fields(steps),
        "future_times": torch.randn(cases, steps, 5, generator=generator),
        "start_climatology": fields(),
    }
