"""Measures of sampled futures against the truth.

Shapes: samples (windows, samples, steps, axes), probability (windows, samples), truth (windows,
steps, axes), scene (windows,); lengths in the dataset's unit. Every measure gives a value a window,
or a value a window and step, so that means, intervals and tables by lead time come from one array.
"""

from itertools import pairwise

import numpy as np
import torch

PAIRS_AT_ONCE = 100_000
"""Pairs of futures whose distances are taken at once: some 100 MB, however many samples."""


def distances(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Give distances to the truth (windows, samples, steps), over all axes."""
    return np.linalg.norm(samples - truth[:, None], axis=-1)


def by_probability(probability: np.ndarray) -> np.ndarray:
    """Order samples (windows, samples) from the most probable; equal ones keep their order."""
    return np.argsort(-probability, axis=1, kind="stable")


def scene_probability(probability: np.ndarray, scene: np.ndarray) -> np.ndarray:
    """Give each window what is in proportion to its scene's: the geometric mean over agents."""
    with np.errstate(divide="ignore"):
        return np.exp(scene_mean(np.log(probability), scene))


def scene_mean(values: np.ndarray, scene: np.ndarray) -> np.ndarray:
    """Give each window the mean over its scene's agents of values (windows, ...)."""
    _, place, agents = np.unique(scene, return_inverse=True, return_counts=True)
    sums = np.zeros((len(agents), *values.shape[1:]))
    np.add.at(sums, place, values)
    return (sums / agents.reshape(-1, *[1] * (values.ndim - 1)))[place]


def smallest(errors: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    """Give the smallest of errors (windows, samples) among the first `count` of an order."""
    return np.take_along_axis(errors, order[:, :count], axis=1).min(axis=1)


def shuffled(errors: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Shuffle errors (windows, samples) between samples, for each agent apart."""
    order = torch.rand(errors.shape, generator=generator).argsort(dim=1).numpy()
    return np.take_along_axis(errors, order, axis=1)


def among_strangers(
    errors: np.ndarray, scene: np.ndarray, generator: torch.Generator
) -> np.ndarray:
    """Give each window its error in the sample that suits a scene of strangers best: (windows,).

    Windows of errors (windows, samples) are put at random into scenes of the same sizes. Each has
    its own error, so that the mean is that of the strangers' scenes and pairs with any other.
    """
    order = torch.randperm(len(errors), generator=generator).numpy()
    best = scene_mean(errors[order], scene).argmin(axis=1)
    own = np.empty(len(errors))
    own[order] = errors[order, best]
    return own


def missed(distance: np.ndarray, radius: float) -> np.ndarray:
    """Tell, as 0 or 1, whether no sample ends within a radius of the truth."""
    return (distance[..., -1].min(axis=-1) > radius).astype(float)


def energy_score(
    samples: np.ndarray, truth: np.ndarray, probability: np.ndarray | None = None
) -> np.ndarray:
    """Give the energy score of the position, (windows, steps) (Gneiting and Raftery, 2007).

    E|X - y| - E|X - X'| / 2 with the unbiased mean over pairs of different samples; of one sample
    it is the distance. Samples weigh by their probability, if it is given.
    """
    weight = _weights(samples, probability)
    score = np.einsum("ws,wst->wt", weight, distances(samples, truth))
    if samples.shape[1] == 1:
        return score
    return score - _apart(samples, weight) / (1 - np.square(weight).sum(axis=1, keepdims=True)) / 2


def _apart(samples: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Give the weighted sum (windows, steps) of distances between all samples of a window."""
    sums = np.zeros((len(samples), samples.shape[2]))
    window, sample = np.indices(weight.shape).reshape(2, -1)
    at_once = max(PAIRS_AT_ONCE // weight.shape[1], 1)
    for first in range(0, len(window), at_once):
        of, one = (index[first : first + at_once] for index in (window, sample))
        distance = np.linalg.norm(samples[of] - samples[of, one, None], axis=-1)
        np.add.at(sums, of, np.einsum("r,rs,rst->rt", weight[of, one], weight[of], distance))
    return sums


def truth_ranks(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Rank the truth among the samples by its distance from the others: (windows, steps).

    Each of the samples + 1 points is measured from the mean of all others, so that ranks 0 (in the
    middle) to samples (outermost) are equally likely where samples and truth are alike.
    """
    pool = np.concatenate([samples, truth[:, None]], axis=1)
    count = pool.shape[1]
    mean_of_others = (pool.sum(axis=1, keepdims=True) - pool) / (count - 1)
    away = np.linalg.norm(pool - mean_of_others, axis=-1)
    return (away[:, :-1] < away[:, -1:]).sum(axis=1)


def inside(ranks: np.ndarray, points: int, level: float | np.ndarray) -> np.ndarray:
    """Tell, from 0 to 1, whether truths of some ranks lie in the region of a nominal share.

    One `level`, or one for each rank.
    Ranks 0 to points - 1 are equally likely where the forecast is right; a rank that the border
    of the region cuts counts by the part inside, so that any level can be met exactly.
    """
    return np.clip(level * points - ranks, 0.0, 1.0)


def reliability(ranks: np.ndarray, points: int, levels: np.ndarray) -> np.ndarray:
    """Give the share of truths inside the regions of some levels: (levels, steps)."""
    return np.stack([inside(ranks, points, level).mean(axis=0) for level in levels])


def collisions(samples: np.ndarray, scene: np.ndarray, radius: float) -> np.ndarray:
    """Tell whether an agent comes within a radius of another of its scene: (windows, samples).

    Agents move straight from step to step, and meet in the same sample (Kothari et al., 2021).
    """
    hit = np.zeros(samples.shape[:2], dtype=bool)
    first, second = pairs_of(scene)
    at_once = max(PAIRS_AT_ONCE // samples.shape[1], 1)
    for begin in range(0, len(first), at_once):
        one, other = (rows[begin : begin + at_once] for rows in (first, second))
        near = closest(samples[one] - samples[other]) < radius
        for rows in (one, other):
            np.logical_or.at(hit, rows, near)
    return hit


def closest(away: np.ndarray) -> np.ndarray:
    """Give the least length of vectors (..., steps, axes) that move straight between steps."""
    move, start = np.diff(away, axis=-2), away[..., :-1, :]
    length = _dot(move, move)
    along = -_dot(start, move) / np.where(length > 0, length, 1.0)
    nearest = start + np.clip(along, 0.0, 1.0)[..., None] * move
    first = away[..., :1, :]
    square = np.concatenate([_dot(first, first), _dot(nearest, nearest)], axis=-1)
    return np.sqrt(square.min(axis=-1))


def pairs_of(scene: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give all pairs of windows of the same scene, each once."""
    order = np.argsort(scene, kind="stable")
    bounds = np.flatnonzero(np.diff(scene[order], prepend=-1, append=-1))
    ones, others = [], []
    for begin, end in pairwise(bounds):
        one, other = np.triu_indices(end - begin, k=1)
        ones.append(order[begin + one])
        others.append(order[begin + other])
    empty = np.empty(0, dtype=np.int64)
    return np.concatenate([empty, *ones]), np.concatenate([empty, *others])


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.einsum("...d,...d->...", first, second)


def _weights(samples: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
    if probability is None:
        return np.full(samples.shape[:2], 1 / samples.shape[1])
    return probability / probability.sum(axis=1, keepdims=True)
