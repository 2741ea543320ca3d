"""The training loop: any network, any loss, exact resume."""

from flowsci.training.devices import choose_device
from flowsci.training.history import write_history

__all__ = ["Trained", "choose_device", "train", "write_history"]


def __getattr__(name: str) -> object:
    """Import the loop when it is asked for: Lightning Fabric takes half a second."""
    if name in ("Trained", "train"):
        from flowsci.training import loop

        return getattr(loop, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
