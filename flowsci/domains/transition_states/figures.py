"""Figures of a run: reactions, errors, error against confidence, refined energies and modes."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flowsci.domains.transition_states.evaluate import Case
from flowsci.domains.transition_states.export import Generated
from flowsci.flow.alignment import superpose
from flowsci.store.metrics import Evaluation
from flowsci.store.prepared import Prepared

STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
MODEL, TRUTH, PLAIN, DRAWN = "#1f6fb4", "#d1495b", "#8d8d8d", "#e0a030"
COLOURS = {1: "#d9d9d9", 6: "#404040", 7: "#3050f8", 8: "#e02020", 9: "#60b030", 16: "#d0a000"}
RADII = {1: 0.31, 6: 0.76, 7: 0.71, 8: 0.66, 9: 0.57, 16: 1.05}
BONDED = 1.3
LABELS = {
    "model": ("flow", MODEL),
    "stress_embedding": ("stress embedding", DRAWN),
    "midpoint": ("midpoint", PLAIN),
}
REACTIONS = 4


def figures(samples: Generated, prepared: Prepared, evaluation: Evaluation) -> Mapping[str, Figure]:
    """Draw the figures by name; captions stand in `workflow/report/transition_states/`."""
    details = evaluation.details
    with plt.rc_context(STYLE):
        drawn = {
            "reactions": draw_reactions(details["cases"], details["errors"]["model"]["rmsd"]),
            "errors": draw_errors(details["errors"]),
            "confidence": draw_confidence(details["cases"], details["errors"]["model"]["d_mae"]),
        }
        if "verdicts" in details:
            drawn["energies"] = draw_energies(details)
            modes = draw_modes(details)
            if modes is not None:
                drawn["modes"] = modes
        return drawn


def draw_reactions(cases: Sequence[Case], error: np.ndarray) -> Figure:
    """Draw reactant, generated over true transition state and product, by rank of the error."""
    ranks = np.linspace(0.1, 0.9, min(REACTIONS, len(cases)))
    chosen = np.argsort(error)[np.floor(ranks * len(cases)).astype(int)]
    figure, axes = plt.subplots(
        len(chosen), 3, figsize=(9.6, 2.9 * len(chosen)), squeeze=False, layout="constrained"
    )
    for row, case in zip(axes, [cases[i] for i in chosen], strict=True):
        view = _view(case.truth)
        made = _laid(case.samples[0], case.truth)
        panels = (_laid(case.ends[0], case.truth), case.truth, _laid(case.ends[1], case.truth))
        for axis, positions in zip(row, panels, strict=True):
            draw_molecule(axis, case.atomic_numbers, positions @ view)
        draw_molecule(row[1], case.atomic_numbers, made @ view, outline=MODEL)
        _same_limits(row)
    for axis, title in zip(axes[0], ("reactant", "transition state", "product"), strict=True):
        axis.set_title(title)
    for row, index, rank in zip(axes, chosen, ranks, strict=True):
        row[1].text(
            0.5,
            0.0,
            f"RMSD {error[index]:.2f} Å ({rank:.0%} of reactions are better)",
            transform=row[1].transAxes,
            ha="center",
            fontsize=9,
        )
    handles = [
        Line2D([], [], color="#404040", lw=2, label="true"),
        Line2D([], [], color=MODEL, lw=2, label="generated"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


def draw_molecule(
    axis: Axes, atomic_numbers: np.ndarray, positions: np.ndarray, outline: str | None = None
) -> None:
    """Draw atoms and bonds seen along the third axis; only outlines where a colour is given."""
    radii = np.array([RADII.get(int(number), 0.8) for number in atomic_numbers])
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    bonded = np.triu(distance < BONDED * (radii[:, None] + radii[None]), 1)
    for i, j in zip(*np.nonzero(bonded), strict=True):
        line = positions[[i, j]]
        depth = float(line[:, 2].mean())
        axis.plot(
            *line[:, :2].T, color=outline or "#707070", lw=1.6, alpha=0.8, zorder=3 + 0.1 * depth
        )
    for number, place, radius in zip(atomic_numbers, positions, radii, strict=True):
        colour = COLOURS.get(int(number), "#b060b0")
        axis.scatter(
            *place[:2],
            s=260 * radius,
            facecolor="none" if outline else colour,
            edgecolor=outline or "#303030",
            linewidth=1.4 if outline else 0.7,
            zorder=4 + 0.1 * place[2],
        )
    axis.set_aspect("equal")
    axis.axis("off")


def draw_errors(errors: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw the share of reactions below an RMSD and below an error of distances."""
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained", sharey=True)
    names = {"rmsd": "RMSD / Å", "d_mae": "mean error of distances / Å"}
    for axis, (key, label) in zip(axes, names.items(), strict=True):
        for name, (text, colour) in LABELS.items():
            values = np.sort(errors[name][key])
            share = np.arange(1, len(values) + 1) / len(values)
            axis.plot(values, share, color=colour, lw=1.8, label=f"{text} ({values.mean():.3f})")
        axis.set(xlabel=label, xlim=(0, np.quantile(errors["midpoint"][key], 0.98)), ylim=(0, 1))
        axis.grid(alpha=0.25)
        axis.legend(loc="lower right", title="mean in Å", title_fontsize=9)
    axes[0].set(ylabel="share of reactions below")
    return figure


