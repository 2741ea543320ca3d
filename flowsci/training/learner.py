"""A network that learns from batches and is judged on others, on one device or several."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from flowsci.errors import FlowsciError
from flowsci.flow import Loss, sample_generators
from flowsci.settings import TrainingSettings
from flowsci.store.models import misfits
from flowsci.training.average import Average
from flowsci.training.interruption import Interruption
from flowsci.training.muon import Muon
from flowsci.training.processes import gathered, total

Batch = Mapping[str, Tensor]
LossFunction = Callable[[nn.Module, Batch, torch.Generator], Loss]
TensorGroups = dict[str, dict[str, Tensor]]


class Batches(Protocol):
    """Batches by number; `len` is one pass."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Batch: ...


def optimiser_of(
    network: nn.Module, settings: TrainingSettings, device: torch.device
) -> torch.optim.Optimizer:
    """Make the optimiser that the settings name, for a device."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimiser == "muon":
        return Muon(network, lr=rate, weight_decay=decay)
    # elsewhere than on a CPU it would unscale 16-bit gradients itself, before they are clipped
    fused = device.type == "cpu"
    return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay, fused=fused)


class _Whole(nn.Module):
    """A loss as one forward pass, which several devices need: they count the weights it uses.

    A loss may ask its network, and parts of it, more than once. `said` is the last one's.
    """

    said: Loss

    def __init__(self, network: nn.Module, loss: LossFunction) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def forward(self, batch: Batch, generator: torch.Generator) -> Tensor:
        self.said = self.loss(self.network, batch, generator)
        return self.said.value


class Learner:
    """A network with its optimiser and averaged weights.

    Noise and dropout are functions of the seed and the number of a batch, so there is no state of
    a generator to keep. Device r of n takes the batches r, r + n, ... of training and validation.
    """

    def __init__(
        self, fabric: Fabric, network: nn.Module, loss: LossFunction, settings: TrainingSettings
    ) -> None:
        self.fabric, self.loss, self.settings, self.plain = fabric, loss, settings, network
        self.whole = _Whole(network, loss) if fabric.world_size > 1 else None
        self.network, self.optimiser = fabric.setup(
            self.whole or network, optimiser_of(network, settings, fabric.device)
        )
        self.network.train()
        self.average = Average(network, settings.ema_decay)
        first = sample_generators(settings.seed, range(3))
        # a seed a purpose: no two streams are alike, nor like those of the data's order
        self.noise, self.dropout, self.validation = (g.initial_seed() for g in first)

    def learn(self, batches: Batches, step: int, learning_rate: float) -> dict[str, float]:
        """Make optimiser step `step`; give loss, its terms and the gradient's norm before clipping.

        Raises `FlowsciError` where one of them is not finite, before the weights change.
        """
        number = step * self.fabric.world_size + self.fabric.global_rank
        batch = batches[number]
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.zero_grad()
        _seed_dropout(_generator(self.dropout, number).initial_seed(), self.fabric.device)
        loss = self._loss_of(batch, _generator(self.noise, number))
        self.fabric.backward(loss.value)
        norm = self.fabric.clip_gradients(
            self.network,
            self.optimiser,
            max_norm=self.settings.gradient_clip,
            error_if_nonfinite=False,
        )
        values = self._means(loss, norm)
        for name, value in values.items():
            if not math.isfinite(value):
                self._refuse(f"{name} is not finite at step {step}", *_ids(loss, batch))
        self.optimiser.step()
        self.average.update(step)
        return values

    @torch.no_grad()
    def judge(self, batches: Batches, interruption: Interruption) -> float | None:
        """Give the mean loss of the averaged weights over all cases; None after a signal.

        Batch i always meets the same noise, so that losses at different steps compare.
        """
        sums, suspects = [0.0, 0.0], ([], [])
        self.network.eval()
        with self.average.applied():
            for number in range(self.fabric.global_rank, len(batches), self.fabric.world_size):
                if interruption.came:
                    break
                batch = batches[number]
                loss = self._loss_of(batch, _generator(self.validation, number))
                cases = len(loss.per_sample)
                sums = [sums[0] + cases * loss.value.item(), sums[1] + cases]
                if not math.isfinite(sums[0]):
                    suspects = _ids(loss, batch)
                    break
        self.network.train()
        loss_sum, cases, stopped = total(self.fabric, *sums, float(interruption.came))
        if not math.isfinite(loss_sum):
            self._refuse("the loss of the validation is not finite", *suspects)
        return None if stopped else loss_sum / cases

    def tensors(self) -> TensorGroups:
        """Give weights, averaged weights and the optimiser's state."""
        state = self.optimiser.state_dict()["state"]
        return {
            "network": self.plain.state_dict(),
            "average": self.average.tensors(),
            "optimiser": {
                f"{index}.{name}": tensor
                for index, entry in state.items()
                for name, tensor in entry.items()
            },
        }

    def restore(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Put back what `tensors` gave; raise `FlowsciError` where it is of another network."""
        wrong = misfits(self.plain, groups["network"])
        if wrong:
            raise FlowsciError(f"{len(wrong)} weights are of another network, such as {wrong[0]}.")
        self.plain.load_state_dict(dict(groups["network"]))
        self.average.restore(groups["average"])
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in groups["optimiser"].items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = tensor.clone()
        # copies: an optimiser goes on with the very tensors it is given
        param_groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": param_groups})

    def averaged_state(self) -> dict[str, Tensor]:
        """Give a copy of the averaged weights on the CPU, with the network's buffers."""
        with self.average.applied():
            state = self.plain.state_dict()
            return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}

    def _loss_of(self, batch: Batch, generator: torch.Generator) -> Loss:
        there = {name: self.fabric.to_device(tensor) for name, tensor in batch.items()}
        if self.whole is None:
            return self.loss(self.network, there, generator)
        value = self.network(there, generator)
        return replace(self.whole.said, value=value)

    def _means(self, loss: Loss, norm: Tensor | None) -> dict[str, float]:
        """Give the values of a step, over all devices; asks the device once."""
        terms = {f"train_{name}": term.detach().mean() for name, term in loss.terms.items()}
        values = {"train_loss": loss.value.detach(), "gradient_norm": norm, **terms}
        mine = torch.stack([value.float() for value in values.values()]).tolist()
        means = [value / self.fabric.world_size for value in total(self.fabric, *mine)]
        return dict(zip(values, means, strict=True))

    def _refuse(self, fault: str, bad: list[int], every: list[int]) -> None:
        """Stop at a fault that all devices see, naming bad cases of any device, or else all."""
        cases = gathered(self.fabric, bad) or gathered(self.fabric, every)
        shown = ", ".join(map(str, cases[:20])) + (", …" if len(cases) > 20 else "")
        raise FlowsciError(
            f"Training stopped: {fault}; cases with id {shown}. The last snapshot is kept. Look at "
            "these cases, or lower training.learning_rate or training.gradient_clip."
        )


def _generator(seed: int, number: int) -> torch.Generator:
    return sample_generators(seed, [number])[0]


def _seed_dropout(seed: int, device: torch.device) -> None:
    # torch.manual_seed asks every kind of device there is, and keeps a trace of each call
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def _ids(loss: Loss, batch: Batch) -> tuple[list[int], list[int]]:
    """Give the ids of the cases whose own loss is not finite, and of all cases."""
    bad = ~torch.isfinite(loss.per_sample.detach().cpu())
    ids = batch.get("id", torch.arange(len(bad)))
    return ids[bad].tolist(), ids.tolist()
