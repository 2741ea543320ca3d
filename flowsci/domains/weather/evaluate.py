"""Judge ensembles beside what came and beside forecasts without a trained model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowsci.domains.weather import measures
from flowsci.domains.weather.anomalies import Anomalies
from flowsci.domains.weather.baselines import Baselines, Climatology, Dressed
from flowsci.domains.weather.climate import (
    Climate,
    LateMembers,
    climate_scores,
    climate_table,
    has_climate,
)
from flowsci.domains.weather.diurnal import diurnal_scores, has_diurnal_cycle
from flowsci.domains.weather.event_scores import EventForecasts, event_scores, event_table
from flowsci.domains.weather.export import Generated
from flowsci.domains.weather.judge import Judge, Judged, task_baselines
from flowsci.domains.weather.physics import Winds
from flowsci.domains.weather.protocol import protocol_of
from flowsci.domains.weather.record import SPLITS
from flowsci.domains.weather.scoring import MODEL, Score, scores_of
from flowsci.domains.weather.season import SeasonalPower
from flowsci.domains.weather.settings import WeatherEvaluation
from flowsci.domains.weather.spectra import Spectrum, spectrum_of
from flowsci.domains.weather.verification import Verification, verify
from flowsci.store.metrics import Evaluation
from flowsci.store.prepared import Prepared

MOST_LEADS = 20
"""Tables have at most about so many leads."""
Table = Mapping[str, Sequence[float | str]]


def evaluate(generated: Generated, prepared: Prepared, settings: WeatherEvaluation) -> Evaluation:
    """Judge a generated dataset as `export.read_samples` gives it."""
    verification = verify(generated, prepared)
    spectrum = spectrum_of(verification.anomalies.grid, prepared.statistics)
    judged = _of_event if verification.task == "event" else _of_ensembles
    parts = [judged(verification, spectrum, settings)]
    if has_climate(verification):
        parts.append(_of_climate(verification, spectrum))
    if has_diurnal_cycle(verification):
        every, found = _all(verification), diurnal_scores(verification)
        parts.append(Part({name: (score, every) for name, score in found}, {}))
    blocks = blocks_of(verification, settings.block_days)
    return Evaluation(
        protocol_of(verification, prepared, spectrum, blocks, settings),
        {
            name: score.metric(blocks[cases], settings)
            for part in parts
            for name, (score, cases) in part.scores.items()
        },
        {"verification": verification, "spectrum": spectrum, **parts[0].details},
        {name: table for part in parts for name, table in part.tables.items()},
    )


@dataclass(frozen=True)
class Part:
    """Scores with the cases that they are about, tables, and what figures need."""

    scores: Mapping[str, tuple[Score, np.ndarray]]
    tables: Mapping[str, Table]
    details: Mapping[str, Any] = field(default_factory=dict)


def _of_ensembles(
    verification: Verification, spectrum: Spectrum, settings: WeatherEvaluation
) -> Part:
    threshold = exceedance_threshold(verification.anomalies, settings.exceedance)
    training = SeasonalPower.of_training(verification.anomalies, spectrum)
    judge = Judge(verification, spectrum, threshold, training, _winds_of(verification))
    named = named_leads(verification, settings.lead_hours)
    judged = judge_leads(judge, table_leads(verification, named), named, settings)
    scores = {
        name: (score, one.cases)
        for one in judged
        if one.lead_hours in verification.leads[named]
        for name, score in scores_of(one, verification, spectrum)
    }
    details = {"judged": judged, "exceedance": settings.exceedance}
    return Part(scores, {"skill_by_lead": lead_table(judged, verification)}, details)


def _winds_of(verification: Verification) -> Winds | None:
    """Give what knows the divergence, where there are winds on a grid that has one everywhere."""
    anomalies = verification.anomalies
    if anomalies.grid.kind not in ("gaussian", "periodic"):
        return None
    vectors = any(channel["vector"] for channel in anomalies.channels)
    return Winds(anomalies.statistics) if vectors else None


def _of_event(verification: Verification, spectrum: Spectrum, settings: WeatherEvaluation) -> Part:
    event = EventForecasts.of(verification)
    cases = verification.known(-1) if event.threshold is not None else _all(verification)
    scores = {name: (score, cases) for name, score in event_scores(event)}
    return Part(scores, {"event": event_table(event)}, {"event": event})


def _of_climate(verification: Verification, spectrum: Spectrum) -> Part:
    anomalies, late = verification.anomalies, LateMembers.of(verification, spectrum)
    split = SPLITS[anomalies.split[verification.starts[0]]]
    true, training = (Climate.of_split(anomalies, name, spectrum) for name in (split, "train"))
    cases = _all(verification)
    found = climate_scores(late, true, training, spectrum)
    scores = {name: (score, cases) for name, score in found}
    return Part(scores, {"climate_by_lead": climate_table(late, true, verification)})


def _all(verification: Verification) -> np.ndarray:
    return np.arange(len(verification.starts))


def judge_leads(
    judge: Judge, numbers: Sequence[int], named: Sequence[int], settings: WeatherEvaluation
) -> list[Judged]:
    """Judge leads by their numbers, each beside its own baselines."""
    verification = judge.verification
    anomalies, step = verification.anomalies, int(verification.leads[0])
    plain = Baselines(anomalies, step, settings.functions)

    def baselines(number: int) -> Mapping[str, Dressed]:
        if not verification.is_forecast:
            return task_baselines(verification, Climatology(anomalies))
        return plain.at(int(verification.leads[number]))

    return [judge.lead(n, baselines(n), values=n in named) for n in numbers]


def named_leads(verification: Verification, wanted: Sequence[int]) -> list[int]:
    """Give the numbers of the leads that have measures of their own: the first, and those wanted.

    They need a truth. Where none of those wanted has one, the last that does is named.
    """
    known = [i for i in range(len(verification.leads)) if len(verification.known(i))]
    named = [i for i in known if verification.leads[i] in wanted] or [known[-1]]
    return sorted({known[0], *named})


def table_leads(verification: Verification, named: Sequence[int]) -> list[int]:
    """Give the numbers of the leads that stand in tables: the named ones, and some others."""
    known = np.array([i for i in range(len(verification.leads)) if len(verification.known(i))])
    places = np.unique(np.linspace(0, len(known) - 1, MOST_LEADS).round().astype(int))
    return sorted({*known[places].tolist(), *named})


def exceedance_threshold(anomalies: Anomalies, level: float) -> np.ndarray:
    """Give the quantile (channel, latitude, longitude) of the training split's anomalies."""
    training = anomalies[anomalies.training_sample()]
    return np.quantile(training, level, axis=0).astype(np.float32)


