"""CPU time of contenders that take turns in one process, and what is made of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

Contender = Callable[[], object]
Seconds = dict[str, list[float]]
OURS = "flowsci"


def take_turns(
    contenders: Mapping[str, Contender],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> Seconds:
    """Time each contender once a round, after one turn to warm up.

    Another one begins each round, and every other round goes backwards: the load of a shared
    machine drifts, and a turn leaves its traces in the caches, which so meet all alike.
    """
    names = list(contenders)
    seconds: Seconds = {name: [] for name in names}
    for run in contenders.values():
        run()
    with _without_collection():
        for index in range(rounds):
            first = index % len(names)
            order = names[first:] + names[:first]
            for name in order[:: -1 if index % 2 else 1]:
                start = clock()
                contenders[name]()
                seconds[name].append(clock() - start)
    return seconds


def ratios(seconds: Seconds, baseline: str) -> dict[str, float]:
    """Give the median over the rounds of each contender's time in that of the baseline."""
    return {
        name: median(a / b for a, b in zip(times, seconds[baseline], strict=True))
        for name, times in seconds.items()
        if name != baseline
    }


@dataclass(frozen=True)
class Result:
    """What one measure found: a value a contender, and the bar for ours."""

    name: str
    unit: str
    bar: float
    values: Mapping[str, float]
    below_peers: bool = False
    details: Mapping[str, float | str] = field(default_factory=dict)

    def missed(self) -> list[str]:
        """Say what is missed: the bar, and each peer that is not above ours where it must be."""
        ours = self.values[OURS]
        found = [] if ours <= self.bar else [f"{self.name}: {ours:.4g}, the bar is {self.bar:g}"]
        if self.below_peers:
            found += [
                f"{self.name}: {ours:.4g}, but {name} {value:.4g}"
                for name, value in self.values.items()
                if name != OURS and value <= ours
            ]
        return found


@contextmanager
def _without_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
