"""When climbs level off and how fast they climb: bands of samples, beside parameter-free ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from flowsci.domains.trajectories.cases import Cases
from flowsci.domains.trajectories.climb import LEVELS_M, between
from flowsci.domains.trajectories.record import METRES, Scenes
from flowsci.domains.trajectories.scores import MODEL, Scores
from flowsci.domains.trajectories.settings import CLIMB_GRID_SECONDS
from flowsci.store.prepared import Prepared

LEVELS = np.linspace(0.025, 0.975, 39)
"""Of the quantiles: the outermost are the 95 % band."""
BANDWIDTHS = (0.15, 0.2, 0.3, 0.5, 0.8, 1.2)
UNITS = {"level_off_time": "s", "rate_of_climb": "m/s"}


@dataclass(frozen=True)
class ClimbDefinition:
    """What counts as level flight: less than `least_rate` (m/s) over the next `over_seconds`."""

    least_rate: float
    over_seconds: float
    step_seconds: float

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> "ClimbDefinition":
        """Read the definition of a dataset of climbs."""
        climb = attributes["climb"]
        return cls(climb["least_rate_m_s"], climb["over_seconds"], attributes["step_seconds"])

    def quantities(self, altitude: np.ndarray) -> dict[str, np.ndarray]:
        """Give level-off time (s) and rate of climb (m/s) of altitudes (..., 1 + steps) in m.

        The altitudes begin with the last observed one and are read every 10 s, straight between
        steps. Level-off time: the first time from which the next `over_seconds` climb at less than
        `least_rate`; who does so at no time within the path has the path's last time, which no
        other can have. Rate of climb: the mean one until then, or over 10 s where that is longer.
        """
        horizon = (altitude.shape[-1] - 1) * self.step_seconds
        times = torch.arange(0, horizon + 1e-6, CLIMB_GRID_SECONDS, dtype=torch.float64)
        path = between(torch.from_numpy(altitude), times / self.step_seconds).numpy()
        span = round(self.over_seconds / CLIMB_GRID_SECONDS)
        slow = path[..., span:] - path[..., :-span] < self.least_rate * self.over_seconds
        first = np.where(slow.any(-1), slow.argmax(-1), len(times) - 1)
        until = np.maximum(first, 1)[..., None]
        climbed = np.take_along_axis(path, until, axis=-1)[..., 0] - path[..., 0]
        return {
            "level_off_time": first * CLIMB_GRID_SECONDS,
            "rate_of_climb": climbed / (until[..., 0] * CLIMB_GRID_SECONDS),
        }


@dataclass(frozen=True)
class Climbs:
    """Windows of climbs: altitudes in m, `observed` (windows, steps) and `future`; `track`."""

    observed: np.ndarray
    future: np.ndarray
    track: np.ndarray

    @classmethod
    def of_split(cls, prepared: Prepared, split: str) -> "Climbs":
        """Give the windows of a split."""
        scenes = Scenes.of_split(prepared.arrays, split)
        windows, steps = scenes.all_windows(), scenes.observed_steps
        altitude = scenes.positions_of(windows)[..., -1].double().numpy()
        altitude *= METRES[prepared.arrays.attrs["length_unit"]]
        return cls(altitude[:, :steps], altitude[:, steps:], scenes.tracks_of(windows).numpy())

    @property
    def path(self) -> np.ndarray:
        """Give the altitudes (windows, 1 + steps) from the last observed one on."""
        return np.concatenate([self.observed[:, -1:], self.future], axis=1)

    @property
    def features(self) -> np.ndarray:
        """Give what a climb is likened by (windows, 5): rates, altitude, height below a level."""
        climbs, now = np.diff(self.observed, axis=1), self.observed[:, -1]
        columns = [climbs[:, -1], climbs.mean(1), climbs[:, -1] - climbs[:, 0], now]
        return np.stack([*columns, -now % LEVELS_M], axis=1)


def climb_scores(cases: Cases, prepared: Prepared) -> dict[str, Scores]:
    """Judge level-off time and rate of climb; nothing where the dataset is not one of climbs."""
    attributes = prepared.arrays.attrs
    if "climb" not in attributes:
        return {}
    definition, metres = ClimbDefinition.of(attributes), METRES[cases.unit]
    observed, future = cases.observed[..., -1] * metres, cases.future[..., -1] * metres
    climbs = Climbs(observed, future, cases.track)
    truth = definition.quantities(climbs.path)
    sampled = definition.quantities(paths_of(cases, metres))
    bands = {
        MODEL: _bands(sampled, cases.probability),
        **baseline_bands(climbs, prepared, definition),
    }
    scores = {}
    for name, unit in UNITS.items():
        own = {who: band[name] for who, band in bands.items()}
        scores |= _scores(name, unit, own, truth[name][:, None])
    return scores


def climb_protocol(cases: Cases, prepared: Prepared) -> dict[str, str]:
    """Say what the measures of climbs mean; nothing where the dataset is not one of climbs."""
    attributes = prepared.arrays.attrs
    if "climb" not in attributes:
        return {}
    definition = ClimbDefinition.of(attributes)
    altitude = np.concatenate([cases.observed[:, -1:], cases.future], axis=1)[..., -1]
    path = altitude * METRES[cases.unit]
    horizon = cases.lead_seconds[-1]
    levelled = definition.quantities(path)["level_off_time"] < horizon
    return {
        "climbs": f"windows of aircraft that climb at {definition.least_rate:g} m/s or more when "
        "last seen, known over all steps, so that those who leave coverage early are missing, and "
        "who do not sink by more than the dataset's limit",
        "level_off_time": "first time from which the next "
        f"{definition.over_seconds:g} s climb at less than {definition.least_rate:g} m/s, on a "
        f"grid of {CLIMB_GRID_SECONDS:g} s, straight between steps of "
        f"{definition.step_seconds:g} s, in truth and samples alike; {levelled.sum()} of "
        f"{len(levelled)} truths level off within {horizon:g} s, all others stay in as "
        f"{horizon:g} s, later than any level-off",
        "rate_of_climb": "mean rate until the level-off, or until the last step",
        "pinball": f"mean over {len(LEVELS)} levels, {LEVELS[0]:g} to {LEVELS[-1]:g}, of "
        "max(level (y - q), (level - 1) (y - q))",
        "climatology": "quantiles of the training windows, the same for all",
        "kernel": "quantiles of the training windows, weighed by a Gaussian kernel on the last and "
        "mean rate, their change, altitude and height below the next 1,000 ft, and by one over the "
        "windows of their track; bandwidth chosen on the validation split",
        "constant_rate": "goes on at the rate of the last step: one value without a band",
    }


def paths_of(cases: Cases, metres: float, windows: slice = slice(None)) -> np.ndarray:
    """Give the sampled altitudes (windows, samples, 1 + steps) in m, from the last observed on."""
    samples = cases.samples[windows, ..., -1]
    start = np.broadcast_to(cases.observed[windows, None, -1:, -1], (*samples.shape[:2], 1))
    return np.concatenate([start, samples], axis=-1) * metres


def baseline_bands(
    climbs: Climbs, prepared: Prepared, definition: ClimbDefinition
) -> dict[str, dict[str, np.ndarray]]:
    """Give quantiles (windows, levels) of each quantity, by the name of the baseline."""
    training, count = Climbs.of_split(prepared, "train"), len(climbs.track)
    known = {n: v[None] for n, v in definition.quantities(training.path).items()}
    alike = _bandwidths(training, Climbs.of_split(prepared, "validation"), definition)
    last, lead = climbs.observed[:, -2:], np.arange(climbs.path.shape[1])
    straight = last[:, 1:] + lead * np.diff(last, axis=1)
    steady = {n: v[:, None] for n, v in definition.quantities(straight).items()}
    equal = np.ones((1, len(training.track)))
    return {
        "climatology": {n: np.repeat(quantiles(v, equal), count, 0) for n, v in known.items()},
        "constant_rate": _bands(steady, np.ones((count, 1))),
        "kernel": {n: quantiles(v, likeness(training, climbs, alike[n])) for n, v in known.items()},
    }


def likeness(training: Climbs, climbs: Climbs, bandwidth: float) -> np.ndarray:
    """Weigh training windows by their likeness to others: (windows, training windows)."""
    scale = training.features.std(0)
    scale[scale < 1e-9 * scale.max()] = 1.0
    ours, theirs = (c.features / scale for c in (climbs, training))
    apart = np.square(ours[:, None] - theirs).sum(-1)
    _, place, windows = np.unique(training.track, return_inverse=True, return_counts=True)
    # who is like nobody gets the climatology
    return np.exp(-apart / (2 * bandwidth**2)) / windows[place] + 1e-12


def quantiles(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Give the weighted quantiles (windows, levels) of values (windows or 1, n), by steps."""
    values = np.broadcast_to(values, weights.shape)
    order = np.argsort(values, axis=1, kind="stable")
    share = np.take_along_axis(weights, order, axis=1).cumsum(axis=1)
    share /= share[:, -1:]
    # shares are sums of rounded numbers
    place = np.stack([(share < level - 1e-9).sum(axis=1) for level in LEVELS], axis=1)
    return np.take_along_axis(np.take_along_axis(values, order, axis=1), place, axis=1)


