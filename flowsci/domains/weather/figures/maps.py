"""Maps of ensembles beside what came."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from flowsci.domains.weather.calendars import date_of
from flowsci.domains.weather.figures.style import LINE
from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.verification import Verification

SHOWN_MEMBERS = 3
LIMIT_PERCENTILE = 99.5


@dataclass(frozen=True)
class Map:
    """How one channel is drawn, in its own units: over what ground, with which land."""

    verification: Verification
    land: np.ndarray
    channel: int

    def scale(self, mesh: QuadMesh, axes: Sequence[Axes] | np.ndarray) -> None:
        """Draw the colours of maps beside them, with the channel's units above."""
        bar = axes[0].figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.01)
        units = self.verification.anomalies.channels[self.channel]["units"]
        if units != "1":
            # beside the bar of a low map there is no room for it
            bar.ax.set_title(units, fontsize=7)

    @property
    def name(self) -> str:
        """Name of the channel in words."""
        return self.verification.names[self.channel].replace("_", " ")

    def in_units(self, anomaly: np.ndarray) -> np.ndarray:
        """Give an anomaly (channel, latitude, longitude) of this channel in its units."""
        spread = self.verification.anomalies.spread
        values = anomaly[self.channel] * spread[self.channel]
        return np.where(self.verification.anomalies.valid[self.channel], values, np.nan)

    def draw(
        self, axes: Axes, values: np.ndarray, limits: tuple[float, float], colours: str
    ) -> QuadMesh:
        """Draw values (latitude, longitude) with graticule and coast."""
        grid = self.verification.anomalies.grid
        mesh = axes.pcolormesh(
            grid.longitudes,
            grid.latitudes,
            values,
            vmin=limits[0],
            vmax=limits[1],
            cmap=_map_of(colours),
            shading="nearest",
            rasterized=True,
        )
        if 0 < self.land.mean() < 1:
            axes.contour(
                grid.longitudes, grid.latitudes, self.land, [0.5], colors=LINE, linewidths=0.6
            )
        axes.grid(color=LINE, alpha=0.2, lw=0.4)
        if grid.is_global:
            axes.set(xticks=range(0, 360, 60), yticks=range(-60, 90, 30))
        axes.set_aspect(_aspect(grid))
        axes.tick_params(labelsize=7)
        return mesh


def draw_maps(ground: Map, case: int, leads: Sequence[int]) -> Figure:
    """Draw a row for each lead: truth, mean, members, spread and error of the mean."""
    verification = ground.verification
    columns = 3 + min(SHOWN_MEMBERS, verification.size) + 1
    rows = len(leads)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(2.5 * columns, _height(verification) * rows + 0.9),
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for row, lead in zip(axes, leads, strict=True):
        members = verification.members(case, lead)
        anomaly = [ground.in_units(member) for member in members]
        truth = ground.in_units(verification.truth(case, lead))
        mean = np.mean(anomaly, axis=0)
        limit = float(np.nanpercentile(np.abs(truth), LIMIT_PERCENTILE))
        shown = {"truth": truth, "mean": mean}
        shown |= {f"member {i + 1}": anomaly[i] for i in range(columns - 4)}
        for axis, (title, values) in zip(row[:-2], shown.items(), strict=True):
            mesh = ground.draw(axis, values, (-limit, limit), "RdBu_r")
            axis.set_title(title)
        ground.scale(mesh, row[:-2])
        spread = np.std(anomaly, axis=0, ddof=1) if len(anomaly) > 1 else np.zeros_like(mean)
        top = float(np.nanpercentile(np.abs(mean - truth), LIMIT_PERCENTILE)) or 1.0
        for axis, title, values in (
            (row[-2], "spread", spread),
            (row[-1], "error of the mean", np.abs(mean - truth)),
        ):
            mesh = ground.draw(axis, values, (0, top), "viridis")
            axis.set_title(title)
        ground.scale(mesh, row[-2:])
        row[0].set_ylabel(_when(verification, lead))
    figure.suptitle(
        f"{ground.name}, anomaly, from {_start(verification, case)}",
        x=0.005,
        ha="left",
        fontsize=10.5,
    )
    return figure


def draw_task(ground: Map, case: int, given: np.ndarray, title: str) -> Figure:
    """Draw what was given (latitude, longitude), members, mean, truth and spread of one case."""
    verification = ground.verification
    anomaly = [ground.in_units(member) for member in verification.members(case, 0)]
    truth = ground.in_units(verification.truth(case, 0))
    mean, spread = np.mean(anomaly, axis=0), np.std(anomaly, axis=0)
    shown = {title: given, "truth": truth, "mean": mean}
    shown |= {f"member {i + 1}": anomaly[i] for i in range(min(2, len(anomaly)))}
    figure, axes = plt.subplots(
        2,
        3,
        figsize=(12, 2 * _height(verification) * 1.35 + 0.6),
        layout="constrained",
        sharex=True,
        sharey=True,
    )
    limit = float(np.nanpercentile(np.abs(truth), LIMIT_PERCENTILE))
    for axis, (name, values) in zip(axes.flat, shown.items(), strict=False):
        mesh = ground.draw(axis, values, (-limit, limit), "RdBu_r")
        axis.set_title(name)
    ground.scale(mesh, axes[0])
    mesh = ground.draw(axes[1, 2], spread, (0, float(np.nanmax(spread)) or 1.0), "viridis")
    axes[1, 2].set_title("spread")
    ground.scale(mesh, axes[1])
    figure.suptitle(
        f"{ground.name}, anomaly, {_start(verification, case)}", x=0.005, ha="left", fontsize=10.5
    )
    return figure


def _map_of(name: str) -> Colormap:
    return plt.get_cmap(name).with_extremes(bad="#dddddd")


def _aspect(grid: Grid) -> float:
    """Give the height of a degree of latitude over the width of one of longitude."""
    return float(1 / np.cos(np.radians(grid.latitudes.mean()))) if grid.kind == "region" else 1.0


def _height(verification: Verification) -> float:
    grid = verification.anomalies.grid
    high = np.ptp(grid.latitudes) * _aspect(grid)
    return float(np.clip(2.5 * high / np.ptp(grid.longitudes), 1.2, 3.5))


def _start(verification: Verification, case: int) -> str:
    anomalies = verification.anomalies
    if verification.in_box:
        return f"time {int(verification.starts[case])} of the record"
    calendar = anomalies.states.climate.calendar
    return f"{date_of(anomalies.hours[verification.starts[case]], calendar)} UTC"


def _when(verification: Verification, lead: int) -> str:
    hours = int(verification.leads[lead])
    if hours % 24 == 0 and hours > 24 and not verification.in_box:
        return f"+{hours // 24} days"
    return f"+{verification.lead_name(lead)}"
