"""Judge sampled futures and their density beside the truth and parameter-free baselines."""

from collections.abc import Mapping

import numpy as np

from flowsci.domains.trajectories.baselines import OffsetGaussian, fit_spread
from flowsci.domains.trajectories.cases import Cases, Drawn, Training, match
from flowsci.domains.trajectories.climb_measures import climb_protocol, climb_scores
from flowsci.domains.trajectories.lead_times import (
    Table,
    calibration_table,
    error_table,
    reliability_of,
)
from flowsci.domains.trajectories.measures import collisions
from flowsci.domains.trajectories.protocol import protocol_of
from flowsci.domains.trajectories.scores import (
    MODEL,
    Forecast,
    Scores,
    calibration_scores,
    density_scores,
    forecasts_of,
    independent_scores,
    judge,
    least_kernel,
    sample_scores,
)
from flowsci.domains.trajectories.settings import TrajectoriesEvaluation
from flowsci.store.metrics import Evaluation, Metric, bootstrap_interval
from flowsci.store.prepared import Prepared

PERIOD_WINDOWS = 3
"""Windows, end to end, that a resampled period is long: those of neighbouring scenes overlap."""


def evaluate(drawn: Drawn, prepared: Prepared, settings: TrajectoriesEvaluation) -> Evaluation:
    """Judge a generated dataset as `export.read_samples` gives it."""
    cases, training = match(drawn, prepared), Training.of(prepared)
    spread = fit_spread(training.observed, training.future)
    gaussian = OffsetGaussian.fit(training.observed, training.future)
    forecasts, least = forecasts_of(cases, spread, settings), least_kernel(training)
    judged = {name: judge(f, cases, least, settings) for name, f in forecasts.items()}
    scores = sample_scores(judged, cases)
    independent = independent_scores(cases, settings)
    for name, baselines in independent.items():
        for baseline, values in baselines.items():
            scores[name] = scores[name].beside(baseline, values)
    came = collisions(cases.future[:, None], cases.scene, settings.collision_radius)
    scores["collision_rate"] = scores["collision_rate"].against(float(came.mean()))
    scores |= calibration_scores(forecasts, cases) | density_scores(cases, gaussian)
    scores |= climb_scores(cases, prepared)
    tables = {
        "error_by_lead_time": error_table(forecasts, cases),
        "calibration_by_lead_time": calibration_table(forecasts, judged, cases, gaussian),
        "joint_against_independent": _joint_table(scores, independent, cases, settings),
    }
    return Evaluation(
        protocol_of(cases, prepared, spread, gaussian, judged[MODEL], settings)
        | climb_protocol(cases, prepared),
        {name: _metric(measure, cases, settings) for name, measure in scores.items()},
        {"reliability": _reliability(forecasts[MODEL], cases)},
        tables,
    )


def _metric(scores: Scores, cases: Cases, settings: TrajectoriesEvaluation) -> Metric:
    return Metric(
        model=scores.value(MODEL),
        unit=scores.unit,
        better=scores.better,
        count=len(np.unique(cases.scene)) if scores.of_scenes else len(cases.track),
        interval=_interval(scores, scores.values[MODEL], cases, settings),
        reference=scores.reference,
        baselines={name: scores.value(name) for name in scores.values if name != MODEL},
    )


def _interval(
    scores: Scores, values: np.ndarray, cases: Cases, settings: TrajectoriesEvaluation
) -> tuple[float, float]:
    """Resample tracks, whose windows overlap, or periods, if agents share what a scene has."""
    groups = _periods(cases) if scores.of_scenes else cases.track
    names, place = np.unique(groups, axis=0, return_inverse=True)
    values = values.reshape(len(values), -1)
    sums = np.zeros((len(names), values.shape[1] + 1))
    np.add.at(sums, place, np.concatenate([values, np.ones((len(values), 1))], axis=1))
    statistic = scores.statistic or (lambda means: means[:, 0])
    return bootstrap_interval(
        sums,
        settings,
        statistic=lambda means: statistic(means[:, :-1] / means[:, -1:]),
        about=None if scores.statistic is None else scores.value(MODEL),
    )


def _periods(cases: Cases) -> np.ndarray:
    """Give recording and period (windows, 2) of each window."""
    steps = cases.observed.shape[1] + cases.future.shape[1]
    period = np.floor(cases.seconds / (PERIOD_WINDOWS * steps * cases.step_seconds))
    return np.stack([cases.recording, period], axis=1)


def _joint_table(
    scores: Mapping[str, Scores],
    independent: Mapping[str, Mapping[str, np.ndarray]],
    cases: Cases,
    settings: TrajectoriesEvaluation,
) -> Table:
    """Give the paired differences of joint measures to those of agents that share nothing."""
    rows = []
    for name, baselines in independent.items():
        for baseline, values in baselines.items():
            difference = scores[name].values[MODEL] - values
            low, high = _interval(scores[name], difference, cases, settings)
            both = (scores[name].value(MODEL), scores[name].value(baseline))
            rows.append((name, baseline, *both, float(difference.mean()), low, high))
    columns = ("measure", "baseline", "model", "independent", "difference", "low", "high")
    return {c: list(column) for c, column in zip(columns, zip(*rows, strict=True), strict=True)}


def _reliability(model: Forecast, cases: Cases) -> dict[str, np.ndarray]:
    """Give the curves (levels, steps) of the density, and of the samples if they are draws."""
    curves = {}
    if cases.density is not None:
        curves["density"] = reliability_of(model)
    if model.equally_probable and model.samples.shape[1] > 1:
        curves["samples"] = reliability_of(model.ranked(cases.future))
    return curves
