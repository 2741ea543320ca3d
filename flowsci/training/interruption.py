"""Signals that end a training: asked about, not acted on, so that state can be saved first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Holds the signal that came, if one came."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @property
    def came(self) -> bool:
        """Tell whether a signal came."""
        return self.signal is not None

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Remember a signal; a second one of the keyboard's ends the process as usual."""
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def watch_signals(interruption: Interruption | None = None) -> Iterator[Interruption]:
    """Collect SIGTERM and SIGINT within the block; put the former handlers back afterwards.

    Python hears signals in its main thread only: in another one, nothing is collected.
    """
    interruption = Interruption() if interruption is None else interruption
    former = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            former[number] = signal.signal(number, interruption.receive)
    try:
        yield interruption
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
