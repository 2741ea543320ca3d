"""What all figures look like, and the label that a simulation has in each."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
MODEL, TRUTH, PLAIN, LINE = "#1f6fb4", "#d1495b", "#8d8d8d", "#222222"
FORECASTS = {
    "model": ("ensemble", MODEL, "o-"),
    "dressed_mean": ("own mean head", "#e0a030", "D"),
    "eof_ridge": ("EOF + ridge", "#5a9e6f", "-"),
    "damped_persistence": ("damped persistence", "#9467bd", "-"),
    "persistence": ("persistence", PLAIN, "--"),
    "climatology": ("climatology", LINE, ":"),
    "bilinear": ("bilinear", "#5a9e6f", "-"),
}


def lead_axis(hours: Sequence[float], in_box: bool) -> tuple[np.ndarray, str]:
    """Give leads as they are drawn, and their label: in days, or in steps of a box's record."""
    leads = np.asarray(hours)
    return (leads, "lead / steps") if in_box else (leads / 24, "lead / days")


def labelled(figure: Figure, simulation: str) -> Figure:
    """Say in the figure that its fields are of a simulation, where they are."""
    if simulation:
        text = f"A simulation, not observed: {simulation}"
        figure.supxlabel(text, fontsize=8, color=PLAIN, ha="right", x=0.995)
    return figure