def pinball(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Give the mean quantile loss (windows,) of quantiles (windows, levels), truth (windows, 1)."""
    missed = truth - predicted
    return np.maximum(LEVELS * missed, (LEVELS - 1) * missed).mean(axis=1)


def _bands(values: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
    return {name: quantiles(value, weights) for name, value in values.items()}


def _scores(
    name: str, unit: str, bands: Mapping[str, np.ndarray], truth: np.ndarray
) -> dict[str, Scores]:
    """Judge quantiles (windows, levels) of everyone by the truth (windows, 1)."""
    ends = {who: band[:, [0, -1]] for who, band in bands.items()}
    inside = {w: ((e[:, :1] <= truth) & (truth <= e[:, 1:]))[:, 0] for w, e in ends.items()}
    return {
        f"{name}_coverage_95": Scores(
            {who: values.astype(float) for who, values in inside.items()},
            unit="1",
            better="reference",
            reference=0.95,
        ),
        f"{name}_width_95": Scores({who: np.diff(e)[:, 0] for who, e in ends.items()}, unit),
        f"{name}_pinball": Scores({who: pinball(truth, q) for who, q in bands.items()}, unit),
    }


def _bandwidths(
    training: Climbs, validation: Climbs, definition: ClimbDefinition
) -> dict[str, float]:
    """Choose a bandwidth for each quantity, by the validation windows."""
    known, truth = (definition.quantities(c.path) for c in (training, validation))
    chosen = {}
    for name in UNITS:
        losses = [
            pinball(
                truth[name][:, None],
                quantiles(known[name][None], likeness(training, validation, bandwidth)),
            ).mean()
            for bandwidth in BANDWIDTHS
        ]
        chosen[name] = BANDWIDTHS[int(np.argmin(losses))]
    return chosen
