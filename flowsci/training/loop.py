"""Train a network: steps, validations and snapshots until the budget is spent.

Batch, noise and dropout of a step are functions of the run's seed and the step's number alone, so
the position in the data and the state of every generator are the step itself.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from flowsci.errors import FlowsciError, Interrupted
from flowsci.progress import Progress, progress
from flowsci.settings import TrainingSettings
from flowsci.training import processes
from flowsci.training.devices import choose_device, flushed_denormals, out_of_memory
from flowsci.training.interruption import Interruption
from flowsci.training.learner import Batches, Learner, LossFunction
from flowsci.training.schedule import learning_rate, progress_of
from flowsci.training.state import Selection, State, restore

logger = logging.getLogger("flowsci")

ROWS_A_VALIDATION = 5


@dataclass(frozen=True)
class Trained:
    """A finished training: the averaged weights that were best on validation, and its history."""

    state: Mapping[str, Tensor]
    history: Sequence[Mapping[str, float]]
    steps: int
    seconds: float
    best_step: int
    best_validation: float
    device: str

    def summary(self) -> dict[str, Any]:
        """Give what a model file says about its training."""
        names = ("steps", "seconds", "best_step", "best_validation", "device")
        return {"trained": {name: getattr(self, name) for name in names}}


def train(
    network: nn.Module,
    loss: LossFunction,
    batches: Batches,
    validation: Batches,
    settings: TrainingSettings,
    work: Path,
) -> Trained:
    """Train `network` on its loss; select the averaged weights by the loss on `validation`.

    `work` holds snapshots, from which an interrupted training goes on. Raises `FlowsciError` where
    a loss is not finite (naming step and cases), memory is too small or a snapshot does not fit,
    and `Interrupted` on SIGTERM and SIGINT, after a snapshot.
    """
    for name, given in (("training", batches), ("validation", validation)):
        if not len(given):
            raise FlowsciError(f"There are no {name} batches; give the {name} split some cases.")
    device = choose_device(settings.device, settings.devices)
    task = _Task(network, loss, batches, validation, settings, work)
    processes.run(task, device, settings.devices, settings.precision)
    state = restore(work)
    if state is None or state.best is None:
        raise FlowsciError(f"{work}: the snapshots are gone; does another program delete them?")
    return Trained(
        state=state.best.state,
        history=state.history.rows,
        steps=state.step,
        seconds=round(state.seconds, 1),
        best_step=state.best.step,
        best_validation=state.best.validation,
        device=f"{device} x {settings.devices}" if settings.devices > 1 else str(device),
    )


@dataclass
class _Task:
    """What every process of a training is given."""

    network: nn.Module
    loss: LossFunction
    batches: Batches
    validation: Batches
    settings: TrainingSettings
    work: Path

    def __call__(self, fabric: Fabric, interruption: Interruption) -> None:
        """Train to the end of the budget and leave a last snapshot."""
        on_gpu = [fabric.device] if fabric.device.type == "cuda" else []
        mend = "Lower training.batch_size, or use a larger device."
        with torch.random.fork_rng(devices=on_gpu), out_of_memory(fabric.device, mend):
            if fabric.world_size > 1:
                _unshare(self.network)
            loop = _Loop(fabric, self, interruption)
            with loop.progress() as bar, flushed_denormals():
                loop.run(bar)


class _Loop:
    """The steps of a training in one process; the first process writes and speaks for all."""

    def __init__(self, fabric: Fabric, task: _Task, interruption: Interruption) -> None:
        self.fabric, self.task, self.interruption = fabric, task, interruption
        self.settings, self.speaks = task.settings, fabric.global_rank == 0
        self.learner = Learner(fabric, task.network, task.loss, task.settings)
        self.state = restore(task.work, self.learner) or State()
        if self.state.step:
            logger.info("training goes on from step %d", self.state.step)
        self.ticked = self.saved = time.monotonic()

    def progress(self) -> AbstractContextManager[Progress]:
        """Show how far the training is, in the first process."""
        if self.speaks:
            return progress("training", self.settings.steps, "steps", self.state.step)
        return nullcontext(Progress("training", self.settings.steps, "steps"))

    def run(self, bar: Progress) -> None:
        """Step until the budget is spent; validate, snapshot and stop when it is time to."""
        while True:
            share, stop = self._agree()
            due = self.state.step % self.settings.validate_every_steps == 0 or share >= 1
            if due and not self.state.validated and not stop:
                self._validate()
                _, stop = self._agree()
            if stop:
                self._stop(stop)
            if share >= 1:
                self._snapshot()
                return
            bar.advance(1, loss=self._step(share))
            if time.monotonic() - self.saved > 60 * self.settings.snapshot_minutes:
                self._snapshot()

    def _agree(self) -> tuple[float, int]:
        """Give the finished share of the budget and the signal that came, for all processes."""
        self._tick()
        share = progress_of(self.settings, self.state.step, self.state.seconds)
        share, signal = processes.largest(self.fabric, share, self.interruption.signal or 0)
        return share, int(signal)

    def _step(self, share: float) -> float:
        state = self.state
        rate = learning_rate(self.settings, state.step, share)
        values = self.learner.learn(self.task.batches, state.step, rate)
        state.step += 1
        state.history.add(values, rate)
        if state.step % max(1, self.settings.validate_every_steps // ROWS_A_VALIDATION) == 0:
            state.history.write(state.step, state.seconds)
        return values["train_loss"]

    def _validate(self) -> None:
        """Judge the averaged weights and keep the best; a signal leaves it for later."""
        state = self.state
        value = self.learner.judge(self.task.validation, self.interruption)
        if value is None:
            return
        self._tick()
        state.history.write(state.step, state.seconds, validation_loss=value)
        if state.best is None or value < state.best.validation:
            state.best = Selection(state.step, value, self.learner.averaged_state())
        best = state.best
        found = f"{value:.5g} (best {best.validation:.5g} at step {best.step})"
        logger.info("step %d: validation loss %s", state.step, found)

    def _snapshot(self) -> None:
        if self.speaks:
            self._tick()
            self.state.save(self.task.work, self.learner)
        self.saved = time.monotonic()

    def _stop(self, signal: int) -> NoReturn:
        self._snapshot()
        # nobody leaves before the first process has written
        self.fabric.barrier()
        raise Interrupted(
            f"training stopped at step {self.state.step} of {self.settings.steps} and is saved in "
            f"{self.task.work}; run again to go on.",
            signal,
        )

    def _tick(self) -> None:
        now = time.monotonic()
        self.state.seconds += now - self.ticked
        self.ticked = now


def _unshare(network: nn.Module) -> None:
    """Give a spawned process weights of its own: on the CPU it gets those of its parent."""
    for tensor in chain(network.parameters(), network.buffers()):
        tensor.data = tensor.data.clone()
