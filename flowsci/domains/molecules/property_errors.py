"""Are the properties that were asked for there, by a net that judges?"""

import numpy as np
import pandas as pd

from flowsci.domains.molecules.record import SPLITS
from flowsci.domains.molecules.settings import MoleculesEvaluation
from flowsci.store.metrics import Metric, bootstrap_interval
from flowsci.store.prepared import Prepared


def property_metrics(
    table: pd.DataFrame, prepared: Prepared, settings: MoleculesEvaluation
) -> dict[str, Metric]:
    """Give the mean absolute error of every property that was asked for and judged.

    `reference` is the judge's own error on the real molecules that the targets came from.
    Baselines: `atom_count_only` predicts the mean of training molecules of as many atoms;
    `shuffled` exchanges the targets between the samples.
    """
    metrics = {}
    for column in table.columns:
        name = str(column).removeprefix("target_")
        if name == column or f"judged_{name}" not in table:
            continue
        target = table[column].to_numpy(dtype=np.float64)
        judged = table[f"judged_{name}"].to_numpy(dtype=np.float64)
        asked = np.isfinite(target)
        error = np.abs(judged - target)[asked]
        metrics[f"mae_{name}"] = Metric(
            model=float(error.mean()),
            unit=prepared.units[name],
            better="lower",
            count=len(error),
            interval=bootstrap_interval(
                error,
                settings,
            ),
            reference=_own_error(table, name, target, asked),
            baselines={
                "atom_count_only": float(
                    _by_atom_count(table, prepared, name, target)[asked].mean()
                ),
                "shuffled": _shuffled(judged[asked], target[asked], settings.seed),
            },
        )
    return metrics


def _own_error(
    table: pd.DataFrame, name: str, target: np.ndarray, asked: np.ndarray
) -> float | None:
    if f"judged_real_{name}" not in table:
        return None
    real = table[f"judged_real_{name}"].to_numpy(dtype=np.float64)
    error = np.abs(real - target)[asked]
    return float(error.mean()) if np.isfinite(error).all() else None


def _by_atom_count(
    table: pd.DataFrame, prepared: Prepared, name: str, target: np.ndarray
) -> np.ndarray:
    """Give the errors (samples,) of the mean of the training molecules of a sample's size."""
    arrays = prepared.arrays
    training = arrays["split"].values == SPLITS.index("train")
    values = arrays["properties"].sel(property=name).values[training]
    sizes = arrays["atom_count"].values[training].astype(int)
    known = np.isfinite(values)
    of_size = pd.Series(values[known]).groupby(sizes[known]).mean()
    guess = table["atoms"].map(of_size).fillna(values[known].mean()).to_numpy(dtype=np.float64)
    return np.abs(guess - target)


def _shuffled(judged: np.ndarray, target: np.ndarray, seed: int) -> float:
    order = np.random.default_rng(seed).permutation(len(target))
    return float(np.abs(judged - target[order]).mean())
