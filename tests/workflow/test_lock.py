"""Pinned versions: one set for pip and conda, that fits the project and says nothing of hosts."""

import runpy

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .conftest import ROOT

LOCK = runpy.run_path(str(ROOT / "envs/lock.py"))
PINS = LOCK["read_lock"]()
PROJECT = LOCK["project"]()
EXTRAS = PROJECT["optional-dependencies"]


def test_the_files_are_as_they_would_be_written():
    assert (ROOT / "requirements.lock").read_text(encoding="utf-8") == LOCK["lock_text"](PINS)
    assert (ROOT / "envs/flowsci.yaml").read_text(encoding="utf-8") == LOCK["environment_text"](
        PINS
    )


@pytest.mark.parametrize(
    "entry", [*PROJECT["dependencies"], *(entry for extra in EXTRAS.values() for entry in extra)]
)
def test_every_dependency_is_pinned_within_its_range(entry: str):
    wanted = Requirement(entry)
    assert wanted.specifier.contains(PINS[canonicalize_name(wanted.name)])


def test_conda_has_the_same_pins():
    environment = yaml.safe_load((ROOT / "envs/flowsci.yaml").read_text(encoding="utf-8"))
    pins = dict(line.split("==") for line in environment["dependencies"][-1]["pip"])
    assert pins == {name: PINS[name] for name in LOCK["direct_dependencies"]()}


def test_only_names_and_public_versions_are_written():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in lines)
    assert not any(mark in text for mark in ("+", "/", "@", " --"))
    assert PINS["torch"] == "2.13.0"
