"""Measures as they stand in `metrics.json`: one shape in all domains."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from flowsci.errors import FlowsciError
from flowsci.settings import EvaluationSettings


@dataclass(frozen=True)
class Metric:
    """One measure of the model, beside the reference data's own score and its baselines.

    `better` is "reference" where the score should be the reference's, neither lower nor higher.
    """

    model: float
    unit: str
    better: Literal["lower", "higher", "reference"]
    count: int
    interval: tuple[float, float]
    reference: float | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """How a run was judged and what came out.

    `details` are arrays that the figures need; `tables` are columns by name, of equal length, by
    the name of the table: measures by lead time, for example.
    """

    protocol: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    details: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Sequence[float | str]]] = field(default_factory=dict)


def bootstrap_interval(
    cases: np.ndarray,
    settings: EvaluationSettings,
    *,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    about: float | None = None,
) -> tuple[float, float]:
    """Give the percentile interval of a mean over cases (Efron).

    The settings say how many resamples, and how much the interval covers. `cases` is (cases,) or
    (cases, parts); `statistic` maps means over cases (resamples, parts) to (resamples,) where the
    measure is not a plain mean, as for ratios and roots. With `about`, the measure itself, the
    interval is shifted to have its median there: for measures such as mean absolute deviations, to
    which resampling adds.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    cases = np.asarray(cases, dtype=np.float64).reshape(len(cases), -1)
    means = np.empty((settings.bootstrap, cases.shape[1]))
    for row in range(settings.bootstrap):
        picked = torch.randint(len(cases), (len(cases),), generator=generator).numpy()
        means[row] = cases[picked].mean(axis=0)
    values = means[:, 0] if statistic is None else statistic(means)
    if about is not None:
        values = values - np.median(values) + about
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def write_evaluation(evaluation: Evaluation, provenance: Mapping[str, Any], path: Path) -> None:
    """Write protocol, metrics and provenance; raise `FlowsciError` where one is not finite."""
    content = {
        "protocol": dict(evaluation.protocol),
        "metrics": {name: asdict(metric) for name, metric in evaluation.metrics.items()},
        "tables": {name: dict(table) for name, table in evaluation.tables.items()},
        "provenance": dict(provenance),
    }
    for name, metric in content["metrics"].items():
        beside = [value for value in (metric["reference"],) if value is not None]
        numbers = (metric["model"], *metric["interval"], *beside, *metric["baselines"].values())
        if not np.isfinite(numbers).all():
            raise FlowsciError(
                f"The measure {name} is not finite: look at the samples for missing or infinite "
                "values, and sample again: more of them, with more sampling.steps, or from a model "
                "trained anew."
            )
    for name, table in content["tables"].items():
        broken = [c for c, column in table.items() if not all(map(_finite_or_text, column))]
        if broken:
            raise FlowsciError(
                f"The table {name} is not finite in {', '.join(broken)}: look at the samples for "
                "missing or infinite values, and sample again."
            )
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _finite_or_text(value: float | str) -> bool:
    return isinstance(value, str) or bool(np.isfinite(value))
