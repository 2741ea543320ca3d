"""Measures of sampled futures against the truth.

Shapes: samples (windows, samples, steps, 3), truth (windows, steps, 3), both in km. Every measure
gives a value a window.
"""

import numpy as np

WINDOWS_AT_ONCE = 256


def distances(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Give distances to the truth (windows, samples, steps), three-dimensional."""
    return np.linalg.norm(samples - truth[:, None], axis=-1)


def min_ade(distance: np.ndarray) -> np.ndarray:
    """Give the smallest mean distance over steps among the samples."""
    return distance.mean(axis=-1).min(axis=-1)


def min_fde(distance: np.ndarray) -> np.ndarray:
    """Give the smallest distance at the last step among the samples."""
    return distance[..., -1].min(axis=-1)


def joint_min(errors: np.ndarray, scene: np.ndarray) -> np.ndarray:
    """Choose one sample a scene for all of its agents (Weng et al., 2023).

    `errors` (windows, samples); gives each window its scene's smallest mean over agents.
    """
    _, place, agents = np.unique(scene, return_inverse=True, return_counts=True)
    sums = np.zeros((len(agents), errors.shape[1]))
    np.add.at(sums, place, errors)
    return (sums / agents[:, None]).min(axis=1)[place]


def missed(distance: np.ndarray, radius_km: float) -> np.ndarray:
    """Tell, as 0 or 1, whether no sample ends within a radius of the truth."""
    return (min_fde(distance) > radius_km).astype(float)


def energy_score(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Give the energy score of the position, averaged over steps (Gneiting and Raftery, 2007).

    E|X - y| - E|X - X'| / 2 with the unbiased mean over pairs of different samples; of one sample
    it is the distance.
    """
    score = distances(samples, truth).mean(axis=(1, 2))
    count = samples.shape[1]
    if count == 1:
        return score
    for first in range(0, len(samples), WINDOWS_AT_ONCE):
        part = samples[first : first + WINDOWS_AT_ONCE]
        apart = np.linalg.norm(part[:, :, None] - part[:, None], axis=-1).mean(axis=-1)
        spread = apart.sum(axis=(1, 2)) / (count * (count - 1))
        score[first : first + WINDOWS_AT_ONCE] -= spread / 2
    return score


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
