"""Judge ensembles beside what came and beside forecasts without a trained model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowsci.domains.weather import measures
from flowsci.domains.weather.anomalies import Anomalies
from flowsci.domains.weather.baselines import Baselines, Climatology, Dressed
from flowsci.domains.weather.climate import Climate, LateMembers, climate_scores, climate_table
from flowsci.domains.weather.export import Generated
from flowsci.domains.weather.judge import Judge, Judged, task_baselines
from flowsci.domains.weather.protocol import protocol_of
from flowsci.domains.weather.record import SPLITS
from flowsci.domains.weather.scoring import MODEL, Score, scores_of
from flowsci.domains.weather.settings import WeatherEvaluation
from flowsci.domains.weather.spectra import spectrum_of
from flowsci.domains.weather.verification import Verification, verify
from flowsci.store.metrics import Evaluation
from flowsci.store.prepared import Prepared

MOST_LEADS = 20
"""Tables have at most about so many leads."""
MOST_TIMES = 1000
"""Times of the training split that quantiles are taken over."""
Table = Mapping[str, Sequence[float | str]]


def evaluate(generated: Generated, prepared: Prepared, settings: WeatherEvaluation) -> Evaluation:
    """Judge a generated dataset as `export.read_samples` gives it."""
    verification = verify(generated, prepared)
    anomalies, spectrum = (
        verification.anomalies,
        spectrum_of(verification.anomalies.grid, prepared.statistics),
    )
    judge = Judge(verification, spectrum, exceedance_threshold(anomalies, settings.exceedance))
    named = named_leads(verification, settings.lead_hours)
    judged = judge_leads(judge, table_leads(verification, named), named, settings)
    scores: dict[str, tuple[Score, np.ndarray]] = {}
    for one in judged:
        if one.lead_hours in verification.leads[named]:
            found = scores_of(one, verification, spectrum)
            scores |= {name: (score, one.cases) for name, score in found}
    tables = {"skill_by_lead": lead_table(judged, verification)}
    late = LateMembers.of(verification)
    if late is not None:
        split = SPLITS[anomalies.split[verification.starts[0]]]
        true, training = (Climate.of_split(anomalies, name) for name in (split, "train"))
        everyone = np.arange(len(verification.starts))
        found = climate_scores(late, true, training)
        scores |= {name: (score, everyone) for name, score in found}
        tables["climate_by_lead"] = climate_table(late, true, verification)
    blocks = blocks_of(verification, settings.block_days)
    return Evaluation(
        protocol_of(verification, prepared, spectrum, blocks, settings),
        {name: score.metric(blocks[cases], settings) for name, (score, cases) in scores.items()},
        {"judged": judged, "verification": verification, "spectrum": spectrum},
        tables,
    )


def judge_leads(
    judge: Judge, numbers: Sequence[int], named: Sequence[int], settings: WeatherEvaluation
) -> list[Judged]:
    """Judge leads by their numbers, each beside its own baselines."""
    verification = judge.verification
    anomalies, step = verification.anomalies, int(verification.leads[0])
    plain = Baselines(anomalies, step, settings.functions)

    def baselines(number: int) -> Mapping[str, Dressed]:
        if verification.task != "forecast":
            return task_baselines(verification, Climatology(anomalies))
        return plain.at(int(verification.leads[number]))

    return [judge.lead(n, baselines(n), values=n in named) for n in numbers]


def named_leads(verification: Verification, wanted: Sequence[int]) -> list[int]:
    """Give the numbers of the leads that have measures of their own, which need a truth."""
    known = [i for i in range(len(verification.leads)) if len(verification.known(i))]
    named = [i for i in known if verification.leads[i] in wanted]
    return named or sorted({known[0], known[-1]})


def table_leads(verification: Verification, named: Sequence[int]) -> list[int]:
    """Give the numbers of the leads that stand in tables: the named ones, and some others."""
    known = np.array([i for i in range(len(verification.leads)) if len(verification.known(i))])
    places = np.unique(np.linspace(0, len(known) - 1, MOST_LEADS).round().astype(int))
    return sorted({*known[places].tolist(), *named})


def exceedance_threshold(anomalies: Anomalies, level: float) -> np.ndarray:
    """Give the quantile (channel, latitude, longitude) of the training split's anomalies."""
    times = anomalies.some(anomalies.of_split("train"), MOST_TIMES)
    return np.quantile(anomalies[times], level, axis=0).astype(np.float32)


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
    for name, own in judged.baselines.items():
        row[f"rmse {name}"] = float(np.sqrt(own["squared_error"].mean(axis=0)).mean())
        row[f"crps {name}"] = float(own["crps"].mean())
    spread = verification.anomalies.spread[:, 0, 0]
    for name, scale, square in zip(verification.names, spread, error, strict=True):
        row[f"rmse {name}"] = float(np.sqrt(square) * scale)
    return row
