"""The Fréchet ChemNet distance (Preuer et al., J. Chem. Inf. Model. 58, 1736, 2018).

The package `fcd` carries ChemNet's weights; nothing is fetched.
"""

import warnings
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
    def mean(self) -> np.ndarray:
        """Mean (512,)."""
        return self.values.mean(0)

    @cached_property
    def root(self) -> np.ndarray:
        """A matrix R, at most 512 rows, with Rᵀ R the covariance."""
        centred = (self.values - self.mean) / np.sqrt(len(self.values) - 1)
        return np.linalg.qr(centred.astype(np.float64), mode="r")

    def resampled(self, generator: np.random.Generator) -> "Activations":
        """Draw as many molecules with repetition."""
        return Activations(self.values[generator.integers(len(self.values), size=len(self.values))])


def activations(smiles: Sequence[str]) -> Activations:
    """Give the activations of canonical SMILES, at least two of them."""
    import torch
    from fcd import get_predictions, load_ref_model

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = get_predictions(load_ref_model(), list(smiles), device="cpu")
    return Activations(found.astype(np.float64))


def frechet_distance(a: Activations, b: Activations) -> float:
    """Give the squared Wasserstein-2 distance of the Gaussians with their moments.

    tr (A B)^(1/2) is the nuclear norm of R_a R_bᵀ: exact, also where a covariance is singular.
    """
    shared = np.linalg.svd(a.root @ b.root.T, compute_uv=False).sum()
    traces = (a.root**2).sum() + (b.root**2).sum()
    return float(((a.mean - b.mean) ** 2).sum() + traces - 2 * shared)
