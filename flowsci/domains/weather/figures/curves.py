"""Skill, calibration and spectra of ensembles."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsci.domains.weather.figures.style import FORECASTS, MODEL, PLAIN, TRUTH, lead_axis
from flowsci.domains.weather.judge import Judged
from flowsci.domains.weather.spectra import RESOLVED, Spectrum
from flowsci.store.metrics import Evaluation


def draw_skill(evaluation: Evaluation) -> Figure:
    """Draw error, CRPS and spread over error by lead."""
    table = evaluation.tables["skill_by_lead"]
    days, lead_label = lead_axis(table["lead_hours"], evaluation.details["verification"].in_box)
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.9), layout="constrained")
    for axis, measure, title in (
        (left, "rmse", "Error of the ensemble's mean"),
        (middle, "crps", "Fair CRPS; of the others, with a Gaussian around them"),
    ):
        for name, (label, colour, line) in FORECASTS.items():
            if f"{measure} {name}" in table:
                values = table[f"{measure} {name}"]
                axis.plot(days, values, line, color=colour, ms=3.5, label=label)
        _mark_mean_head(axis, evaluation, measure, days[0])
        axis.set(title=title, xlabel=lead_label, ylabel="mean over fields / anomaly spread")
        axis.set(xlim=(0, None), ylim=(0, None))
        axis.grid(alpha=0.25)
    left.legend(fontsize=8)
    names = [name for name in table if str(name).startswith("spread_skill ")]
    for name in names:
        right.plot(days, table[name], color=MODEL, alpha=0.35, lw=1)
    if "spread_skill" in table:
        right.plot(days, table["spread_skill"], "o-", color=MODEL, ms=3.5, label="mean over fields")
        right.legend(fontsize=8)
    right.axhline(1, color=PLAIN, ls="--", lw=1)
    right.set(title="Spread over error, each field", xlabel=lead_label, xlim=(0, None))
    right.grid(alpha=0.25)
    return figure


def _mark_mean_head(axis: Axes, evaluation: Evaluation, measure: str, day: float) -> None:
    """Mark the mean head, which is known at the first lead only."""
    first = evaluation.details["judged"][0]
    own = first.baselines.get("dressed_mean")
    if own is None or f"{measure} dressed_mean" in evaluation.tables["skill_by_lead"]:
        return
    label, colour, line = FORECASTS["dressed_mean"]
    error = np.sqrt(own["squared_error"].mean(axis=0)).mean()
    value = error if measure == "rmse" else own["crps"].mean()
    axis.plot([day], [value], line, color=colour, ms=4, label=label)


def draw_calibration(judged: Sequence[Judged], names: Sequence[str], level: float) -> Figure:
    """Draw rank histograms of each field, and the reliability of exceedances."""
    count = len(judged)
    figure, axes = plt.subplots(
        2, count, figsize=(4.1 * count + 0.6, 6.6), layout="constrained", squeeze=False
    )
    for column, one in zip(axes.T, judged, strict=True):
        _draw_ranks(column[0], one, names)
        _draw_reliability(column[1], one, level)
    axes[0, 0].legend(fontsize=7)
    axes[1, 0].legend(fontsize=8, loc="lower right")
    return figure


def _draw_ranks(axis: Axes, judged: Judged, names: Sequence[str]) -> None:
    ranks = judged.model["ranks"].mean(axis=0)
    places = np.arange(1, ranks.shape[1] + 1)
    colours = plt.get_cmap("viridis")(np.linspace(0.05, 0.85, len(names)))
    for name, row, colour in zip(names, ranks, colours, strict=True):
        label = name.replace("_", " ")
        axis.step(places, row * len(places), where="mid", color=colour, lw=1.1, label=label)
    axis.axhline(1, color=PLAIN, ls="--", lw=1)
    axis.set(title=f"Ranks of the truth{_at(judged)}", xlabel="rank among the members")
    axis.set(ylabel="frequency, 1: reliable", ylim=(0, None))


def _draw_reliability(axis: Axes, judged: Judged, level: float) -> None:
    forecast, occurred = (
        judged.model[n].mean(axis=0).sum(axis=0) for n in ("forecast", "occurred")
    )
    said = np.arange(len(forecast)) / (len(forecast) - 1)
    known = forecast > forecast.sum() * 1e-5
    axis.plot([0, 1], [0, 1], color=PLAIN, ls="--", lw=1, label="calibrated")
    axis.plot(
        said[known], (occurred / np.maximum(forecast, 1e-12))[known], "o-", color=MODEL, ms=3.5
    )
    base = occurred.sum() / forecast.sum()
    axis.axhline(base, color=TRUTH, lw=0.8, ls=":", label="how often it came")
    inset = axis.inset_axes((0.12, 0.66, 0.33, 0.25))
    inset.bar(said, forecast / forecast.sum(), width=0.8 / len(said), color=MODEL, alpha=0.6)
    inset.set(yscale="log", xlim=(-0.05, 1.05))
    inset.tick_params(labelsize=6)
    inset.minorticks_off()
    inset.set_title("share of cells", fontsize=6.5)
    axis.set(title=f"Above the {100 * level:g} % quantile{_at(judged)}", xlim=(0, 1), ylim=(0, 1))
    axis.set(xlabel="probability said", ylabel="frequency that came")


def draw_spectra(judged: Sequence[Judged], names: Sequence[str], spectrum: Spectrum) -> Figure:
    """Draw power over the truth's by wavenumber: members, mean, and both around the mean."""
    figure, axes = plt.subplots(
        2,
        len(judged),
        figsize=(4.3 * len(judged) + 0.4, 6.4),
        layout="constrained",
        squeeze=False,
        sharex=True,
    )
    colours = plt.get_cmap("viridis")(np.linspace(0.05, 0.85, len(names)))
    last = RESOLVED * spectrum.wavenumbers[-1]
    for column, one in zip(axes.T, judged, strict=True):
        power = {n: v.mean(axis=0) for n, v in one.model.items() if n.startswith("power_")}
        for index, (name, colour) in enumerate(zip(names, colours, strict=True)):
            truth = power["power_truth"][index]
            column[0].plot(
                spectrum.wavenumbers,
                power["power_members"][index] / truth,
                color=colour,
                lw=1.3,
                label=name.replace("_", " "),
            )
            column[0].plot(
                spectrum.wavenumbers,
                power["power_mean"][index] / truth,
                color=colour,
                lw=0.9,
                ls=":",
            )
            column[1].plot(
                spectrum.wavenumbers,
                power["power_member_residual"][index] / power["power_truth_residual"][index],
                color=colour,
                lw=1.3,
            )
        for axis, title in zip(
            column, ("Members (dotted: their mean)", "Around the ensemble's mean"), strict=True
        ):
            axis.axhline(1, color=PLAIN, ls="--", lw=1)
            axis.axvline(last, color=PLAIN, lw=0.8, ls=":")
            axis.set(title=f"{title}{_at(one)}", ylim=(0, 2), ylabel="power over the truth's")
            axis.grid(alpha=0.25)
        column[1].set(xlabel=spectrum.label)
    axes[0, 0].legend(fontsize=7)
    return figure


