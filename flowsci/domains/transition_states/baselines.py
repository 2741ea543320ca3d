"""Transition states without learned parameters: midpoint, stress embedding, reactant."""

from collections.abc import Mapping

import numpy as np
import torch

from flowsci.domains.transition_states.stress import midpoint


def baselines(
    reactant: np.ndarray, product: np.ndarray, start: np.ndarray
) -> Mapping[str, np.ndarray]:
    """Give positions (n, 3) in Å by the baseline's name."""
    one, other = (
        torch.from_numpy(np.asarray(x, dtype=np.float64))[None] for x in (reactant, product)
    )
    mask = torch.ones(1, len(reactant), dtype=torch.bool)
    return {
        "midpoint": midpoint(one, other, mask)[0].numpy(),
        "stress_embedding": np.asarray(start, dtype=np.float64),
        "reactant": np.asarray(reactant, dtype=np.float64),
    }
