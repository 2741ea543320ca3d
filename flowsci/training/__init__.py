"""The training loop: any network, any loss, exact resume."""

from flowsci.training.devices import choose_device
from flowsci.training.history import write_history
from flowsci.training.loop import Trained, train

__all__ = ["Trained", "choose_device", "train", "write_history"]
