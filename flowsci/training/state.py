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
    """Steps made, seconds spent, the last validated step, the best weights, and the history."""

    step: int = 0
    seconds: float = 0.0
    validated_step: int = -1
    best: Selection | None = None
    history: History = field(default_factory=History)

    def save(self, work: Path, learner: "Learner") -> None:
        """Write a snapshot of the state and the learner."""
        tensors = learner.tensors()
        values = {
            "seconds": self.seconds,
            "validated_step": self.validated_step,
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
        validated_step=values["validated_step"],
        best=best and Selection(**best, state=snapshot.tensors["best"]),
        history=History(**values["history"]),
    )
