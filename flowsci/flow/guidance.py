"""Guidance: fields that wrap fields, so that they compose with every solver and each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.categorical import VariationalPrediction, one_hot
from flowsci.flow.ctmc import DiscretePrediction, LogitsPrediction
from flowsci.flow.fields import Field
from flowsci.flow.masks import expand
from flowsci.flow.paths import Path
from flowsci.flow.predictions import Prediction

Strength = float | Callable[[Tensor], Tensor]
"""A number, or a function of times `(batch,)` that gives `(batch,)`."""
Energy = Callable[[Tensor, Tensor, Any], Tensor]
"""Energies `(batch,)` of states `(batch, ...)` at times `(batch,)` with the condition."""


@dataclass(frozen=True)
class ClassifierFree:
    """Go `weight` times the way from the unconditional to the conditional prediction.

    1 is the conditional field, above 1 strengthens the condition (Ho and Salimans, 2022). The field
    is asked with `null` for the condition as well, or another field, `weak`, with the same
    condition (autoguidance, Karras et al., 2024). All that a continuous prediction tells moves
    together; of logits, the logits move: p_conditional^w p_unconditional^(1 - w), normalised
    (Schiff et al., 2024). A mapping's components share the weight.
    """

    field: Field
    weight: Strength
    null: Any = None
    weak: Field | None = None

    def __call__(self, x: Any, t: Tensor, condition: Any = None) -> Any:
        strong = self.field(x, t, condition)
        weak = self.field(x, t, self.null) if self.weak is None else self.weak(x, t, condition)
        return _towards(weak, strong, _at(self.weight, t))


def _at(strength: Strength, t: Tensor) -> Tensor:
    """Return a strength at times t, `(batch,)`."""
    values = strength(t) if callable(strength) else torch.full_like(t, strength)
    if values.shape != t.shape:
        raise FlowsciError(
            f"a strength of times {tuple(t.shape)} returned shape {tuple(values.shape)}"
        )
    return values


def _towards(weak: Any, strong: Any, weight: Tensor) -> Any:
    if isinstance(strong, Mapping):
        return {name: _towards(weak[name], part, weight) for name, part in strong.items()}
    if isinstance(strong, (LogitsPrediction, VariationalPrediction)):
        if type(weak) is not type(strong):
            raise FlowsciError(f"{type(weak).__name__} and {type(strong).__name__} don't mix")
        step = strong.value - weak.value
        # equal logits stay, also where both are -inf
        value = torch.where(
            weak.value == strong.value,
            strong.value,
            weak.value + expand(weight.to(step), step) * step,
        )
        return strong.replace(value)
    if isinstance(strong, DiscretePrediction):
        raise FlowsciError(
            "classifier-free guidance of labels takes logits: mask or map the guided field instead"
        )
    return _Blend((weak, strong, weight), *_frame(strong))


def _frame(prediction: Prediction) -> tuple[Any, ...]:
    """What a wrapping prediction shares with the one inside."""
    p = prediction
    return p.x, p.t, p.path, p.source_mean, p.source_std


class _Wrapped(Prediction):
    """A prediction made of others, which check themselves."""

    @staticmethod
    def target(x0: Tensor, x1: Tensor, t: Tensor, path: Path, z: Tensor | None = None) -> Tensor:
        raise FlowsciError("train the field, then guide it")

    def _check_value(self) -> None:
        """The inner predictions check themselves."""


class _Blend(_Wrapped):
    """weak + weight (strong - weak), in everything that they tell."""

    value: tuple[Prediction, Prediction, Tensor]

    def _mix(self, weak: Tensor, strong: Tensor) -> Tensor:
        return torch.lerp(weak, strong, expand(self.value[2].to(strong), strong))

    @cached_property
    def velocity(self) -> Tensor:
        return self._mix(self.value[0].velocity, self.value[1].velocity)

    @cached_property
    def clean(self) -> Tensor:
        return self._mix(self.value[0].clean, self.value[1].clean)

    @cached_property
    def noise(self) -> Tensor:
        return self._mix(self.value[0].noise, self.value[1].noise)

    @cached_property
    def score(self) -> Tensor:
        return self._mix(self.value[0].score, self.value[1].score)

    @property
    def noise_scale(self) -> Tensor:
        return self.value[1].at(self.t).noise_scale

    @cached_property
    def whitened_score(self) -> Tensor:
        return self._mix(self.value[0].whitened_score, self.value[1].whitened_score)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        weak, strong, weight = self.value
        return self.replace((weak.map(function), strong.map(function), weight))


@dataclass(frozen=True)
class _Energetic(ABC):
    """A field whose score is lowered by `strength` times the gradient of an energy.

    The energy's gradient by the state is had by autodiff through the field where needed; its values
    `(batch,)` are each row's own. Under `torch.no_grad` nothing else is recorded. For paths without
    latent noise and a Gaussian source.

    At t = 0, where gradient and beta vanish together, their ratio is that of their derivatives in
    t: the field is differentiated twice there, which fused attention can't.
    """

    field: Field
    energy: Energy
    strength: Strength = 1.0
    silent_at_start: ClassVar[bool] = False

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Prediction:
        start, differentiable = t == 0, torch.is_grad_enabled()
        at_start = bool(start.any())
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            times = t.detach().requires_grad_() if at_start else t
            prediction = _continuous(self.field(x, times, condition))
            energy = self.energy(self._argument(prediction), times, condition)
            _check_energy(energy, t)
            energy = _at(self.strength, times).to(energy) * energy
            gradient = _derivative(energy, x, differentiable or at_start)
            ratio = gradient / expand(prediction.path(torch.where(start, 1, t)).beta, x)
            if at_start:
                if self.silent_at_start:
                    _check_silent(gradient[start])
                limit = _derivative(_derivative(energy, times, True), x, differentiable)
                ratio = torch.where(expand(start, x), _by_speed(limit, prediction, t), ratio)
        push = -(prediction.gaussian_std**2) * (ratio if differentiable else ratio.detach())
        inner = prediction.at(t)
        return _Pushed((inner, push), *_frame(inner))

    @abstractmethod
    def _argument(self, prediction: Prediction) -> Tensor:
        """Return what the energy is of."""


def _continuous(prediction: Any) -> Prediction:
    if not isinstance(prediction, Prediction) or prediction.path.latent:
        raise FlowsciError(
            "energy guidance takes a continuous state on a path without latent noise, got "
            f"{type(prediction).__name__}"
        )
    return prediction


def _check_energy(energy: Tensor, t: Tensor) -> None:
    if energy.shape != t.shape or not energy.requires_grad:
        raise FlowsciError(
            f"an energy returns {tuple(t.shape)} for this batch, differentiable by the "
            f"state; got {tuple(energy.shape)}, requires_grad={energy.requires_grad}"
        )


def _check_silent(gradient: Tensor) -> None:
    if bool((gradient != 0).any()):
        raise FlowsciError(
            "the energy of a state guides at t = 0, where the state knows nothing of the data: "
            "give a strength that vanishes there, such as `lambda t: t`"
        )


def _derivative(value: Tensor, at: Tensor, create_graph: bool) -> Tensor:
    """Return each row's derivative of `value`, zero where it does not depend on `at`."""
    if not value.requires_grad:
        return torch.zeros_like(at)
    return torch.autograd.grad(
        value.sum(), at, create_graph=create_graph, retain_graph=True, materialize_grads=True
    )[0]


