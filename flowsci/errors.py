"""The one family of errors that a user can cause and mend."""


class FlowsciError(Exception):
    """Say what is wrong, where, and how to mend it.

    The command line prints the message without a traceback and exits with status 2.
    """
