"""Error and calibration by lead time."""

from collections.abc import Iterator

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsci.domains.trajectories.cases import Cases
from flowsci.domains.trajectories.figures.style import DRAWN, LABELS, MODEL, PLAIN, TRUTH
from flowsci.domains.trajectories.scores import COVERED, LEVELS
from flowsci.store.metrics import Evaluation


def draw_lead_errors(evaluation: Evaluation, cases: Cases) -> Figure:
    """Draw the error of the nearest future and of the mean future by lead time."""
    table = evaluation.tables["error_by_lead_time"]
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained", sharey=True)
    titles = {"nearest": "Nearest future at each lead time", "mean": "Mean of the futures"}
    for axis, (kind, title) in zip(axes, titles.items(), strict=True):
        for name, (label, colour) in LABELS.items():
            error = table[f"{kind} {name}"]
            axis.plot(table["lead_seconds"], error, "o-", ms=3.5, color=colour, label=label)
        axis.set(title=title, xlabel="lead time / s", xlim=(0, None))
        axis.grid(alpha=0.25)
    axes[0].set(ylabel=f"mean distance to the truth / {cases.unit}", ylim=(0, None))
    axes[0].legend()
    return figure


def draw_calibration(evaluation: Evaluation, cases: Cases) -> Figure:
    """Draw how often the truth lies in regions of a share, and spread beside error."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    curves = evaluation.details["reliability"]
    table = evaluation.tables["calibration_by_lead_time"]
    _draw_reliability(left, curves, cases.lead_seconds)
    _draw_coverage(middle, table)
    wide = {"lw": 5, "alpha": 0.5, "color": MODEL}
    right.plot(table["lead_seconds"], table["spread"], **wide, label="spread of the futures")
    right.plot(
        table["lead_seconds"],
        table["error"],
        "o-",
        ms=3.5,
        color=TRUTH,
        label="error of their mean",
    )
    right.set(title="Spread and error", xlabel="lead time / s", xlim=(0, None), ylim=(0, None))
    right.set_ylabel(f"root mean square / {cases.unit}")
    right.grid(alpha=0.25)
    right.legend()
    return figure


def _draw_reliability(axis: Axes, curves: dict[str, np.ndarray], seconds: np.ndarray) -> None:
    axis.plot([0, 1], [0, 1], color=PLAIN, lw=1, ls="--", label="calibrated")
    for kind, step, colour, line in _curves(curves, len(seconds)):
        label = f"{kind}, {seconds[step]:g} s"
        values = [0, *curves[kind][:, step], 1]
        axis.plot([0, *LEVELS, 1], values, line, color=colour, lw=1.8, label=label)
    axis.set(title="Reliability", xlabel="nominal share of the region", xlim=(0, 1))
    axis.set(ylabel="share of truths in it", ylim=(0, 1))
    axis.set_aspect("equal")
    axis.grid(alpha=0.25)
    axis.legend(loc="lower right", fontsize=8)


def _curves(
    curves: dict[str, np.ndarray], steps: int
) -> Iterator[tuple[str, int, np.ndarray | str, str]]:
    """Give kind, step, colour and line: all picked steps of one kind, the last of the other."""
    picked = lead_steps(steps)
    colours = plt.get_cmap("viridis")(np.linspace(0.1, 0.8, len(picked)))
    for number, kind in enumerate(curves):
        if number:
            yield kind, picked[-1], DRAWN, ":"
        else:
            yield from ((kind, s, c, "-") for s, c in zip(picked, colours, strict=True))


def _draw_coverage(axis: Axes, table: dict[str, list[float]]) -> None:
    colours = plt.get_cmap("Blues")(np.linspace(0.5, 0.95, len(COVERED)))
    for level, colour in zip(COVERED, colours, strict=True):
        name = f"coverage_{100 * level:.0f}"
        if name not in table:
            continue
        axis.axhline(level, color=colour, lw=1, ls="--")
        axis.plot(
            table["lead_seconds"], table[name], "o-", ms=3.5, color=colour, label=f"{level:.0%}"
        )
    axis.set(title="Coverage by lead time", xlabel="lead time / s", xlim=(0, None), ylim=(0, 1))
    axis.set_ylabel("share of truths in the region")
    axis.grid(alpha=0.25)
    axis.legend(title="region", loc="lower right")


def lead_steps(steps: int, count: int = 4) -> list[int]:
    """Pick a few steps, evenly spaced, the last included."""
    return sorted({round((part + 1) * steps / count) - 1 for part in range(count)} - {-1})
