"""Figures of weighted conformers: torsions' free energies, and the weights."""

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from flowsci.domains.molecules.equilibrium.evaluate import Cells
from flowsci.domains.molecules.equilibrium.profiles import BINS
from flowsci.domains.molecules.figures import MODEL, REAL, STYLE, WRONG
from flowsci.store.metrics import Evaluation

HIGHEST_KT = 10.0


def figures(evaluation: Evaluation) -> Mapping[str, Figure]:
    """Draw the figures by name; captions stand in `workflow/report/molecules/`."""
    details = evaluation.details
    with plt.rc_context(STYLE):
        return {
            "torsions": draw_torsions(details["torsions"], details["weights"], details["equal"]),
            "weights": draw_weights(details["weights"]),
        }


def draw_torsions(torsions: list[Cells], weights: np.ndarray, equal: np.ndarray) -> Figure:
    """Draw free energies along each torsion: unweighted, weighted, and of the chains."""
    figure, axes = plt.subplots(
        1, len(torsions), figsize=(5.4 * len(torsions), 4.0), layout="constrained", squeeze=False
    )
    degrees = (np.arange(BINS) + 0.5) / BINS * 360 - 180
    for axis, cells in zip(axes[0], torsions, strict=True):
        share, error = cells.shares(weights)
        lowest = free_energy(cells.reference).min()
        band = (
            free_energy(cells.reference + sign * cells.reference_error) - lowest for sign in (1, -1)
        )
        axis.fill_between(degrees, *band, color=REAL, alpha=0.5, lw=0, label="chains")
        raw = free_energy(cells.shares(equal)[0]) - lowest
        axis.plot(degrees, raw, "--", color=WRONG, lw=1, label="samples, unweighted")
        seen = share > 0
        axis.errorbar(
            degrees[seen],
            free_energy(share[seen]) - lowest,
            error[seen] / share[seen],
            fmt=".",
            color=MODEL,
            label="samples, weighted",
        )
        axis.set(xlabel=f"{cells.name}, degrees", ylabel="free energy, kT", ylim=(-0.5, HIGHEST_KT))
        axis.set_xticks(range(-180, 181, 60))
    axes[0, 0].legend()
    return figure


def draw_weights(weights: np.ndarray) -> Figure:
    """Draw the logarithms of the weights, in multiples of the mean weight."""
    figure, axis = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
    values = np.log10(weights[weights > 0] * len(weights))
    low = np.quantile(values, 0.005)
    # what lies below is counted at the rim
    axis.hist(np.clip(values, low, None), 60, color=MODEL)
    axis.axvline(0, color="#404040", lw=1, ls="--")
    axis.set(xlabel="weight over the mean weight, log10", ylabel="samples")
    return figure


def free_energy(share: np.ndarray) -> np.ndarray:
    """Give minus the logarithm of shares, infinite where there is nothing."""
    with np.errstate(divide="ignore"):
        return -np.log(np.maximum(share, 0))
