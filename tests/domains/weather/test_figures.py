"""Every figure is drawn, has a caption, and says that a simulation is one."""

import itertools
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from flowsci.domains.weather.evaluate import evaluate
from flowsci.domains.weather.figures import figures
from flowsci.domains.weather.figures.maps import Map, draw_maps
from flowsci.domains.weather.settings import WeatherEvaluation
from flowsci.domains.weather.verification import verify

from .judged import make_prepared, make_rows
from .test_evaluate import generated

CAPTIONS = Path(__file__).parents[3] / "workflow/report/weather"
SETTINGS = WeatherEvaluation(bootstrap=100, functions=20)
CASES = {
    "forecast": {"skill_by_lead", "maps_1", "maps_2", "calibration", "spectra", "climate"},
    "downscale_4": {"downscale_1", "downscale_2", "calibration", "spectra"},
    "inpaint": {"inpaint_1", "inpaint_2", "calibration", "spectra"},
}


@pytest.fixture(autouse=True)
def _closed():
    with plt.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def texts(figure: plt.Figure) -> str:
    """Give all that is written in a figure beside its axes."""
    return " ".join(text.get_text() for text in figure.findobj(plt.Text))


@pytest.mark.parametrize("task", CASES)
def test_figures_of_a_task(task: str):
    prepared = make_prepared()
    rows = make_rows(prepared, task=task, starts=2, members=3, steps=20).load()
    drawn = generated(rows, prepared)
    found = figures(drawn, prepared, evaluate(drawn, prepared, SETTINGS))
    assert set(found) == CASES[task]
    for name, figure in found.items():
        captions = [CAPTIONS / f"{stem}.rst" for stem in (name, name.rpartition("_")[0])]
        assert any(path.exists() for path in captions), name
        assert "A simulation, not observed: SPEEDY T21" in texts(figure)


def test_no_text_of_a_map_lies_on_another():
    prepared = make_prepared()
    drawn = generated(make_rows(prepared, starts=2, members=3, steps=20).load(), prepared)
    ground = Map(verify(drawn, prepared), prepared.arrays["land"].values, 1)
    figure = draw_maps(ground, 0, [0, 9, 19])
    figure.canvas.draw()
    boxes = [
        text.get_window_extent()
        for axes in figure.axes
        for text in (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label)
        if text.get_text()
    ]
    assert len(boxes) > 3 * 6
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
    assert texts(figure).count("m s-1") == 2 * 3


def test_observed_fields_have_no_such_label_and_regions_are_drawn():
    prepared = make_prepared("region", simulation="")
    drawn = generated(make_rows(prepared, starts=2, members=3).load(), prepared)
    found = figures(drawn, prepared, evaluate(drawn, prepared, SETTINGS))
    for figure in found.values():
        figure.canvas.draw()
        assert "simulation" not in texts(figure)


def test_a_box_has_steps_and_no_dates_and_its_winds_are_drawn():
    prepared = make_prepared("periodic")
    drawn = generated(make_rows(prepared, starts=2, members=3, steps=20).load(), prepared)
    evaluation = evaluate(drawn, prepared, SETTINGS)
    assert "crps_fair_24_steps" in evaluation.metrics
    assert not any(name.endswith("h") for name in evaluation.metrics)
    found = figures(drawn, prepared, evaluation)
    assert set(found) == CASES["forecast"] | {"winds"}
    assert (CAPTIONS / "winds.rst").exists()
    for figure in found.values():
        figure.canvas.draw()
        written = texts(figure)
        assert "days" not in written
        assert "UTC" not in written
        assert not re.search(r"\d h\b", written)
    assert "lead / steps" in texts(found["winds"])


def test_an_event_is_drawn_also_where_it_is_all_but_impossible():
    prepared = make_prepared()
    rows = make_rows(prepared, members=20, starts=3, steps=1).load()
    z = np.random.default_rng(0).standard_normal((3, 20))
    log_weight = -z - np.array([[0], [0], [900]])
    region = np.zeros((3, *rows["fields"].shape[-2:]), dtype=np.float32)
    region[:, 4, 4] = 1
    event = {
        "log_weight": (("row", "realization"), log_weight),
        "quantity": (("row", "realization"), 280 + z),
        "region": (("row", "latitude", "longitude"), region),
        "event_channel": ("row", np.zeros(3, dtype=np.int64)),
        "threshold": ("row", np.full(3, 280.0)),
        "below": ("row", np.zeros(3, dtype=np.int64)),
    }
    drawn = generated(rows.assign(event).assign_attrs(task="event"), prepared)
    found = figures(drawn, prepared, evaluate(drawn, prepared, SETTINGS))
    assert set(found) == {"event"}
    assert (CAPTIONS / "event.rst").exists()
    found["event"].canvas.draw()
