"""Altitudes of a few climbs with the bands of level-off time and rate of climb."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from flowsci.domains.trajectories.cases import Cases
from flowsci.domains.trajectories.climb import LEVELS_M
from flowsci.domains.trajectories.climb_measures import ClimbDefinition, Climbs, paths_of, quantiles
from flowsci.domains.trajectories.figures.style import DRAWN, MODEL, OBSERVED, PLAIN, TRUTH
from flowsci.domains.trajectories.record import METRES
from flowsci.store.prepared import Prepared

CLIMBS = 6
WEDGE_SECONDS = 60.0


def draw_climbs(cases: Cases, prepared: Prepared) -> Figure:
    """Draw a climb of each of a few tracks, from the first to level off to the last."""
    definition, metres = ClimbDefinition.of(prepared.arrays.attrs), METRES[cases.unit]
    altitude = np.concatenate([cases.observed, cases.future], axis=1)[..., -1] * metres
    steps = cases.observed.shape[1]
    climbs = Climbs(altitude[:, :steps], altitude[:, steps:], cases.track)
    chosen = _chosen(climbs, definition)
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    size = (4.3 * columns, 3.4 * rows + 0.5)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    names = prepared.arrays["track_name"].values[cases.track]
    for axis, window in zip(axes.flat, chosen, strict=False):
        _draw(axis, cases, altitude, window, definition)
        axis.set_title(str(names[window]))
    for axis in axes.flat[len(chosen) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("lead time / s")
    for axis in axes[:, 0]:
        axis.set_ylabel("barometric altitude / m")
    figure.legend(handles=_handles(cases), loc="outside upper center", ncols=6)
    return figure


def _chosen(climbs: Climbs, definition: ClimbDefinition) -> np.ndarray:
    """Pick the first window of tracks, evenly in the order of their true level-off time."""
    first = np.unique(climbs.track, return_index=True)[1]
    time = definition.quantities(climbs.path[first])["level_off_time"]
    ordered = first[np.argsort(time, kind="stable")]
    return ordered[np.linspace(0, len(ordered) - 1, min(CLIMBS, len(ordered))).astype(int)]


def _draw(
    axis: Axes, cases: Cases, altitude: np.ndarray, window: int, definition: ClimbDefinition
) -> None:
    one = slice(window, window + 1)
    paths = paths_of(cases, METRES[cases.unit], one)
    found = definition.quantities(paths)
    bands = {name: quantiles(v, cases.probability[one])[0] for name, v in found.items()}
    count, steps = cases.observed.shape[1], definition.step_seconds
    lead = np.concatenate([[0.0], cases.lead_seconds])
    fan = [np.stack([lead, path], axis=-1) for path in paths[0]]
    axis.add_collection(LineCollection(fan, colors=MODEL, alpha=0.15, linewidths=0.8, zorder=2))
    axis.plot(
        (np.arange(count) - count + 1) * steps, altitude[window, :count], color=OBSERVED, lw=2
    )
    axis.plot(lead, altitude[window, count - 1 :], color=TRUTH, lw=1.8, zorder=4)
    earliest, latest = bands["level_off_time"][[0, -1]]
    axis.axvspan(earliest, latest, color=DRAWN, alpha=0.15, lw=0, zorder=0)
    true = definition.quantities(altitude[one, count - 1 :])["level_off_time"][0]
    axis.axvline(true, color=TRUTH, lw=1, ls="--", zorder=3)
    ends = bands["rate_of_climb"][[0, -1]]
    _draw_rates(axis, altitude[window, count - 1], ends, paths[0, :, -1], altitude[window])
    axis.set_xlim(-(count - 1) * steps, lead[-1])


def _draw_rates(
    axis: Axes, start: float, rates: np.ndarray, fan: np.ndarray, known: np.ndarray
) -> None:
    """Draw the band of rates as a wedge of a minute, over the flight levels."""
    until = np.array([0.0, WEDGE_SECONDS])
    slow, fast = (start + until * rate for rate in rates)
    axis.fill_between(until, slow, fast, color=OBSERVED, alpha=0.12, lw=0, zorder=1)
    for edge in (slow, fast):
        axis.plot(until, edge, color=OBSERVED, lw=1.2, ls=":", zorder=5)
    low = known.min() - 60
    high = max(known.max(), fast[-1], np.quantile(fan, 0.975)) + 60
    for level in np.arange(np.ceil(low / LEVELS_M), np.floor(high / LEVELS_M) + 1) * LEVELS_M:
        axis.axhline(level, color=PLAIN, lw=0.8, alpha=0.6, zorder=1)
    axis.set_ylim(low, high)


def _handles(cases: Cases) -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=OBSERVED, lw=2, label="observed"),
        Line2D([], [], color=MODEL, lw=1.2, label=f"{cases.samples.shape[1]} futures"),
        Line2D([], [], color=TRUTH, lw=2, label="what came"),
        Line2D([], [], color=TRUTH, lw=1, ls="--", label="its level-off"),
        Patch(color=DRAWN, alpha=0.3, label="level-off, 95 %"),
        Line2D([], [], color=OBSERVED, lw=1.2, ls=":", label="rate of climb, 95 %"),
    ]
