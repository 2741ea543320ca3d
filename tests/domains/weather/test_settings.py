"""Settings that fit together, and those that are refused because one of them would do nothing."""

from pathlib import Path

import pytest

import flowsci
from flowsci.domains.weather.data_settings import WeatherData
from flowsci.domains.weather.settings import WeatherRun
from flowsci.errors import FlowsciError
from flowsci.runs import load_run
from flowsci.settings_files import check_settings, overlaid

CONFIG = Path(flowsci.__file__).parents[1] / "config"
EVENT = {
    "kind": "event",
    "channel": "temperature_850",
    "region": {"south": 0, "north": 10, "west": 0, "east": 10},
    "threshold": 290.0,
}
RUN = {
    "domain": "weather",
    "data": "speedy",
    "title": "A run",
    "training": {"steps": 1, "minutes": 1},
    "sampling": {"samples": 2, "steps": 1, "method": "euler"},
}
DATA = {
    "domain": "weather",
    "title": "x",
    "licence": "x",
    "citation": "x",
    "source": {"kind": "path", "path": "x"},
    "fields": {
        "kind": "store",
        "variables": [{"name": "temperature", "source_name": "t", "units": "K"}],
    },
    "splits": {"kind": "shares"},
}
TURBULENCE = {"source": {"kind": "simulate"}, "fields": {"kind": "simulated"}}
WIND = {"name": "u", "source_name": "u", "units": "m s-1", "vector": "u", "partner": "v"}


def check(changes, base=RUN, model=WeatherRun):
    return check_settings(overlaid(base, changes), model, "a.yaml")


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"lead_hours": [6, 24]}},
        {"training": {"lead_hours": [6]}, "sampling": {"task": {**EVENT, "lead_hours": 6}}},
        {"training": {"tasks": {"inpaint": 1}}, "sampling": {"task": {"kind": "inpaint"}}},
        {"sampling": {"task": EVENT, "conserve_mass": True}},
        {"flow": {"kind": "student"}, "teacher": "full"},
        {"flow": {"divergence": "learned", "unroll_steps": 3, "divergence_weight": 0.5}},
    ],
)
def test_runs_that_fit_together_pass(changes):
    check(changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sampling": {"task": {"kind": "downscale"}}},
            r"sampling.task.kind: 'downscale' needs a model that learns to downscale; give "
            r"training.tasks.downscale a weight",
        ),
        (
            {
                "training": {"tasks": {"forecast": 0, "inpaint": 1}},
                "sampling": {"task": EVENT},
            },
            r"sampling.task.kind: 'event' needs a model that learns to forecast",
        ),
        (
            {"training": {"lead_hours": [6, 12]}},
            r"sampling.task.lead_hours: 24 is none of the leads .*lead_hours: 6, 12\)",
        ),
        (
            {"sampling": {"task": {**EVENT, "lead_hours": 48}}},
            r"sampling.task.lead_hours: 48 is none",
        ),
        (
            {"flow": {"noise": "student_t"}, "sampling": {"task": EVENT}},
            r"events need Gaussian noise; train with flow.noise",
        ),
        (
            {
                "training": {"tasks": {"downscale": 1}},
                "sampling": {"task": {"kind": "downscale"}, "conserve_mass": True},
            },
            r"conserve_mass: to downscale starts from no state",
        ),
        (
            {"flow": {"unroll_steps": 2}},
            r"unroll_steps without effect: .* 'free' is not 'learned'",
        ),
        (
            {"flow": {"divergence": "projected", "divergence_weight": 2}},
            r"divergence_weight without effect: .* 'projected'",
        ),
        (
            {"flow": {"kind": "student"}, "sampling": {"steps": 4}},
            r"a student draws in one call; set steps to 1",
        ),
        (
            {"flow": {"kind": "student"}, "sampling": {"method": "heun"}},
            r"a student draws in one call; .* method to 'euler'",
        ),
        (
            {"flow": {"kind": "student", "spectral_weight": 1}, "teacher": "full"},
            r"flow\.spectral_weight without effect: the student's mean",
        ),
        (
            {"flow": {"kind": "student", "mean_share": 0.3}, "teacher": "full"},
            r"flow\.mean_share without effect: the student's mean",
        ),
        (
            {"network": {"kind": "transformer", "heads": 5}},
            r"heads \(5\) must divide width \(128\)",
        ),
        (
            {
                "training": {"tasks": {"inpaint": 1}},
                "sampling": {
                    "task": {
                        "kind": "inpaint",
                        "mask": {
                            "kind": "stations",
                            "stations": [{"latitude": 0, "longitude": 0}],
                            "count": 9,
                        },
                    }
                },
            },
            r"count without effect: `stations` are given",
        ),
        ({"training": {"tasks": {"forecast": 0}}}, "at least one task needs a weight above 0"),
        ({"sampling": {"task": {**EVENT, "observation": 1}}}, "give a threshold or an observation"),
        (
            {"sampling": {"task": {**EVENT, "observation_error": 1}}},
            "observation and observation_error go together",
        ),
    ],
)
def test_settings_that_would_do_nothing_or_wrong_are_refused(changes, message):
    with pytest.raises(FlowsciError, match=message):
        check(changes)