def draw_climate(evaluation: Evaluation, names: Sequence[str]) -> Figure:
    """Draw how far members vary by lead, in what the true climate does."""
    table = evaluation.tables["climate_by_lead"]
    figure, axis = plt.subplots(figsize=(10, 3.6), layout="constrained")
    colours = plt.get_cmap("viridis")(np.linspace(0.05, 0.85, len(names)))
    leads, label = lead_axis(table["lead_hours"], evaluation.details["verification"].in_box)
    for name, colour in zip(names, colours, strict=True):
        axis.plot(leads, table[name], color=colour, lw=1.3, label=name.replace("_", " "))
    axis.axhline(1, color=PLAIN, ls="--", lw=1)
    axis.set(title="Root mean square anomaly of members, over that of the true climate")
    axis.set(xlabel=label, ylabel="ratio", xlim=(0, None))
    axis.legend(fontsize=7, ncols=2)
    axis.grid(alpha=0.25)
    return figure


def draw_winds(evaluation: Evaluation) -> Figure:
    """Draw by lead the kinetic energy of members over the truth's, and the divergence of both."""
    table = evaluation.tables["skill_by_lead"]
    leads, lead_label = lead_axis(table["lead_hours"], evaluation.details["verification"].in_box)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    left.plot(leads, table["kinetic_energy"], "o-", color=MODEL, ms=3.5)
    left.axhline(1, color=PLAIN, ls="--", lw=1)
    left.set(title="Kinetic energy of members over the truth's", ylim=(0, 2), ylabel="ratio")
    for who, colour, line in (("members", MODEL, "o-"), ("truth", TRUTH, "--")):
        right.plot(leads, table[f"divergence {who}"], line, color=colour, ms=3.5, label=who)
    right.set(title="Divergence of the winds, root mean square", yscale="log")
    right.set(ylabel="anomaly spread of u a radian")
    right.legend(fontsize=8)
    for axis in (left, right):
        axis.set(xlabel=lead_label, xlim=(0, None))
        axis.grid(alpha=0.25)
    return figure


def _at(judged: Judged) -> str:
    return f", {judged.lead_name}" if judged.lead_name else ""
