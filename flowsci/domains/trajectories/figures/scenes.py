"""Scenes with fans of futures, together and a page each."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flowsci.domains.trajectories import measures
from flowsci.domains.trajectories.baselines import constant_velocity
from flowsci.domains.trajectories.cases import Cases
from flowsci.domains.trajectories.figures.density_maps import draw_map, draws_of, mixture_of, square
from flowsci.domains.trajectories.figures.style import BACKGROUND, MODEL, OBSERVED, PLAIN, TRUTH
from flowsci.domains.trajectories.record import Scenes
from flowsci.store.prepared import Prepared

SCENES = 6
AGENTS_IN_TABLE = 12


def busy_scenes(cases: Cases) -> np.ndarray:
    """Choose a few scenes, evenly spaced in time among those with the most agents."""
    scenes, agents = np.unique(cases.scene, return_counts=True)
    busy = scenes[agents >= np.quantile(agents, 0.7)]
    return busy[np.linspace(0, len(busy) - 1, min(SCENES, len(busy))).astype(int)]


def draw_scenes(cases: Cases, prepared: Prepared, chosen: np.ndarray) -> Figure:
    """Draw fans of the chosen scenes."""
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    size = (3.9 * columns, 3.9 * rows + 0.4)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis, scene in zip(axes.flat, chosen, strict=False):
        draw_fan(axis, cases, prepared, scene, square(_shown(cases, scene)))
        axis.set_title(_when(prepared, scene))
    for axis in axes.flat[len(chosen) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel(f"{cases.axes[0]} / {cases.unit}")
    for axis in axes[:, 0]:
        axis.set_ylabel(f"{cases.axes[1]} / {cases.unit}")
    figure.legend(handles=_handles(cases), loc="outside upper center", ncols=4)
    return figure


def draw_page(cases: Cases, prepared: Prepared, scene: int) -> Figure:
    """Draw one scene: its fan, the density at the last lead time, and the errors by agent."""
    windows = np.flatnonzero(cases.scene == scene)
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(14.5, 5.2), layout="constrained", width_ratios=[1, 1, 0.9]
    )
    mixture, last = mixture_of(cases, windows), cases.future.shape[1] - 1
    drawn = draws_of(mixture, last)
    limits = square(np.concatenate([_shown(cases, scene), drawn.densest]))
    draw_fan(left, cases, prepared, scene, limits)
    left.set_title("Futures")
    draw_map(middle, mixture, last, drawn, limits)
    ends = cases.future[windows, -1, :2]
    middle.plot(*ends.T, "o", color=TRUTH, ms=5, mec="white", mew=0.8)
    middle.plot(*cases.observed[windows, -1, :2].T, "o", color=OBSERVED, ms=4)
    middle.set_title(f"Density {cases.lead_seconds[-1]:g} s ahead, sum over agents")
    for axis in (left, middle):
        axis.set_xlabel(f"{cases.axes[0]} / {cases.unit}")
    left.set_ylabel(f"{cases.axes[1]} / {cases.unit}")
    _draw_table(right, cases, prepared, windows)
    figure.suptitle(f"Scene {scene}, {_when(prepared, scene)}", x=0.01, ha="left")
    figure.legend(handles=_handles(cases), loc="outside lower left", ncols=4)
    return figure


def draw_fan(axis: Axes, cases: Cases, prepared: Prepared, scene: int, limits: np.ndarray) -> None:
    """Draw what was observed, the futures and what came, within limits (2, 2) of the axes."""
    windows = np.flatnonzero(cases.scene == scene)
    now = cases.observed[windows][:, -1:, :2]
    straight = constant_velocity(cases.observed[windows], cases.future.shape[1])[:, 0, :, :2]
    axis.plot(
        *_places_of_training(prepared, scene), ",", color=BACKGROUND, zorder=0, rasterized=True
    )
    count = cases.samples.shape[1]
    fans = np.concatenate(
        [np.repeat(now[:, None], count, axis=1), cases.samples[windows][..., :2]], axis=2
    )
    share = cases.probability[windows] * count
    axis.add_collection(
        LineCollection(
            list(fans.reshape(-1, *fans.shape[2:])),
            colors=MODEL,
            alpha=np.clip(0.35 * share, 0.08, 0.9).ravel(),
            linewidths=0.9,
            zorder=2,
        )
    )
    lines = [(straight, PLAIN, 1.2, ":", 3), (cases.future[windows][..., :2], TRUTH, 1.8, "-", 4)]
    for ahead, colour, width, dash, order in lines:
        joined = list(np.concatenate([now, ahead], axis=1))
        axis.add_collection(
            LineCollection(joined, colors=colour, linewidths=width, linestyles=dash, zorder=order)
        )
    past = list(cases.observed[windows][..., :2])
    axis.add_collection(LineCollection(past, colors=OBSERVED, linewidths=1.8, zorder=5))
    axis.plot(*now[:, 0].T, "o", color=OBSERVED, ms=4, zorder=6)
    axis.set(xlim=limits[0], ylim=limits[1])
    axis.set_aspect("equal")
    axis.locator_params(nbins=5)


def _shown(cases: Cases, scene: int) -> np.ndarray:
    """Give all positions (n, 2) of a scene: observed, sampled, and what came."""
    windows = cases.scene == scene
    every = (cases.observed[windows], cases.samples[windows], cases.future[windows])
    return np.concatenate([positions[..., :2].reshape(-1, 2) for positions in every])


def _draw_table(axis: Axes, cases: Cases, prepared: Prepared, windows: np.ndarray) -> None:
    """Write the errors of each agent: of the nearest future, of all, and straight on."""
    axis.axis("off")
    names = prepared.arrays["track_name"].values[cases.track[windows]]
    error = measures.distances(cases.samples[windows], cases.future[windows]).mean(axis=-1)
    expected = (error * cases.probability[windows]).sum(axis=1)
    straight = constant_velocity(cases.observed[windows], cases.future.shape[1])
    plain = measures.distances(straight, cases.future[windows]).mean(axis=-1)[:, 0]
    rows = [
        [str(name), *(f"{value:.3g}" for value in values)]
        for name, *values in zip(names, error.min(axis=1), expected, plain, strict=True)
    ]
    left_out = len(rows) - AGENTS_IN_TABLE
    count = error.shape[1]
    head = ["agent", f"nearest\nof {count}", "mean over\nfutures", "constant\nvelocity"]
    table = axis.table(rows[:AGENTS_IN_TABLE], colLabels=head, loc="upper left", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    for (row, _), cell in table.get_celld().items():
        cell.set_height(0.11 if row == 0 else 0.062)
        cell.set_edgecolor(BACKGROUND)
    more = f"; {left_out} more agents" if left_out > 0 else ""
    axis.set_title(f"Mean distance over steps / {cases.unit}{more}")


def _when(prepared: Prepared, scene: int) -> str:
    """Say when the last observed step was, and in which recording if there are several."""
    arrays = prepared.arrays
    seconds = float(Scenes(arrays, np.array([scene])).seconds_of(np.array([scene]))[0])
    if "time_origin" in arrays.attrs:
        return f"{np.datetime64(round(seconds), 's').astype(str)[11:]} UTC"
    recordings = list(arrays.attrs["recordings"])
    recording = recordings[int(arrays["scene_recording"].values[scene])]
    return f"{recording}, {seconds:g} s" if len(recordings) > 1 else f"{seconds:g} s"


def _places_of_training(prepared: Prepared, scene: int) -> np.ndarray:
    """Give where training tracks of the same recording were, (2, points): a map of the ways."""
    arrays = prepared.arrays
    training = Scenes.of_split(arrays, "train")
    recording = arrays["scene_recording"].values
    same = np.flatnonzero(recording[training.numbers] == recording[scene])
    windows = [training.windows(number) for number in same]
    if not windows:
        return np.empty((2, 0))
    return training.positions_of(np.concatenate(windows))[:, 0, :2].numpy().T


def _handles(cases: Cases) -> list[Line2D]:
    return [
        Line2D([], [], color=OBSERVED, lw=2, label="observed"),
        Line2D([], [], color=MODEL, lw=1.5, label=f"{cases.samples.shape[1]} futures"),
        Line2D([], [], color=TRUTH, lw=2, label="what came"),
        Line2D([], [], color=PLAIN, lw=1.2, ls=":", label="constant velocity"),
    ]