def _by_speed(derivative: Tensor, prediction: Prediction, t: Tensor) -> Tensor:
    """Divide by the derivative of beta at t = 0."""
    speed = prediction.path(torch.zeros_like(t)).d_beta
    if bool((speed == 0).any()):
        raise FlowsciError(
            f"{prediction.path} leaves t = 0 without a speed, which hides how an energy guides "
            "there: start the grid later"
        )
    return derivative / expand(speed, derivative)


@dataclass(frozen=True)
class EnergyGuidance(_Energetic):
    """Follow the gradient of an energy of the clean estimate, `energy(clean, t, condition)`.

    The score falls by strength grad_x energy(E[x1 | x_t]): posterior sampling (DPS, Chung et al.,
    2023), exact for a Gaussian prior and a linear measurement y = A x1 + noise where the energy is
    -log N(y; A clean, A Cov[x1 | x_t] A' + R), as in Pi-GDM (Song et al., 2023). What little of a
    learned clean estimate depends on the state at t = 0, as no exact one does, is not followed.
    """

    def _argument(self, prediction: Prediction) -> Tensor:
        return prediction.clean


@dataclass(frozen=True)
class StateEnergyGuidance(_Energetic):
    """Follow the gradient of an energy of the noisy state, `energy(x, t, condition)`.

    A classifier trained on noisy states has the energy -log p(y | x_t) (Dhariwal and Nichol, 2021).
    Strength times gradient must vanish with beta at t = 0, as it does for the exact classifier, or
    this raises; for a learned one, let `strength` be a function of t that does, such as the path's
    beta.
    """

    silent_at_start: ClassVar[bool] = True

    def _argument(self, prediction: Prediction) -> Tensor:
        return prediction.x


