"""Flow matching from t = 0 (source) to t = 1 (data): tensors in, tensors out."""

from flowsci.flow.analytic import GaussianField, GaussianMixtureField
from flowsci.flow.fields import CentredField, MaskedField, NetworkField
from flowsci.flow.generators import sample_generators
from flowsci.flow.grids import GRIDS
from flowsci.flow.objectives import FlowMatching, Loss
from flowsci.flow.paths import (
    Coefficients,
    CustomPath,
    Linear,
    OneSidedNoise,
    Path,
    Polynomial,
    SmoothNoise,
    Trigonometric,
    TwoSidedNoise,
    VariancePreserving,
)
from flowsci.flow.predictions import (
    ActionDenoiserPrediction,
    CleanPrediction,
    NoisePrediction,
    Prediction,
    ScorePrediction,
    VelocityPrediction,
)
from flowsci.flow.solvers import METHODS, Euler, Heun, Midpoint, Mixed, RungeKutta4, solve
from flowsci.flow.sources import CentredGaussian, Gaussian, Source
from flowsci.flow.times import LogitNormal, Times, Uniform

__all__ = [
    "GRIDS",
    "METHODS",
    "ActionDenoiserPrediction",
    "CentredField",
    "CentredGaussian",
    "CleanPrediction",
    "Coefficients",
    "CustomPath",
    "Euler",
    "FlowMatching",
    "Gaussian",
    "GaussianField",
    "GaussianMixtureField",
    "Heun",
    "Linear",
    "LogitNormal",
    "Loss",
    "MaskedField",
    "Midpoint",
    "Mixed",
    "NetworkField",
    "NoisePrediction",
    "OneSidedNoise",
    "Path",
    "Polynomial",
    "Prediction",
    "RungeKutta4",
    "ScorePrediction",
    "SmoothNoise",
    "Source",
    "Times",
    "Trigonometric",
    "TwoSidedNoise",
    "Uniform",
    "VariancePreserving",
    "VelocityPrediction",
    "sample_generators",
    "solve",
]
