"""What can end a command early: an error that its user can mend, or a signal."""


class FlowsciError(Exception):
    """Say what is wrong, where, and how to mend it.

    The command line prints the message without a traceback and exits with status 2.
    """


SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a command."""


class Interrupted(Exception):
    """A signal ended the work after its state was saved; run the same command again to go on."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_status = SIGNALLED + signal_number
