"""Train a network: the loop, its state, validation, and resuming exactly where it stopped.

Batch, noise and dropout of a step are functions of the run's seed and the step's number alone, so
the position in the data and the state of every generator are the step itself.
"""

import logging
import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from flowsci.errors import FlowsciError, Interrupted
from flowsci.flow import Loss, sample_generators
from flowsci.progress import Progress, progress
from flowsci.settings import TrainingSettings
from flowsci.training import snapshots
from flowsci.training.average import Average
from flowsci.training.devices import choose_device
from flowsci.training.history import Means
from flowsci.training.interruption import Interruption, watch_signals
from flowsci.training.schedule import learning_rate, progress_of

logger = logging.getLogger("flowsci")

Batch = Mapping[str, Tensor]
LossFunction = Callable[[nn.Module, Batch, torch.Generator], Loss]
ROWS_A_VALIDATION = 5


class Batches(Protocol):
    """Batches by number; `len` is one pass."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Batch: ...


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
    a loss is not finite, naming step and cases, and `Interrupted` on SIGTERM and SIGINT, after a
    snapshot.
    """
    device = choose_device(settings.device)
    fabric = Fabric(accelerator=device.type, devices=1, precision=settings.precision)
    training = _Training(fabric, network, loss, settings, work)
    training.resume()
    try:
        with (
            torch.random.fork_rng(),
            watch_signals(signal.SIGTERM, signal.SIGINT) as interruption,
            progress("training", settings.steps, "steps", training.step) as bar,
        ):
            training.run(batches, validation, interruption, bar)
    except torch.OutOfMemoryError as error:
        raise FlowsciError(
            f"The device {device} ran out of memory at step {training.step} ({error}). "
            "Lower training.batch_size, or use a larger device."
        ) from None
    return Trained(
        state=training.best,
        history=training.history,
        steps=training.step,
        seconds=round(training.seconds, 1),
        best_step=training.best_step,
        best_validation=training.best_validation,
        device=str(device),
    )


