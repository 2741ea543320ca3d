"""Training losses for fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.couplings import Coupling, check_rows_stay
from flowsci.flow.fields import Network
from flowsci.flow.masks import check, sample_mean
from flowsci.flow.paths import Linear, Path, check_pair
from flowsci.flow.predictions import Prediction, ScorePrediction, VelocityPrediction
from flowsci.flow.sources import CentredGaussian, Gaussian, Source
from flowsci.flow.times import Times, Uniform

Weighting = Callable[[Path, Tensor], Tensor]
"""Weights `(batch,)` of the loss at times `(batch,)` of a path."""


@dataclass(frozen=True)
class MinSNR:
    """Weights min(SNR, bound) for clean predictions (Hang et al., 2023), SNR = (beta / alpha)^2."""

    bound: float = 5.0

    def __call__(self, path: Path, t: Tensor) -> Tensor:
        c = path.coefficients(t)
        return torch.clamp(c.beta**2 / c.alpha**2, max=self.bound)


@dataclass(frozen=True)
class Loss:
    """A batch's loss: the scalar to minimise, unweighted errors and named parts `(batch,)`.

    `errors` are `(batch,)`, or `(batch, ...)` with the `mask` of their real entries; `times`
    `(batch,)` are those that were drawn, for `ImportanceByLoss.observed`.
    """

    value: Tensor
    errors: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Tensor | None = None
    times: Tensor | None = None

    @cached_property
    def per_sample(self) -> Tensor:
        """Each sample's error, the mean over its real entries, `(batch,)`; made when asked for."""
        return sample_mean(self.errors, self.mask)


@dataclass(frozen=True)
class FlowMatching:
    """Conditional flow matching (Lipman et al., 2023): squared error of what the network says.

    Each sample's error is the mean over its real entries. `weighting` gives a weight a time,
    `coupling` pairs x0 with x1 (leave it to the loader where it costs much).
    """

    path: Path = field(default_factory=Linear)
    source: Source = field(default_factory=Gaussian)
    said: type[Prediction] = VelocityPrediction
    weighting: Weighting | None = None
    times: Times = field(default_factory=Uniform)
    coupling: Coupling | None = None

    def __post_init__(self) -> None:
        check_rows_stay(self.source, self.coupling)
        standard = isinstance(self.source, (Gaussian, CentredGaussian)) and self.source.std == 1
        if issubclass(self.said, ScorePrediction) and not standard:
            raise FlowsciError(
                f"the score's target is for a standard normal source, not {self.source}: "
                "train a NoisePrediction, which tells the score of any Gaussian source"
            )

    def __call__(
        self,
        network: Network,
        x1: Tensor,
        generator: torch.Generator,
        *,
        condition: Any = None,
        mask: Tensor | None = None,
        x0: Tensor | None = None,
    ) -> Loss:
        """Return the loss for data x1 `(batch, ...)`; x0 is drawn unless it is given."""
        t = self.times.sample(len(x1), generator).to(x1)
        x, target = self.corrupt(x1, t, generator, condition=condition, mask=mask, x0=x0)
        return self.judge(network(x, t, condition), x, target, t, mask)

    def corrupt(
        self,
        x1: Tensor,
        t: Tensor,
        generator: torch.Generator,
        *,
        condition: Any = None,
        mask: Tensor | None = None,
        x0: Tensor | None = None,
    ) -> tuple[Tensor, Any]:
        """Return the state at times t `(batch,)` between x0 and x1, and what to say there."""
        check(mask, x1)
        if x0 is None:
            x0 = self.source.sample(x1, generator, mask, condition)
        check_pair(x0, x1)
        if self.coupling is not None:
            x0 = self.coupling(x0, x1, condition, generator, mask).source(x0)
        z = self._latent(x1, generator, mask)
        return self.path.blend(x0, x1, t, z), self.said.target(x0, x1, t, self.path, z)

    def judge(
        self,
        output: Any,
        x: Tensor,
        target: Any,
        t: Tensor,
        mask: Tensor | None = None,
        times: Times | None = None,
    ) -> Loss:
        """Return the loss of a network's output at a state that `corrupt` gave.

        `times` is the law that t came from, the objective's own unless it is given.
        """
        weights = (times or self.times).weights(t)
        return self._reduce(self.said.error(output, target), t, mask, weights)

    def read(self, output: Any, x: Tensor, t: Tensor, condition: Any = None) -> Prediction:
        """Return a network's output as the prediction that it was trained to be."""
        mean, std = self.source.moments_for_score(condition)
        return self.said(output, x, t, self.path, mean, std)

    def _latent(
        self, like: Tensor, generator: torch.Generator, mask: Tensor | None
    ) -> Tensor | None:
        if not self.path.latent:
            return None
        return self.source.standard_noise().sample(like, generator, mask)

    def _reduce(
        self, error: Tensor, t: Tensor, mask: Tensor | None, weights: Tensor | None
    ) -> Loss:
        if weights is None and self.weighting is None and mask is None:
            # one mean instead of two: a shorter backward pass for small networks
            return Loss(error.mean(), error, times=t)
        weighted = sample_mean(error, mask)
        if weights is not None:
            weighted = weights * weighted
        if self.weighting is not None:
            weighted = self.weighting(self.path, t) * weighted
        return Loss(weighted.mean(), error, mask=mask, times=t)
