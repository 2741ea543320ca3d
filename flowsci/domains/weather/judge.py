"""Measures of a model and of its baselines at one lead, a row for each case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from scipy.special import ndtr

from flowsci.domains.weather import measures
from flowsci.domains.weather.baselines import Baseline, Dressed, gaussian_crps
from flowsci.domains.weather.physics import Winds
from flowsci.domains.weather.season import SeasonalPower
from flowsci.domains.weather.spectra import Spectrum
from flowsci.domains.weather.verification import Verification

Rows = Mapping[str, np.ndarray]
NEAR_CELLS = 1
"""Cells at most so far from a given one count as next to what is observed."""


@dataclass(frozen=True)
class Judged:
    """What was found at a lead: arrays that begin with the case, by the name of the measure.

    `model` has `measures.ensemble_measures` and `exceedance_measures`, histograms `drawn` and
    `came` of values, and the power of `members`, of the `truth`, of the ensemble's `mean`, of the
    season in training (`climate`), and of members and truth around that mean (`member_residual`,
    `truth_residual`), and the squared divergence of winds and their kinetic energy; baselines have
    squared and absolute errors, CRPS, Brier score.
    """

    lead_hours: int
    lead_name: str
    cases: np.ndarray
    model: Rows
    baselines: Mapping[str, Rows] = field(default_factory=dict)


@dataclass(frozen=True)
class Judge:
    """How each case is judged; `threshold` (channel, latitude, longitude) is what events exceed."""

    verification: Verification
    spectrum: Spectrum
    threshold: np.ndarray
    training: SeasonalPower
    winds: Winds | None = None

    def lead(self, number: int, baselines: Mapping[str, Dressed], *, values: bool) -> Judged:
        """Judge a lead by its number, with histograms of values if asked for.

        Raises `FlowsciError` where a member isn't finite.
        """
        cases = self.verification.known(number)
        model = _stacked([self._ensemble(case, number, values) for case in cases])
        plain = {
            name: _stacked([self._dressed(case, number, baseline) for case in cases])
            for name, baseline in baselines.items()
        }
        if number == 0 and self.verification.mean_head(0) is not None:
            plain["dressed_mean"] = _stacked([self._dressed_mean(case) for case in cases])
        hours, name = int(self.verification.leads[number]), self.verification.lead_name(number)
        return Judged(hours, name, cases, model, plain)

    def weights(self, case: int) -> np.ndarray:
        """Give the weights of the judged cells: those that were drawn, not given."""
        weights = self.verification.anomalies.weights
        if self.verification.task != "inpaint":
            return weights
        return _renormalised(weights * ~self.verification.given(case))

    def _ensemble(self, case: int, number: int, values: bool) -> Rows:
        members = self.verification.members(case, number)
        truth = self.verification.truth(case, number)
        weights = self.weights(case)
        rows = measures.ensemble_measures(members, truth, weights)
        rows |= measures.exceedance_measures(members, truth, self.threshold, weights)
        if values:
            rows["drawn"] = measures.histogram(members, weights / len(members))
            rows["came"] = measures.histogram(truth, weights)
        if values or self.verification.in_box:
            rows |= self._divergence(members, truth)
            rows |= self._energy(members, truth, self.verification.climate(case, number))
        rows |= self._power(members, truth)
        rows["power_climate"] = self.training.at(self.verification.hour(case, number))
        if self.verification.task == "inpaint":
            rows |= self._inpainted(case, members, truth)
        return rows

    def _power(self, members: np.ndarray, truth: np.ndarray) -> Rows:
        mean, power = members.mean(axis=0), self.spectrum.power
        count = len(members)
        # members and truth spread differently around the mean of those members
        around = power(members - mean).mean(axis=0) * (count + 1) / max(count - 1, 1)
        return {
            "power_members": power(members).mean(axis=0),
            "power_truth": power(truth),
            "power_mean": power(mean),
            "power_member_residual": around,
            "power_truth_residual": power(truth - mean),
        }

    def _divergence(self, members: np.ndarray, truth: np.ndarray) -> Rows:
        """Give the mean square divergence of members and truth (pair,), where there are winds."""
        if self.winds is None:
            return {}
        area = self.winds.grid.area
        fields = {"members": members, "truth": truth[None]}
        found = {n: self.winds.divergence(torch.from_numpy(v)).numpy() for n, v in fields.items()}
        return {
            f"divergence_{n}": np.einsum("npij,ij->p", d**2, area) / len(d)
            for n, d in found.items()
        }

    def _energy(self, members: np.ndarray, truth: np.ndarray, climate: np.ndarray) -> Rows:
        """Give the mean kinetic energy of members and truth (pair,), where there are winds.

        Of whole winds in a pair's own units: anomalies with their climatology (channel, ...).
        """
        if self.winds is None:
            return {}
        area, spread = self.winds.grid.area, self.verification.anomalies.spread
        fields = {"members": members, "truth": truth[None]}
        squares = {
            n: np.einsum("ncij,ij->c", (v * spread + climate) ** 2, area) / len(v)
            for n, v in fields.items()
        }
        pairs = self.winds.pairs
        return {f"energy_{n}": s[pairs].sum(axis=1) / 2 for n, s in squares.items()}

    def _inpainted(self, case: int, members: np.ndarray, truth: np.ndarray) -> Rows:
        given = self.verification.given(case)
        near = self.near(given)
        weights = _renormalised(self.weights(case) * near)
        own = measures.ensemble_measures(members, truth, weights)
        departure = np.abs(members - truth)[:, given]
        return {"crps_near": own["crps"], "given_error": np.asarray(departure.max(initial=0.0))}

    def near(self, given: np.ndarray) -> np.ndarray:
        """Tell which cells (channel, latitude, longitude) lie next to given ones."""
        wide = np.pad(given, ((0, 0), (0, 0), (NEAR_CELLS, NEAR_CELLS)), mode="wrap")
        if not self.verification.anomalies.grid.wraps:
            wide[..., :NEAR_CELLS] = wide[..., -NEAR_CELLS:] = False
        around = np.ones((1, 2 * NEAR_CELLS + 1, 2 * NEAR_CELLS + 1), dtype=bool)
        grown = binary_dilation(wide, around)[..., NEAR_CELLS:-NEAR_CELLS]
        return grown & ~given & self.verification.anomalies.valid

    def _dressed(self, case: int, number: int, baseline: Dressed) -> Rows:
        start = self.verification.starts[[case]]
        mean = baseline.baseline.forecast(start)[0]
        return self._gaussian(case, number, mean, baseline.deviation)

    def _dressed_mean(self, case: int) -> Rows:
        mean, deviation = self.verification.mean_head(case) or (np.zeros(0), np.zeros(0))
        return self._gaussian(case, 0, mean, deviation)

    def _gaussian(
        self, case: int, number: int, mean: np.ndarray, deviation: np.ndarray
    ) -> dict[str, np.ndarray]:
        truth, weights = self.verification.truth(case, number), self.weights(case)
        crps = gaussian_crps(mean, deviation, truth)
        probability = ndtr((mean - self.threshold) / np.maximum(deviation, 1e-6))
        scores = {
            "squared_error": (mean - truth) ** 2,
            "absolute_error": np.abs(mean - truth),
            "crps": crps,
            "brier": (probability - (truth > self.threshold)) ** 2,
        }
        rows = {name: (score * weights).sum(axis=(1, 2)) for name, score in scores.items()}
        rows["energy_score"] = np.sqrt(rows["squared_error"].mean())
        if self.verification.task == "inpaint":
            near = _renormalised(weights * self.near(self.verification.given(case)))
            rows["crps_near"] = (crps * near).sum(axis=(1, 2))
        return rows


@dataclass(frozen=True)
class Bilinear:
    """Block means of the truth, interpolated between their centres: what a model was given."""

    verification: Verification
    factor: int

    def forecast(self, starts: np.ndarray) -> np.ndarray:
        """Give the interpolated anomalies at the times themselves."""
        states = self.verification.anomalies.states
        return states.coarse(states.anomalies(starts), self.factor).numpy()


def task_baselines(verification: Verification, climatology: Baseline) -> Mapping[str, Dressed]:
    """Give the baselines of a task that is no forecast."""
    plain: dict[str, Baseline] = {"climatology": climatology}
    if verification.task.startswith("downscale"):
        plain["bilinear"] = Bilinear(verification, int(verification.task.rpartition("_")[2]))
    return {
        name: Dressed.fit(baseline, verification.anomalies, 0, 0)
        for name, baseline in plain.items()
    }


def _renormalised(weights: np.ndarray) -> np.ndarray:
    sums = weights.sum(axis=(1, 2), keepdims=True)
    return np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)


def _stacked(rows: Sequence[Rows]) -> dict[str, np.ndarray]:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
