"""How probable an event is by guided members, and whether it came."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flowsci.domains.weather.scoring import MODEL, Score
from flowsci.domains.weather.verification import Verification


@dataclass(frozen=True)
class EventForecasts:
    """The event of each start (start,): its probability, and what came of the quantity.

    `weights` and `quantity` (start, realization) in units of the field; `came` is the quantity of
    the truth, NaN where that is not known; `climate` (time,) are its values in training.
    """

    weights: np.ndarray
    quantity: np.ndarray
    came: np.ndarray
    climate: np.ndarray
    threshold: float | None
    observation: float | None
    units: str
    below: bool = False

    @classmethod
    def of(cls, verification: Verification) -> "EventForecasts":
        """Read the event; its truth lies at the last lead."""
        ensemble, anomalies = verification.generated.ensemble, verification.anomalies
        quantity, region = ensemble["event_quantity"], ensemble["event_region"].values
        channel = verification.names.index(quantity.attrs["field"])

        def of_times(times: np.ndarray) -> np.ndarray:
            fields = anomalies[times][:, channel] * anomalies.spread[channel]
            fields = fields + anomalies.climate(anomalies.hours[times])[:, channel]
            return np.einsum("nij,ij->n", fields, region)

        came = np.full(len(verification.starts), np.nan)
        known = verification.known(-1)
        came[known] = of_times(verification.truths[known, -1])
        return cls(
            np.exp(ensemble["log_weight"].values),
            quantity.values,
            came,
            of_times(anomalies.training_sample()),
            quantity.attrs.get("threshold"),
            quantity.attrs.get("observation"),
            str(quantity.attrs["units"]),
            quantity.attrs.get("side") == "below",
        )

    def reached(self, values: np.ndarray) -> np.ndarray:
        """Tell which values, in units of the field, are the event."""
        return values < self.threshold if self.below else values > self.threshold

    @property
    def hits(self) -> np.ndarray:
        """Give the weights (start, realization) of members that are the event, else zero."""
        return self.weights * self.reached(self.quantity)

    @property
    def probability(self) -> np.ndarray:
        """Give the probability (start,): the mean weight of members that reach the threshold."""
        return self.hits.mean(axis=1)

    @property
    def standard_error(self) -> np.ndarray:
        """Give the standard error of the probability (start,); zero says nothing without hits."""
        return self.hits.std(axis=1, ddof=1) / np.sqrt(self.hits.shape[1])

    @property
    def effective_members(self) -> np.ndarray:
        """Give how many equally weighted hits would be as exact (start,) (Kish, 1965)."""
        hits = self.hits
        squares = (hits**2).sum(axis=1)
        return np.divide(hits.sum(1) ** 2, squares, out=np.zeros(len(hits)), where=squares > 0)


def event_scores(event: EventForecasts) -> Iterator[tuple[str, Score]]:
    """Judge the probability of a threshold's event, or how members meet an observation."""
    if event.threshold is None:
        average = {MODEL: event.quantity.mean(axis=1, keepdims=True)}
        yield "event_quantity", Score(average, _mean, event.units, "reference", event.observation)
        return
    known = np.isfinite(event.came)
    happened = event.reached(event.came[known]).astype(float)[:, None]
    said = event.probability[known, None]
    usual = float(event.reached(event.climate).mean())
    beside = {"climatology": np.full_like(said, usual)}
    squares = {who: (p - happened) ** 2 for who, p in {MODEL: said, **beside}.items()}
    yield "event_brier", Score(squares, _mean, "1")
    values = {MODEL: said, **beside}
    yield "event_probability", Score(values, _mean, "1", "reference", float(happened.mean()))
    hit = (event.hits > 0).any(axis=1)
    error = {MODEL: np.stack([event.standard_error * hit, hit], axis=1)[known]}
    yield "event_standard_error", Score(error, _mean_of_some, "1")
    members = {MODEL: event.effective_members[known, None]}
    yield "event_effective_members", Score(members, _mean, "1", "higher")


def event_table(event: EventForecasts) -> dict[str, list[float]]:
    """Give the event of each start whose truth is known."""
    if event.threshold is None:
        return {"mean_quantity": event.quantity.mean(axis=1).tolist()}
    known = np.isfinite(event.came)
    return {
        "probability": event.probability[known].tolist(),
        "standard_error": event.standard_error[known].tolist(),
        "members_in_event": event.reached(event.quantity[known]).sum(axis=1).tolist(),
        "came": event.came[known].tolist(),
        "happened": event.reached(event.came[known]).astype(float).tolist(),
    }


def _mean_of_some(means: np.ndarray) -> np.ndarray:
    """Average over those that have a value, from means of values and of who has one (..., 2)."""
    value, share = means[..., 0], means[..., 1]
    return np.divide(value, share, out=np.zeros_like(value), where=share > 0)


def _mean(means: np.ndarray) -> np.ndarray:
    return means.mean(axis=-1)
