"""Regions that follow their recording: truths that have come by then set how large they are.

A density fitted to some scenes is too narrow or too wide for another one, as people walk and are
traced otherwise there. What a recording has shown before a window says by how much: a conformal
correction of the region's level, as in Gibbs and Candès (2021), by the quantile of past ranks.
"""

import numpy as np

PRIOR_WINDOWS = 20
"""Weight of what is expected beforehand: windows of one track overlap, and come in crowds."""


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
        levels[rows] = _follow(ranks[rows], points, level, steps_apart[rows])
    return levels


def _follow(ranks: np.ndarray, points: int, level: float, now: np.ndarray) -> np.ndarray:
    """Give the levels (windows, steps) of one recording in order of time."""
    moments, place = np.unique(now, return_inverse=True)
    steps = ranks.shape[1]
    # a little slack: times are floating-point numbers of steps
    come = moments[:, None] - np.arange(1, steps + 1) + 1e-6
    known = np.searchsorted(now, come, side="right")
    counts, before = np.zeros((steps, points)), np.zeros(steps, dtype=np.int64)
    found = np.empty((len(moments), steps))
    for index, after in enumerate(known):
        for step in np.flatnonzero(after > before):
            fresh = ranks[before[step] : after[step], step]
            counts[step] += np.bincount(fresh, minlength=points)
        before = after
        found[index] = _levels(counts, level)
    return found[place]


def _levels(counts: np.ndarray, level: float) -> np.ndarray:
    """Give the level (steps,) at each lead time for counts of past ranks (steps, points).

    What is expected of a lead time is what all of them have shown, as one; of that, the density.
    """
    points = counts.shape[1]
    together = counts.mean(0) + PRIOR_WINDOWS / points
    expected = PRIOR_WINDOWS * together / together.sum()
    share = np.cumsum(counts + expected, axis=1)
    share = np.pad(share / share[:, -1:], ((0, 0), (1, 0)))
    edges = np.arange(points + 1) / points
    return np.array([np.interp(level, of_step, edges) for of_step in share])
