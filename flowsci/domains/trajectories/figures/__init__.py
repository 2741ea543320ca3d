"""Figures of a run by name; captions stand in `workflow/report/trajectories/`."""

from collections.abc import Mapping

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from flowsci.domains.trajectories.cases import Drawn, match
from flowsci.domains.trajectories.figures.climbs import draw_climbs
from flowsci.domains.trajectories.figures.density_maps import draw_densities
from flowsci.domains.trajectories.figures.lead_times import draw_calibration, draw_lead_errors
from flowsci.domains.trajectories.figures.scenes import busy_scenes, draw_page, draw_scenes
from flowsci.domains.trajectories.figures.style import STYLE
from flowsci.store.metrics import Evaluation
from flowsci.store.prepared import Prepared


def figures(drawn: Drawn, prepared: Prepared, evaluation: Evaluation) -> Mapping[str, Figure]:
    """Draw the figures of a run, and a page for each of a few scenes."""
    cases, attributes = match(drawn, prepared), prepared.arrays.attrs
    chosen = busy_scenes(cases)
    with plt.rc_context(STYLE):
        return {
            "scenes": draw_scenes(cases, prepared, chosen),
            "error_by_lead_time": draw_lead_errors(evaluation, cases),
            "calibration": draw_calibration(evaluation, cases),
            "density_by_lead_time": draw_densities(cases, chosen),
            **({"climb_bands": draw_climbs(cases, prepared)} if "climb" in attributes else {}),
            **{f"scene_{scene}": draw_page(cases, prepared, scene) for scene in chosen},
        }
