"""Judge generated transition states beside the true ones and parameter-free baselines."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from flowsci.domains.transition_states import measures
from flowsci.domains.transition_states.baselines import baselines
from flowsci.domains.transition_states.export import Generated
from flowsci.domains.transition_states.record import SPLITS, Reactions
from flowsci.domains.transition_states.settings import TransitionStatesEvaluation
from flowsci.domains.transition_states.verdicts import Task, energies, verdicts
from flowsci.errors import FlowsciError
from flowsci.store.metrics import Evaluation, Metric, bootstrap_interval
from flowsci.store.prepared import Prepared

BASELINES = ("midpoint", "stress_embedding", "reactant")
LEVEL = "GFN2-xTB (tblite)"


@dataclass(frozen=True)
class Case:
    """A reaction with its samples: positions (samples, n, 3) and (n, 3) in Å."""

    number: int
    name: str
    atomic_numbers: np.ndarray
    samples: np.ndarray
    truth: np.ndarray
    ends: tuple[np.ndarray, np.ndarray]
    plain: Mapping[str, np.ndarray]
    expected_d_mae: np.ndarray


def evaluate(
    samples: Generated, prepared: Prepared, settings: TransitionStatesEvaluation
) -> Evaluation:
    """Judge samples as `export.read_samples` gives them; raise where no true one is known."""
    cases, unknown = match(samples, prepared)
    scores = {
        "model": [_errors(case.samples[0], case) for case in cases],
        **{name: [_errors(case.plain[name], case) for case in cases] for name in BASELINES},
    }
    tables = {
        name: {key: np.array([row[key] for row in rows]) for key in rows[0]}
        for name, rows in scores.items()
    }
    metrics = _geometry_metrics(tables, settings)
    metrics |= _confidence_metrics(cases, tables["model"]["d_mae"], settings)
    if cases[0].samples.shape[0] > 1:
        metrics |= _best_of(cases, tables, settings)
    details: dict[str, Any] = {"cases": cases, "errors": tables}
    counted: dict[str, Any] = {}
    if settings.refine == "gfn2":
        refined, found = _refined_metrics(cases, settings)
        metrics, details = metrics | refined, details | found
        counted = {"refinement_outcomes": _outcomes(found["verdicts"])}
    return Evaluation(_protocol(cases, unknown, prepared, settings), metrics, details, counted)


def match(samples: Generated, prepared: Prepared) -> tuple[list[Case], int]:
    """Put samples beside the dataset's reactions; give also how many have no known truth."""
    table = samples.table
    count = int(table["sample"].max()) + 1
    numbers = table["reaction"].to_numpy()[::count]
    if len(table) != len(numbers) * count or numbers.max() >= prepared.arrays.sizes["reaction"]:
        raise FlowsciError("The samples are not whole, or of another dataset. Sample again.")
    reactions = Reactions(prepared.arrays, numbers)
    expected = table["expected_d_mae"].to_numpy().reshape(-1, count)
    cases = []
    for index, number in enumerate(numbers):
        atoms = reactions.atoms(index)
        known = {name: x[atoms].astype(np.float64) for name, x in reactions.positions.items()}
        if not np.isfinite(known["transition_state"]).all():
            continue
        cases.append(
            Case(
                number=int(number),
                name=str(reactions.names[number]),
                atomic_numbers=reactions.atomic_numbers[atoms].astype(np.int64),
                samples=np.stack(samples.positions[index * count : (index + 1) * count]),
                truth=known["transition_state"],
                ends=(known["reactant"], known["product"]),
                plain=baselines(known["reactant"], known["product"], known["start"]),
                expected_d_mae=expected[index],
            )
        )
    if not cases:
        raise FlowsciError(
            "No sampled reaction has a known transition state, so that nothing can be judged. "
            "The samples stand; evaluate a split with known transition states."
        )
    return cases, len(numbers) - len(cases)


def _errors(positions: np.ndarray, case: Case) -> dict[str, float]:
    error = measures.rmsd(positions, case.truth)
    return {
        "rmsd": error,
        "rmsd_clipped": measures.clipped(error),
        "rmsd_mirror_allowed": measures.rmsd_mirror_allowed(positions, case.truth),
        "rmsd_permuted": measures.rmsd_permuted(positions, case.truth, case.atomic_numbers),
        "d_mae": measures.d_mae(positions, case.truth),
    }


