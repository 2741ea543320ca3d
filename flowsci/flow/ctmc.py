"""Discrete flow matching: labels that jump from a categorical source to the data.

Each entry is a continuous-time Markov chain with p_t(x | x1) = kappa(t) [x = x1] + (1 - kappa(t))
p0(x), after Discrete Flow Models (Campbell et al., 2024) and Discrete Flow Matching (Gat et al.,
2024). Given its end x1, an entry elsewhere jumps to x1 at the rate kappa' / (1 - kappa). On top, at
the strength `stochasticity` kappa', comes a pair of rates in detailed balance with p_t(. | x1):
from x1 to j at the rate p0(j), and from elsewhere to x1 at the rate p_t(x1 | x1) / (1 - kappa).
The marginals are the same for every strength. Rates are averaged over the network's posterior of
x1 for each entry on its own, exact as steps shrink. The source is independent of the data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow import masks
from flowsci.flow.categorical import check_labels, draw
from flowsci.flow.fields import Network
from flowsci.flow.generators import Generators, require, uniform
from flowsci.flow.objectives import Loss
from flowsci.flow.paths import Linear, Path, check_pair, check_times
from flowsci.flow.solvers import Method, OneCall
from flowsci.flow.sources import Categorical
from flowsci.flow.times import Times, Uniform


@dataclass(frozen=True)
class DiscretePath(ABC):
    """Labels that turn from source to data, each on its own; kappa is the beta of `schedule`."""

    schedule: Path = field(default_factory=Linear, kw_only=True)

    @property
    @abstractmethod
    def source(self) -> Categorical:
        """The law of x0 over all states."""

    @property
    def states(self) -> int:
        """How many states an entry has: the categories, and the mask token if there is one."""
        return len(self.source.probabilities)

    @property
    def categories(self) -> int:
        """How many categories the data has: the length of the network's logits."""
        return self.states

    def known(self, x: Tensor) -> Tensor | None:
        """Return where a state `(batch, ...)` tells x1 for certain, or None for nowhere."""
        return None

    def kappa(self, t: Tensor, like: Tensor) -> Tensor:
        """Return kappa at times `(batch,)`, broadcasting against `like`."""
        return masks.expand(self.schedule.coefficients(t).beta, like)

    def kappa_rate(self, t: Tensor, like: Tensor) -> Tensor:
        """Return the derivative of kappa at times `(batch,)`, broadcasting against `like`."""
        return masks.expand(self.schedule.coefficients(t).d_beta, like)

    def marginal(self, clean: Tensor, t: Tensor) -> Tensor:
        """Return p_t for the law `clean` of x1, both `(batch, ..., states)`."""
        kappa = self.kappa(t, clean)
        return kappa * clean + (1 - kappa) * self.source_law(clean)

    def source_law(self, like: Tensor) -> Tensor:
        """Return p0 `(states,)` on the device and dtype of `like`."""
        return self.source.probabilities.to(like)

    def interpolate(self, x0: Tensor, x1: Tensor, t: Tensor, generators: Generators) -> Tensor:
        """Draw x_t: each label of x1 `(batch, ...)` with probability kappa, otherwise of x0."""
        check_pair(x0, x1)
        check_times(t)
        kappa = self.kappa(t, x1)
        arrived = uniform(x1.shape, generators, dtype=kappa.dtype, device=x1.device) < kappa
        return torch.where(arrived, x1, x0)


@dataclass(frozen=True)
class MaskedPath(DiscretePath):
    """From the mask token, the state `count`, to `count` categories; what is unmasked stays."""

    count: int

    @cached_property
    def source(self) -> Categorical:
        return Categorical.masked(self.count)

    @property
    def categories(self) -> int:
        return self.count

    def known(self, x: Tensor) -> Tensor | None:
        return x != self.count


@dataclass(frozen=True)
class UniformPath(DiscretePath):
    """From uniformly random labels of `count` categories."""

    count: int

    @cached_property
    def source(self) -> Categorical:
        return Categorical.uniform(self.count)


@dataclass(frozen=True)
class MixturePath(DiscretePath):
    """From labels of any law over the categories (`Categorical.marginal`)."""

    start: Categorical

    @property
    def source(self) -> Categorical:
        return self.start


