"""Model files: read as written, and refused by name when they do not fit."""

import json
import stat

import pytest
import torch
from torch import nn

from flowsci.errors import FlowsciError
from flowsci.store import models
from flowsci.store.models import load_weights, read_model, write_model


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path, nn.Linear(3, 2).state_dict(), {"domain": "weather", "units": {"t": "K"}})
    return tmp_path


def change(folder, **values):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_is_written_is_read(folder):
    state, description = read_model(folder, "weather")
    network = nn.Linear(3, 2)
    load_weights(network, state, folder)
    assert torch.equal(network.weight, state["weight"])
    assert description["units"] == {"t": "K"}
    assert description["weights"]["dtypes"] == ["float32"]
    assert (folder / "model.safetensors").stat().st_mode & stat.S_IRGRP


def test_a_model_of_another_domain_is_refused(folder):
    with pytest.raises(FlowsciError, match="of the domain 'weather', expected 'molecules'"):
        read_model(folder, "molecules")


def test_a_newer_model_is_refused(folder):
    change(folder, format=99, flowsci="9.0")
    with pytest.raises(FlowsciError, match=r"format 99, written by flowsci 9\.0"):
        read_model(folder, "weather")


def test_changed_weights_are_refused(folder):
    other = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
    elsewhere = folder / "other"
    elsewhere.mkdir()
    write_model(elsewhere, other, {"domain": "weather"})
    (elsewhere / "model.safetensors").replace(folder / "model.safetensors")
    with pytest.raises(FlowsciError, match=r"is not the file that model\.json describes"):
        read_model(folder, "weather")


def test_a_truncated_file_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FlowsciError, match="cannot be read"):
        read_model(folder, "weather")
    (folder / "model.json").write_text("[]")
    with pytest.raises(FlowsciError, match="does not describe a model"):
        read_model(folder, "weather")
    (folder / "model.json").unlink()
    with pytest.raises(FlowsciError, match="train the run first"):
        read_model(folder, "weather")


def test_weights_that_do_not_fit_are_named(folder):
    state, _ = read_model(folder, "weather")
    state["extra"] = torch.zeros(1)
    with pytest.raises(FlowsciError) as caught:
        load_weights(nn.Linear(4, 2), state, folder)
    message = str(caught.value)
    assert "2 weights do not fit" in message
    assert "extra: expected none, found (1,)" in message
    assert "weight: expected (2, 4), found (2, 3)" in message


def test_tied_weights_are_written(tmp_path):
    tied = torch.randn(2, 2)
    write_model(tmp_path, {"a": tied, "b": tied.T}, {"domain": "weather"})
    state, _ = read_model(tmp_path, "weather")
    assert torch.equal(state["a"], state["b"].T)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("format", "does not describe a model"), ("domain", "lacks domain"), ("weights", "lacks wei")],
)
def test_a_description_without_its_parts_is_refused(folder, missing, message):
    path = folder / "model.json"
    description = json.loads(path.read_text())
    del description[missing]
    path.write_text(json.dumps(description))
    with pytest.raises(FlowsciError, match=message):
        read_model(folder, "weather")


def test_older_descriptions_are_brought_up_step_by_step(folder, monkeypatch):
    def upgrade(name):
        return lambda description: {**description, "steps": [*description.get("steps", []), name]}

    monkeypatch.setattr(models, "FORMAT", 3)
    monkeypatch.setattr(models, "UPGRADES", {1: upgrade("one"), 2: upgrade("two")})
    assert read_model(folder, "weather")[1]["steps"] == ["one", "two"]
