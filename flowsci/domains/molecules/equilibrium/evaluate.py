"""Judge weighted conformers beside long chains of the same energy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from flowsci.domains.molecules.equilibrium.energies import (
    BOLTZMANN,
    ENERGIES,
    energies,
    molecule_of,
)
from flowsci.domains.molecules.equilibrium.export import Conformers
from flowsci.domains.molecules.equilibrium.flow import chart_of
from flowsci.domains.molecules.equilibrium.profiles import (
    BINS,
    WELLS,
    bins_of,
    chain_shares,
    rotamers_of,
    shares,
    turning_torsions,
)
from flowsci.domains.molecules.record import SPLITS
from flowsci.domains.molecules.settings import MoleculesEvaluation
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from flowsci.flow.importance import effective_sample_size, normalised
from flowsci.flow.torus import Circular
from flowsci.store.metrics import Evaluation, Metric, bootstrap_interval
from flowsci.store.prepared import Prepared

LEAST_SHARE, LEAST_COUNT = 2e-3, 20
"""Cells of which the reference holds less are not compared: its own noise is too large there."""
WELL_NAMES = ("gauche-", "gauche+", "trans")


@dataclass(frozen=True)
class Cells:
    """Conformers counted in cells of a quantity: a torsion's bins, or rotamers."""

    name: str
    count: int
    reference: np.ndarray
    reference_error: np.ndarray
    references: int
    training: np.ndarray
    model: np.ndarray

    @property
    def common(self) -> np.ndarray:
        """Cells that are compared: the reference has enough in them."""
        return self.reference >= max(LEAST_SHARE, LEAST_COUNT / self.references)

    def shares(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the shares of the model's conformers with these weights, and their errors."""
        return shares(self.model, self.count, weights)

    def errors(self, share: np.ndarray) -> np.ndarray:
        """Give the differences (common cells,) of free energy from the reference, in kT.

        Infinite where there is nothing in a cell.
        """
        with np.errstate(divide="ignore"):
            return -np.log(share[self.common]) + np.log(self.reference[self.common])

    @property
    def noise(self) -> np.ndarray:
        """The reference's own standard error (common cells,) of free energies, in kT."""
        return (self.reference_error / np.where(self.common, self.reference, 1))[self.common]


def evaluate(samples: Conformers, prepared: Prepared, settings: MoleculesEvaluation) -> Evaluation:
    """Judge samples as `export.read_samples` gives them; unsound ones weigh nothing."""
    table = samples.table
    log_weights = torch.from_numpy(table["log_weight"].to_numpy(copy=True))
    weights = normalised(log_weights).numpy()
    equal = np.isfinite(log_weights.numpy()) / len(table)
    torsions, rotamers = _cells(samples, prepared)
    _check_reference("torsions", torsions)
    _check_reference("rotamers", [rotamers])
    metrics = {
        "effective_sample_size": _effective(table, prepared, settings),
        **_cell_metrics("torsion", torsions, weights, equal, settings),
        **_cell_metrics("rotamer", [rotamers], weights, equal, settings),
        "mean_energy": _mean_energy(table["energy_kcal"].to_numpy(), weights, prepared, settings),
    }
    tables = {
        "torsions": _profile_table(torsions, weights, equal),
        "rotamers": _rotamer_table(rotamers, weights, equal),
    }
    details = {"torsions": torsions, "weights": weights, "equal": equal}
    return Evaluation(_protocol(table, prepared, settings), metrics, details, tables)


def _cells(samples: Conformers, prepared: Prepared) -> tuple[list[Cells], Cells]:
    arrays = prepared.arrays
    positions, split = arrays["positions"].values, arrays["split"].values
    test, train = (split == SPLITS.index(name) for name in ("test", "train"))
    chains = arrays["chain"].values[test]
    drawn = turning_torsions(samples.positions, prepared.statistics)
    # what is no conformer has no torsion: it stands somewhere, and weighs nothing
    model = {name: np.nan_to_num(degrees) for name, degrees in drawn.items()}
    real = turning_torsions(positions, prepared.statistics)

    def cells(name: str, of: Callable[[Mapping[str, np.ndarray]], np.ndarray], n: int) -> Cells:
        cell = of(real)
        found = chain_shares(cell[test], n, chains)
        training = np.bincount(cell[train], minlength=n) / train.sum()
        return Cells(name, n, *found, int(test.sum()), training, of(model))

    torsions = [cells(name, lambda a, n=name: bins_of(a[n]), BINS) for name in real]
    return torsions, cells("rotamers", rotamers_of, WELLS ** len(real))


def _check_reference(name: str, cells: Sequence[Cells]) -> None:
    """Raise where test conformers fill no cell, or cells that training conformers leave empty."""
    errors = np.concatenate([one.errors(one.training) for one in cells])
    if not len(errors):
        raise FlowsciError(
            f"{name}: no cell has {LEAST_COUNT} of the {cells[0].references} test conformers and "
            f"{LEAST_SHARE:.1%} of them: there is nothing to compare with. Raise "
            "`simulation.chains` or `simulation.conformers` of the dataset file."
        )
    if not np.isfinite(errors).all():
        raise FlowsciError(
            f"{name}: training conformers have none in a cell that test conformers fill: the "
            "chains are too short. Raise `simulation.conformers` of the dataset file."
        )


def _effective(table: Any, prepared: Prepared, settings: MoleculesEvaluation) -> Metric:
    """Give Kish's effective share of each set, averaged; a flow that does nothing beside it."""
    sets = [
        float(effective_sample_size(torch.from_numpy(part.to_numpy(copy=True)))) / len(part)
        for _, part in table.groupby("set")["log_weight"]
    ]
    count = len(table) // len(sets)
    without = chart_log_weights(prepared.statistics, count, settings.seed)
    return Metric(
        model=float(np.mean(sets)),
        unit="1",
        better="higher",
        count=len(table),
        interval=bootstrap_interval(np.array(sets), settings),
        reference=1.0,
        baselines={"no network": float(effective_sample_size(without)) / count},
    )


def chart_log_weights(statistics: Mapping[str, Any], count: int, seed: int) -> torch.Tensor:
    """Give log-weights (count,) of a flow that does nothing: independent torsions, a Gaussian."""
    chart, about = chart_of(statistics), statistics["equilibrium"]
    source = Circular(chart.circles)
    like = torch.zeros(count, chart.dimensions, dtype=torch.float64)
    states = source.sample(like, sample_generators(seed, range(count)))
    positions, log_volume, sound = chart.decode(states)
    field = ENERGIES[about["energy"]](molecule_of(about["smiles"]))
    result = torch.full((count,), -torch.inf, dtype=torch.float64)
    energy = torch.from_numpy(energies(field, positions[sound].numpy()))
    log_density = source.log_density(states) + log_volume
    result[sound] = -energy / (BOLTZMANN * about["temperature_kelvin"]) - log_density[sound]
    return result


def _cell_metrics(
    name: str,
    cells: Sequence[Cells],
    weights: np.ndarray,
    equal: np.ndarray,
    settings: MoleculesEvaluation,
) -> dict[str, Metric]:
    """Give the root mean square and the largest error of free energies over common cells."""
    statistics = {"": _root_mean_square, "_largest": _largest}
    resampled = np.array([_errors(cells, w) for w in _resampled(weights, settings)])
    errors, raw = _errors(cells, weights), _errors(cells, equal)
    floor = np.concatenate([c.errors(c.training) for c in cells])
    noise = np.concatenate([cell.noise for cell in cells])
    found = {}
    for kind, statistic in statistics.items():
        value = statistic(errors)
        spread = np.array([statistic(row) for row in resampled])
        tail = (1 - settings.confidence) / 2
        low, middle, high = np.quantile(spread, [tail, 0.5, 1 - tail], method="nearest")
        # resampling adds to the error; an empty cell makes it infinite, and its interval too
        shift = value - middle if np.isfinite(middle) else 0.0
        low, high = low + shift, high + shift
        found[f"{name}_free_energy{kind}_error_kt"] = Metric(
            model=value,
            unit="kT",
            better="lower",
            count=len(errors),
            interval=(max(float(low), 0.0), max(float(high), value)),
            reference=statistic(floor),
            baselines={"unweighted": statistic(raw), "noise of the reference": statistic(noise)},
        )
    return found


def _resampled(weights: np.ndarray, settings: MoleculesEvaluation) -> Any:
    generator = np.random.default_rng(settings.seed)
    for _ in range(settings.bootstrap):
        picked = generator.integers(len(weights), size=len(weights))
        yield weights * np.bincount(picked, minlength=len(weights))


def _errors(cells: Sequence[Cells], weights: np.ndarray) -> np.ndarray:
    return np.concatenate([cell.errors(cell.shares(weights)[0]) for cell in cells])


def _root_mean_square(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _largest(errors: np.ndarray) -> float:
    return float(np.abs(errors).max())


def _mean_energy(
    values: np.ndarray, weights: np.ndarray, prepared: Prepared, settings: MoleculesEvaluation
) -> Metric:
    test = prepared.arrays["split"].values == SPLITS.index("test")
    filled = np.where(weights > 0, values, 0)
    parts = np.column_stack([weights * filled, weights])
    return Metric(
        model=float((weights * filled).sum()),
        unit="kcal/mol",
        better="reference",
        count=len(values),
        interval=bootstrap_interval(parts, settings, statistic=lambda m: m[:, 0] / m[:, 1]),
        reference=float(prepared.arrays["energy"].values[test].mean()),
        baselines={"unweighted": float(np.nanmean(values))},
    )


def _profile_table(
    torsions: Sequence[Cells], weights: np.ndarray, equal: np.ndarray
) -> dict[str, list[Any]]:
    """Give shares of the bins of each torsion; free energies are minus their logarithms."""
    columns: dict[str, list[Any]] = {"torsion": [], "degrees": []}
    for cells in torsions:
        columns["torsion"] += [cells.name] * BINS
        columns["degrees"] += ((np.arange(BINS) + 0.5) / BINS * 360 - 180).tolist()
    return columns | _share_columns(torsions, weights, equal)


def _rotamer_table(rotamers: Cells, weights: np.ndarray, equal: np.ndarray) -> dict[str, list[Any]]:
    torsions = round(np.log(rotamers.count) / np.log(WELLS))
    digits = [np.unravel_index(cell, (WELLS,) * torsions) for cell in range(rotamers.count)]
    names = [" ".join(WELL_NAMES[digit] for digit in row) for row in digits]
    return {"rotamer": names} | _share_columns([rotamers], weights, equal)


def _share_columns(
    parts: Sequence[Cells], weights: np.ndarray, equal: np.ndarray
) -> dict[str, list[Any]]:
    weighted = [cells.shares(weights) for cells in parts]
    columns = {
        "reference": [cells.reference for cells in parts],
        "reference_error": [cells.reference_error for cells in parts],
        "weighted": [share for share, _ in weighted],
        "weighted_error": [error for _, error in weighted],
        "unweighted": [cells.shares(equal)[0] for cells in parts],
    }
    return {name: np.concatenate(values).tolist() for name, values in columns.items()}


def _protocol(table: Any, prepared: Prepared, settings: MoleculesEvaluation) -> dict[str, Any]:
    about = prepared.statistics["equilibrium"]
    unsound = int((~np.isfinite(table["log_weight"])).sum())
    return {
        **about,
        "samples": f"{len(table)} in {table['set'].nunique()} independent sets; {unsound} are no "
        "conformers (a length or an angle out of its range, another handedness) and weigh nothing",
        "target": "exp(-energy / kT) over positions up to rigid motion, of labelled atoms with the "
        "handedness of the start; labels of a rotor's three atoms that a turn exchanges are one",
        "effective_sample_size": "(sum w)^2 / sum w^2 over the number of samples (Kish), of each "
        "set by itself, averaged over sets; `no network`: the chart alone, independent torsions "
        "and one Gaussian",
        "free energies": f"-ln of the share in bins of {360 / BINS:g} degrees of each torsion, or "
        "in combinations of gauche and trans (split at 0 and 120 degrees), where the reference "
        f"holds {LEAST_SHARE:g} and {LEAST_COUNT} conformers at least; root mean square over these "
        "cells, and the largest. `reference`: the training chains through the same code; `noise of "
        "the reference`: its standard errors by the spread of chains, through the same statistic",
        "reference": "the chains of the test split, which nothing was fitted to",
        "interval": f"{settings.confidence:.0%} by bootstrap, over sets for the effective sample "
        f"size, else over samples; {settings.bootstrap} resamples",
    }
