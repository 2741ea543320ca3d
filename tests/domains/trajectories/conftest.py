"""Made ADS-B files, small enough for tests: straight, turning and climbing flights near Paris."""

import json
from pathlib import Path

import numpy as np
import pytest

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.settings import TrajectoriesData, TrajectoriesRun

SECONDS = 600
START_MS = 1_600_000_000_000


def flight(number: int, seconds: int = SECONDS, first_second: int = 0) -> list[dict]:
    """Make one flight, a row a second, at about 200 m/s with a turn rate of its own."""
    time = np.arange(seconds)
    heading = number * 0.7 + time * 0.001 * (number % 5 - 2)
    north = 48.5 + 0.05 * (number % 7) + np.cumsum(0.2 * np.cos(heading)) / 111.2
    east = 2.0 + 0.07 * (number % 9) + np.cumsum(0.2 * np.sin(heading)) / 73.0
    altitude = 10_000 + 300 * number + (number % 3) * 10 * time
    return [
        {
            "icao24": f"{number:04d}e1",
            "callsign": f"TEST{number:02d}",
            "onground": False,
            "timestamp": START_MS + 1000 * (first_second + int(second)),
            "longitude": east[second],
            "latitude": north[second],
            "altitude": float(altitude[second]),
            "squawk": "1000",
        }
        for second in time
    ]


def climb(number: int, seconds: int = SECONDS) -> list[dict]:
    """Make a flight that climbs at a rate of its own up to a flight level, then stays there.

    Every fourth one never climbs.
    """
    rows, time = flight(number, seconds), np.arange(seconds)
    generator = np.random.default_rng(number)
    rate = (number % 4 > 0) * (20 + 25 * generator.random() + 3 * np.sin(time / 40 + number))
    altitude = np.minimum(9_000 + 90 * number + np.cumsum(rate), 15_000 + 1_000 * (number % 9))
    return [{**row, "altitude": float(up)} for row, up in zip(rows, altitude, strict=True)]


def write(path: Path, rows: list[dict]) -> Path:
    """Write rows as the readers expect them."""
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def data_settings(**changes: dict) -> TrajectoriesData:
    """Settings for made flights; `changes` replace whole sections."""
    sections = {
        "domain": "trajectories",
        "title": "Made flights",
        "licence": "none",
        "citation": "none",
        "source": {"kind": "path", "path": "made.json"},
        "tracks": {
            "kind": "adsb",
            "origin_longitude_degrees": 2.45,
            "origin_latitude_degrees": 48.85,
        },
        "windows": {
            "training_stride_seconds": 20,
            "stride_seconds": 60,
            "acceleration_limit_m_s2": 8,
        },
    }
    return TrajectoriesData.model_validate({**sections, **changes})


@pytest.fixture(scope="session")
def run_settings() -> TrajectoriesRun:
    """A run whose network is as small as it can be."""
    return TrajectoriesRun.model_validate(
        {
            "domain": "trajectories",
            "data": "made",
            "title": "Made",
            "network": {"width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1},
            "flow": {"coefficients": 6, "draws": 2},
            "training": {"steps": 2, "minutes": 1, "batch_size": 4},
            "sampling": {"samples": 3, "steps": 2},
            "evaluation": {"bootstrap": 100},
        }
    )


@pytest.fixture(scope="session")
def made_file(tmp_path_factory):
    """Twenty flights of ten minutes."""
    rows = [row for number in range(20) for row in flight(number)]
    return write(tmp_path_factory.mktemp("raw") / "made.json", rows)


@pytest.fixture(scope="session")
def prepared(made_file):
    """The dataset of the made flights."""
    return domain.prepare([made_file], data_settings())


@pytest.fixture(scope="session")
def climbs(tmp_path_factory):
    """A dataset of made climbs."""
    rows = [row for number in range(32) for row in climb(number)]
    path = write(tmp_path_factory.mktemp("raw") / "climbs.json", rows)
    windows = {
        "step_seconds": 20,
        "observed_steps": 4,
        "predicted_steps": 10,
        "training_stride_seconds": 10,
        "stride_seconds": 20,
        "climb": {},
    }
    return domain.prepare([path], data_settings(windows=windows))


@pytest.fixture(scope="session")
def model(prepared, run_settings):
    """An untrained model whose output layer is not zero, so that the network matters."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = domain.model(run_settings.network, run_settings.flow, prepared.statistics)
        torch.nn.init.normal_(model.network.out.weight, std=0.3)
    model.network.eval()
    return model


@pytest.fixture(scope="session")
def drawn(prepared, model, run_settings):
    """Rows of samples for all test scenes."""
    import torch

    from flowsci.flow import sample_generators

    settings = run_settings.sampling
    conditions = domain.conditions(prepared, settings)
    batch = conditions.batch(range(len(conditions)))
    generators = sample_generators(0, range(len(conditions) * settings.samples))
    with torch.no_grad():
        samples = model.sample(model.network, batch, generators, settings)
    return domain.decode(samples, batch, prepared)
