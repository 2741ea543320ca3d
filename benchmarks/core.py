"""Measure the flow core beside its peers; print the table, write it as JSON, judge the bars."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmarks import aligning, importing, likelihoods, solving, training, transport
from benchmarks.timing import OURS, Result

MEASURES = {
    "solving": solving.measure,
    "training": training.measure,
    "transport": transport.measure,
    "estimate": likelihoods.measure_estimate,
    "exact": likelihoods.measure_exact,
    "aligning": aligning.measure,
    "importing": importing.measure,
}
PACKAGES = ("flowsci", "torch", "torchcfm", "flow_matching", "torchdiffeq", "torchode", "scipy")
OUTPUT = Path(__file__).parent / "results" / "core.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measures; leave with status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    run(MEASURES, OUTPUT, parser, arguments)


def run(
    measures: Mapping[str, Callable[[], Result]],
    output: Path,
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
) -> None:
    """Run the named measures, or all; leave with status 1 when a bar is missed."""
    parser.add_argument("measures", nargs="*", metavar="measure", help=", ".join(measures))
    names = parser.parse_args(arguments).measures or list(measures)
    if unknown := sorted(set(names) - set(measures)):
        parser.error(f"no measure {', '.join(unknown)}; there are {', '.join(measures)}")
    torch.set_num_threads(1)
    results = []
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        results.append(measures[name]())
    print(table(results))
    write(results, output)
    missed = [line for result in results for line in result.missed()]
    print("\n".join([f"missed: {line}" for line in missed] or ["every bar is met"]))
    sys.exit(bool(missed))


def table(results: Sequence[Result]) -> str:
    """Lay the results out: a row a contender, ours first, with the bar and whether it is met."""
    lines = [f"{'measure':24}{'contender':20}{'value':>10}  {'bar':>8}"]
    for result in results:
        verdict = "MISSED" if result.missed() else "met"
        bar = f"{result.bar:8g}  {verdict}"
        lines.append(_line(result.name, OURS, result.values[OURS], result.unit) + bar)
        lines += [
            _line("", name, value, result.unit).rstrip()
            for name, value in result.values.items()
            if name != OURS
        ]
        lines += [f"{'':24}{name}: {value:.3g}" for name, value in result.details.items()]
    return "\n".join(lines)


def write(results: Sequence[Result], path: Path) -> None:
    """Write the results with the versions and the machine that they were found with."""
    content = {
        "torch_threads": torch.get_num_threads(),
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
        "versions": {name: _version(name) for name in PACKAGES},
        "measures": [{**asdict(result), "missed": result.missed()} for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _line(measure: str, contender: str, value: float, unit: str) -> str:
    return f"{measure:24}{contender:20}{value:8.3f} {unit:2} "


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
