"""Figures of a run: drawings, distributions, best and worst, targets beside what was achieved."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from ase.data import chemical_symbols, covalent_radii
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsci.domains.molecules.evaluate import Judged
from flowsci.domains.molecules.export import Generated
from flowsci.domains.molecules.measures.internal import Internal
from flowsci.domains.molecules.measures.relaxation import Relaxed
from flowsci.domains.molecules.measures.soundness import sanitised
from flowsci.domains.molecules.record import Graph
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
MODEL, REAL, WRONG = "#1f6fb4", "#8d8d8d", "#d1495b"
COLOURS = {1: "#d9d9d9", 6: "#404040", 7: "#3050f8", 8: "#e02020", 9: "#60b030"}
OTHER_COLOUR = "#d0a000"
ORDER_MARKS = {1: "-", 2: "=", 3: "#"}
COLUMNS, ROWS = 6, 4
PIXELS = 260


def figures(samples: Generated, prepared: Prepared, evaluation: Evaluation) -> Mapping[str, Figure]:
    """Draw the figures by name; captions stand in `workflow/report/molecules/`."""
    model, reference = evaluation.details["model"], evaluation.details["reference"]
    with plt.rc_context(STYLE):
        drawn = {"molecules": draw_grid(model)}
        if "internal" in evaluation.details:
            sides = evaluation.details["internal"]
            drawn["distributions"] = draw_distributions(sides["model"], sides["test"])
        else:
            drawn["sizes"] = draw_sizes(model, reference)
        if "relaxed" in evaluation.details:
            numbers, of_model, _ = evaluation.details["relaxed"]
            drawn["extremes"] = draw_extremes(model, numbers, of_model)
        names = [name for name in evaluation.metrics if name.startswith("mae_")]
        if names:
            drawn["properties"] = draw_properties(samples.table, names, prepared.units)
        return drawn


def draw_grid(model: Judged) -> Figure:
    """Draw evenly spaced samples as structures; what RDKit refuses is drawn as it came."""
    chosen = model.spaced(COLUMNS * ROWS)
    figure, axes = plt.subplots(ROWS, COLUMNS, figsize=(10.8, 7.8), layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for axis, number in zip(axes.flat, chosen, strict=False):
        draw_structure(axis, model.graphs[number])
        fault = fault_of(model, number)
        if fault:
            axis.set_title(fault, color=WRONG, loc="center", fontsize=9)
    return figure


def fault_of(model: Judged, number: int) -> str:
    """Say in a word what is wrong with a sample; nothing where it is sound."""
    sound = model.sound
    if not sound.atoms[number]:
        return "no atoms"
    if not sound.sanitised[number]:
        return "refused"
    if not sound.connected[number]:
        return "in pieces"
    return "" if sound.closed_shell[number] else "lacks bonds"


def draw_structure(axis: Axes, graph: Graph) -> None:
    """Draw a molecule with RDKit, hydrogens left out where it is sound."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import Draw

    if not len(graph.atomic_numbers):
        return
    molecule = sanitised(graph)
    with rdBase.BlockLogs():
        if molecule is None:
            molecule = graph.to_rdkit()
            molecule.UpdatePropertyCache(strict=False)
        else:
            molecule = Chem.RemoveHs(molecule)
            Chem.Kekulize(molecule, clearAromaticFlags=True)
        molecule.RemoveAllConformers()
        options = Draw.MolDrawOptions()
        options.prepareMolsBeforeDrawing = False
        try:
            picture = Draw.MolToImage(
                molecule, size=(PIXELS, PIXELS), options=options, kekulize=False
            )
        except (RuntimeError, ValueError):
            # a graph that no one would draw, which RDKit need not know how to lay out
            axis.text(0.5, 0.5, "no drawing", ha="center", color=WRONG, transform=axis.transAxes)
            return
    axis.imshow(np.asarray(picture))


def draw_distributions(model: Internal, test: Internal) -> Figure:
    """Draw the commonest bond lengths, angles and torsions of samples and test molecules."""
    figure, axes = plt.subplots(3, 3, figsize=(10.8, 8.4), layout="constrained")
    quantities = (
        ("bond_lengths", "Å", _name_bond),
        ("angles", "degrees", _name_angle),
        ("torsions", "degrees", _name_torsion),
    )
    for row, (quantity, unit, name) in zip(axes, quantities, strict=True):
        true, drawn = getattr(test, quantity), getattr(model, quantity)
        common = sorted(true, key=lambda kind: -len(true[kind]))
        # bonds to hydrogen are common everywhere and say little
        heavy = [kind for kind in common if "H" not in name(kind)] or common
        for axis, kind in zip(row, heavy, strict=False):
            _draw_histograms(axis, drawn.get(kind, np.empty(0)), true[kind])
            axis.set_title(name(kind))
            axis.set_xlabel(unit)
            axis.set_yticks([])
    axes[0, 0].legend()
    return figure


