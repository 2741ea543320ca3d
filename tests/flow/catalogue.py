"""Every exported class with an example of itself, so that a new one is tested by existing."""

from __future__ import annotations

import inspect
import re

import torch

import flowsci.flow as flow
from flowsci.flow.methods import Method, OneCall, RungeKutta


def concrete(base: type) -> list[type]:
    """The exported classes of one kind that can be made."""
    exported = [getattr(flow, name) for name in flow.__all__]
    return [
        found
        for found in exported
        if inspect.isclass(found) and issubclass(found, base) and not inspect.isabstract(found)
    ]


def constant_diffusion(t: torch.Tensor) -> torch.Tensor:
    return torch.full_like(t, 0.7)


EXAMPLES = {
    flow.CustomPath: [
        flow.CustomPath(lambda t: 1 - t**3, lambda t: torch.sin(torch.pi / 2 * t)),
        flow.CustomPath(lambda t: 1 - t, lambda t: t, lambda t: t * (1 - t)),
    ],
    flow.TwoSidedNoise: [flow.TwoSidedNoise(), flow.TwoSidedNoise(flow.Trigonometric(), 0.5)],
    flow.Spherical: [flow.Spherical(), flow.Spherical(0.8), flow.Spherical(-0.5)],
    flow.Polynomial: [flow.Polynomial(1.0), flow.Polynomial(2.0)],
    flow.NormMatchedGaussian: [flow.NormMatchedGaussian(3.0)],
    flow.StudentT: [flow.StudentT(5.0)],
    flow.Categorical: [
        flow.Categorical.uniform(4),
        flow.Categorical.masked(3),
        flow.Categorical.marginal(torch.tensor([1.0, 5.0, 2.0, 0.0])),
    ],
    flow.ConditionPlusNoise: [flow.ConditionPlusNoise(0.5)],
    flow.Beta: [flow.Beta(1.5, 1.0)],
    flow.ImportanceByLoss: [flow.ImportanceByLoss.start(16)],
    flow.CustomDiffusion: [flow.CustomDiffusion(constant_diffusion)],
    flow.EulerMaruyama: [
        flow.EulerMaruyama(),
        flow.EulerMaruyama(flow.CustomDiffusion(constant_diffusion)),
    ],
    flow.StochasticHeun: [
        flow.StochasticHeun(),
        flow.StochasticHeun(flow.CustomDiffusion(constant_diffusion)),
    ],
    flow.DDIM: [flow.DDIM(), flow.DDIM(0.0)],
    flow.CoefficientPreserving: [flow.CoefficientPreserving(0.3)],
    flow.ExponentialRenoising: [flow.ExponentialRenoising(4.0)],
    flow.LastStep: [flow.LastStep(flow.Heun())],
    flow.PredictorCorrector: [flow.PredictorCorrector(flow.Heun())],
}


def examples(base: type) -> list[object]:
    """One or more instances of every exported class of one kind."""
    return [item for found in concrete(base) for item in EXAMPLES.get(found) or [found()]]


PATHS = examples(flow.Path)
PLAIN_PATHS = [path for path in PATHS if not path.latent]
LATENT_PATHS = [path for path in PATHS if path.latent]
SOURCES = examples(flow.Source)
TIMES = examples(flow.Times)
# a pair and logits are not one value that is linear in the ends; they have tests of their own
OTHER_KINDS = (flow.ActionDenoiserPrediction, flow.VariationalPrediction)
KINDS = [kind for kind in concrete(flow.Prediction) if kind not in OTHER_KINDS]
RUNGE_KUTTA = [*concrete(RungeKutta), flow.Euler]


CONTINUOUS = ("flowsci.flow.methods", "flowsci.flow.adaptive", "flowsci.flow.stochastic")
METHODS = [
    item
    for kind in concrete(Method)
    if kind.__module__ in CONTINUOUS and kind is not flow.Mixed
    for item in EXAMPLES.get(kind) or [kind()]
]
ONE_CALL = [method for method in METHODS if isinstance(method, OneCall)]


def name(item: object) -> str:
    """A short name for pytest's report."""
    if inspect.isclass(item):
        return item.__name__
    return type(item).__name__


def label(item: object) -> str:
    """What an item is, the same in every process: without the addresses of its functions."""
    return re.sub(r"<function (\S+) at 0x[0-9a-f]+>", r"\1", repr(item))
