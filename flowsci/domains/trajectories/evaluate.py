"""Judge sampled futures beside the truth, constant velocity and its sampled form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from flowsci.domains.trajectories import measures
from flowsci.domains.trajectories.baselines import (
    Spread,
    constant_velocity,
    fit_spread,
    sampled_constant_velocity,
)
from flowsci.domains.trajectories.record import Scenes
from flowsci.domains.trajectories.settings import TrajectoriesEvaluation
from flowsci.errors import FlowsciError
from flowsci.store.metrics import Evaluation, Metric, bootstrap_interval
from flowsci.store.prepared import Prepared

JOINT = ("joint_min_ade", "joint_min_fde")


@dataclass(frozen=True)
class Cases:
    """Sampled windows with what was observed and what came: positions in km, float64.

    `samples` (windows, samples, steps, 3), `observed` and `future` (windows, steps, 3), `scene` and
    `flight` (windows,).
    """

    samples: np.ndarray
    observed: np.ndarray
    future: np.ndarray
    scene: np.ndarray
    flight: np.ndarray


def evaluate(
    samples: pd.DataFrame, prepared: Prepared, settings: TrajectoriesEvaluation
) -> Evaluation:
    """Judge a table of samples as `export.read_samples` gives it."""
    cases = match(samples, prepared)
    count, steps = cases.samples.shape[1:3]
    spread = _spread_of(prepared)
    futures = {
        "model": cases.samples,
        "constant_velocity": constant_velocity(cases.observed, steps),
        "sampled_constant_velocity": sampled_constant_velocity(
            cases.observed, steps, count, spread, settings.seed
        ),
    }
    radius = settings.miss_radius_km
    scores = {name: score(drawn, cases, radius) for name, drawn in futures.items()}
    metrics = {
        _named(name, count): _metric(name, scores, cases, settings) for name in scores["model"]
    }
    details = {
        "lead_seconds": np.arange(1, steps + 1) * prepared.arrays.attrs["step_seconds"],
        "lead_errors": {name: lead_errors(drawn, cases.future) for name, drawn in futures.items()},
        "ranks": measures.truth_ranks(cases.samples, cases.future),
        "spread": _spread_and_error(cases),
    }
    return Evaluation(_protocol(cases, prepared, spread, settings), metrics, details)


def match(samples: pd.DataFrame, prepared: Prepared) -> Cases:
    """Put samples beside observed and true positions; raise where they do not fit the dataset."""
    rows = samples[["scene", "agent"]].drop_duplicates()
    count, steps = samples["sample"].nunique(), samples["step"].nunique()
    if len(samples) != len(rows) * count * steps:
        raise FlowsciError(
            f"The samples are not whole: {len(samples)} rows, but {len(rows)} agents in scenes x "
            f"{count} samples x {steps} steps. Sample again."
        )
    positions = samples[["east", "north", "up"]].to_numpy(dtype=np.float64)
    known, observed_steps = _known(rows, prepared)
    if steps != known.shape[1] - observed_steps:
        raise FlowsciError(
            f"The samples have {steps} steps, the dataset predicts "
            f"{known.shape[1] - observed_steps}. Sample again with this dataset."
        )
    return Cases(
        positions.reshape(len(rows), count, steps, 3),
        known[:, :observed_steps],
        known[:, observed_steps:],
        rows["scene"].to_numpy(),
        rows["agent"].to_numpy(),
    )


def _known(rows: pd.DataFrame, prepared: Prepared) -> tuple[np.ndarray, int]:
    """Find the positions (windows, steps, 3) of scenes and flights, and how many were observed."""
    arrays = prepared.arrays
    numbers = np.arange(arrays.sizes["scene"])
    every = Scenes(arrays, numbers)
    scene = np.repeat(numbers, np.diff(every.bounds))
    flight = every.flights_of(np.arange(len(scene))).numpy()
    index = pd.MultiIndex.from_arrays([scene, flight])
    windows = index.get_indexer(pd.MultiIndex.from_frame(rows))
    if (windows < 0).any():
        raise FlowsciError(
            f"{int((windows < 0).sum())} of {len(rows)} sampled agents are not in the dataset: the "
            "samples were drawn for another one. Sample again."
        )
    return every.positions_of(windows).double().numpy(), every.observed_steps


def score(drawn: np.ndarray, cases: Cases, miss_radius_km: float) -> dict[str, np.ndarray]:
    """Give every measure as a value a window."""
    distance = measures.distances(drawn, cases.future)
    return {
        "min_ade": measures.min_ade(distance),
        "min_fde": measures.min_fde(distance),
        "joint_min_ade": measures.joint_min(distance.mean(axis=-1), cases.scene),
        "joint_min_fde": measures.joint_min(distance[..., -1], cases.scene),
        "miss_rate": measures.missed(distance, miss_radius_km),
        "energy_score": measures.energy_score(drawn, cases.future),
    }


def lead_errors(drawn: np.ndarray, future: np.ndarray) -> dict[str, np.ndarray]:
    """Give errors by lead time (steps,): of the best sample at each step, and of the mean."""
    best = measures.distances(drawn, future).min(axis=1).mean(axis=0)
    mean = np.linalg.norm(drawn.mean(axis=1) - future, axis=-1).mean(axis=0)
    return {"best": best, "mean": mean}


def _named(name: str, samples: int) -> str:
    return f"{name}_{samples}" if "min_" in name else name


def _metric(
    name: str,
    scores: Mapping[str, Mapping[str, np.ndarray]],
    cases: Cases,
    settings: TrajectoriesEvaluation,
) -> Metric:
    values = scores["model"][name]
    place = np.unique(cases.flight, return_inverse=True)[1]
    sums = np.stack([np.bincount(place, values), np.bincount(place)], axis=1)
    interval = bootstrap_interval(
        sums,
        resamples=settings.bootstrap,
        confidence=settings.confidence,
        seed=settings.seed,
        statistic=lambda means: means[:, 0] / means[:, 1],
    )
    baselines = {b: float(scores[b][name].mean()) for b in scores if b != "model"}
    return Metric(
        model=float(values.mean()),
        unit="1" if name == "miss_rate" else "km",
        better="lower",
        count=len(np.unique(cases.scene)) if name in JOINT else len(values),
        interval=interval,
        baselines=baselines,
    )


def _spread_of(prepared: Prepared) -> Spread:
    training = Scenes.of_split(prepared.arrays, "train")
    positions = training.positions_of(training.all_windows()).double().numpy()
    steps = training.observed_steps
    return fit_spread(positions[:, :steps], positions[:, steps:])


def _spread_and_error(cases: Cases) -> dict[str, np.ndarray]:
    """Give the root mean square spread and error of the mean by lead time (steps,), in km.

    The spread carries the factor (samples + 1) / samples, with which it equals the error of the
    mean of a calibrated ensemble (Fortin et al., 2014).
    """
    count = cases.samples.shape[1]
    variance = cases.samples.var(axis=1, ddof=1).sum(axis=-1).mean(axis=0)
    error = ((cases.samples.mean(axis=1) - cases.future) ** 2).sum(axis=-1).mean(axis=0)
    return {"spread": np.sqrt(variance * (count + 1) / count), "error": np.sqrt(error)}


def _protocol(
    cases: Cases, prepared: Prepared, spread: Spread, settings: TrajectoriesEvaluation
) -> dict[str, Any]:
    attributes = prepared.arrays.attrs
    return {
        "scenes": len(np.unique(cases.scene)),
        "windows": len(cases.flight),
        "flights": len(np.unique(cases.flight)),
        "samples": cases.samples.shape[1],
        "observed_steps": int(attributes["observed_steps"]),
        "predicted_steps": int(attributes["predicted_steps"]),
        "step_seconds": int(attributes["step_seconds"]),
        "positions": "three-dimensional, altitude is barometric; on the clock by interpolation "
        "between reports, so that an observed position may use a report up to the dataset's "
        "interpolation gap later",
        "scenes hold": "aircraft of the split that report over all observed and predicted steps",
        "min_ade and min_fde": "each minimised apart over the samples of an agent; mean over "
        "windows (an agent in a scene)",
        "joint_min_ade and joint_min_fde": "one sample for all agents of a scene, each measure "
        "minimised apart; mean over windows, so that scenes count by their agents",
        "miss_rate": f"share of windows where no sample ends within {settings.miss_radius_km:g} km",
        "energy_score": "of the position, unbiased over pairs of samples, averaged over steps",
        "constant_velocity": "goes on with the difference of the last two observed positions "
        f"({attributes['step_seconds']} s); one future",
        "sampled_constant_velocity": "as many draws of heading, speed and climb around it, with "
        "standard deviations fitted on the training split",
        "sampled_constant_velocity spread": spread.summary(),
        "interval": f"{settings.confidence:.0%} by bootstrap over flights, because windows of one "
        f"flight overlap; {settings.bootstrap} resamples",
    }
