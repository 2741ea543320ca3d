"""Measures by lead time, as tables of `metrics.json` and for the figures."""

from collections.abc import Mapping

import numpy as np

from flowsci.domains.trajectories import measures
from flowsci.domains.trajectories.baselines import OffsetGaussian
from flowsci.domains.trajectories.cases import Cases
from flowsci.domains.trajectories.scores import (
    COVERED,
    LEVELS,
    MODEL,
    Forecast,
    inside_online,
)

Table = Mapping[str, list[float]]


def error_table(forecasts: Mapping[str, Forecast], cases: Cases) -> Table:
    """Give the mean distance of the nearest future and of the mean future, in the unit of length.

    The nearest is chosen anew at each lead time.
    """
    columns = {"lead_seconds": cases.lead_seconds}
    for name, forecast in forecasts.items():
        nearest = measures.distances(forecast.samples, cases.future).min(axis=1)
        columns[f"nearest {name}"] = nearest.mean(axis=0)
    for name, forecast in forecasts.items():
        away = mean_of(forecast) - cases.future
        columns[f"mean {name}"] = np.linalg.norm(away, axis=-1).mean(axis=0)
    return _plain(columns)


def calibration_table(
    forecasts: Mapping[str, Forecast],
    judged: Mapping[str, Mapping[str, np.ndarray]],
    cases: Cases,
    gaussian: OffsetGaussian,
) -> Table:
    """Give coverage, spread and error, scores and log-densities of the model, and of baselines.

    Columns of a baseline, where it has samples or a density, end with its name.
    The root mean square spread carries the factor with which it equals that of the error of the
    mean of a calibrated ensemble, 1 + 1 / samples (Fortin et al., 2014).
    """
    model = forecasts[MODEL]
    columns = {"lead_seconds": cases.lead_seconds}
    if model.ranks is not None:
        for name, forecast in forecasts.items():
            columns |= _coverage(forecast, _of(name))
        columns |= {
            f"coverage_{100 * v:.0f}_online": inside_online(model, cases, v).mean(0)
            for v in COVERED
        }
    columns |= {"spread": _spread(model), "error": _error(model, cases.future)}
    for measure in ("energy_score", "kde_nll"):
        columns |= {
            measure + _of(name): own[measure].mean(0)
            for name, own in judged.items()
            if measure in own
        }
    if model.log_density is not None:
        straight = gaussian.step_log_density(cases.observed, cases.future)
        columns["nll of the position"] = -model.log_density.mean(axis=0)
        columns["nll of the position constant_velocity_gaussian"] = -straight.mean(axis=0)
    return _plain(columns)


def _of(name: str) -> str:
    return "" if name == MODEL else f" {name}"


def _coverage(forecast: Forecast, of: str) -> dict[str, np.ndarray]:
    if forecast.ranks is None:
        return {}
    shares = measures.reliability(forecast.ranks, forecast.points, np.array(COVERED))
    return {f"coverage_{100 * v:.0f}{of}": s for v, s in zip(COVERED, shares, strict=True)}


def reliability_of(forecast: Forecast) -> np.ndarray:
    """Give the share of truths in the regions of `LEVELS`: (levels, steps)."""
    return measures.reliability(forecast.ranks, forecast.points, LEVELS)


def mean_of(forecast: Forecast) -> np.ndarray:
    """Give the mean future (windows, steps, axes)."""
    return np.einsum("ws,wstd->wtd", forecast.probability, forecast.samples)


def _spread(forecast: Forecast) -> np.ndarray:
    weight = forecast.probability[..., None]
    away = np.square(forecast.samples - mean_of(forecast)[:, None]).sum(axis=-1)
    squares = np.square(weight).sum(axis=1)
    factor = (1 + squares) / np.maximum(1 - squares, 1e-12)
    return np.sqrt(((weight * away).sum(axis=1) * factor).mean(axis=0))


def _error(forecast: Forecast, truth: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(mean_of(forecast) - truth).sum(axis=-1).mean(axis=0))


def _plain(columns: Mapping[str, np.ndarray]) -> Table:
    return {name: [float(value) for value in values] for name, values in columns.items()}
