from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.cases import match
from flowsci.domains.trajectories.figures.density_maps import LEVELS, draws_of, mixture_of
from flowsci.domains.trajectories.figures.lead_times import lead_steps
from flowsci.domains.trajectories.mixtures import Mixture
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


@pytest.mark.parametrize("size", [1.0, 1e-4])
def test_regions_hold_what_they_say_however_narrow(size):
    """Of a Gaussian in 2-D, the border of the region p has the density (1 - p) / (2 pi)."""
    eye = torch.eye(2, dtype=torch.float64).expand(1, 1, 1, 2, 2)
    one = torch.ones(1, 1, dtype=torch.float64)
    drawn = draws_of(Mixture(one, torch.zeros_like(eye[..., 0]), size**2 * eye), 0)
    expected = [(1 - level) / (2 * np.pi * size**2) for level in LEVELS]
    assert np.allclose(drawn.levels, expected, rtol=0.06)


def test_a_page_shows_all_futures_and_the_largest_region(figures, read, prepared):
    scene = int(read.table["scene"].min())
    cases = match(read, prepared)
    windows = np.flatnonzero(cases.scene == scene)
    region = draws_of(mixture_of(cases, windows), cases.future.shape[1] - 1).densest
    left, middle = figures[f"scene_{scene}"].axes[:2]
    for axis in (left, middle):
        for points in (cases.samples[windows][..., :2].reshape(-1, 2), region):
            low, high = np.transpose([axis.get_xlim(), axis.get_ylim()])
            assert ((points > low) & (points < high)).all()


@pytest.mark.parametrize(("steps", "picked"), [(12, [2, 5, 8, 11]), (1, [0]), (2, [0, 1])])
def test_lead_times_are_evenly_spaced_and_end_with_the_last(steps, picked):
    assert lead_steps(steps) == picked