def test_a_run_is_held_against_the_model_that_another_trains(tmp_path):
    runs, data = tmp_path / "runs" / "weather", tmp_path / "data" / "weather"
    for folder, name in ((runs, "demo"), (data, "speedy"), (data, "speedy_simulate")):
        folder.mkdir(parents=True, exist_ok=True)
        content = (CONFIG / folder.relative_to(tmp_path) / f"{name}.yaml").read_text()
        (folder / f"{name}.yaml").write_text(content)
    other = runs / "other.yaml"
    # its own sections would fit, but they aren't the model's
    other.write_text(
        "extends: demo\ntrained_by: demo\ntraining:\n  tasks:\n    inpaint: 1\n"
        "sampling:\n  task:\n    kind: inpaint\n"
    )
    with pytest.raises(FlowsciError, match=r"with the model of .*demo.yaml.*learns to inpaint"):
        load_run(other)
    other.write_text("extends: demo\ntrained_by: demo\nsampling:\n  steps: 1\n")
    assert load_run(other).model == "demo"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fields": {"orography_is_geopotential": True}}, "name the variable in orography too"),
        (
            {"fields": {"variables": [{**WIND, "partner": None}]}},
            "u: vector and partner go together",
        ),
        ({"fields": {"variables": [WIND]}}, "u and v must be partners"),
        (
            {"fields": {"variables": [WIND, {**WIND, "name": "v", "partner": "u"}]}},
            "u and v are both the part 'u' of a wind",
        ),
        ({"fields": {"variables": [WIND, WIND]}}, "two variables have the same name"),
        (
            {"fields": {"region": {"south": 5, "north": 5, "west": 0, "east": 1}}},
            r"south \(5\) must be below north \(5\)",
        ),
        ({"simulation": {"kind": "kolmogorov"}}, "simulation: .* remove it, for a 'path'"),
        ({"source": {"kind": "simulate"}, "fields": {"kind": "simulated"}}, "it is missing"),
        (
            {"source": {"kind": "simulate"}, "simulation": {"kind": "kolmogorov"}},
            "fields.kind: must be 'simulated'",
        ),
        (
            {
                "source": {"kind": "simulate"},
                "fields": {"kind": "simulated"},
                "simulation": {"kind": "speedy", "step_hours": 7, "chunk_days": 1},
            },
            "step_hours must divide chunk_days",
        ),
        (
            TURBULENCE | {"simulation": {"kind": "kolmogorov", "step_time": 0.009}},
            r"step_time \(0.009\) must be a multiple of time_step \(0.02\)",
        ),
        (
            TURBULENCE | {"simulation": {"kind": "kolmogorov", "time_step": 0.017}},
            r"step_time \(0.5\) must be a multiple of time_step \(0.017\)",
        ),
        (
            TURBULENCE
            | {"simulation": {"kind": "kolmogorov", "cells": 48, "forcing_wavenumber": 16}},
            r"forcing_wavenumber \(16\) must be below a third of cells \(48\)",
        ),
        ({"fields": {"start": "1990"}}, r"fields\.start"),
        # records are of whole hours
        ({"fields": {"end": "1990-01-01T06:30"}}, r"fields\.end: .*'1990-01-01T06:30'"),
    ],
)
def test_dataset_files_that_cannot_be_are_refused(changes, message):
    check({}, DATA, WeatherData)
    with pytest.raises(FlowsciError, match=message):
        check(changes, DATA, WeatherData)
