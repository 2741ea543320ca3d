"""A small dataset whose statistics are known, and ensembles for it."""

import numpy as np
import xarray as xr

from flowsci.store.prepared import Prepared

ROWS, COLUMNS, TIMES, STEP_HOURS, MEMORY = 12, 24, 420, 12, 0.9
SPREAD = [3.0, 4.0, 4.0]
CHANNELS = [
    {
        "name": name,
        "standard_name": standard,
        "long_name": standard.replace("_", " "),
        "units": units,
        "level_hpa": level,
        "vector": vector,
        "partner": partner,
        "level_sigma": None,
    }
    for name, standard, units, level, vector, partner in (
        ("temperature_850", "air_temperature", "K", 850.0, None, None),
        ("u_wind_500", "eastward_wind", "m s-1", 500.0, "u", 2),
        ("v_wind_500", "northward_wind", "m s-1", 500.0, "v", 1),
    )
]


def make_prepared(grid: str = "gaussian", simulation: str = "SPEEDY T21") -> Prepared:
    """Give smooth fields that forget by the factor `MEMORY` a step, around a constant climate."""
    nodes, weights = np.polynomial.legendre.leggauss(ROWS)
    latitude = np.degrees(np.arcsin(nodes))
    longitude = np.arange(COLUMNS) * 360 / COLUMNS
    area = np.repeat(weights[:, None] / 2 / COLUMNS, COLUMNS, axis=1)
    if grid == "region":
        latitude, longitude = np.linspace(49, 60, ROWS), np.linspace(-10, 2, COLUMNS)
        area = np.repeat(np.cos(np.radians(latitude))[:, None], COLUMNS, axis=1)
    if grid == "periodic":
        latitude, area = np.arange(ROWS) * 360 / ROWS, np.ones_like(area)
    anomaly = smooth_anomalies(np.random.default_rng(0), area / area.sum())
    mean = np.array([280.0, 5.0, 0.0], dtype=np.float32)[:, None, None]
    spread = np.array(SPREAD, dtype=np.float32)[:, None, None]
    split = np.full(TIMES, -1, dtype=np.int8)
    split[:260], split[280:330], split[350:] = 0, 1, 2
    climatology = np.broadcast_to(mean[:, None], (3, 1, ROWS, COLUMNS)).astype(np.float32)
    valid = np.ones((3, ROWS, COLUMNS), dtype=bool)
    valid[0, 3, 4] = False
    cells = ("latitude", "longitude")
    arrays = xr.Dataset(
        {
            "fields": (("time", "channel", *cells), mean + spread * anomaly),
            "split": ("time", split),
            "area": (cells, area / area.sum()),
            "orography": (cells, np.zeros((ROWS, COLUMNS), dtype=np.float32)),
            "land": (cells, (np.cos(np.radians(longitude)) > 0) * np.ones((ROWS, 1), np.float32)),
            "valid": (("channel", *cells), valid),
            "climatology": (
                ("channel", "term", *cells),
                climatology,
                {"annual_waves": 0, "diurnal_waves": 0},
            ),
        },
        {
            "time": (
                "time",
                STEP_HOURS * np.arange(TIMES, dtype=np.int64),
                {"calendar": "standard"},
            ),
            "latitude": latitude,
            "longitude": longitude,
            "channel": [channel["name"] for channel in CHANNELS],
        },
        {
            "grid": grid,
            "step_hours": STEP_HOURS,
            "simulation": simulation,
        },
    )
    statistics = {
        "channels": CHANNELS,
        "grid": grid,
        "latitude": latitude.tolist(),
        "longitude": longitude.tolist(),
        "area": (area / area.sum()).sum(axis=1).tolist(),
        "step_hours": STEP_HOURS,
        "anomaly_mean": [280.0, 5.0, 0.0],
        "anomaly_spread": SPREAD,
        "truncation": ROWS - 1 if grid == "gaussian" else None,
    }
    return Prepared(arrays, {"times": TIMES}, statistics, {"fields": "as the channels"})


def smooth_anomalies(generator: np.random.Generator, area: np.ndarray) -> np.ndarray:
    """Give fields (TIMES, 3, ROWS, COLUMNS) of 20 patterns each, with unit area-mean variance."""
    shape = (3, 20, ROWS, COLUMNS)
    spectrum = np.fft.rfft2(generator.standard_normal(shape))
    rows, columns = np.fft.fftfreq(ROWS)[:, None], np.fft.rfftfreq(COLUMNS)
    patterns = np.fft.irfft2(spectrum * np.exp(-80 * (rows**2 + columns**2)), s=shape[2:])
    patterns /= np.sqrt((patterns**2 * area).sum(axis=(1, 2, 3), keepdims=True))
    amplitude = np.empty((TIMES, 3, 20))
    amplitude[0] = generator.standard_normal((3, 20))
    for time in range(1, TIMES):
        news = generator.standard_normal((3, 20))
        amplitude[time] = MEMORY * amplitude[time - 1] + np.sqrt(1 - MEMORY**2) * news
    return np.einsum("tck,ckyx->tcyx", amplitude, patterns).astype(np.float32)


def make_rows(
    prepared: Prepared,
    *,
    members: int = 8,
    steps: int = 2,
    starts: int = 6,
    error: float = 0.5,
    task: str = "forecast",
) -> xr.Dataset:
    """Give perfectly reliable ensembles: truth and members lie around the same unknown centre.

    `error` is the deviation of truth and members from it in spreads of the anomaly, independent in
    each cell.
    """
    generator = np.random.default_rng(1)
    arrays = prepared.arrays
    first = 350 + np.arange(starts) * 4
    lead = 2 * np.arange(1, steps + 1) if task == "forecast" else np.zeros(1, dtype=np.int64)
    truth = arrays["fields"].values[first[:, None] + lead]
    spread = error * np.array(SPREAD, dtype=np.float32)[:, None, None]
    centre = truth + spread * generator.standard_normal(truth.shape, dtype=np.float32)
    shape = (starts, members, *truth.shape[1:])
    fields = centre[:, None] + spread * generator.standard_normal(shape, dtype=np.float32)
    cells = ("latitude", "longitude")
    rows = xr.Dataset(
        {
            "fields": (("row", "realization", "lead", "channel", *cells), fields),
            "condition": ("row", first),
            "reference_time": ("row", arrays["time"].values[first]),
            "lead_hours": (("row", "lead"), np.tile(STEP_HOURS * lead, (starts, 1))),
            "mean": (("row", "channel", *cells), centre[:, 0]),
            "mean_spread": (
                ("row", "channel", "latitude"),
                np.broadcast_to(spread[None, :, :, 0], (starts, 3, ROWS)).copy(),
            ),
        },
        attrs={"task": task},
    )
    if task == "inpaint":
        mask = np.zeros((starts, 3, ROWS, COLUMNS), dtype=np.int8)
        mask[..., : COLUMNS // 2] = 1
        given = np.where(mask, truth[:, 0], np.float32(np.nan))[:, None, None]
        rows["fields"].values[:] = np.where(np.isnan(given), rows["fields"].values, given)
        rows["observed_mask"] = (("row", "channel", *cells), mask)
    return rows.chunk({"row": 1})
