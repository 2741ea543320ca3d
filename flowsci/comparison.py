"""The measures of several runs in one table: folds, with their mean, seeds, variants."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from flowsci.errors import FlowsciError
from flowsci.report import figures, page_environment
from flowsci.store.staging import staged

OWN = ("metric", "of", "unit", "better", "mean")


def compare(
    evaluations: Sequence[Path], title: str, output: Path, *, mean: bool = False
) -> pd.DataFrame:
    """Write `table.csv` and `table.html` into the folder `output` and give the table.

    `evaluations` are folders `<run>/evaluation`. A row is a measure of the model, the reference or
    a baseline; a column is a run, and `mean`, if asked for, the plain mean over the runs. A measure
    that a run lacks is left empty, and so is its mean. Raises `FlowsciError` where runs share a
    name.
    """
    names = [folder.absolute().parent.name for folder in evaluations]
    if len(set(names)) < len(names) or set(names) & set(OWN):
        raise FlowsciError(f"Runs to compare need names of their own; these are {names}.")
    columns = {
        name: _scores(folder / "metrics.json")
        for name, folder in zip(names, evaluations, strict=True)
    }
    measures = dict.fromkeys(key for scores in columns.values() for key in scores)
    table = pd.DataFrame(list(measures), columns=["metric", "of", "unit", "better"])
    for name, scores in columns.items():
        table[name] = [scores.get(row) for row in measures]
    shown = list(names)
    if mean:
        table["mean"] = table[names].astype(float).mean(axis=1, skipna=False)
        shown.append("mean")
    with staged(output) as folder:
        table.to_csv(folder / "table.csv", index=False)
        page = page_environment().get_template("comparison.html")
        domain = evaluations[0].absolute().parents[1].name
        about = {"title": title, "domain": domain, "name": output.name}
        rows = table.to_dict("records")
        text = page.render(about=about, table=rows, runs=shown)
        (folder / "table.html").write_text(text, encoding="utf-8")
    return table.map(lambda value: figures(value) if isinstance(value, float) else value)


def _scores(path: Path) -> dict[tuple[str, str, str, str], float]:
    """Read what one run scored, by measure, whose score it is, unit and direction."""
    try:
        metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["metrics"]
    except (OSError, ValueError, KeyError) as error:
        raise FlowsciError(f"{path}: cannot be read: {error}. Evaluate the run first.") from None
    scores = {}
    for name, metric in metrics.items():
        whose = {"model": metric["model"], "reference": metric["reference"], **metric["baselines"]}
        for of, value in whose.items():
            if value is not None:
                scores[name, of, metric["unit"], metric["better"]] = value
    return scores
