"""A field is `field(x, t, condition) -> Prediction`: a network as a function of state and time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.masks import centre, check, expand, zero_padding
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
        mean, std = self.source.moments_for_score(condition)
        return self.said(value, x, t, self.path, mean, std)


@dataclass(frozen=True)
class MaskedField:
    """A field whose padding `(batch, n)` stays exactly zero."""

    field: Field
    mask: Tensor

    def __post_init__(self) -> None:
        check(self.mask, self.mask)

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

    def __post_init__(self) -> None:
        if self.mask is not None:
            check(self.mask, self.mask)

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Prediction:
        prediction: Prediction = self.field(x, t, condition)
        return prediction.map(lambda value: centre(value, self.mask))


@dataclass(frozen=True)
class Repathed:
    """A field trained on the path `old`, used on the path `new`.

    Time and scale change so that the ratio of beta to alpha matches (Karras et al., 2022), hence
    E[x0 | x_t] and E[x1 | x_t] are the same. Both paths are without latent noise.
    """

    field: Field
    old: Path
    new: Path

    def __post_init__(self) -> None:
        for path in (self.old, self.new):
            if path.latent:
                raise FlowsciError(f"{path} has latent noise: its field can't change path")

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Prediction:
        wanted = self.new(t)
        s = self.old.time_at(wanted.share)
        found = self.old(s)
        scale = expand((found.alpha + found.beta) / (wanted.alpha + wanted.beta), x)
        inner: Prediction = self.field(scale * x, s, condition)
        return RepathedPrediction(inner, x, t, self.new, inner.source_mean, inner.source_std)


class RepathedPrediction(Prediction):
    """What a prediction on another path (its `value`) says on this one."""

    value: Prediction

    @staticmethod
    def target(x0: Tensor, x1: Tensor, t: Tensor, path: Path, z: Tensor | None = None) -> Tensor:
        raise FlowsciError("train on the old path, then change it")

    @property
    def clean(self) -> Tensor:
        return self.value.clean

    @property
    def noise(self) -> Tensor:
        return self.value.noise

    @cached_property
    def velocity(self) -> Tensor:
        c = self.coefficients
        return c.d_alpha * self.noise + c.d_beta * self.clean

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return self.replace(self.value.map(function))

    def _check_value(self) -> None:
        """The inner prediction checks itself."""
