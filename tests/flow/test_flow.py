"""The package as a whole."""

import subprocess
import sys
from dataclasses import fields, is_dataclass

import pytest
import torch
from catalogue import METHODS, PATHS, SOURCES, TIMES, concrete, label

import flowsci.flow as flow


def test_the_public_names_exist_once():
    assert len(flow.__all__) == len(set(flow.__all__))
    assert all(hasattr(flow, public) for public in flow.__all__)


def test_importing_the_core_loads_no_library_but_torch():
    code = (
        "import sys, torch; before = set(sys.modules); import flowsci.flow; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new & {'scipy', 'ot', 'pandas', 'xarray', 'pydantic'}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("item", [*PATHS, *SOURCES, *TIMES, *METHODS], ids=label)
def test_parts_are_frozen_records_of_settings(item):
    assert is_dataclass(item)
    for entry in fields(item):
        with pytest.raises(AttributeError):
            setattr(item, entry.name, None)
    assert not [entry for entry in fields(item) if isinstance(entry.default, torch.Tensor)]


@pytest.mark.parametrize(
    "base", [flow.Path, flow.Source, flow.Times, flow.Method, flow.Prediction, flow.Diffusion]
)
def test_every_kind_of_part_is_exported(base):
    here = sys.modules[base.__module__]
    kinds = {
        kind
        for name, kind in vars(here).items()
        if isinstance(kind, type) and issubclass(kind, base) and not name.startswith("_")
    }
    abstract = {kind for kind in kinds if getattr(kind, "__abstractmethods__", None)}
    families = {"RungeKutta"}
    missing = {k.__name__ for k in kinds - abstract - set(concrete(base))} - families
    assert not missing
