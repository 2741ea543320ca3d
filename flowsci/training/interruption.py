"""Signals that end a training: asked about, not acted on, so that state can be saved first."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Holds the signal that came, if one came."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Remember a signal; a second one of the keyboard's ends the process as usual."""
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def watch_signals(*numbers: signal.Signals) -> Iterator[Interruption]:
    """Collect signals within the block; put the former handlers back afterwards."""
    interruption = Interruption()
    former = {number: signal.signal(number, interruption.receive) for number in numbers}
    try:
        yield interruption
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
