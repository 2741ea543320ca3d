"""The error of distances to expect of a sample, from what the network and its answers tell."""

import numpy as np
import torch
from torch import Tensor, nn

EVIDENCES = 4
KNOTS = 16
RIDGE = 1e-3
SMALLEST_RISE = 1e-4
SMALLEST_ERROR = 1e-3


class Confidence(nn.Module):
    """Evidences (batch, 4) as an expected D-MAE (batch,) in Å.

    A linear model of the logarithm of the error ranks; isotonic regression, as a table of knots at
    equally spaced ranks, gives the ranks their errors. Both are fitted to validation reactions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor([1.0] + [0.0] * (EVIDENCES - 1)))
        self.register_buffer("feared", torch.linspace(-6, 2, KNOTS))
        self.register_buffer("found", torch.linspace(-6, 2, KNOTS).exp())

    def forward(self, evidences: Tensor) -> Tensor:
        fear = evidences @ self.weights
        low = torch.searchsorted(self.feared, fear).clamp(1, len(self.feared) - 1)
        left, right = self.feared[low - 1], self.feared[low]
        share = ((fear - left) / (right - left)).clamp(0, 1)
        return torch.lerp(self.found[low - 1], self.found[low], share)

    def fit(self, evidences: Tensor, error: Tensor) -> None:
        """Fit to evidences (reactions, 4) and the errors (reactions,) in Å that were found."""
        from scipy.optimize import isotonic_regression

        given, error = (part.double().cpu().numpy() for part in (evidences, error))
        logs = np.log(error + SMALLEST_ERROR)
        centred = given - given.mean(0)
        within = centred.T @ centred + RIDGE * len(given) * np.eye(EVIDENCES)
        weights = np.linalg.solve(within, centred.T @ (logs - logs.mean()))
        fear = given @ weights
        order = np.argsort(fear)
        fitted = isotonic_regression(error[order]).x
        knots = np.quantile(fear, np.linspace(0, 1, KNOTS))
        # equal fears would make intervals of no length
        knots = np.maximum.accumulate(knots + 1e-5 * np.arange(KNOTS))
        # on level steps more fear still means a little more error, so that ranks remain
        expected = np.interp(knots, fear[order], fitted) + SMALLEST_RISE * np.arange(KNOTS)
        for name, values in (("weights", weights), ("feared", knots), ("found", expected)):
            getattr(self, name).copy_(torch.from_numpy(values))
