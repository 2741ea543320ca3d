"""A run's measures and provenance as two pages that `snakemake --report` takes in."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from flowsci.errors import FlowsciError
from flowsci.runs import Run
from flowsci.store.staging import staged

VERSION = 4
"""Raise it when the pages change."""


@dataclass(frozen=True)
class Folders:
    """The outputs of a run that its report tells about."""

    data: Path
    model: Path
    samples: Path
    evaluation: Path


def report(run: Run, folders: Folders, output: Path) -> None:
    """Write `metrics.html` and `provenance.html` into the folder `output`."""
    environment = page_environment()
    metrics = _read(folders.evaluation / "metrics.json")
    stages = {
        "prepare": _read(folders.data / "manifest.json"),
        "train": _read(folders.model / "model.json"),
        "sample": _read(folders.samples / "manifest.json"),
        "evaluate": metrics,
    }
    about = {"title": run.settings.title, "domain": run.domain.name, "name": run.name}
    with staged(output) as folder:
        page = environment.get_template("metrics.html").render(
            about=about,
            protocol=metrics["protocol"],
            metrics=metrics["metrics"],
            baselines=_baselines(metrics["metrics"]),
            tables=_rows(metrics.get("tables", {})),
        )
        (folder / "metrics.html").write_text(page, encoding="utf-8")
        page = environment.get_template("provenance.html").render(
            about=about,
            stages={name: content["provenance"] for name, content in stages.items()},
            data=stages["prepare"],
            model=stages["train"],
            samples=stages["sample"],
        )
        (folder / "provenance.html").write_text(page, encoding="utf-8")


def page_environment() -> jinja2.Environment:
    """Give what renders the pages of `flowsci/templates`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flowsci", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figures"] = figures
    return environment


def _rows(tables: Mapping[str, Any]) -> dict[str, tuple[list[str], list[tuple]]]:
    """Turn columns into their names and rows."""
    return {
        name: (list(table), list(zip(*table.values(), strict=True)))
        for name, table in tables.items()
    }


def _baselines(metrics: Mapping[str, Any]) -> list[str]:
    """Name the baselines of all metrics, in the order in which they first appear."""
    return list(dict.fromkeys(name for metric in metrics.values() for name in metric["baselines"]))


def figures(value: float | None) -> str:
    """Show a number with four significant figures, and a missing one as a dash."""
    return "–" if value is None or math.isnan(value) else f"{value:.4g}"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FlowsciError(f"{path}: cannot be read for the report: {error}.") from None
