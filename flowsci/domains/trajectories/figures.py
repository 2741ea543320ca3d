"""Figures of a run: scenes with fans of futures, error by lead time, calibration of the spread."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flowsci.domains.trajectories.baselines import constant_velocity
from flowsci.domains.trajectories.evaluate import Cases, match
from flowsci.domains.trajectories.record import SPLITS
from flowsci.store.metrics import Evaluation
from flowsci.store.prepared import Prepared

STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
MODEL, OBSERVED, TRUTH, PLAIN, DRAWN = "#1f6fb4", "#222222", "#d1495b", "#8d8d8d", "#e0a030"
SCENES = 6
LABELS = {
    "model": ("flow", MODEL),
    "sampled_constant_velocity": ("constant velocity, sampled", DRAWN),
    "constant_velocity": ("constant velocity", PLAIN),
}


def figures(
    samples: pd.DataFrame, prepared: Prepared, evaluation: Evaluation
) -> Mapping[str, Figure]:
    """Draw the figures by name; captions stand in `workflow/report/trajectories/`."""
    with plt.rc_context(STYLE):
        return {
            "scenes": draw_scenes(match(samples, prepared), prepared),
            "error_by_lead_time": draw_lead_errors(evaluation),
            "calibration": draw_calibration(evaluation),
        }


def draw_scenes(cases: Cases, prepared: Prepared) -> Figure:
    """Draw a few scenes, evenly spaced in time among those with the most agents."""
    chosen = _busy_scenes(cases)
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    size = (3.9 * columns, 3.9 * rows + 0.4)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=size,
        squeeze=False,
        layout="constrained",
    )
    background = _training_points(prepared)
    times = prepared.arrays["scene_time"].values
    seen = (cases.observed.shape[1] - 1) * prepared.arrays.attrs["step_seconds"]
    for axis, scene in zip(axes.flat, chosen, strict=False):
        _draw_scene(axis, cases, scene, background)
        now = np.datetime64(int(times[scene]) + seen, "s")
        axis.set_title(f"{str(now)[11:]} UTC")
    for axis in axes.flat[len(chosen) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("east / km")
    for axis in axes[:, 0]:
        axis.set_ylabel("north / km")
    handles = [
        Line2D([], [], color=OBSERVED, lw=2, label="observed"),
        Line2D([], [], color=MODEL, lw=1.5, label=f"{cases.samples.shape[1]} futures"),
        Line2D([], [], color=TRUTH, lw=2, label="what came"),
        Line2D([], [], color=PLAIN, lw=1.2, ls=":", label="constant velocity"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure


def _draw_scene(axis: Axes, cases: Cases, scene: int, background: np.ndarray) -> None:
    windows = np.flatnonzero(cases.scene == scene)
    axis.plot(*background, ",", color="#dcdcdc", zorder=0, rasterized=True)
    straight = constant_velocity(cases.observed[windows], cases.future.shape[1])[:, 0]
    for window, line in zip(windows, straight, strict=True):
        now = cases.observed[window, -1:]
        for future in cases.samples[window]:
            axis.plot(*_flat(now, future), color=MODEL, lw=0.9, alpha=0.35, zorder=2)
        axis.plot(*_flat(now, line), color=PLAIN, lw=1.2, ls=":", zorder=3)
        axis.plot(*_flat(now, cases.future[window]), color=TRUTH, lw=1.8, zorder=4)
        axis.plot(*_flat(cases.observed[window]), color=OBSERVED, lw=1.8, zorder=5)
        axis.plot(*_flat(now), "o", color=OBSERVED, ms=4, zorder=6)
    _square(axis, np.concatenate([cases.observed[windows], cases.future[windows]], axis=1))


def _square(axis: Axes, positions: np.ndarray) -> None:
    low, high = (f(positions[..., :2].reshape(-1, 2), axis=0) for f in (np.min, np.max))
    half = max(high - low) / 2 * 1.12 + 1
    for limit, centre in zip((axis.set_xlim, axis.set_ylim), (low + high) / 2, strict=True):
        limit(centre - half, centre + half)
    axis.set_aspect("equal")


def draw_lead_errors(evaluation: Evaluation) -> Figure:
    """Draw the error of the best future and of the mean future by lead time."""
    seconds = evaluation.details["lead_seconds"]
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained", sharey=True)
    titles = {"best": "Best future at each lead time", "mean": "Mean of the futures"}
    for axis, (kind, title) in zip(axes, titles.items(), strict=True):
        for name, (label, colour) in LABELS.items():
            error = evaluation.details["lead_errors"][name][kind]
            axis.plot(seconds, error, "o-", ms=3.5, color=colour, label=label)
        axis.set(title=title, xlabel="lead time / s", xlim=(0, None))
        axis.grid(alpha=0.25)
    axes[0].set(ylabel="mean distance to the truth / km", ylim=(0, None))
    axes[0].legend()
    return figure


def draw_calibration(evaluation: Evaluation) -> Figure:
    """Draw how often the truth lies in the central regions, and spread beside error."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
    _draw_reliability(left, evaluation)
    seconds, spread = evaluation.details["lead_seconds"], evaluation.details["spread"]
    wide = {"lw": 5, "alpha": 0.5, "color": MODEL}
    right.plot(seconds, spread["spread"], **wide, label="spread of the futures")
    right.plot(seconds, spread["error"], "o-", ms=3.5, color=TRUTH, label="error of their mean")
    right.set(title="Spread and error", xlabel="lead time / s", xlim=(0, None), ylim=(0, None))
    right.set_ylabel("root mean square / km")
    right.grid(alpha=0.25)
    right.legend()
    return figure


def _draw_reliability(axis: Axes, evaluation: Evaluation) -> None:
    ranks, seconds = evaluation.details["ranks"], evaluation.details["lead_seconds"]
    points = evaluation.protocol["samples"] + 1
    nominal = np.arange(1, points + 1) / points
    picked = sorted({len(seconds) // 4 - 1, len(seconds) // 2 - 1, len(seconds) - 1} - {-1})
    colours = plt.get_cmap("viridis")(np.linspace(0.1, 0.8, len(picked)))
    axis.plot([0, 1], [0, 1], color=PLAIN, lw=1, ls="--", label="calibrated")
    for step, colour in zip(picked, colours, strict=True):
        inside = (ranks[:, step, None] < np.arange(1, points + 1)).mean(axis=0)
        axis.plot(
            [0, *nominal], [0, *inside], color=colour, lw=1.8, label=f"{seconds[step]:.0f} s ahead"
        )
    axis.set(title="Reliability", xlabel="share of the futures in the region", xlim=(0, 1))
    axis.set(ylabel="share of truths in it", ylim=(0, 1))
    axis.set_aspect("equal")
    axis.grid(alpha=0.25)
    axis.legend(loc="lower right")


def _busy_scenes(cases: Cases) -> np.ndarray:
    scenes, agents = np.unique(cases.scene, return_counts=True)
    busy = scenes[agents >= np.quantile(agents, 0.7)]
    return busy[np.linspace(0, len(busy) - 1, min(SCENES, len(busy))).astype(int)]


def _training_points(prepared: Prepared) -> np.ndarray:
    """Give east and north of the training flights, as a map of where aircraft fly."""
    arrays = prepared.arrays
    split = np.repeat(arrays["flight_split"].values, np.diff(arrays["flight_start"].values))
    points = split == SPLITS.index("train")
    return np.stack([arrays["east"].values[points], arrays["north"].values[points]])


def _flat(*parts: np.ndarray) -> np.ndarray:
    """Join positions (steps, 3) and give east and north, (2, steps)."""
    return np.concatenate(parts)[:, :2].T
