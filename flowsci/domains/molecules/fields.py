"""Fields of a solve: a network that sees its last word, colder labels, and known ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flowsci.domains.molecules.trunk import Context, Parts
from flowsci.flow import Field, LogitsPrediction, VariationalPrediction


class Told:
    """A network that is told its context."""

    def __init__(self, network: nn.Module, context: Context) -> None:
        self.network, self.context = network, context

    def __call__(self, states: Parts, t: Tensor, condition: Any = None) -> dict[str, Tensor]:
        said: dict[str, Tensor] = self.network(states, t, self.context)
        return said


class Remembering(Told):
    """A network that sees what it said in its last call; make one for each solve."""

    def __call__(self, states: Parts, t: Tensor, condition: Any = None) -> dict[str, Tensor]:
        said = super().__call__(states, t)
        self.context = self.context.after(said)
        return said


class Recalling(Remembering):
    """One that can be asked again for what it said, as the backward pass of a solve does.

    What it sees at a time is what it saw when it was first asked there. Its memory carries no
    gradient, as in training.
    """

    def __init__(self, network: nn.Module, context: Context) -> None:
        super().__init__(network, context)
        self.seen: dict[float, Context] = {}

    def __call__(self, states: Parts, t: Tensor, condition: Any = None) -> dict[str, Tensor]:
        self.context = self.seen.setdefault(float(t[0]), self.context)
        return super().__call__(states, t)


@dataclass(frozen=True)
class Cooled:
    """A field of several parts whose logits are divided by a temperature."""

    field: Field
    temperature: float

    def __call__(self, x: Parts, t: Tensor, condition: Any = None) -> dict[str, Any]:
        said: dict[str, Any] = self.field(x, t, condition)
        if self.temperature == 1:
            return said
        return {name: self._cooled(part) for name, part in said.items()}

    def _cooled(self, part: Any) -> Any:
        if not isinstance(part, (LogitsPrediction, VariationalPrediction)):
            return part
        return part.replace(part.value / self.temperature)


@dataclass(frozen=True)
class Held:
    """A field whose labels stand still where they are known, (batch, ...) for each part.

    A posterior of zeros says that a label does not jump; else a stochastic chain takes it back.
    """

    field: Field
    known: Mapping[str, Tensor]

    def __call__(self, x: Parts, t: Tensor, condition: Any = None) -> dict[str, Any]:
        said: dict[str, Any] = self.field(x, t, condition)
        return {name: self._held(name, part, x[name]) for name, part in said.items()}

    def _held(self, name: str, part: Any, x: Tensor) -> Any:
        if name not in self.known:
            return part
        known = self.known[name].unsqueeze(-1)
        if isinstance(part, VariationalPrediction):
            return part.map(lambda clean: torch.where(known, x, clean))
        return part.map(lambda posterior: posterior.masked_fill(known, 0.0))
