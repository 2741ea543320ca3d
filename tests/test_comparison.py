"""Several runs in one table: what a user reads, in CSV and HTML."""

import json

import pandas as pd
import pytest

from flowsci.comparison import compare
from flowsci.errors import FlowsciError


def write(folder, name, **scores):
    place = folder / "trajectories" / name / "evaluation"
    place.mkdir(parents=True)
    metrics = {
        key: {
            "model": value,
            "reference": None,
            "baselines": {"constant_velocity": 2 * value},
            "unit": "m",
            "better": "lower",
            "count": 3,
            "interval": [value, value],
        }
        for key, value in scores.items()
    }
    (place / "metrics.json").write_text(json.dumps({"metrics": metrics}))
    return place


def test_a_row_is_a_score_and_a_column_a_run(tmp_path):
    first = write(tmp_path, "eth", min_ade_20=0.4, nll=1.0)
    second = write(tmp_path, "hotel", min_ade_20=0.2)
    compare([first, second], "Folds", tmp_path / "table", mean=True)
    table = pd.read_csv(tmp_path / "table/table.csv").set_index(["metric", "of"])
    row = table.loc["min_ade_20", "model"]
    assert (row["eth"], row["hotel"], row["unit"]) == (0.4, 0.2, "m")
    assert row["mean"] == pytest.approx(0.3)
    assert table.loc[("min_ade_20", "constant_velocity"), "mean"] == pytest.approx(0.6)
    assert table.loc["nll"][["hotel", "mean"]].isna().all().all()
    page = (tmp_path / "table/table.html").read_text()
    assert "<h1>Folds</h1>" in page
    assert "0.3</td>" in page
    assert "–</td>" in page


def test_runs_that_differ_in_kind_have_no_mean(tmp_path):
    folders = [write(tmp_path, name, nll=value) for name, value in (("one", 1.0), ("two", 2.0))]
    table = compare(folders, "Steps", tmp_path / "table")
    assert list(table.columns) == ["metric", "of", "unit", "better", "one", "two"]
    assert ">mean<" not in (tmp_path / "table/table.html").read_text()


def test_runs_of_one_name_are_refused(tmp_path):
    folder = write(tmp_path, "eth", nll=1.0)
    with pytest.raises(FlowsciError, match="names of their own"):
        compare([folder, folder], "Twice", tmp_path / "table")


def test_a_run_without_measures_is_named(tmp_path):
    with pytest.raises(FlowsciError, match=r"metrics\.json: cannot be read.*Evaluate the run"):
        compare([tmp_path / "eth" / "evaluation"], "None", tmp_path / "table")