def _geometry_metrics(
    tables: Mapping[str, Mapping[str, np.ndarray]], settings: TransitionStatesEvaluation
) -> dict[str, Metric]:
    keys = {
        "rmsd_mean": ("rmsd", np.mean),
        "rmsd_median": ("rmsd", np.median),
        "rmsd_mirror_allowed_mean": ("rmsd_mirror_allowed", np.mean),
        "rmsd_permuted_mean": ("rmsd_permuted", np.mean),
        "rmsd_clipped_mean": ("rmsd_clipped", np.mean),
        "d_mae": ("d_mae", np.mean),
        "d_mae_median": ("d_mae", np.median),
    }
    return {
        name: Metric(
            model=float(statistic(tables["model"][key])),
            unit="Å",
            better="lower",
            count=len(tables["model"][key]),
            interval=_interval(tables["model"][key], statistic, settings),
            baselines={b: float(statistic(tables[b][key])) for b in BASELINES},
        )
        for name, (key, statistic) in keys.items()
    }


def _best_of(
    cases: Sequence[Case],
    tables: Mapping[str, Mapping[str, np.ndarray]],
    settings: TransitionStatesEvaluation,
) -> dict[str, Metric]:
    best = np.array([min(measures.rmsd(x, case.truth) for x in case.samples) for case in cases])
    return {
        f"rmsd_best_of_{len(cases[0].samples)}_mean": Metric(
            model=float(best.mean()),
            unit="Å",
            better="lower",
            count=len(best),
            interval=_interval(best, np.mean, settings),
            baselines={b: float(tables[b]["rmsd"].mean()) for b in BASELINES},
        )
    }


def _confidence_metrics(
    cases: Sequence[Case], error: np.ndarray, settings: TransitionStatesEvaluation
) -> dict[str, Metric]:
    expected = np.array([case.expected_d_mae[0] for case in cases])
    # a tie in what is expected says nothing about the order of what was found
    ranks = np.stack([rankdata(expected), rankdata(error)], 1)
    moments = np.column_stack([ranks, ranks**2, ranks.prod(1)])

    def correlation(means: np.ndarray) -> np.ndarray:
        a, b, aa, bb, ab = means.T
        spread = np.sqrt(np.maximum((aa - a**2) * (bb - b**2), 1e-12))
        return (ab - a * b) / spread

    interval = bootstrap_interval(moments, settings, statistic=correlation)
    half = expected <= np.median(expected)
    parts = np.column_stack([error * half, half, error])

    def ratio(means: np.ndarray) -> np.ndarray:
        return means[:, 0] / np.maximum(means[:, 1] * means[:, 2], 1e-12)

    return {
        "confidence_spearman": Metric(
            model=float(correlation(moments.mean(0, keepdims=True))[0]),
            unit="1",
            better="higher",
            count=len(cases),
            interval=interval,
        ),
        "confident_half_error": Metric(
            model=float(ratio(parts.mean(0, keepdims=True))[0]),
            unit="1",
            better="lower",
            count=int(half.sum()),
            interval=bootstrap_interval(parts, settings, statistic=ratio),
        ),
    }


def _refined_metrics(
    cases: Sequence[Case], settings: TransitionStatesEvaluation
) -> tuple[dict[str, Metric], dict[str, Any]]:
    """Refine generated transition states, and the baselines, of evenly spaced reactions."""
    count = min(settings.refined_reactions, len(cases))
    chosen = [cases[i] for i in np.linspace(0, len(cases) - 1, count).astype(int)]
    guesses: dict[str, Callable[[Case], np.ndarray]] = {
        "model": lambda case: case.samples[0],
        "midpoint": lambda case: case.plain["midpoint"],
        "stress_embedding": lambda case: case.plain["stress_embedding"],
    }
    found = {
        name: verdicts(
            [Task(case.atomic_numbers, *case.ends, guess(case)) for case in chosen],
            settings.refinement,
            settings.processes,
        )
        for name, guess in guesses.items()
    }
    geometries = {**guesses, "reactant": lambda case: case.ends[0]}
    heights = {
        name: np.abs(
            [
                np.subtract(*energies(case.atomic_numbers, [guess(case), case.truth]))
                for case in chosen
            ]
        )
        for name, guess in geometries.items()
    }
    right = {name: np.array([v.verified for v in rows]) for name, rows in found.items()}
    steps = {name: np.array([v.steps for v in rows], float) for name, rows in found.items()}
    both = right["model"] & right["midpoint"]
    metrics = {
        "refined_to_right_saddle": _of_values(
            {name: values.astype(float) for name, values in right.items()}, "1", "higher", settings
        ),
    }
    known = np.isfinite(list(heights.values())).all(axis=0)
    if known.any():
        paired = {name: values[known] for name, values in heights.items()}
        metrics["energy_error_gfn2"] = _of_values(paired, "eV", "lower", settings)
    if both.any():
        paired = {name: steps[name][both] for name in ("model", "midpoint")}
        metrics["refinement_steps"] = _of_values(paired, "1", "lower", settings)
    return metrics, {"refined": chosen, "verdicts": found, "energy_errors": heights}


