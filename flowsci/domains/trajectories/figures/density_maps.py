"""Maps of the density of where an agent will be."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flowsci.domains.trajectories.baselines import constant_velocity
from flowsci.domains.trajectories.cases import Cases
from flowsci.domains.trajectories.figures.lead_times import lead_steps
from flowsci.domains.trajectories.figures.style import OBSERVED, PLAIN, TRUTH
from flowsci.domains.trajectories.mixtures import Mixture, parts

CELLS = 200
LEVELS = (0.95, 0.8, 0.5)
BORDERS = (0.6, 0.9, 1.3)
"""Line widths of the borders of these regions, from the outermost in."""
AGENTS = 3
DRAWS = 10_000


def mixture_of(cases: Cases, windows: np.ndarray) -> Mixture:
    """Give the horizontal marginals of some windows: of the density, or a kernel around samples."""
    if cases.density is not None:
        return Mixture.of_density(cases.density.select(torch.from_numpy(windows))).horizontal()
    samples, probability = (
        torch.from_numpy(a[windows]) for a in (cases.samples, cases.probability)
    )
    away = samples[..., :2] - samples[..., :2].mean(dim=1, keepdim=True)
    least = 0.05 * away.square().sum(-1).mean(dim=(0, 1)).sqrt() + 1e-9
    return Mixture.around(samples[..., :2], probability, least)


def draw_densities(cases: Cases, chosen: np.ndarray) -> Figure:
    """Draw the density of a few agents at a few lead times: in each scene the least certain one."""
    picked = lead_steps(cases.future.shape[1])
    scenes = chosen[np.linspace(0, len(chosen) - 1, min(AGENTS, len(chosen))).astype(int)]
    shape, size = (len(scenes), len(picked)), (3.1 * len(picked), 3.1 * len(scenes) + 0.5)
    figure, axes = plt.subplots(*shape, figsize=size, squeeze=False, layout="constrained")
    for row, scene in zip(axes, scenes, strict=True):
        windows = np.flatnonzero(cases.scene == scene)
        mixture = mixture_of(cases, windows)
        agent = int(_spread(mixture)[:, -1].argmax())
        window = windows[agent]
        own = mixture.at(slice(agent, agent + 1), slice(None))
        for axis, step in zip(row, picked, strict=True):
            drawn = draws_of(own, step)
            draw_map(axis, own, step, drawn, _limits(cases, window, drawn, step))
            _draw_agent(axis, cases, window, step)
            axis.set_title(f"scene {scene}, {cases.lead_seconds[step]:g} s ahead")
    for axis in axes[-1]:
        axis.set_xlabel(f"{cases.axes[0]} / {cases.unit}")
    for axis in axes[:, 0]:
        axis.set_ylabel(f"{cases.axes[1]} / {cases.unit}")
    figure.legend(handles=_handles(), loc="outside upper center", ncols=4)
    return figure


@dataclass(frozen=True)
class Draws:
    """Positions (n, 2) from a sum of mixtures at one step, and its density (n,) at them."""

    points: np.ndarray
    density: np.ndarray

    @property
    def levels(self) -> np.ndarray:
        """Give the densities at the borders of the regions that hold `LEVELS`, ascending.

        The region of highest density of a share is where the density is above the quantile of its
        own values at draws (Hyndman, 1996): no grid has part in it.
        """
        return np.quantile(self.density, 1 - np.array(LEVELS))

    @property
    def densest(self) -> np.ndarray:
        """Give the points (n, 2) in the largest of these regions."""
        return self.points[self.density >= self.levels[0]]


def draws_of(mixture: Mixture, step: int) -> Draws:
    """Draw equally often from each of the mixtures at a step."""
    count = -(-DRAWS // len(mixture.weights))
    one = mixture.at(slice(None), slice(step, step + 1))
    points = one.draw(count, torch.Generator().manual_seed(0)).reshape(-1, 2)
    return Draws(points.numpy(), _density(mixture, step, points).numpy())


def draw_map(axis: Axes, mixture: Mixture, step: int, drawn: Draws, limits: np.ndarray) -> None:
    """Draw the sum of the mixtures' densities at a step, with regions of highest density.

    `limits` (2, 2): least and greatest of both axes. A region that lies between the points of the
    map has no border.
    """
    centres = [np.linspace(*limit, CELLS) for limit in limits]
    grid = torch.from_numpy(np.stack(np.meshgrid(*centres), axis=-1).reshape(-1, 2))
    density = _density(mixture, step, grid).reshape(CELLS, CELLS).numpy()
    axis.pcolormesh(*centres, np.cbrt(density), cmap="Blues", shading="nearest", rasterized=True)
    seen = np.unique(drawn.levels[drawn.levels < density.max()])
    if len(seen):
        widths = BORDERS[: len(seen)]
        axis.contour(*centres, density, levels=seen, colors="#08306b", linewidths=widths)
    axis.set(xlim=limits[0], ylim=limits[1])
    axis.set_aspect("equal")
    axis.locator_params(nbins=5)


def _density(mixture: Mixture, step: int, points: torch.Tensor) -> torch.Tensor:
    """Give the sum of the mixtures' densities (n,) at a step at points (n, 2)."""
    total = torch.zeros(len(points), dtype=points.dtype)
    for rows in parts(len(mixture.weights)):
        some = mixture.at(rows, slice(step, step + 1))
        of_rows = points[None, :, None].expand(len(some.weights), -1, -1, -1)
        total += some.log_density(of_rows)[..., 0].exp().sum(0)
    return total