@dataclass(frozen=True)
class DiscretePrediction(ABC):
    """What a network said of x1 at labels x `(batch, ...)` and times t `(batch,)` on a path."""

    value: Tensor
    x: Tensor
    t: Tensor
    path: DiscretePath

    @property
    @abstractmethod
    def posterior(self) -> Tensor:
        """p(x1 | x_t) of each entry over all states, `(batch, ..., states)`.

        A row of zeros says that the entry stays as it is (padding).
        """

    def map(self, function: Callable[[Tensor], Tensor]) -> PosteriorPrediction:
        """Return a prediction with `function` of the posterior."""
        return PosteriorPrediction(function(self.posterior), self.x, self.t, self.path)

    def replace(self, value: Tensor) -> DiscretePrediction:
        """Return the same kind of prediction with another value."""
        return type(self)(value, self.x, self.t, self.path)

    def _check(self, states: int) -> None:
        wanted = (*self.x.shape, states)
        if tuple(self.value.shape) != wanted:
            raise FlowsciError(
                f"labels {tuple(self.x.shape)} on {self.path} need a prediction of shape {wanted}, "
                f"got {tuple(self.value.shape)}"
            )


@dataclass(frozen=True)
class PosteriorPrediction(DiscretePrediction):
    """The probabilities of all states were said."""

    @cached_property
    def posterior(self) -> Tensor:
        self._check(self.path.states)
        return self.value


@dataclass(frozen=True)
class LogitsPrediction(DiscretePrediction):
    """The network said the logits of the clean category, `(batch, ..., categories)`.

    Where the state tells x1 (unmasked labels), the posterior is that label, whatever was said.
    """

    @cached_property
    def posterior(self) -> Tensor:
        self._check(self.path.categories)
        states = self.path.states
        said = torch.softmax(self.value, dim=-1)
        said = torch.nn.functional.pad(said, (0, states - self.path.categories))
        known = self.path.known(self.x)
        if known is None:
            return said
        certain = torch.nn.functional.one_hot(self.x, states).to(said.dtype)
        return torch.where(known.unsqueeze(-1), certain, said)


@dataclass(frozen=True)
class DiscreteFlowMatching:
    """Cross-entropy of the logits with x1, for labels; known entries (unmasked) count as zero."""

    path: DiscretePath
    times: Times = field(default_factory=Uniform)
    weighting: Callable[[DiscretePath, Tensor], Tensor] | None = None

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
        """Return the loss for labels x1 `(batch, ...)`; x0 is drawn unless it is given."""
        t = self.times.sample(len(x1), generator).to(x1.device)
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
    ) -> tuple[Tensor, Tensor]:
        """Return the labels at times t `(batch,)` between x0 and x1, and what to say: x1."""
        masks.check(mask, x1)
        check_labels(x1, self.path.categories)
        if x0 is None:
            x0 = self.path.source.sample(x1, generator, mask)
        return self.path.interpolate(x0, x1, t, generator), x1

    def judge(
        self,
        output: Any,
        x: Tensor,
        target: Tensor,
        t: Tensor,
        mask: Tensor | None = None,
        times: Times | None = None,
    ) -> Loss:
        """Return the loss of a network's output at labels that `corrupt` gave.

        `times` is the law that t came from, the objective's own unless it is given.
        """
        per_sample = masks.sample_mean(label_error(self.read(output, x, t), target), mask)
        weights = (times or self.times).weights(t)
        weighted = per_sample if weights is None else weights * per_sample
        if self.weighting is not None:
            weighted = self.weighting(self.path, t) * weighted
        return Loss(weighted.mean(), per_sample, times=t)

    def read(self, output: Any, x: Tensor, t: Tensor, condition: Any = None) -> LogitsPrediction:
        """Return a network's output as logits of the clean category."""
        return LogitsPrediction(output, x, t, self.path)


def label_error(prediction: LogitsPrediction, labels: Tensor) -> Tensor:
    """Return the cross-entropy `(batch, ...)` with labels, zero where the state tells them."""
    prediction._check(prediction.path.categories)
    logs = torch.log_softmax(prediction.value, dim=-1)
    error = -logs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    known = prediction.path.known(prediction.x)
    return error if known is None else masks.zero_padding(error, ~known)


