"""Time what the domains' models do; print the table, write it as JSON, judge the bars."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import molecules, trajectories, transition_states, weather
from benchmarks.core import run

MEASURES = {
    "molecules_training": molecules.measure_training,
    "molecules_sampling": molecules.measure_sampling,
    "trajectories_student": trajectories.measure_student,
    "trajectories_density": trajectories.measure_density,
    "trajectories_update": trajectories.measure_update,
    "transition_states": transition_states.measure,
    "weather_training": weather.measure_training,
    "weather_ensemble": weather.measure_ensemble,
    "weather_student": weather.measure_student,
}
OUTPUT = Path(__file__).parent / "results" / "domains.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measures; leave with status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.domains", description=__doc__)
    run(MEASURES, OUTPUT, parser, arguments)


if __name__ == "__main__":
    main()
