"""What a model needs to know of the training data: scales, and a basis of offsets."""

from dataclasses import asdict
from typing import Any

import torch
import xarray as xr

from flowsci.domains.trajectories.basis import axis_weight
from flowsci.domains.trajectories.climb import ClimbChart
from flowsci.domains.trajectories.frames import agent_frames
from flowsci.domains.trajectories.record import Scenes
from flowsci.errors import FlowsciError

FLOOR = 0.2
"""Part of the mean pace that is added to an agent's own, so that who stands still has a unit."""


def fit_statistics(arrays: xr.Dataset) -> dict[str, Any]:
    """Fit scales of the inputs and the principal components of the offsets, on training windows.

    The offset is what constant velocity misses, in the agent's frame and in units of its pace +
    `pace_floor`, as are the moves: (steps * axes) numbers. `offset_basis` holds its principal
    components by falling variance, `offset_scale` their standard deviations; of climbs, they are
    those of charted positions, and `climb` holds the numbers of the `ClimbChart`. Raises
    `FlowsciError` where training agents never move, or their offsets leave a direction without
    variance.
    """
    training = Scenes.of_split(arrays, "train")
    positions = training.positions_of(training.all_windows()).double()
    observed = positions[:, : training.observed_steps]
    future = positions[:, training.observed_steps :]
    frames = agent_frames(observed)
    pace = frames.pace.mean()
    if not pace > 0:
        raise FlowsciError(
            f"The agents of all {len(observed)} training windows stand still while observed. Use "
            "other tracks or a longer windows.step_seconds."
        )
    unit = (frames.pace + FLOOR * pace)[:, None, None]
    chart = ClimbChart.of(arrays.attrs)
    charted = chart.encode(frames, future) if chart else future
    missed = frames.turn_in(charted - frames.straight(future.shape[-2]))
    offset = missed / unit
    mean = offset.mean(dim=0)
    weighted = ((offset - mean) * axis_weight(chart, offset)).flatten(-2)
    _, singular, basis = torch.linalg.svd(weighted, full_matrices=False)
    scale = singular / len(offset) ** 0.5
    if len(scale) < weighted.shape[1] or not (scale > 0).all():
        raise FlowsciError(
            f"{len(offset)} training windows do not span the {weighted.shape[1]} numbers of a "
            "future: they are too few, or all move alike. Use more or longer tracks, or fewer "
            "predicted_steps."
        )
    moves = frames.turn_in(observed.diff(dim=-2)) / unit
    return {
        **{name: arrays.attrs[name] for name in ("axes", "length_unit", "step_seconds")},
        "observed_steps": observed.shape[-2],
        "predicted_steps": future.shape[-2],
        "places": list(arrays.attrs["places"]),
        "location_mean": frames.origin.mean(dim=0).tolist(),
        "location_scale": _or_one(frames.origin.std(dim=0)).tolist(),
        "move_mean": moves.mean(dim=0).tolist(),
        "move_scale": _or_one(moves.std(dim=0)).tolist(),
        "pace_mean": pace.item(),
        "pace_floor": FLOOR * pace.item(),
        "offset_mean": mean.flatten().tolist(),
        "offset_basis": basis.T.tolist(),
        "offset_scale": scale.tolist(),
        "climb": asdict(chart) if chart else None,
    }


def _or_one(scale: torch.Tensor) -> torch.Tensor:
    """Give scale 1 to what never varies, such as the sideways part of a move along the heading."""
    return torch.where(scale > 1e-6, scale, 1.0)