def _draw_histograms(axis: Axes, drawn: np.ndarray, true: np.ndarray) -> None:
    low, high = np.quantile(true, [0.001, 0.999])
    margin = 0.1 * (high - low) + 1e-3
    bins = np.linspace(low - margin, high + margin, 60)
    axis.hist(true, bins, density=True, color=REAL, alpha=0.5, label="test molecules")
    if len(drawn):
        # what lies outside is counted at the rim
        drawn = np.clip(drawn, bins[0], bins[-1])
        axis.hist(drawn, bins, density=True, histtype="step", color=MODEL, label="samples")


def _parts(kind: int, count: int) -> list[int]:
    return [kind // 128**place % 128 for place in reversed(range(count))]


def _name_bond(kind: int) -> str:
    a, b, order = _parts(kind, 3)
    return f"{chemical_symbols[a]}{ORDER_MARKS[order]}{chemical_symbols[b]}"


def _name_angle(kind: int) -> str:
    middle, a, b, orders = _parts(kind, 4)
    symbols = "".join(chemical_symbols[number] for number in (a, middle, b))
    return f"{symbols}, {orders} bonds" if orders > 2 else symbols


def _name_torsion(kind: int) -> str:
    *numbers, order = _parts(kind, 5)
    a, b, c, d = (chemical_symbols[number] for number in numbers)
    return f"{a}-{b}{ORDER_MARKS[order]}{c}-{d}"


def draw_sizes(model: Judged, reference: Judged) -> Figure:
    """Draw the numbers of atoms of samples and test molecules."""
    figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    most = max(model.sound.atoms.max(), reference.sound.atoms.max())
    bins = np.arange(most + 2) - 0.5
    axis.hist(
        reference.sound.atoms, bins, density=True, color=REAL, alpha=0.5, label="test molecules"
    )
    axis.hist(model.sound.atoms, bins, density=True, histtype="step", color=MODEL, label="samples")
    axis.set_xlabel("atoms")
    axis.set_ylabel("share")
    axis.legend()
    return figure


def draw_extremes(model: Judged, numbers: Sequence[int], found: Relaxed) -> Figure:
    """Draw the samples that release least and most energy at GFN2-xTB, as they came."""
    ended = np.flatnonzero(np.isfinite(found.energy))
    order = ended[np.argsort(found.energy[ended])]
    count = min(4, len(order))
    figure, axes = plt.subplots(2, 4, figsize=(10.8, 5.6), layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for row, chosen in zip(axes, (order[:count], order[::-1][:count]), strict=True):
        for axis, place in zip(row, chosen, strict=False):
            draw_geometry(axis, model.graphs[numbers[place]])
            axis.set_title(
                f"{found.energy[place]:.1f} kcal/mol, {found.rmsd[place]:.2f} Å", loc="center"
            )
    return figure


def draw_geometry(axis: Axes, graph: Graph) -> None:
    """Draw atoms and bonds in the plane in which the molecule is widest."""
    centred = graph.positions - graph.positions.mean(0)
    _, _, turned = np.linalg.svd(centred, full_matrices=False)
    x, y = (centred @ turned.T)[:, :2].T
    for i, j in np.argwhere(np.triu(graph.bonds)):
        axis.plot(x[[i, j]], y[[i, j]], color="#707070", lw=1 + graph.bonds[i, j], zorder=1)
    colours = [COLOURS.get(int(number), OTHER_COLOUR) for number in graph.atomic_numbers]
    sizes = 300 * covalent_radii[graph.atomic_numbers] ** 2
    # atoms at the edge stay whole
    axis.scatter(
        x, y, s=sizes, c=colours, edgecolors="#303030", linewidths=0.5, zorder=2, clip_on=False
    )
    axis.set_aspect("equal")
    axis.margins(0.1)


def draw_properties(table: pd.DataFrame, names: Sequence[str], units: Mapping[str, str]) -> Figure:
    """Draw what was asked for against what the judge finds in the samples."""
    figure, axes = plt.subplots(
        1, len(names), figsize=(4.2 * len(names), 4.0), layout="constrained", squeeze=False
    )
    for axis, metric in zip(axes[0], names, strict=True):
        name = metric.removeprefix("mae_")
        target: Any = table[f"target_{name}"].to_numpy()
        judged: Any = table[f"judged_{name}"].to_numpy()
        axis.plot(target, judged, ".", ms=3, alpha=0.4, color=MODEL)
        span = [np.nanmin(target), np.nanmax(target)]
        axis.plot(span, span, "--", color="#404040", lw=1)
        axis.set_xlabel(f"{name} asked for, {units[name]}")
        axis.set_ylabel(f"{name} by the judge, {units[name]}")
    return figure