def _outcomes(found: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Count what became of the refinements, by guess and by reason."""
    columns: dict[str, list[Any]] = {"guess": [], "outcome": [], "reactions": []}
    for name, verdict_list in found.items():
        reasons = Counter(verdict.reason or "right_saddle" for verdict in verdict_list)
        for reason, count in reasons.most_common():
            for column, value in zip(columns.values(), (name, reason, count), strict=True):
                column.append(value)
    return columns


def _of_values(
    values: Mapping[str, np.ndarray], unit: str, better: str, settings: TransitionStatesEvaluation
) -> Metric:
    """Give the mean of the model's values beside the baselines', of the same reactions."""
    return Metric(
        model=float(values["model"].mean()),
        unit=unit,
        better=better,
        count=len(values["model"]),
        interval=_interval(values["model"], np.mean, settings),
        baselines={n: float(a.mean()) for n, a in values.items() if n != "model"},
    )


def _interval(
    values: np.ndarray, statistic: Callable[..., Any], settings: TransitionStatesEvaluation
) -> tuple[float, float]:
    """Give the percentile interval of a statistic over reactions, by bootstrap."""
    generator = torch.Generator().manual_seed(settings.seed)
    picked = torch.randint(
        len(values), (settings.bootstrap, len(values)), generator=generator
    ).numpy()
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(statistic(values[picked], axis=1), [tail, 1 - tail])
    return float(low), float(high)


def _protocol(
    cases: Sequence[Case], unknown: int, prepared: Prepared, settings: TransitionStatesEvaluation
) -> dict[str, Any]:
    split = prepared.arrays["split"].values[[case.number for case in cases]]
    return {
        "reactions": len(cases),
        "reactions without a known transition state, not judged": unknown,
        "splits": ", ".join(SPLITS[side] for side in np.unique(split)),
        "samples": len(cases[0].samples),
        "level of theory of the true transition states": prepared.statistics["level"],
        "level of theory of energies and refinement": LEVEL,
        "rmsd": "all atoms, fixed order, best shift and proper rotation, unclipped; first sample",
        "rmsd_mirror_allowed": "the smaller of the geometry's and its mirror image's",
        "rmsd_permuted": "atoms of one element exchanged (assignment by turns with the rotation)",
        "rmsd_clipped": f"clipped at {measures.CLIP_ANGSTROM:g} Å before averaging",
        "d_mae": "mean absolute error of the distances of all pairs of atoms, averaged over "
        "reactions",
        "confidence_spearman": "rank correlation of the expected with the true D-MAE",
        "confident_half_error": "D-MAE of the half with the least expected error over that of all",
        "energy_error_gfn2": f"|E(generated) - E(true)|, single points at {LEVEL}, unrefined, "
        "over reactions where those of all guesses converge; equal to the error of the barrier, as "
        "the reactant is the same",
        "refined_to_right_saddle": "P-RFO ends with one imaginary mode, "
        + (
            "whose path ends at the asked molecules"
            if settings.refinement.intrinsic_path
            else "which changes the asked bonds; the path was not followed"
        ),
        "refinement_steps": "P-RFO steps, over reactions where the generated and the midpoint both "
        "find the right saddle",
        "refine": settings.refine,
        "midpoint": "mean of the reactant and the product laid upon it",
        "stress_embedding": "the flow's start: distances fitted to 1/2 min(D_R, D_P) + 1/4 (D_R + "
        "D_P), weights D^-3, 50 iterations from the midpoint",
        "interval": f"{settings.confidence:.0%} by bootstrap over reactions; "
        f"{settings.bootstrap} resamples",
    }