def draw_confidence(cases: Sequence[Case], error: np.ndarray) -> Figure:
    """Draw the error of distances against the expected one, and its mean in ten groups."""
    expected = np.array([case.expected_d_mae[0] for case in cases])
    figure, axis = plt.subplots(figsize=(5.2, 4.4), layout="constrained")
    axis.plot(expected, error, ".", color=MODEL, alpha=0.35, ms=4, label="a reaction")
    groups = np.array_split(np.argsort(expected), min(10, len(expected)))
    means = [(expected[g].mean(), error[g].mean()) for g in groups]
    axis.plot(*np.array(means).T, "o-", color=TRUTH, ms=5, label="a tenth of them, mean")
    top = float(np.quantile(error, 0.99))
    axis.plot([0, top], [0, top], color=PLAIN, lw=1, ls="--", label="calibrated")
    axis.set(xlabel="expected D-MAE / Å", ylabel="D-MAE / Å", xlim=(0, None), ylim=(0, top))
    axis.grid(alpha=0.25)
    axis.legend()
    return figure


def draw_energies(details: Mapping) -> Figure:
    """Draw energy profiles of refined reactions, and errors of unrefined energies."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.0), layout="constrained")
    rows = [v for v in details["verdicts"]["model"] if v.verified and np.isfinite(v.barrier)]
    for verdict in rows[: 5 * REACTIONS]:
        end = verdict.reaction_energy if np.isfinite(verdict.reaction_energy) else np.nan
        heights = [0.0, verdict.barrier, end]
        for place, height in enumerate(heights):
            left.plot([place - 0.18, place + 0.18], [height] * 2, color=MODEL, lw=2, alpha=0.7)
        for place in (0, 1):
            left.plot(
                [place + 0.18, place + 0.82],
                heights[place : place + 2],
                color=PLAIN,
                lw=0.8,
                ls=":",
            )
    left.set_xticks([0, 1, 2], ["reactant", "saddle", "product"])
    left.set(ylabel="energy / eV (GFN2-xTB)", title="Refined reactions")
    for name, values in details["energy_errors"].items():
        if name in LABELS:
            label, colour = LABELS[name]
            finite = np.sort(values[np.isfinite(values)])
            share = np.arange(1, len(finite) + 1) / len(finite)
            right.plot(finite, share, color=colour, lw=1.8, label=label)
    right.set(xlabel="|E - E(true)| / eV, unrefined", ylabel="share of reactions below")
    # a midpoint with two atoms in one place would take the axis for itself
    widest = np.nanquantile(details["energy_errors"]["midpoint"], 0.9)
    right.set(xlim=(0, widest), ylim=(0, 1), title="Error of the energy")
    right.grid(alpha=0.25)
    right.legend(loc="lower right")
    return figure


def draw_modes(details: Mapping) -> Figure | None:
    """Draw imaginary modes of refined saddles as arrows; None where there is no saddle."""
    pairs = [
        (case, verdict)
        for case, verdict in zip(details["refined"], details["verdicts"]["model"], strict=True)
        if verdict.verified
    ][:REACTIONS]
    if not pairs:
        return None
    figure, axes = plt.subplots(
        1, len(pairs), figsize=(3.2 * len(pairs), 3.4), squeeze=False, layout="constrained"
    )
    for axis, (case, verdict) in zip(axes.flat, pairs, strict=True):
        centred = verdict.positions - verdict.positions.mean(0)
        view = _view(centred)
        draw_molecule(axis, case.atomic_numbers, centred @ view)
        arrows = verdict.mode @ view
        longest = np.linalg.norm(arrows, axis=1).max()
        for place, arrow in zip(centred @ view, arrows / longest * 1.2, strict=True):
            if np.linalg.norm(arrow[:2]) > 0.1:
                axis.annotate(
                    "",
                    place[:2] + arrow[:2],
                    place[:2],
                    arrowprops={"arrowstyle": "->", "color": TRUTH, "lw": 1.6},
                    zorder=9,
                )
        axis.set_title(f"{verdict.imaginary_frequency:.0f}i cm$^{{-1}}$, {verdict.barrier:.2f} eV")
        axis.margins(0.25)
        axis.set_aspect("equal", adjustable="datalim")
    return figure


def _view(positions: np.ndarray) -> np.ndarray:
    """Give the turn (3, 3) that shows the widest plane, without a mirror."""
    _, _, axes = np.linalg.svd(positions - positions.mean(0))
    axes[2] *= np.sign(np.linalg.det(axes))
    return axes.T


def _laid(positions: np.ndarray, target: np.ndarray) -> np.ndarray:
    import torch

    pair = (torch.from_numpy(np.asarray(x, dtype=float))[None] for x in (positions, target))
    return superpose(*pair)[0].numpy()


def _same_limits(row: Sequence[Axes]) -> None:
    low = np.min([[axis.get_xlim()[0], axis.get_ylim()[0]] for axis in row], axis=0) - 0.4
    high = np.max([[axis.get_xlim()[1], axis.get_ylim()[1]] for axis in row], axis=0) + 0.4
    for axis in row:
        axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