class _Training:
    """The state of a training; everything that a snapshot holds is an attribute here."""

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        loss: LossFunction,
        settings: TrainingSettings,
        work: Path,
    ) -> None:
        self.fabric, self.loss, self.settings, self.work = fabric, loss, settings, work
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.plain = network
        self.network, self.optimiser = fabric.setup(network, optimiser)
        self.average = Average(network, settings.ema_decay)
        self.step = 0
        self.validated_step = -1
        self.best: Mapping[str, Tensor] = {}
        self.best_step = 0
        self.best_validation = math.inf
        self.history: list[dict[str, float]] = []
        self.means = Means()
        self.seconds_before = 0.0
        self.started = self.saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time spent on this training, former processes included."""
        return self.seconds_before + time.monotonic() - self.started

    def run(
        self, batches: Batches, validation: Batches, interruption: Interruption, bar: Progress
    ) -> None:
        """Step until the budget is spent; validate, snapshot and stop when it is time to."""
        while True:
            share = progress_of(self.settings, self.step, self.seconds)
            due = self.step % self.settings.validate_every_steps == 0 or share >= 1
            if due and self.validated_step < self.step:
                self.validate(validation, interruption)
            if interruption.signal is not None:
                self.snapshot()
                raise Interrupted(
                    f"training stopped at step {self.step} of {self.settings.steps} and is saved "
                    f"in {self.work}; run again to go on.",
                    interruption.signal,
                )
            if share >= 1:
                return
            bar.advance(1, loss=self.advance(batches[self.step], share))
            if time.monotonic() - self.saved > 60 * self.settings.snapshot_minutes:
                self.snapshot()

    def advance(self, batch: Batch, share: float) -> float:
        """Make one step at a finished share of the budget; give its loss."""
        rate = learning_rate(self.settings, self.step, share)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        generator = self._generator("step", self.step)
        torch.manual_seed(generator.initial_seed())
        self.network.train()
        self.optimiser.zero_grad()
        loss = self.loss(self.network, self._on_device(batch), generator)
        value = loss.value.item()
        if not math.isfinite(value):
            raise FlowsciError(self._not_finite("training", loss, batch))
        self.fabric.backward(loss.value)
        norm = self.fabric.clip_gradients(
            self.network,
            self.optimiser,
            max_norm=self.settings.gradient_clip,
            error_if_nonfinite=False,
        )
        if not math.isfinite(norm.item()):
            raise FlowsciError(self._not_finite("gradient of the training", loss, batch))
        self.optimiser.step()
        self.average.update(self.plain, self.step)
        self.step += 1
        terms = {name: term.mean().item() for name, term in loss.terms.items()}
        self.means.add({"train_loss": value, "gradient_norm": norm.item(), **terms})
        every = max(1, self.settings.validate_every_steps // ROWS_A_VALIDATION)
        if self.step % every == 0:
            self._write_row(rate)
        return value

    @torch.no_grad()
    def validate(self, validation: Batches, interruption: Interruption) -> None:
        """Judge the averaged weights with the noise of every other validation; keep the best."""
        total, cases = 0.0, 0
        for index in range(len(validation)):
            if interruption:
                return
            batch = validation[index]
            with self.fabric.autocast():
                generator = self._generator("validation", index)
                loss = self.loss(self.average.network, self._on_device(batch), generator)
            value = loss.value.item()
            if not math.isfinite(value):
                raise FlowsciError(self._not_finite("validation", loss, batch))
            total += value * len(loss.per_sample)
            cases += len(loss.per_sample)
        self.validated_step = self.step
        self._write_validation(total / cases)

    def _write_validation(self, value: float) -> None:
        if value < self.best_validation:
            self.best_validation, self.best_step = value, self.step
            state = self.average.network.state_dict()
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        if not self.history or self.history[-1]["step"] != self.step:
            self._write_row(self.optimiser.param_groups[0]["lr"])
        self.history[-1]["validation_loss"] = value
        logger.info(
            "step %d: validation loss %.5g (best %.5g at step %d)",
            self.step,
            value,
            self.best_validation,
            self.best_step,
        )

    def _write_row(self, rate: float) -> None:
        means = self.means.take()
        row = {"step": self.step, "seconds": round(self.seconds, 2), "learning_rate": rate}
        self.history.append({**row, **means})

    def snapshot(self) -> None:
        """Save everything that the training needs to go on."""
        tensors = {
            **_prefixed("network", self.plain.state_dict()),
            **_prefixed("average", self.average.network.state_dict()),
            **_prefixed("best", self.best),
            **_prefixed("optimiser", snapshots.flatten_optimiser(self.optimiser)),
        }
        values = {
            "seconds": self.seconds,
            "validated_step": self.validated_step,
            "best_step": self.best_step,
            "best_validation": self.best_validation if self.best else None,
            "history": self.history,
            "sums": self.means.sums,
            "count": self.means.count,
        }
        snapshots.save(self.work, self.step, tensors, values)
        self.saved = time.monotonic()

    def resume(self) -> None:
        """Go on from the last snapshot, if there is one."""
        found = snapshots.load(self.work)
        if found is None:
            return
        tensors, values = found
        try:
            self.plain.load_state_dict(_unprefixed("network", tensors))
            self.average.network.load_state_dict(_unprefixed("average", tensors))
            snapshots.restore_optimiser(self.optimiser, _unprefixed("optimiser", tensors))
        except (RuntimeError, ValueError, KeyError) as error:
            raise FlowsciError(
                f"{self.work}: the snapshot is of another network ({str(error).splitlines()[0]}). "
                "Delete the folder to train from the start."
            ) from None
        self.best = _unprefixed("best", tensors)
        self.step, self.seconds_before = values["step"], values["seconds"]
        self.validated_step, self.best_step = values["validated_step"], values["best_step"]
        self.best_validation = values["best_validation"] if self.best else math.inf
        self.history = values["history"]
        self.means = Means(values["sums"], values["count"])
        logger.info("training goes on from step %d", self.step)

    def _generator(self, purpose: str, index: int) -> torch.Generator:
        """Give the generator of a step, or of a batch of every validation, on the CPU."""
        place = 2 * index + (purpose == "validation")
        return sample_generators(self.settings.seed, [place])[0]

    def _on_device(self, batch: Batch) -> Batch:
        return {name: self.fabric.to_device(tensor) for name, tensor in batch.items()}

    def _not_finite(self, what: str, loss: Loss, batch: Batch) -> str:
        bad = ~torch.isfinite(loss.per_sample.detach().cpu())
        ids = batch["id"]
        cases = (ids[bad] if bad.any() else ids).tolist()
        shown = ", ".join(map(str, cases[:20])) + (", …" if len(cases) > 20 else "")
        kept = f"The last good snapshot is kept in {self.work}. " if self.work.exists() else ""
        return (
            f"The {what} loss is not finite at step {self.step}, in the cases with id {shown}. "
            f"{kept}Look at these cases, or lower training.learning_rate or training.gradient_clip."
        )


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _unprefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {n.removeprefix(start): tensor for n, tensor in tensors.items() if n.startswith(start)}
