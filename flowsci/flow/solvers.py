"""From source to data: `solve(field, x, grid, method)`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow.adaptive import Tsit5
from flowsci.flow.fields import Field
from flowsci.flow.generators import Generators, restore_states, save_states
from flowsci.flow.methods import (
    Euler,
    Heun,
    LastStep,
    Method,
    Midpoint,
    Mixed,
    OneCall,
    RungeKutta,
    RungeKutta4,
    Tsitouras5,
)
from flowsci.flow.steps import batch_of, is_finite, time_dtype
from flowsci.flow.stochastic import (
    DDIM,
    CoefficientPreserving,
    EulerMaruyama,
    ExponentialRenoising,
    PredictorCorrector,
    StochasticHeun,
)

__all__ = [
    "DDIM",
    "METHODS",
    "CoefficientPreserving",
    "Euler",
    "EulerMaruyama",
    "ExponentialRenoising",
    "Heun",
    "LastStep",
    "Method",
    "Midpoint",
    "Mixed",
    "OneCall",
    "PredictorCorrector",
    "RungeKutta",
    "RungeKutta4",
    "StochasticHeun",
    "Tsit5",
    "Tsitouras5",
    "check_grid",
    "grid_rows",
    "solve",
]


def solve(
    field: Field,
    x: Any,
    grid: Tensor,
    method: Method | None = None,
    *,
    condition: Any = None,
    generators: Generators | None = None,
) -> Any:
    """Carry a state `(batch, ...)`, or a mapping of them, along the times of `grid` `(steps + 1,)`.

    The grid lies in [0, 1] and is strictly monotone; a falling grid goes from data to source.
    Raises and names the step when the field or the state stops being finite.
    """
    method = method or Euler()
    check_grid(grid)
    times = grid_rows(grid, x)
    states = save_states(generators)
    start = x
    for t, t_next in pairwise(times):
        x = method.step(field, x, t, t_next, condition, generators)
    if not is_finite(x):
        restore_states(generators, states)
        raise FlowsciError(_find_failure(field, start, times, method, condition, generators))
    return x


def check_grid(grid: Tensor) -> None:
    """Raise unless a grid is one-dimensional, strictly monotone and within [0, 1]."""
    if grid.ndim != 1 or len(grid) < 2:
        raise FlowsciError(f"a grid has shape (steps + 1,), got {tuple(grid.shape)}")
    values = grid.tolist()
    if not (all(0 <= value <= 1 for value in values)):
        raise FlowsciError(f"grid times must lie in [0, 1], got {min(values)} to {max(values)}")
    signs = {(b > a) - (b < a) for a, b in pairwise(values)}
    if signs not in ({1}, {-1}):
        raise FlowsciError("grid times must rise, or fall, at every step")


def grid_rows(grid: Tensor, x: Any) -> tuple[Tensor, ...]:
    """Return each time of the grid as a tensor `(batch,)` of the state's dtype and device."""
    batch, dtype, device = batch_of(x), *time_dtype(x)
    cast = grid.to(device, dtype)
    if bool((cast.diff() == 0).any()):
        raise FlowsciError(
            f"times of the grid fall together in {dtype}, the state's: take fewer steps"
        )
    # real rows: networks concatenate them, which is slow for views of one number
    return cast.unsqueeze(1).repeat(1, batch).unbind(0)


def _find_failure(
    field: Field,
    x: Any,
    times: tuple[Tensor, ...],
    method: Method,
    condition: Any,
    generators: Generators | None,
) -> str:
    """Solve once more with a check a step, and say where it fails."""
    steps = len(times) - 1
    if not is_finite(x):
        return "the state at the start of the solve is not finite (NaN or inf)"
    for index in range(steps):
        x = method.step(field, x, times[index], times[index + 1], condition, generators)
        if not is_finite(x):
            at, to = float(times[index][0]), float(times[index + 1][0])
            return (
                f"the state is not finite (NaN or inf) after step {index + 1} of {steps}, "
                f"from t = {at:.6g} to {to:.6g}: the field returned NaN or inf there"
            )
    return f"the state is not finite (NaN or inf) after {steps} steps"


METHODS: dict[str, type[Method]] = {
    "euler": Euler,
    "midpoint": Midpoint,
    "heun": Heun,
    "runge_kutta_4": RungeKutta4,
    "tsitouras_5": Tsitouras5,
    "tsit5": Tsit5,
    "euler_maruyama": EulerMaruyama,
    "stochastic_heun": StochasticHeun,
    "coefficient_preserving": CoefficientPreserving,
    "ddim": DDIM,
    "exponential_renoising": ExponentialRenoising,
    "predictor_corrector": PredictorCorrector,
}
"""Methods by name, for settings."""
