"""Fields of a solve: a network that sees its last word, and colder labels."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from flowsci.domains.molecules.network import Context, Parts
from flowsci.flow import Field, LogitsPrediction


class Remembering:
    """A network that sees what it said in its last call; make one for each solve."""

    def __init__(self, network: nn.Module, context: Context, remembers: bool) -> None:
        self.network, self.context, self.remembers = network, context, remembers

    def __call__(self, states: Parts, t: Tensor, condition: Any = None) -> dict[str, Tensor]:
        said = self.network(states, t, self.context)
        if self.remembers:
            self.context = self.context.after(said)
        return said


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
        if not isinstance(part, LogitsPrediction):
            return part
        return part.replace(part.value / self.temperature)
