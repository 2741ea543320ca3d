"""A task on one device, or on several of one machine: a process a device, begun and ended together.

The processes are spawned: what a task holds must be picklable in memory (no file is involved).
"""

import logging
import multiprocessing
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from flowsci.errors import SIGNALLED, FlowsciError, Interrupted
from flowsci.training.interruption import Interruption, watch_signals

Task = Callable[[Fabric, Interruption], None]


def run(task: Task, device: torch.device, count: int, precision: str) -> None:
    """Run a task in one process for each of `count` devices; raise what it raises.

    SIGTERM and SIGINT reach the task as its `Interruption`, in every process.
    """
    fabric = make_fabric(device, count, precision)
    if count == 1:
        with watch_signals() as interruption:
            task(fabric, interruption)
        return
    errors = multiprocessing.get_context("spawn").SimpleQueue()
    child = _Child(task, errors, logging.getLogger("flowsci").getEffectiveLevel())
    with watch_signals(_Forwarding()) as interruption:
        try:
            fabric.launch(child)
        except (ProcessRaisedException, ProcessExitedException) as error:
            _explain(error, errors, interruption)
            raise


def _explain(error: Exception, errors: Any, interruption: Interruption) -> None:
    """Raise what a child process reported, if it did, or what its end means."""
    if not errors.empty():
        message, number = errors.get()
        if number is None:
            raise FlowsciError(message) from None
        raise Interrupted(message, interruption.signal or number) from None
    if interruption.signal is not None:
        raise Interrupted(
            "stopped before the work began; run again.", interruption.signal
        ) from None
    if isinstance(error, ProcessExitedException):
        raise FlowsciError(
            f"One of the processes was ended from outside ({error}), often for want of memory. "
            "Give the job more memory and run again; it goes on from the last snapshot."
        ) from None


def largest(fabric: Fabric, *values: float) -> list[float]:
    """Give the largest of each value over all processes."""
    return _reduced(fabric, values, torch.distributed.ReduceOp.MAX)


def total(fabric: Fabric, *values: float) -> list[float]:
    """Give the sum of each value over all processes."""
    return _reduced(fabric, values, torch.distributed.ReduceOp.SUM)


def gathered(fabric: Fabric, values: Sequence[int]) -> list[int]:
    """Give the values of all processes one after the other."""
    if fabric.world_size == 1:
        return list(values)
    parts: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(parts, list(values))
    return [value for part in parts for value in part]


def _reduced(fabric: Fabric, values: Sequence[float], operation: Any) -> list[float]:
    if fabric.world_size == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=fabric.device)
    torch.distributed.all_reduce(tensor, op=operation)
    return tensor.tolist()


def make_fabric(device: torch.device, count: int, precision: str) -> Fabric:
    """Make the plumbing of devices and precision, whatever scheduler this process runs under."""
    # no exchange of buffers: in validation, processes may have unequal numbers of batches
    # a batch need not use every weight: what is not observed, or not asked for, has no features
    several = DDPStrategy(
        start_method="spawn", forward_sync_buffers=False, find_unused_parameters=True
    )
    arithmetic = Precision() if precision == "32-true" else _Autocast(precision, device.type)
    return Fabric(
        accelerator=device.type,
        devices=count,
        strategy=several if count > 1 else "auto",
        # a scheduler's number of tasks is not ours: this process starts its own
        plugins=[LightningEnvironment(), arithmetic],
    )


class _Autocast(MixedPrecision):
    """Products in 16 bits of what comes in all its digits: positions, times and fields."""

    def convert_input(self, data: Any) -> Any:
        return data


class _Child:
    """The task in a spawned process; its errors go back by a queue."""

    def __init__(self, task: Task, errors: Any, log_level: int) -> None:
        self.task, self.errors, self.log_level = task, errors, log_level

    def __call__(self, fabric: Fabric) -> None:
        level = self.log_level if fabric.global_rank == 0 else logging.WARNING
        logging.basicConfig(level=level, format="%(message)s")
        try:
            with watch_signals() as interruption:
                self.task(fabric, interruption)
        except FlowsciError as error:
            self.errors.put((str(error), None))
            raise
        except Interrupted as error:
            # the signal may have come to another process
            self.errors.put((str(error), error.exit_status - SIGNALLED))
            raise


class _Forwarding(Interruption):
    """Hands signals on to the child processes, which save their state."""

    def receive(self, number: int, frame: FrameType | None) -> None:
        super().receive(number, frame)
        for child in multiprocessing.active_children():
            child.terminate()
