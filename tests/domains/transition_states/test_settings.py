import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from flowsci.domains.transition_states.settings import (
    NetworkSettings,
    ReactionSampling,
    ShareSplits,
    TransitionStatesData,
    TransitionStatesRun,
)
from flowsci.flow import GRIDS, METHODS
from flowsci.settings_files import read_settings

ROOT = Path(__file__).parents[3]


def test_methods_and_grids_of_the_settings_exist_in_the_flow_core():
    fields = ReactionSampling.model_fields
    assert set(get_args(fields["method"].annotation)) <= set(METHODS)
    assert set(get_args(fields["grid"].annotation)) <= set(GRIDS)


def test_the_runs_and_datasets_that_are_carried_are_valid():
    for path in (ROOT / "config/runs/transition_states").glob("*.yaml"):
        assert read_settings(path, TransitionStatesRun).domain == "transition_states"
    for path in (ROOT / "config/data/transition_states").glob("*.yaml"):
        assert read_settings(path, TransitionStatesData).level


def test_shares_must_sum_to_one():
    with pytest.raises(ValidationError, match=r"sum to 1\.1"):
        ShareSplits(kind="core", train=0.7, validation=0.2, test=0.2)


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="must divide"):
        NetworkSettings(width=16, heads=3)


def test_importing_the_domain_loads_no_heavy_library():
    code = (
        "import sys; import flowsci.domains.transition_states; "
        "heavy = ('torch', 'xarray', 'pandas', 'matplotlib', 'ase', 'rdkit', 'tblite'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
