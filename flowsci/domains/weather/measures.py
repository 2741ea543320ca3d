"""Measures of one ensemble against what came: sums over the cells by area, squares not rooted.

Estimators come from the package `scores`; fields are anomalies in spreads of their channel.
"""

import numpy as np
import scores.continuous
import scores.probability
import xarray as xr

MEMBER = "realization"
SPACE = ("latitude", "longitude")
CELLS = ("channel", *SPACE)
EDGE, BINS = 20.0, 1000
"""Histograms of values reach so many spreads to either side, in so many bins."""


def ensemble_measures(
    members: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Give the measures by channel of members (realization, channel, latitude, longitude).

    `squared_error` of the mean, fair `crps` (Ferro, 2014), unbiased `variance`, `absolute_error`
    of the mean: (channel,); `ranks` (channel, rank), shares; `energy_score` ().
    """
    drawn, came, area = _labelled(members, truth, weights)
    kept = {"preserve_dims": ["channel"], "weights": area}
    mean, one = drawn.mean(MEMBER), len(members) == 1
    method = "ecdf" if one else "fair"
    crps = scores.probability.crps_for_ensemble(drawn, came, MEMBER, method=method, **kept)
    measures = {
        "squared_error": scores.continuous.mse(mean, came, **kept),
        "absolute_error": scores.continuous.mae(mean, came, **kept),
        "crps": crps,
        "variance": drawn.var(MEMBER, ddof=0 if one else 1).weighted(area).mean(SPACE),
        "ranks": scores.probability.rank_histogram(drawn, came, MEMBER, **kept),
    }
    result = {name: measure.values for name, measure in measures.items()}
    return result | {"energy_score": energy_score(members, truth, weights)}


def energy_score(members: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Give the unbiased energy score of whole states (Gneiting et al., 2008).

    Distances are roots of the mean over channels and area of the squared difference. One member
    is judged as a forecast without spread.
    """
    root = np.sqrt(weights / len(weights))
    states = np.concatenate([truth[None], members]).astype(np.float64) * root
    flat = states.reshape(len(states), -1)
    gram = flat @ flat.T
    square = gram.diagonal()[:, None] + gram.diagonal() - 2 * gram
    distance = np.sqrt(np.maximum(square, 0))
    count = len(members)
    apart = distance[1:, 1:].sum() / max(count * (count - 1), 1)
    return np.asarray(distance[0, 1:].mean() - apart / 2)


def exceedance_measures(
    members: np.ndarray, truth: np.ndarray, threshold: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Judge the probability that a cell's value lies above a threshold of its own.

    `threshold` (channel, latitude, longitude). The fair `brier` (channel,); `forecast` and
    `occurred` (channel, members + 1): weights of the cells by the number of members above it,
    and of those where it came so.
    """
    drawn, came, area = _labelled(members - threshold, truth - threshold, weights)
    brier = scores.probability.brier_score_for_ensemble(
        drawn,
        came,
        MEMBER,
        0.0,
        preserve_dims=["channel"],
        weights=area,
        fair_correction=len(members) > 1,
    )
    above = (drawn.values > 0).sum(axis=0)
    happened = came.values > 0
    number = len(members) + 1
    place = above + number * np.arange(len(truth))[:, None, None]
    forecast, occurred = (
        np.bincount(place.ravel(), (weights * kept).ravel(), number * len(truth))
        for kept in (np.ones_like(happened), happened)
    )
    return {
        "brier": brier.isel(threshold=0).values,
        "forecast": forecast.reshape(-1, number),
        "occurred": occurred.reshape(-1, number),
    }


def spread_skill(variance: np.ndarray, squared_error: np.ndarray, members: int) -> np.ndarray:
    """Give spread over error with (M + 1) / M for the mean of M members (Fortin et al., 2014)."""
    return np.sqrt(variance * (members + 1) / members / squared_error)


def rank_ends(ranks: np.ndarray) -> np.ndarray:
    """Give how often truth lies beyond all members, in that of a reliable ensemble."""
    return (ranks[..., 0] + ranks[..., -1]) / 2 * ranks.shape[-1]


def histogram(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Give the weight (channel, BINS) of values (..., channel, latitude, longitude) in each bin.

    Raises no error for values beyond the edges: they count into the outermost bins.
    """
    channels = weights.shape[0]
    place = ((values + EDGE) * (BINS / (2 * EDGE))).astype(np.int64).clip(0, BINS - 1)
    place += BINS * np.arange(channels)[:, None, None]
    each = np.broadcast_to(weights, values.shape)
    return np.bincount(place.ravel(), each.ravel(), BINS * channels).reshape(channels, BINS)


def bin_centres() -> np.ndarray:
    """Give the middle of each bin of `histogram` in spreads."""
    return (np.arange(BINS) + 0.5) * (2 * EDGE / BINS) - EDGE


def quantiles(counts: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Give the quantiles (..., levels) of histograms (..., BINS), in spreads."""
    shares = np.cumsum(counts, axis=-1) / counts.sum(axis=-1, keepdims=True)
    edges = bin_centres() + EDGE / BINS
    flat = [np.interp(levels, share, edges) for share in shares.reshape(-1, BINS)]
    return np.stack(flat).reshape(*counts.shape[:-1], len(levels))


def tail_index(counts: np.ndarray, share: float = 0.005) -> np.ndarray:
    """Give Hill's estimate (...) of the tail's index from histograms (..., BINS).

    The mean logarithm of the magnitudes over their quantile that this share exceeds; a Gaussian
    has about 0.1, heavier tails have more.
    """
    # bins from the smallest magnitude to the largest, both signs together
    folded = counts[..., BINS // 2 :] + counts[..., : BINS // 2][..., ::-1]
    sizes = bin_centres()[BINS // 2 :]
    shares = np.cumsum(folded, axis=-1) / folded.sum(axis=-1, keepdims=True)
    beyond = shares > 1 - share
    threshold = sizes[beyond.argmax(axis=-1)]
    weight = folded * beyond
    logs = np.log(sizes / threshold[..., None])
    return (weight * logs).sum(axis=-1) / weight.sum(axis=-1)


def wasserstein(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Give the distance (channel,) between the distributions of two histograms, in spreads.

    The first Wasserstein distance, which in one dimension is the area between the distribution
    functions.
    """
    first, second = (np.cumsum(c, axis=-1) / c.sum(axis=-1, keepdims=True) for c in (one, other))
    return np.abs(first - second).sum(axis=-1) * (2 * EDGE / BINS)


def _labelled(
    members: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    return (
        xr.DataArray(members, dims=(MEMBER, *CELLS)),
        xr.DataArray(truth, dims=CELLS),
        xr.DataArray(weights, dims=CELLS),
    )
