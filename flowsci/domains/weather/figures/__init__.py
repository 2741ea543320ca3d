"""Figures of a run by name; captions stand in `workflow/report/weather/`."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from flowsci.domains.weather.export import Generated
from flowsci.domains.weather.figures.curves import (
    draw_calibration,
    draw_climate,
    draw_skill,
    draw_spectra,
    draw_winds,
)
from flowsci.domains.weather.figures.events import draw_event
from flowsci.domains.weather.figures.maps import Map, draw_maps, draw_task
from flowsci.domains.weather.figures.style import STYLE, labelled
from flowsci.domains.weather.verification import Verification
from flowsci.store.metrics import Evaluation
from flowsci.store.prepared import Prepared

MOST_MAPS = 2
_MIDDLE = {False: 120, True: 10}
"""Lead between the first and the last that is mapped: hours, or steps in a box."""


def figures(
    generated: Generated, prepared: Prepared, evaluation: Evaluation
) -> Mapping[str, Figure]:
    """Draw the figures of a run; each says where its fields are of a simulation."""
    simulation = prepared.arrays.attrs["simulation"]
    with plt.rc_context(STYLE):
        drawn = dict(_drawn(prepared, evaluation))
        return {name: labelled(figure, simulation) for name, figure in drawn.items()}


def _drawn(prepared: Prepared, evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    verification: Verification = evaluation.details["verification"]
    if verification.task == "event":
        field = verification.generated.ensemble["event_quantity"].attrs["field"]
        yield "event", draw_event(evaluation.details["event"], field)
        return
    judged, names = evaluation.details["judged"], verification.names
    named = [one for one in judged if "drawn" in one.model]
    if verification.is_forecast:
        yield "skill_by_lead", draw_skill(evaluation)
    kind = "maps" if verification.is_forecast else verification.task.partition("_")[0]
    for channel in range(min(MOST_MAPS, len(names))):
        ground = Map(verification, prepared.arrays["land"].values, channel)
        yield f"{kind}_{channel + 1}", _maps(ground)
    if verification.size > 1:
        yield "calibration", draw_calibration(named, names, evaluation.details["exceedance"])
    yield "spectra", draw_spectra(named, names, evaluation.details["spectrum"])
    if verification.is_forecast and "kinetic_energy" in evaluation.tables["skill_by_lead"]:
        yield "winds", draw_winds(evaluation)
    if "climate_by_lead" in evaluation.tables:
        yield "climate", draw_climate(evaluation, names)


def _maps(ground: Map) -> Figure:
    """Draw the case in the middle of all, at the first lead, the last, and one between."""
    verification = ground.verification
    known = np.flatnonzero((verification.truths >= 0).all(axis=0))
    known = known if len(known) else np.array([0])
    case = len(verification.starts) // 2
    if verification.is_forecast:
        middle = known[np.abs(verification.leads[known] - _MIDDLE[verification.in_box]).argmin()]
        return draw_maps(ground, case, sorted({int(known[0]), int(middle), int(known[-1])}))
    truth = verification.truth(case, 0)
    if verification.task == "inpaint":
        given = np.where(verification.given(case), truth, np.nan)
        return draw_task(ground, case, ground.in_units(given), "given")
    factor = int(verification.task.rpartition("_")[2])
    coarse = verification.anomalies.grid.coarsen(torch.from_numpy(truth), factor).numpy()
    blocks = coarse.repeat(factor, axis=1).repeat(factor, axis=2)
    given = blocks[:, : truth.shape[1], : truth.shape[2]]
    return draw_task(ground, case, ground.in_units(given), f"given: means of {factor} x {factor}")
