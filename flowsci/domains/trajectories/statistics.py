"""What a model needs to know of the training data: scales, and a basis of offsets."""

from typing import Any

import torch
import xarray as xr

from flowsci.domains.trajectories.frames import agent_frames, constant_velocity
from flowsci.domains.trajectories.record import Scenes


def fit_statistics(arrays: xr.Dataset) -> dict[str, Any]:
    """Fit scales of the inputs and the principal components of the offsets, on training windows.

    The offset is what constant velocity misses, in the agent's frame, (steps * 3) numbers in km;
    `offset_basis` holds its principal components by falling variance, `offset_scale` their
    standard deviations.
    """
    training = Scenes.of_split(arrays, "train")
    positions = training.positions_of(training.all_windows()).double()
    observed = positions[:, : training.observed_steps]
    future = positions[:, training.observed_steps :]
    frames = agent_frames(observed)
    offset = frames.turn_in(future - constant_velocity(observed, future.shape[-2])).flatten(-2)
    mean = offset.mean(dim=0)
    _, singular, basis = torch.linalg.svd(offset - mean, full_matrices=False)
    moves = frames.turn_in(observed.diff(dim=-2))
    return {
        "observed_steps": observed.shape[-2],
        "predicted_steps": future.shape[-2],
        "location_mean": frames.origin.mean(dim=0).tolist(),
        "location_scale": _or_one(frames.origin.std(dim=0)).tolist(),
        "move_mean": moves.mean(dim=0).tolist(),
        "move_scale": _or_one(moves.std(dim=0)).tolist(),
        "offset_mean": mean.tolist(),
        "offset_basis": basis.T.tolist(),
        "offset_scale": _or_one(singular / len(offset) ** 0.5).tolist(),
    }


def _or_one(scale: torch.Tensor) -> torch.Tensor:
    """Give scale 1 to what never varies, such as the sideways part of a move along the heading."""
    return torch.where(scale > 1e-6, scale, 1.0)
