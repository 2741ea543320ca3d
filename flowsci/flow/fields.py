"""A field is `field(x, t, condition) -> Prediction`: a network as a function of state and time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from flowsci.flow.masks import centre, zero_padding
from flowsci.flow.paths import Path
from flowsci.flow.predictions import Prediction, VelocityPrediction
from flowsci.flow.sources import Source

State = Tensor | Mapping[str, Tensor]
Network = Callable[..., Any]


class Field(Protocol):
    """What solvers call: state `(batch, ...)`, times `(batch,)`, anything as condition."""

    def __call__(self, x: Any, t: Tensor, condition: Any = None) -> Any: ...


@dataclass(frozen=True)
class NetworkField:
    """A network `(x, t, condition)` whose output is read as `said` on `path`.

    `source` is needed for the score of any source but the standard normal.
    """

    network: Network
    path: Path
    said: type[Prediction] = VelocityPrediction
    source: Source | None = None

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Prediction:
        value = self.network(x, t, condition)
        if self.source is None:
            return self.said(value, x, t, self.path)
        mean, std = self.source.moments(condition)
        return self.said(value, x, t, self.path, mean, std)


@dataclass(frozen=True)
class MaskedField:
    """A field whose padding `(batch, n)` stays exactly zero."""

    field: Field
    mask: Tensor

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Prediction:
        prediction: Prediction = self.field(x, t, condition)
        return prediction.map(lambda value: zero_padding(value, self.mask))


@dataclass(frozen=True)
class CentredField:
    """A field that leaves the centre of mass of the real entries where it is; padding stays zero.

    For predictions at a state whose centre of mass is zero.
    """

    field: Field
    mask: Tensor | None = None

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Prediction:
        prediction: Prediction = self.field(x, t, condition)
        return prediction.map(lambda value: centre(value, self.mask))