def blocks_of(verification: Verification, days: float) -> np.ndarray:
    """Give the number of the period (case,) that each start lies in."""
    hours = verification.anomalies.hours[verification.starts]
    return ((hours - hours.min()) // (24 * days)).astype(int)


def lead_table(judged: Sequence[Judged], verification: Verification) -> Table:
    """Give measures by lead: means over fields in their spreads, of the model and its baselines."""
    rows = [_row(one, verification) for one in judged]
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: [row[name] for row in rows] for name in shared}


def _row(judged: Judged, verification: Verification) -> dict[str, Any]:
    means = {name: values.mean(axis=0) for name, values in judged.model.items()}
    error = means["squared_error"]
    row: dict[str, Any] = {
        "lead_hours": judged.lead_hours,
        "starts": len(judged.cases),
        f"rmse {MODEL}": float(np.sqrt(error).mean()),
        f"crps {MODEL}": float(means["crps"].mean()),
    }
    if verification.size > 1:
        ratio = measures.spread_skill(means["variance"], error, verification.size)
        row["spread_skill"] = float(ratio.mean())
        row["rank_ends"] = float(measures.rank_ends(means["ranks"]).mean())
        row |= {
            f"spread_skill {n}": float(r) for n, r in zip(verification.names, ratio, strict=True)
        }
    if "energy_members" in judged.model:
        row["kinetic_energy"] = float((means["energy_members"] / means["energy_truth"]).mean())
        for who in ("members", "truth"):
            row[f"divergence {who}"] = float(np.sqrt(means[f"divergence_{who}"]).mean())
    for name, own in judged.baselines.items():
        row[f"rmse {name}"] = float(np.sqrt(own["squared_error"].mean(axis=0)).mean())
        row[f"crps {name}"] = float(own["crps"].mean())
    spread = verification.anomalies.spread[:, 0, 0]
    for name, scale, square in zip(verification.names, spread, error, strict=True):
        row[f"rmse {name}"] = float(np.sqrt(square) * scale)
    return row
