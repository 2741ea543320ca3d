"""States of several named parts, continuous and categorical, under one network.

A component is the objective of one part: its path, source, coupling and what the network says of
it. All components share the time and the network's call, in training and in sampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.fields import Network
from flowsci.flow.objectives import Loss
from flowsci.flow.steps import time_dtype
from flowsci.flow.times import Times, Uniform

Parts = Mapping[str, Any]


class Component(Protocol):
    """What `FlowMatching` and `DiscreteFlowMatching` are to a mixed state."""

    def corrupt(
        self,
        x1: Tensor,
        t: Tensor,
        generator: torch.Generator,
        *,
        condition: Any = None,
        mask: Tensor | None = None,
        x0: Tensor | None = None,
    ) -> tuple[Tensor, Any]: ...

    def judge(
        self,
        output: Any,
        x: Tensor,
        target: Any,
        t: Tensor,
        mask: Tensor | None = None,
        times: Times | None = None,
    ) -> Loss: ...

    def read(self, output: Any, x: Tensor, t: Tensor, condition: Any = None) -> Any: ...


@dataclass(frozen=True)
class MixedMatching:
    """The weighted sum of the components' losses, at one time and one call of the network.

    The network takes a mapping of states and returns a mapping of outputs with the same names. A
    component without a weight weighs 1; its own `times` are not used.
    """

    components: Mapping[str, Component]
    weights: Mapping[str, float] = field(default_factory=dict)
    times: Times = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        if unknown := set(self.weights) - set(self.components):
            raise FlowsciError(
                f"weights for {sorted(unknown)}, the components are {sorted(self.components)}"
            )

    def __call__(
        self,
        network: Network,
        x1: Parts,
        generator: torch.Generator,
        *,
        condition: Any = None,
        mask: Parts | None = None,
        x0: Parts | None = None,
    ) -> Loss:
        """Return the loss for a mapping of data, each `(batch, ...)`; `terms` has one a component.

        `mask` and `x0` are mappings too, and may leave names out.
        """
        check_names("data", x1, self.components)
        first, (dtype, device) = next(iter(x1.values())), time_dtype(x1)
        mask, x0 = mask or {}, x0 or {}
        t = self.times.sample(len(first), generator).to(device, dtype)
        states, targets = {}, {}
        for name, component in self.components.items():
            states[name], targets[name] = component.corrupt(
                x1[name], t, generator, condition=condition, mask=mask.get(name), x0=x0.get(name)
            )
        outputs = network(states, t, condition)
        check_names("network's output", outputs, self.components)
        losses = {
            name: component.judge(
                outputs[name], states[name], targets[name], t, mask.get(name), self.times
            )
            for name, component in self.components.items()
        }
        share = {name: self.weights.get(name, 1.0) for name in losses}
        return Loss(
            torch.stack([share[name] * loss.value for name, loss in losses.items()]).sum(),
            torch.stack([share[name] * loss.per_sample for name, loss in losses.items()]).sum(0),
            {name: loss.per_sample for name, loss in losses.items()},
            times=t,
        )


@dataclass(frozen=True)
class MixedField:
    """A network of a mixed state as a field: a prediction a component, for `Mixed` to step."""

    network: Network
    components: Mapping[str, Component]

    def __call__(self, x: Parts, t: Tensor, condition: Any = None) -> dict[str, Any]:
        outputs = self.network(x, t, condition)
        check_names("network's output", outputs, self.components)
        return {
            name: component.read(outputs[name], x[name], t, condition)
            for name, component in self.components.items()
        }


def check_names(what: str, parts: Any, components: Mapping[str, Component]) -> None:
    """Raise unless `parts` is a mapping with exactly the components' names."""
    if not isinstance(parts, Mapping) or set(parts) != set(components):
        names = sorted(parts) if isinstance(parts, Mapping) else type(parts).__name__
        raise FlowsciError(f"the components are {sorted(components)}, the {what} has {names}")
