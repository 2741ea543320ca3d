"""Signals are remembered within the block and handled as before after it."""

import os
import signal
import threading

import pytest

from flowsci.training.interruption import watch_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_remembered(number):
    before = signal.getsignal(number)
    with watch_signals() as interruption:
        assert not interruption.came
        os.kill(os.getpid(), number)
        assert interruption.signal == number
    assert signal.getsignal(number) is before


def test_the_keyboard_can_insist():
    with pytest.raises(KeyboardInterrupt), watch_signals():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_another_thread_hears_nothing():
    heard = []

    def work():
        with watch_signals() as interruption:
            heard.append(interruption.came)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [False]
