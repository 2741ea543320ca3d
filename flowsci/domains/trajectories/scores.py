"""Every measure of a forecast as values a window, beside the same of its baselines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from flowsci.domains.trajectories import measures
from flowsci.domains.trajectories.baselines import (
    OffsetGaussian,
    Spread,
    constant_velocity,
    sampled_constant_velocity,
)
from flowsci.domains.trajectories.cases import Cases, Training
from flowsci.domains.trajectories.mixtures import kernel_log_density, marginal_ranks
from flowsci.domains.trajectories.online import online_levels
from flowsci.domains.trajectories.settings import TrajectoriesEvaluation

MODEL, PLAIN, SAMPLED = "model", "constant_velocity", "sampled_constant_velocity"
COUNTS = (1, 5, 20)
COVERED = (0.5, 0.8, 0.95)
LEVELS = np.arange(1, 20) / 20
LEAST_KERNEL = 0.01
LEAST_KERNEL_LOG_DENSITY = -20.0
REGROUPINGS = 10


@dataclass(frozen=True)
class Forecast:
    """Futures of all windows: `samples` (windows, samples, steps, axes), with a `probability` each.

    `ranks` (windows, steps) tell the truth's place among `points` equally likely ones, 0 being the
    most probable; a single future has none. `log_density` (windows, steps) is that of the true
    position at each lead time, where there is a density.
    """

    samples: np.ndarray
    probability: np.ndarray
    ranks: np.ndarray | None = None
    points: int = 0
    log_density: np.ndarray | None = None

    @classmethod
    def of_draws(cls, samples: np.ndarray) -> "Forecast":
        """Take equally probable samples; the truth is ranked by its distance from the others."""
        count = samples.shape[1]
        return cls(samples, np.full(samples.shape[:2], 1 / count))

    def ranked(self, truth: np.ndarray) -> "Forecast":
        """Rank the truth among the samples, by its distance from the others."""
        if self.samples.shape[1] == 1:
            return self
        ranks = measures.truth_ranks(self.samples, truth)
        return replace(self, ranks=ranks, points=self.samples.shape[1] + 1)

    @property
    def equally_probable(self) -> bool:
        """Tell whether the samples are random draws, and not modes with a probability each."""
        return bool(np.ptp(self.probability) < 1e-6)


@dataclass(frozen=True)
class Scores:
    """One measure: values a window (windows,) of the model and of what stands beside it.

    With a `statistic`, values are (windows, parts), and it makes (n,) of means (n, parts).
    """

    values: Mapping[str, np.ndarray]
    unit: str
    better: Literal["lower", "higher", "reference"] = "lower"
    reference: float | None = None
    of_scenes: bool = False
    statistic: Callable[[np.ndarray], np.ndarray] | None = None

    def value(self, who: str) -> float:
        """Give the measure over all windows."""
        mean = self.values[who].mean(axis=0)
        return float(mean if self.statistic is None else self.statistic(mean[None])[0])

    def beside(self, name: str, values: np.ndarray) -> "Scores":
        """Add a baseline."""
        return replace(self, values={**self.values, name: values})

    def against(self, reference: float) -> "Scores":
        """Add the score of the true futures."""
        return replace(self, reference=reference)


def forecasts_of(
    cases: Cases, spread: Spread, settings: TrajectoriesEvaluation
) -> dict[str, Forecast]:
    """Give the model's futures and those of the baselines, ranked."""
    count, steps = cases.samples.shape[1:3]
    model = Forecast(cases.samples, cases.probability)
    if cases.density is None:
        model = model.ranked(cases.future)
    else:
        draws, seed = settings.density_draws, settings.seed
        ranks, logs = marginal_ranks(cases.density, cases.future, draws, seed)
        model = replace(model, ranks=ranks, points=draws + 1, log_density=logs)
    plain = Forecast.of_draws(constant_velocity(cases.observed, steps))
    drawn = sampled_constant_velocity(cases.observed, steps, count, spread, settings.seed)
    return {MODEL: model, PLAIN: plain, SAMPLED: Forecast.of_draws(drawn).ranked(cases.future)}


def judge(
    forecast: Forecast, cases: Cases, least: np.ndarray, settings: TrajectoriesEvaluation
) -> dict[str, np.ndarray]:
    """Give the measures of samples: values (windows,) or (windows, steps) by name.

    `least` (steps,) is the least standard deviation of a kernel, in the unit of length.
    """
    samples, probability = forecast.samples, forecast.probability
    distance = measures.distances(samples, cases.future)
    of_scene = measures.scene_probability(probability, cases.scene)
    apart, together = (measures.by_probability(p) for p in (probability, of_scene))
    errors = {"ade": distance.mean(axis=-1), "fde": distance[..., -1]}
    joint = {name: measures.scene_mean(error, cases.scene) for name, error in errors.items()}
    scores = {}
    for prefix, of, order in (("min", errors, apart), ("joint_min", joint, together)):
        for name, error in of.items():
            for count in counts_of(cases):
                scores[f"{prefix}_{name}_{count}"] = measures.smallest(error, order, count)
    scores["miss_rate"] = measures.missed(distance, settings.miss_radius)
    hit = measures.collisions(samples, cases.scene, settings.collision_radius)
    scores["collision_rate"] = (hit * probability).sum(axis=1) / probability.sum(axis=1)
    scores["energy_score"] = measures.energy_score(samples, cases.future, probability)
    if samples.shape[1] > 1:
        logs = kernel_log_density(samples, probability, cases.future, least)
        scores["kde_nll"] = -np.maximum(logs, LEAST_KERNEL_LOG_DENSITY)
    return scores


