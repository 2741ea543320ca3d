"""How probable an event is, start by start."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from flowsci.domains.weather.event_scores import EventForecasts
from flowsci.domains.weather.figures.style import MODEL, PLAIN, TRUTH


def draw_event(event: EventForecasts, field: str) -> Figure:
    """Draw the quantity of guided members, and the probability of the event at each start."""
    starts = np.arange(len(event.quantity))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    # members that are not the event have no part in its probability
    weights = event.weights if event.threshold is None else event.hits
    # where the event is all but impossible, no member weighs anything
    largest = np.maximum(weights.max(axis=1, keepdims=True), np.finfo(float).tiny)
    for start, shade in enumerate(np.clip(weights / largest, 0.05, 1)):
        left.scatter(np.full(len(shade), start), event.quantity[start], s=8, c=MODEL, alpha=shade)
    left.plot(starts, event.came, "_", color=TRUTH, ms=12, mew=2, label="what came")
    value = event.observation if event.threshold is None else event.threshold
    label = "observation" if event.threshold is None else "threshold"
    left.axhline(value, color=PLAIN, ls="--", lw=1, label=label)
    left.set(title=f"Guided members, {field.replace('_', ' ')} over the region", xlabel="start")
    left.set(ylabel=event.units)
    left.legend(fontsize=8)
    if event.threshold is None:
        right.set_visible(False)
        return figure
    # without a member in the event its probability is nearly zero, and its error not known
    hit = (weights > 0).any(axis=1)
    error = np.where(hit, 2 * event.standard_error, np.nan)
    right.errorbar(starts, event.probability, error, fmt="o", color=MODEL, ms=4)
    happened = np.flatnonzero(event.reached(event.came))
    right.plot(
        happened, event.probability[happened], "o", color=TRUTH, ms=7, mfc="none", label="came"
    )
    usual = event.reached(event.climate).mean()
    right.axhline(usual, color=PLAIN, ls=":", lw=1, label="in the training climate")
    right.set(
        title="Probability of the event, with two standard errors", xlabel="start", ylim=(0, None)
    )
    right.legend(fontsize=8)
    return figure
