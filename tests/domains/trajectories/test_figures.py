from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.figures.density_maps import LEVELS, region_levels
from flowsci.domains.trajectories.figures.lead_times import lead_steps
from flowsci.domains.trajectories.settings import TrajectoriesEvaluation

matplotlib.use("agg")
CAPTIONS = Path(__file__).parents[3] / "workflow/report/trajectories"


@pytest.fixture(scope="module")
def read(tmp_path_factory, drawn, prepared):
    folder = tmp_path_factory.mktemp("samples")
    domain.export(drawn, prepared, folder)
    return domain.read_samples(folder)


def figures_of(read, prepared):
    settings = TrajectoriesEvaluation(bootstrap=100, density_draws=50)
    return domain.figures(read, prepared, domain.evaluate(read, prepared, settings))


@pytest.fixture(scope="module")
def figures(read, prepared):
    from matplotlib import pyplot

    yield figures_of(read, prepared)
    pyplot.close("all")


def test_every_figure_has_a_caption(figures):
    names = {name.rsplit("_", 1)[0] if name.startswith("scene_") else name for name in figures}
    of_climbs_only = {"climb_bands"}
    assert names | of_climbs_only == {path.stem for path in CAPTIONS.glob("*.rst")} | of_climbs_only


def test_each_page_is_of_a_scene_that_was_sampled(figures, read):
    pages = {int(name.removeprefix("scene_")) for name in figures if name.startswith("scene_")}
    assert pages
    assert pages <= set(read.table["scene"])


def test_a_fan_has_every_future_of_every_agent(figures, read):
    scene = read.table["scene"].min()
    futures = figures[f"scene_{scene}"].axes[0].collections[0]
    assert len(futures.get_segments()) == 3 * read.table.query("scene == @scene")["agent"].nunique()


def test_a_model_without_a_density_has_the_same_figures(figures, read, prepared):
    from matplotlib import pyplot

    assert set(figures_of(replace(read, density=None), prepared)) == set(figures)
    pyplot.close("all")


def test_regions_hold_what_they_say():
    """Of a Gaussian in 2-D, the border of the region p has the density (1 - p) / (2 pi)."""
    limits = np.array([[-6.0, 6], [-6, 6]])
    axis = np.linspace(-6, 6, 140)
    density = np.exp(-(axis[:, None] ** 2 + axis**2) / 2) / (2 * np.pi)
    expected = [(1 - level) / (2 * np.pi) for level in LEVELS]
    assert np.allclose(region_levels(density, 1.0, limits), expected, rtol=0.03)


@pytest.mark.parametrize(("steps", "picked"), [(12, [2, 5, 8, 11]), (1, [0]), (2, [0, 1])])
def test_lead_times_are_evenly_spaced_and_end_with_the_last(steps, picked):
    assert lead_steps(steps) == picked
