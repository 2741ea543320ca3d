import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from flowsci.domains.trajectories.settings import (
    NetworkSettings,
    SceneSampling,
    SharesSplit,
    TrajectoriesData,
    TrajectoriesRun,
    WindowSettings,
)
from flowsci.errors import FlowsciError
from flowsci.flow import GRIDS, METHODS
from flowsci.runs import load_run
from flowsci.settings_files import check_settings

ROOT = Path(__file__).parents[3]


def test_methods_and_grids_of_the_settings_exist_in_the_flow_core():
    fields = SceneSampling.model_fields
    assert set(get_args(fields["method"].annotation)) <= set(METHODS)
    assert set(get_args(fields["grid"].annotation)) <= set(GRIDS)


def test_the_demo_run_and_its_dataset_are_valid():
    run = load_run(ROOT / "config/runs/trajectories/demo.yaml")
    assert run.data.settings.windows.observed_steps == 8
    assert run.data.settings.windows.predicted_steps == 12
    assert run.settings.sampling.samples == 20


def test_shares_must_sum_to_one():
    with pytest.raises(ValidationError, match=r"sum to 1\.1"):
        SharesSplit(train=0.7, validation=0.2, test=0.2)


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="must divide"):
        NetworkSettings(width=16, heads=3)


def test_importing_the_domain_loads_no_heavy_library():
    code = (
        "import sys; import flowsci.domains.trajectories; "
        "print([m for m in ('torch', 'xarray', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_future_too_short_to_level_off_in_is_refused():
    with pytest.raises(ValueError, match="shows no one level off"):
        WindowSettings(step_seconds=5, predicted_steps=4, climb={"over_seconds": 30})


def test_a_future_of_climbs_is_whole_tens_of_seconds():
    with pytest.raises(ValueError, match="96 s is no multiple of 10 s"):
        WindowSettings(step_seconds=12, predicted_steps=8, climb={"over_seconds": 30})


@pytest.mark.parametrize(
    "source", [{"kind": "simulate"}, {"kind": "store", "address": "mine.zarr"}]
)
def test_a_source_that_the_domain_does_not_read_is_refused(source):
    known = {"domain": "trajectories", "title": "x", "licence": "x", "citation": "x"}
    known["tracks"] = {"kind": "frames", "unit": "m"}
    with pytest.raises(FlowsciError, match=r"trajectories has no '.*'; there are: wheel, url"):
        check_settings(known | {"source": source}, TrajectoriesData, "made")


@pytest.mark.parametrize("head", ["modes", "density"])
def test_a_head_without_modes_is_refused_before_training(head):
    known = load_run(ROOT / "config/runs/trajectories/demo.yaml").settings.model_dump(mode="json")
    known["network"]["modes"] = 0
    known["sampling"]["head"] = head
    with pytest.raises(FlowsciError, match=f"'{head}' draws from modes, and network.modes is 0"):
        check_settings(known, TrajectoriesRun, "made")
