"""Where a training stands: what a snapshot holds beside the weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.training import snapshots
from flowsci.training.history import History
from flowsci.training.snapshots import Snapshot

if TYPE_CHECKING:
    from flowsci.training.learner import Learner


@dataclass(frozen=True)
class Selection:
    """The averaged weights that were best on validation so far."""

    step: int
    validation: float
    state: Mapping[str, Tensor]


@dataclass
class State:
    """Steps made, seconds spent, the best weights, and the history."""

    step: int = 0
    seconds: float = 0.0
    best: Selection | None = None
    history: History = field(default_factory=History)

    @property
    def validated(self) -> bool:
        """Tell whether the weights of this step were judged."""
        last = self.history.rows[-1] if self.history.rows else {}
        return last.get("step") == self.step and "validation_loss" in last

    def save(self, work: Path, learner: "Learner") -> None:
        """Write a snapshot of the state and the learner."""
        tensors = learner.tensors()
        values = {
            "seconds": self.seconds,
            "history": self.history.values(),
            "best": None,
        }
        if self.best is not None:
            tensors["best"] = dict(self.best.state)
            values["best"] = {"step": self.best.step, "validation": self.best.validation}
        snapshots.save(work, Snapshot(self.step, tensors, values))


def restore(work: Path, learner: "Learner | None" = None) -> State | None:
    """Give the state of the last snapshot, if there is one, and put its learner back.

    Raises `FlowsciError` where it is damaged or of another network.
    """
    snapshot = snapshots.load(work)
    if snapshot is None:
        return None
    values, best = snapshot.values, snapshot.values["best"]
    if learner is not None:
        try:
            learner.restore(snapshot.tensors)
        except FlowsciError as error:
            raise FlowsciError(
                f"{work}: the snapshot does not fit: {error} Delete it to train from the start."
            ) from None
    return State(
        step=snapshot.step,
        seconds=values["seconds"],
        best=best and Selection(**best, state=snapshot.tensors["best"]),
        history=History(**values["history"]),
    )
