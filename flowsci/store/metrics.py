"""Measures as they stand in `metrics.json`: one shape in all domains."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from flowsci.errors import FlowsciError


@dataclass(frozen=True)
class Metric:
    """One measure of the model, beside the reference data's own score and its baselines."""

    model: float
    unit: str
    better: Literal["lower", "higher"]
    count: int
    interval: tuple[float, float]
    reference: float | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """How a run was judged and what came out; `details` are tables that the figures need."""

    protocol: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    details: Mapping[str, Any] = field(default_factory=dict)


def bootstrap_interval(
    cases: np.ndarray,
    *,
    resamples: int,
    confidence: float,
    seed: int,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[float, float]:
    """Give the percentile interval of a mean over cases (Efron).

    `cases` is (cases,) or (cases, parts); `statistic` maps means over cases (resamples, parts) to
    (resamples,) where the measure is not a plain mean, as for ratios and roots.
    """
    generator = torch.Generator().manual_seed(seed)
    cases = np.asarray(cases, dtype=np.float64).reshape(len(cases), -1)
    means = np.empty((resamples, cases.shape[1]))
    for row in range(resamples):
        picked = torch.randint(len(cases), (len(cases),), generator=generator).numpy()
        means[row] = cases[picked].mean(axis=0)
    values = means[:, 0] if statistic is None else statistic(means)
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def write_evaluation(evaluation: Evaluation, provenance: Mapping[str, Any], path: Path) -> None:
    """Write protocol, metrics and provenance; raise `FlowsciError` where one is not finite."""
    content = {
        "protocol": dict(evaluation.protocol),
        "metrics": {name: asdict(metric) for name, metric in evaluation.metrics.items()},
        "provenance": dict(provenance),
    }
    for name, metric in content["metrics"].items():
        numbers = (metric["model"], *metric["interval"], *metric["baselines"].values())
        if not np.isfinite(numbers).all():
            raise FlowsciError(
                f"The measure {name} is not finite: look at the samples for missing or infinite "
                "values, and sample again with more sampling.steps or a model trained anew."
            )
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
