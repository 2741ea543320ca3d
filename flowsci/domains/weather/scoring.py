"""Measures over all cases, as they stand in `metrics.json`, with their intervals."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from flowsci.domains.weather import measures
from flowsci.domains.weather.judge import Judged
from flowsci.domains.weather.settings import WeatherEvaluation
from flowsci.domains.weather.spectra import Spectrum, band_ratios, effective_resolution
from flowsci.domains.weather.verification import Verification
from flowsci.store.metrics import Metric, bootstrap_interval

MODEL = "model"
RELATIVE, PER_RADIAN = "anomaly spread", "anomaly spread of u a radian"
QUANTILES = np.array([0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999])
Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Score:
    """One measure: `values` (case, parts) of each forecast, and what it makes of their means.

    `statistic` maps means (..., parts) to (...); `reference` is what a perfect ensemble has.
    `departure`: a distance from something, to which resampling adds; its interval is shifted to
    have its median at the measure.
    """

    values: Mapping[str, np.ndarray]
    statistic: Statistic
    unit: str = RELATIVE
    better: Literal["lower", "higher", "reference"] = "lower"
    reference: float | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)
    departure: bool = False

    def value(self, who: str) -> float:
        """Give the measure over all cases."""
        return float(self.statistic(self.values[who].mean(axis=0)))

    def metric(self, blocks: np.ndarray, settings: WeatherEvaluation) -> Metric:
        """Give the measure with its interval; cases with the same block are resampled together."""
        own = self.values[MODEL].reshape(len(blocks), -1)
        _, place = np.unique(blocks, return_inverse=True)
        sums = np.zeros((place.max() + 1, own.shape[1] + 1))
        np.add.at(sums, place, np.concatenate([own, np.ones((len(own), 1))], axis=1))
        interval = bootstrap_interval(
            sums,
            settings,
            statistic=lambda means: self.statistic(means[:, :-1] / means[:, -1:]),
            about=self.value(MODEL) if self.departure else None,
        )
        plain = {name: self.value(name) for name in self.values if name != MODEL}
        baselines = {**plain, **self.fixed}
        return Metric(
            self.value(MODEL),
            self.unit,
            self.better,
            len(own),
            interval,
            self.reference,
            baselines,
        )


def scores_of(
    judged: Judged, verification: Verification, spectrum: Spectrum
) -> Iterator[tuple[str, Score]]:
    """Give the measures of a lead; names end with the lead where there is one."""
    unit = "_steps" if verification.in_box else "h"
    end = f"_{judged.lead_hours}{unit}" if judged.lead_hours else ""
    yield from _errors(judged, verification, end)
    yield from _reliability(judged, verification, end)
    yield from _distributions(judged, end)
    yield from _spectra(judged, spectrum, len(verification.names), end)
    if "divergence_members" in judged.model:
        true = float(root_of_means(judged.model["divergence_truth"].mean(axis=0)))
        values = {MODEL: judged.model["divergence_members"]}
        yield f"divergence{end}", Score(values, root_of_means, PER_RADIAN, "reference", true)
        yield f"kinetic_energy{end}", _energy(judged)
    if verification.task == "inpaint":
        yield from _inpainting(judged)


def root_of_means(means: np.ndarray) -> np.ndarray:
    """Give the mean over channels of the roots of mean squares (..., channel)."""
    return np.sqrt(means).mean(axis=-1)


def _mean(means: np.ndarray) -> np.ndarray:
    return means.mean(axis=-1)


def _errors(judged: Judged, verification: Verification, end: str) -> Iterator[tuple[str, Score]]:
    error, crps = (_each(judged, name) for name in ("squared_error", "crps"))
    yield f"rmse_mean{end}", Score(error, root_of_means)
    yield f"crps_fair{end}", Score(_with_absolute_error(judged, crps), _mean)
    yield f"energy_score{end}", Score(_columns(_each(judged, "energy_score")), _mean)
    anomalies = verification.anomalies
    for index, channel in enumerate(anomalies.channels):
        scale, unit = float(anomalies.spread[index, 0, 0]), channel["units"]
        one = {who: values[:, [index]] * scale**2 for who, values in error.items()}
        yield f"rmse_mean{end}_{channel['name']}", Score(one, root_of_means, unit)
        one = {who: values[:, [index]] * scale for who, values in crps.items()}
        yield f"crps_fair{end}_{channel['name']}", Score(one, _mean, unit)


def _with_absolute_error(judged: Judged, crps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put the absolute error of interpolation beside its dressed CRPS."""
    if "bilinear" not in crps:
        return dict(crps)
    plain = judged.baselines["bilinear"]["absolute_error"]
    return {**crps, "bilinear_absolute_error": plain}