def counts_of(cases: Cases) -> list[int]:
    """Give the numbers of futures that minima are taken over."""
    return sorted({min(count, cases.samples.shape[1]) for count in COUNTS})


def sample_scores(
    judged: Mapping[str, Mapping[str, np.ndarray]], cases: Cases
) -> dict[str, Scores]:
    """Put the measures of all forecasts side by side."""
    units = {"miss_rate": "1", "collision_rate": "1", "kde_nll": "nat"}
    scores = {}
    for name in judged[MODEL]:
        values = {who: own[name] for who, own in judged.items() if name in own}
        scores[name] = Scores(
            {who: v.mean(axis=1) if v.ndim == 2 else v for who, v in values.items()},
            unit=units.get(name, cases.unit),
            of_scenes=name.startswith("joint"),
        )
    return scores


def independent_scores(
    cases: Cases, settings: TrajectoriesEvaluation
) -> dict[str, dict[str, np.ndarray]]:
    """Give the largest joint minima of the model's own futures where agents know nothing shared.

    By measure and baseline, the mean over several trials: `shuffled` between samples agent by
    agent, and with their samples in order in scenes of `strangers`, who share the samples' numbers
    alone.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    count = counts_of(cases)[-1]
    of_scene = measures.scene_probability(cases.probability, cases.scene)
    chosen = measures.by_probability(of_scene)[:, :count]
    distance = measures.distances(cases.samples, cases.future)
    errors = {"ade": distance.mean(axis=-1), "fde": distance[..., -1]}
    result = {}
    for name, error in errors.items():
        kept = np.take_along_axis(error, chosen, axis=1)
        mixed = (measures.shuffled(kept, generator) for _ in range(REGROUPINGS))
        minima = [measures.scene_mean(m, cases.scene).min(axis=1) for m in mixed]
        strangers = [
            measures.among_strangers(kept, cases.scene, generator) for _ in range(REGROUPINGS)
        ]
        result[f"joint_min_{name}_{count}"] = {
            "shuffled": np.mean(minima, axis=0),
            "strangers": np.mean(strangers, axis=0),
        }
    return result


def calibration_scores(forecasts: Mapping[str, Forecast], cases: Cases) -> dict[str, Scores]:
    """Give coverage and calibration error of the forecasts that have ranks."""
    ranked = {name: f for name, f in forecasts.items() if f.ranks is not None}
    if MODEL not in ranked:
        return {}
    scores = {}
    for level in COVERED:
        values = {n: measures.inside(f.ranks, f.points, level).mean(1) for n, f in ranked.items()}
        name = f"coverage_{100 * level:.0f}"
        scores[name] = Scores(values, "1", "reference", reference=level)
        followed = inside_online(forecasts[MODEL], cases, level).mean(1)
        scores[f"{name}_online"] = Scores(
            {MODEL: followed, "fixed_level": values[MODEL]}, "1", "reference", reference=level
        )
    levels = np.repeat(LEVELS, next(iter(ranked.values())).ranks.shape[1])
    scores["calibration_error"] = Scores(
        {
            name: np.concatenate([measures.inside(f.ranks, f.points, v) for v in LEVELS], axis=1)
            for name, f in ranked.items()
        },
        unit="1",
        statistic=lambda means: np.abs(means - levels).mean(axis=1),
    )
    return scores


def inside_online(forecast: Forecast, cases: Cases, level: float) -> np.ndarray:
    """Tell (windows, steps) whether truths lie in the regions that follow their recording."""
    now = cases.seconds / cases.step_seconds
    levels = online_levels(forecast.ranks, forecast.points, level, now, cases.recording)
    return measures.inside(forecast.ranks, forecast.points, levels)


def density_scores(cases: Cases, gaussian: OffsetGaussian) -> dict[str, Scores]:
    """Give the negative log-density of the truth a step, of an agent and of a scene's agents."""
    if cases.density is None:
        return {}
    steps = cases.future.shape[1]
    truth = torch.from_numpy(cases.future).unsqueeze(1)
    own = -cases.density.log_density(truth).squeeze(1).numpy() / steps
    straight = -gaussian.log_density(cases.observed, cases.future) / steps
    numbers, together = cases.density.joint_log_density(truth)
    place = np.searchsorted(numbers.numpy(), cases.scene)
    agents = np.bincount(place)[place]
    joint = -together.squeeze(1).numpy()[place] / (agents * steps)
    return {
        "nll": Scores({MODEL: own, "constant_velocity_gaussian": straight}, "nat"),
        "joint_nll": Scores({MODEL: joint, "independent_agents": own}, "nat", of_scenes=True),
    }


def least_kernel(training: Training) -> np.ndarray:
    """Give 1 % of the root mean square that constant velocity misses by, by lead time (steps,)."""
    straight = constant_velocity(training.observed, training.future.shape[1])[:, 0]
    square = np.square(training.future - straight).sum(axis=-1).mean(axis=0)
    return LEAST_KERNEL * np.sqrt(square)
