"""A mistake in a settings file is named with file, key and what is allowed."""

import pytest

from flowsci.errors import FlowsciError
from flowsci.settings import DataSettings, TrainingSettings
from flowsci.settings_files import overlaid, read_settings, read_yaml

DATA = """
domain: trajectories
title: Made tracks
licence: MIT
citation: Nobody
source:
  kind: wheel
  package: tracks
  version: "1.0"
  sha256: "{sha}"
  members: [a.json]
""".format(sha="0" * 64)


def write(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return path


def message(path, model):
    with pytest.raises(FlowsciError) as caught:
        read_settings(path, model)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_right_file_is_read(tmp_path):
    settings = read_settings(write(tmp_path, DATA), DataSettings)
    assert settings.source.package == "tracks"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("steps: 10\nminutes: 1\nlerning_rate: 1", ["lerning_rate", "learning_rate", "Allowed"]),
        ("steps: -10\nminutes: 1", ["steps", "greater than 0", "-10"]),
        ("steps: true\nminutes: 1", ["steps", "expected a number, found true"]),
        ("steps: ten\nminutes: 1", ["steps", "ten"]),
        ("minutes: 1", ["steps", "required", "Optimiser steps in all"]),
        ("steps: 10\nminutes: 10 min", ["minutes", "10 min"]),
        ("steps: 10\nminutes: .nan", ["minutes", "finite"]),
        ("steps: 10\nminutes: 1\nsnapshot_seconds: 5", ["snapshot_seconds", "snapshot_minutes"]),
        ("steps: 10\nminutes: 1\nsteps: 11", ["steps", "twice", "line 3"]),
        ("steps: [10", ["not valid YAML"]),
        ("- steps", ["expected keys and values"]),
        ("steps: !!python/object/apply:os.getcwd []", ["not valid YAML"]),
    ],
)
def test_mistakes_are_named(tmp_path, text, parts):
    found = message(write(tmp_path, text), TrainingSettings)
    for part in parts:
        assert part in found


def test_a_key_inside_a_source_is_checked_against_its_kind(tmp_path):
    found = message(write(tmp_path, DATA + "  mirrors: [x]\n"), DataSettings)
    assert "source.mirrors: unknown key" in found
    assert "members" in found


def test_every_mistake_is_reported_at_once(tmp_path):
    found = message(write(tmp_path, "steps: 0\nminutes: 0\nfoo: 1"), TrainingSettings)
    assert len(found.splitlines()) == 3


def test_scientific_notation_without_a_point_is_a_number(tmp_path):
    path = write(tmp_path, "steps: 10\nminutes: 1\nlearning_rate: 1e-3")
    assert read_settings(path, TrainingSettings).learning_rate == 0.001


def test_a_file_extends_another_section_by_section(tmp_path):
    (tmp_path / "base.yaml").write_text("steps: 10\nminutes: 1\nseed: 3")
    (tmp_path / "middle.yaml").write_text("extends: base\nsteps: 20")
    settings = read_settings(write(tmp_path, "extends: middle\nminutes: 2"), TrainingSettings)
    assert (settings.steps, settings.minutes, settings.seed) == (20, 2, 3)


def test_another_kind_replaces_the_whole_section():
    base = {"source": {"kind": "wheel", "package": "tracks"}, "flow": {"draws": 4, "steps": 2}}
    changes = {"source": {"kind": "path", "path": "a"}, "flow": {"draws": 1}}
    laid = overlaid(base, changes)
    assert laid == {"source": {"kind": "path", "path": "a"}, "flow": {"draws": 1, "steps": 2}}
    same = overlaid(base, {"source": {"kind": "wheel", "version": "1"}})
    assert same["source"] == {"kind": "wheel", "package": "tracks", "version": "1"}


@pytest.mark.parametrize(
    ("base", "part"),
    [("nobody", "there is no file"), ("file", "leads back"), ("../file", "the name of a file")],
)
def test_a_base_that_cannot_be_extended_is_named(tmp_path, base, part):
    path = write(tmp_path, f"extends: {base}\nsteps: 1")
    with pytest.raises(FlowsciError, match=part):
        read_yaml(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FlowsciError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
