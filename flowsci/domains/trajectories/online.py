"""Regions that follow their recording: truths that have come by then set how large they are.

A density fitted to some scenes is too narrow or too wide for another one, as people walk and are
traced otherwise there. What a recording has shown before a window says by how much: a conformal
correction of the region's level, as in Gibbs and Candès (2021), by the quantile of past ranks.
"""

import numpy as np

PRIOR_WINDOWS = 20
"""Weight of the density as it is: windows of one track overlap, and come about so many at once."""


def online_levels(
    ranks: np.ndarray,
    points: int,
    level: float,
    steps_apart: np.ndarray,
    recording: np.ndarray,
) -> np.ndarray:
    """Give the level (windows, steps) of the region of highest density that covers a share `level`.

    `ranks` (windows, steps) are those of the truths among `points`; `steps_apart` (windows,) is
    when each window's last observed step was, in steps of the forecast; `recording` (windows,).
    The truth at step s of a window counts for those whose last observed step is s later or more.
    """
    levels = np.empty(ranks.shape)
    for one in np.unique(recording):
        rows = np.flatnonzero(recording == one)
        rows = rows[np.argsort(steps_apart[rows], kind="stable")]
        for step in range(ranks.shape[1]):
            levels[rows, step] = _follow(
                ranks[rows, step], points, level, steps_apart[rows], step + 1
            )
    return levels


def _follow(ranks: np.ndarray, points: int, level: float, now: np.ndarray, lead: int) -> np.ndarray:
    """Give the levels (windows,) of one recording in order of time, at one lead time."""
    moments, place = np.unique(now, return_inverse=True)
    # a little slack: times are floating-point numbers of steps
    known = np.searchsorted(now, moments - lead + 1e-6, side="right")
    counts = np.full(points, PRIOR_WINDOWS / points)
    found, before, edges = np.empty(len(moments)), 0, np.arange(points + 1)
    for index, after in enumerate(known):
        counts += np.bincount(ranks[before:after], minlength=points)
        before = after
        share = np.concatenate([[0.0], np.cumsum(counts)])
        found[index] = np.interp(level, share / share[-1], edges) / points
    return found[place]