@dataclass(frozen=True)
class JumpMethod(OneCall):
    """A step of the chain: labels are drawn from `transition`, one uniform number an entry.

    A step that ends at t = 1 draws each entry from its posterior, which is exact for the last step:
    no mask token is left. Time runs forwards.
    """

    stochasticity: float = 0.0

    def __post_init__(self) -> None:
        if not self.stochasticity >= 0:
            raise FlowsciError(f"stochasticity must not be negative, got {self.stochasticity}")

    def advance(
        self,
        x: Tensor,
        prediction: DiscretePrediction,
        t: Tensor,
        t_next: Tensor,
        generators: Generators | None = None,
    ) -> Tensor:
        check_labels(x, prediction.path.states)
        generators = require(generators, type(self).__name__)
        law = self.transition(prediction, t, t_next)
        # labels can't be NaN, so that the solver's own check would not see it
        if not law.isfinite().all():
            raise FlowsciError(
                "the field's prediction of labels is not finite (NaN or inf) in the step from "
                f"t = {float(t.min()):.6g} to {float(t_next.max()):.6g}"
            )
        return self.settle(draw(law, generators), prediction, generators)

    def settle(
        self, drawn: Tensor, prediction: DiscretePrediction, generators: Generators
    ) -> Tensor:
        """Return the labels after the step, for those drawn for each entry on its own."""
        return drawn

    def transition(self, prediction: DiscretePrediction, t: Tensor, t_next: Tensor) -> Tensor:
        """Return the probabilities of all states at t_next, `(batch, ..., states)`."""
        if not (t_next > t).all():
            raise FlowsciError(f"{type(self).__name__} steps forwards in time only")
        p, x = prediction.posterior, prediction.x
        moved = _with_stay(self.jumps(prediction, t, t_next), x)
        if not (t_next == 1).any():
            return moved
        return torch.where(masks.expand(t_next == 1, p), _end(prediction), moved)

    @abstractmethod
    def jumps(self, prediction: DiscretePrediction, t: Tensor, t_next: Tensor) -> Tensor:
        """Return the probabilities of ending in each other state; the present one is ignored."""

    def rates(self, prediction: DiscretePrediction, t: Tensor) -> Tensor:
        """Return the rates `(batch, ..., states)` of jumps to the other states; zero to itself."""
        p, path = prediction.posterior, prediction.path
        here = prediction.x.unsqueeze(-1)
        kappa, speed, law = path.kappa(t, p), path.kappa_rate(t, p), path.source_law(p)
        eta = self.stochasticity
        arrive = p * (1 + eta * (kappa + (1 - kappa) * law)) / (1 - kappa)
        leave = eta * p.gather(-1, here) * law
        return (speed * (arrive + leave)).scatter(-1, here, 0.0)


@dataclass(frozen=True)
class JumpEuler(JumpMethod):
    """Jump with probability h times the rate: first order.

    Raises where the probabilities would exceed one. On a uniform grid with linear kappa they stay
    below one for a `stochasticity` up to 1, whatever the number of steps.
    """

    def jumps(self, prediction: DiscretePrediction, t: Tensor, t_next: Tensor) -> Tensor:
        jumps = masks.expand(t_next - t, prediction.posterior) * self.rates(prediction, t)
        worst = float(masks.expand(t_next < 1, prediction.x).mul(jumps.sum(-1)).max())
        if worst > 1 + 1e-5:
            raise FlowsciError(
                f"JumpEuler from t = {float(t.min()):.6g} to {float(t_next.max()):.6g} would jump "
                f"with probability {worst:.3g}: take shorter steps there (rates grow "
                "towards t = 1), TauLeaping or ConditionalLeap"
            )
        return jumps


@dataclass(frozen=True)
class TauLeaping(JumpMethod):
    """Hold the rates over the step; an entry takes the first of its Poisson jumps: first order.

    Tau-leaping (Gillespie, 2001; Campbell et al., 2022). Labels have no order, so that the sum of
    several jumps of one entry means nothing, and the later ones are not taken.
    """

    def jumps(self, prediction: DiscretePrediction, t: Tensor, t_next: Tensor) -> Tensor:
        expected = masks.expand(t_next - t, prediction.posterior) * self.rates(prediction, t)
        total = expected.sum(-1, keepdim=True)
        safe = torch.where(total == 0, torch.ones_like(total), total)
        return expected * (-torch.expm1(-total) / safe)


