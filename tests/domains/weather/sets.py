"""Small datasets of fields with known climate, for tests."""

import numpy as np

from flowsci.domains.weather.data_settings import ShareSplits, SimulatedFields, WeatherData
from flowsci.domains.weather.grids import Grid, gauss_latitudes
from flowsci.domains.weather.raw import RawFields
from flowsci.domains.weather.record import Channel

CHANNELS = (
    Channel("temperature_850", "air_temperature", "temperature", "K", 850.0),
    Channel("u_wind_850", "eastward_wind", "eastward wind", "m s-1", 850.0, "u", "v_wind_850"),
    Channel("v_wind_850", "northward_wind", "northward wind", "m s-1", 850.0, "v", "u_wind_850"),
)
SETTINGS = WeatherData(
    domain="weather",
    title="A small set",
    licence="none",
    citation="none",
    source={"kind": "path", "path": "none"},
    fields=SimulatedFields(),
    splits=ShareSplits(train=0.6, validation=0.2, test=0.2, gap_days=5),
)


def season(hours):
    """Give the angle of the season in the standard calendar."""
    return 2 * np.pi * hours / (24 * 365.2425)


def raw_fields(days=900, step_hours=12, rows=8, columns=16, noise=1.0, seed=0):
    """Make fields on a Gaussian grid: a mean, a wave of the year and red noise."""
    generator = np.random.default_rng(seed)
    hours = np.arange(0, days * 24, step_hours)
    grid = Grid.from_coordinates(gauss_latitudes(rows)[0], np.arange(columns) * 360 / columns)
    mean = generator.normal(size=(3, rows, columns)) * 10 + 250
    wave = generator.normal(size=(3, rows, columns)) * 5
    fields = mean + wave * np.cos(season(hours))[:, None, None, None]
    state = np.zeros_like(mean)
    for number in range(len(hours)):
        state = 0.8 * state + 0.6 * noise * generator.normal(size=state.shape)
        fields[number] += state
    raw = RawFields(fields.astype(np.float32), hours, CHANNELS, grid, simulation="a test")
    return raw, mean, wave