def _limits(cases: Cases, window: int, drawn: Draws, step: int) -> np.ndarray:
    """Give a square that holds the truth, constant velocity and the largest region at a step."""
    known = np.stack([cases.future[window][step, :2], _straight(cases, window, step)])
    return square(np.concatenate([known, drawn.densest]))


def _straight(cases: Cases, window: int, step: int) -> np.ndarray:
    return constant_velocity(cases.observed[window][None], step + 1)[0, 0, -1, :2]


def square(points: np.ndarray) -> np.ndarray:
    """Give the limits (2, 2) of a square around points (n, 2), with a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = max((high - low).max(), 1e-6) / 2 * 1.12
    centre = (low + high) / 2
    return np.stack([centre - half, centre + half], axis=1)


def _draw_agent(axis: Axes, cases: Cases, window: int, step: int) -> None:
    past, future = cases.observed[window], cases.future[window]
    axis.plot(*past[:, :2].T, color=OBSERVED, lw=1.6)
    axis.plot(*past[-1, :2], "o", color=OBSERVED, ms=4)
    axis.plot(*np.concatenate([past[-1:], future[: step + 1]])[:, :2].T, color=TRUTH, lw=1.2)
    axis.plot(*future[step, :2], "o", color=TRUTH, ms=5, mec="white", mew=0.8)
    axis.plot(*_straight(cases, window, step), "x", color=PLAIN, ms=6, mew=1.6)


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], color=OBSERVED, lw=1.6, marker="o", ms=4, label="observed"),
        Line2D([], [], color=TRUTH, lw=1.2, marker="o", ms=5, label="what came"),
        Line2D([], [], color=PLAIN, ls="", marker="x", ms=6, label="constant velocity"),
        Line2D([], [], color="#08306b", lw=1.1, label="regions of 50, 80 and 95 %"),
    ]


def _spread(mixture: Mixture) -> torch.Tensor:
    """Give the total variance (rows, steps)."""
    weights = mixture.weights[:, :, None, None]
    mean = (weights * mixture.means).sum(1, keepdim=True)
    between = (weights * (mixture.means - mean).square()).sum((1, 3))
    within = mixture.covariances.diagonal(dim1=-2, dim2=-1).sum(-1)
    return between + (weights[..., 0] * within).sum(1)
