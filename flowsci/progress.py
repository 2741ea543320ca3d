"""Progress of long work: a bar with rate and time left, or one line a minute without a terminal."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("flowsci")


class Progress:
    """Count finished units and say now and then how far the work is.

    `advance` takes values that are shown beside the count, such as a loss.
    """

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.first, self.done = done, done
        self.started = time.monotonic()
        self.values: dict[str, float] = {}

    def advance(self, units: int = 1, **values: float) -> None:
        """Count `units` more as finished."""
        self.done += units
        self.values = values or self.values

    def summary(self) -> str:
        """Say count, rate and time left in one line."""
        seconds = time.monotonic() - self.started
        rate = (self.done - self.first) / seconds if seconds > 0 else 0.0
        left = (
            f"{_clock((self.total - self.done) / rate)} left" if rate > 0 else "time left unknown"
        )
        values = "".join(f", {name} {value:.4g}" for name, value in self.values.items())
        return (
            f"{self.title}: {self.done}/{self.total} {self.unit}, "
            f"{rate:.3g} {self.unit}/s, {left}{values}"
        )


class _Lines(Progress):
    """Progress for logs: a line a minute."""

    def __init__(self, title: str, total: int, unit: str, done: int = 0, every: float = 60) -> None:
        super().__init__(title, total, unit, done)
        self.every = every
        self.next_line = self.started + every

    def advance(self, units: int = 1, **values: float) -> None:
        super().advance(units, **values)
        if time.monotonic() >= self.next_line:
            self.next_line += self.every
            logger.info(self.summary())


class _Bar(Progress):
    """Progress for a terminal: one line that is drawn again."""

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        super().__init__(title, total, unit, done)
        self.display = RichProgress(
            BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True)
        )
        self.task = self.display.add_task(title, total=total, completed=done)

    def advance(self, units: int = 1, **values: float) -> None:
        super().advance(units, **values)
        self.display.update(self.task, completed=self.done, description=self.summary())


@contextmanager
def progress(title: str, total: int, unit: str, done: int = 0) -> Iterator[Progress]:
    """Show the progress of `total` units of work, `done` of which are finished already."""
    if sys.stderr.isatty():
        bar = _Bar(title, total, unit, done)
        with bar.display:
            yield bar
    else:
        lines = _Lines(title, total, unit, done)
        yield lines
        logger.info(lines.summary())


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