class _Pushed(_Wrapped):
    """A prediction whose score is changed by beta / source_std^2 times a push."""

    value: tuple[Prediction, Tensor]

    @cached_property
    def velocity(self) -> Tensor:
        c = self.coefficients
        return self.value[0].velocity + c.alpha * c.determinant * self.value[1]

    @cached_property
    def clean(self) -> Tensor:
        return self.value[0].clean + self.coefficients.alpha**2 * self.value[1]

    @cached_property
    def noise(self) -> Tensor:
        c = self.coefficients
        return self.value[0].noise - c.alpha * c.beta * self.value[1]

    @property
    def score(self) -> Tensor:
        return self.value[0].score + self.coefficients.beta / self.source_std**2 * self.value[1]

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return self.replace((self.value[0].map(function), function(self.value[1])))


@dataclass(frozen=True)
class KnownPart:
    """Entries that are known at t = 1, and their way there: the path from a noise that is kept.

    `values` is x1 and `noise` x0, shaped like the state `(batch, ...)`; `where` is bool, True where
    known, of the state's shape or its leading dimensions. Start the solve at `noise`
    (`source.sample` with a generator for each sample), so that all of the state is noised alike. As
    a projection it holds the known entries on the path inside any method:
    `Constrained(method, part)` arrives exactly at `values`.
    """

    values: Tensor
    where: Tensor
    noise: Tensor
    path: Path

    def __post_init__(self) -> None:
        shapes = self.values.shape, self.noise.shape
        if shapes[0] != shapes[1] or self.where.dtype is not torch.bool:
            raise FlowsciError(
                f"known values {tuple(shapes[0])} and noise {tuple(shapes[1])} need one shape, "
                f"and `where` must be bool, not {self.where.dtype}"
            )
        expand(self.where, self.values)
        if self.path.latent:
            raise FlowsciError("in-painting takes a path without latent noise")

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Return x at times t with the known entries on the path."""
        if x.shape != self.values.shape:
            raise FlowsciError(
                f"known values {tuple(self.values.shape)} do not fit a state {tuple(x.shape)}"
            )
        return self.put(self.path.interpolate(self.noise, self.values, t), x)

    def put(self, known: Tensor, x: Tensor) -> Tensor:
        """Return x with `known` in the known entries."""
        return torch.where(expand(self.where, x), known, x)


@dataclass(frozen=True)
class InPainting:
    """A field that sees, and moves, the known entries of a state on their path.

    Replacement (Song et al., 2021; RePaint, Lugmayr et al., 2022) at every call, hence also inside
    a step.
    """

    field: Field
    part: KnownPart

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Prediction:
        prediction: Prediction = self.field(self.part(x, t), t, condition)
        if prediction.path != self.part.path:
            raise FlowsciError(
                f"the known part moves on {self.part.path}, the field on {prediction.path}: "
                "give both one path"
            )
        return _Known((prediction, self.part), *_frame(prediction))


class _Known(_Wrapped):
    value: tuple[Prediction, KnownPart]

    @cached_property
    def velocity(self) -> Tensor:
        prediction, part = self.value
        known = part.path.velocity(part.noise, part.values, self.t)
        return part.put(known, prediction.velocity)

    @cached_property
    def clean(self) -> Tensor:
        return self.value[1].put(self.value[1].values, self.value[0].clean)

    @cached_property
    def noise(self) -> Tensor:
        return self.value[1].put(self.value[1].noise, self.value[0].noise)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        prediction, part = self.value
        return self.replace((prediction.map(function), part))


@dataclass(frozen=True)
class KnownLabels:
    """A field of labels whose known ones, `values` where `where`, are certain from the start.

    Both are shaped like the labels `(batch, ...)`. Start with the known labels in place on a masked
    path, where they stay; on others they jump there.
    """

    field: Field
    values: Tensor
    where: Tensor

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> DiscretePrediction:
        if not x.shape == self.values.shape == self.where.shape:
            raise FlowsciError(
                f"known labels {tuple(self.values.shape)}, where {tuple(self.where.shape)}, do not "
                f"fit labels {tuple(x.shape)}"
            )
        prediction: DiscretePrediction = self.field(x, t, condition)
        posterior = prediction.posterior
        certain = one_hot(self.values, posterior.shape[-1], posterior.dtype)
        known = self.where.unsqueeze(-1)
        return prediction.map(lambda said: torch.where(known, certain, said))