def _reliability(
    judged: Judged, verification: Verification, end: str
) -> Iterator[tuple[str, Score]]:
    members, channels = verification.size, len(verification.names)
    if members < 2:
        return
    both = np.concatenate([judged.model["variance"], judged.model["squared_error"]], axis=1)

    def ratio(means: np.ndarray) -> np.ndarray:
        variance, error = np.split(means, 2, axis=-1)
        return measures.spread_skill(variance, error, members).mean(axis=-1)

    reliable = {"unit": "1", "better": "reference", "reference": 1.0}
    yield f"spread_skill{end}", Score({MODEL: both}, ratio, **reliable)
    for index, name in enumerate(verification.names):
        one = both[:, [index, index + channels]]
        yield f"spread_skill{end}_{name}", Score({MODEL: one}, ratio, **reliable)
    ends = measures.rank_ends(judged.model["ranks"])
    yield f"rank_ends{end}", Score({MODEL: ends}, _mean, **reliable)
    yield f"brier{end}", Score(_each(judged, "brier"), _mean, "1")


def _distributions(judged: Judged, end: str) -> Iterator[tuple[str, Score]]:
    drawn, came = (judged.model[name] for name in ("drawn", "came"))
    shape = (2, *drawn.shape[1:])
    both = np.stack([drawn, came], axis=1).reshape(len(drawn), -1)

    def departure(means: np.ndarray) -> np.ndarray:
        found = measures.quantiles(means.reshape(*means.shape[:-1], *shape), QUANTILES)
        return np.abs(found[..., 0, :, :] - found[..., 1, :, :]).mean(axis=(-2, -1))

    def tail(means: np.ndarray) -> np.ndarray:
        return measures.tail_index(means.reshape(*means.shape[:-1], *shape[1:])).mean(axis=-1)

    yield f"quantile_error{end}", Score({MODEL: both}, departure, departure=True)
    true = float(tail(came.mean(axis=0).reshape(-1)))
    flat = drawn.reshape(len(drawn), -1)
    yield f"tail_index{end}", Score({MODEL: flat}, tail, "1", "reference", true)


def _spectra(
    judged: Judged, spectrum: Spectrum, channels: int, end: str
) -> Iterator[tuple[str, Score]]:
    def worst(means: np.ndarray) -> np.ndarray:
        power = means.reshape(*means.shape[:-1], 2, channels, -1)
        ratios = band_ratios(power[..., 0, :, :], power[..., 1, :, :], spectrum)
        return np.abs(ratios - 1).max(axis=(-2, -1))

    def resolution(means: np.ndarray) -> np.ndarray:
        power = means.reshape(*means.shape[:-1], 2, channels, -1)
        ratio = power[..., 0, :, :] / power[..., 1, :, :]
        flat = [
            effective_resolution(r, spectrum.wavenumbers)
            for r in ratio.reshape(-1, ratio.shape[-1])
        ]
        return np.array(flat).reshape(ratio.shape[:-1]).mean(axis=-1)

    members, mean = (_pair(judged, who, "truth") for who in ("members", "mean"))
    values = {MODEL: members, "ensemble_mean": mean}
    beside = values | {"training_climate": _pair(judged, "climate", "truth")}
    yield f"member_spectrum{end}", Score(beside, worst, "1", departure=True)
    last = float(spectrum.wavenumbers[-1])
    yield f"effective_resolution{end}", Score(values, resolution, "1", "higher", last)
    if judged.model["power_member_residual"].any():
        residual = _pair(judged, "member_residual", "truth_residual")
        yield f"residual_spectrum{end}", Score({MODEL: residual}, worst, "1", departure=True)


def _energy(judged: Judged) -> Score:
    """Compare the kinetic energy of members with the truth's."""
    both = np.concatenate([judged.model[f"energy_{n}"] for n in ("members", "truth")], axis=1)

    def ratio(means: np.ndarray) -> np.ndarray:
        members, truth = np.split(means, 2, axis=-1)
        return (members / truth).mean(axis=-1)

    return Score({MODEL: both}, ratio, "1", "reference", 1.0)


def _inpainting(judged: Judged) -> Iterator[tuple[str, Score]]:
    yield "crps_fair_near", Score(_each(judged, "crps_near"), _mean)
    error = judged.model["given_error"][:, None]
    yield "given_error", Score({MODEL: error}, _mean, RELATIVE, "lower", 0.0)


def _each(judged: Judged, name: str) -> dict[str, np.ndarray]:
    """Give a measure of the model and of the baselines that have it."""
    rows = {MODEL: judged.model, **judged.baselines}
    return {who: own[name] for who, own in rows.items() if name in own}


def _columns(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {who: own.reshape(len(own), -1) for who, own in values.items()}


def _pair(judged: Judged, one: str, other: str) -> np.ndarray:
    power = [judged.model[f"power_{name}"] for name in (one, other)]
    return np.stack(power, axis=1).reshape(len(power[0]), -1)
