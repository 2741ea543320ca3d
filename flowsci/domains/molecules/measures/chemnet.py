"""The Fréchet ChemNet distance (Preuer et al., J. Chem. Inf. Model. 58, 1736, 2018).

The package `fcd` carries ChemNet's weights; nothing is fetched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

FEWEST = 2
"""Molecules that a covariance needs."""


@dataclass(frozen=True)
class Activations:
    """ChemNet's activations (molecules, 512)."""

    values: np.ndarray

    @cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (512,) and covariance (512, 512)."""
        return self.values.mean(0), np.cov(self.values.T)

    def resampled(self, generator: np.random.Generator) -> "Activations":
        """Draw as many molecules with repetition."""
        return Activations(self.values[generator.integers(len(self.values), size=len(self.values))])


def activations(smiles: Sequence[str]) -> Activations:
    """Give the activations of canonical SMILES, at least two of them."""
    import torch
    from fcd import get_predictions, load_ref_model

    with torch.random.fork_rng(devices=[]):
        return Activations(get_predictions(load_ref_model(), list(smiles), device="cpu"))


def frechet_distance(a: Activations, b: Activations) -> float:
    """Give the squared Wasserstein-2 distance of the Gaussians with their moments."""
    from fcd import calculate_frechet_distance

    return float(calculate_frechet_distance(*a.moments, *b.moments))
