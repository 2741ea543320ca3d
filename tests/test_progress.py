"""Progress without a terminal is a line a minute, with count, rate, time left and values."""

import logging

from flowsci import progress as module
from flowsci.progress import progress


class Time:
    """A clock that a test moves."""

    now = 100.0

    def monotonic(self):
        return self.now


def test_a_line_a_minute(monkeypatch, caplog):
    clock = Time()
    monkeypatch.setattr(module, "time", clock)
    caplog.set_level(logging.INFO, logger="flowsci")
    with progress("training", total=100, unit="steps", done=10) as bar:
        for _ in range(50):
            clock.now += 3.0
            bar.advance(1, loss=0.5)
        lines = [record.message for record in caplog.records]
    assert lines == [
        "training: 30/100 steps, 0.333 steps/s, 3:30 left, loss 0.5",
        "training: 50/100 steps, 0.333 steps/s, 2:30 left, loss 0.5",
    ]
    assert caplog.records[-1].message.startswith("training: 60/100 steps")


def test_long_times_are_shown_in_hours():
    assert module._clock(3_723) == "1:02:03"