@dataclass(frozen=True)
class ConditionalLeap(JumpMethod):
    """Draw x1 from the posterior, then follow the chain given x1 exactly over the whole step.

    The marginals of a single entry are exact for any step; only the posterior's independence
    between entries is approximate. Given x1, with r = (1 - kappa') / (1 - kappa) over the step, the
    distance to p_t(x1 | x1) shrinks by r^(1 + stochasticity).
    """

    def jumps(self, prediction: DiscretePrediction, t: Tensor, t_next: Tensor) -> Tensor:
        p, path, eta = prediction.posterior, prediction.path, self.stochasticity
        law, kappa, after = path.source_law(p), path.kappa(t, p), path.kappa(t_next, p)
        shrink = ((1 - after) / (1 - kappa)) ** (1 + eta)
        now, then = kappa + (1 - kappa) * law, after + (1 - after) * law
        arrive = then - shrink * now
        never = shrink * torch.exp(eta * (1 - law) * (after - kappa))
        here = torch.nn.functional.one_hot(prediction.x, len(law)).bool()
        left = torch.where(here, 1 - then - shrink * (1 - now), 1 - arrive - never)
        scattered = p * left / torch.where(law == 1, torch.ones_like(law), 1 - law)
        return p * arrive + law * (scattered.sum(-1, keepdim=True) - scattered)


@dataclass(frozen=True)
class ConfidentLeap(ConditionalLeap):
    """Unmask as many entries as `ConditionalLeap`, those first of which the network is surest.

    Purity sampling (Campbell et al., 2024): masked entries are ranked by log max p(x1 | x_t) plus
    Gumbel noise of the scale `spread`, so that in few steps fewer entries that depend on each other
    are drawn at once. For a `MaskedPath`; which entries are known on the way is no longer chance.
    """

    spread: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.spread >= 0:
            raise FlowsciError(f"spread must not be negative, got {self.spread}")

    def settle(
        self, drawn: Tensor, prediction: DiscretePrediction, generators: Generators
    ) -> Tensor:
        path, x, p = prediction.path, prediction.x, prediction.posterior
        if not isinstance(path, MaskedPath):
            raise FlowsciError(f"ConfidentLeap unmasks: it takes no {type(path).__name__}")
        masked = x == path.count
        u = uniform(x.shape, generators, dtype=p.dtype, device=x.device)
        score = p.amax(-1).log() - self.spread * (-u.clamp(1e-9, 1 - 1e-7).log()).log()
        score = torch.where(masked, score, -torch.inf).flatten(1)
        count = (masked & (drawn != path.count)).flatten(1).sum(1, keepdim=True)
        rank = score.argsort(1, descending=True).argsort(1)
        surest = masked & (rank < count).view_as(x)
        known = torch.where(surest, draw(_end(prediction), generators), path.count)
        return torch.where(masked, known, drawn)


def _end(prediction: DiscretePrediction) -> Tensor:
    """Give the law of the end: the posterior, and where entries stay as they are, their state."""
    p = prediction.posterior
    here = torch.nn.functional.one_hot(prediction.x, p.shape[-1]).to(p.dtype)
    return torch.where(p.sum(-1, keepdim=True) == 0, here, p)


def _with_stay(jumps: Tensor, x: Tensor) -> Tensor:
    """Give the present state the probability that the jumps leave."""
    here = x.unsqueeze(-1)
    # differences of equal numbers may round to just below zero
    jumps = jumps.scatter(-1, here, 0.0).clamp_min(0.0)
    return jumps.scatter(-1, here, 1 - jumps.sum(-1, keepdim=True))


JUMP_METHODS: dict[str, type[Method]] = {
    "jump_euler": JumpEuler,
    "tau_leaping": TauLeaping,
    "conditional_leap": ConditionalLeap,
}
"""Methods for labels on any path by name, for settings."""
