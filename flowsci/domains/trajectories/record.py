"""The flat, ragged record of tracks and scenes: fit for anything that moves.

- `east north up time` (point): positions in km from the origin, times in s since 1970;
- `flight_start` (flight + 1), `flight_split`, `aircraft`, `callsign` (flight): points of a flight;
- `window_point` (window): first point of a window; its steps are `attrs["stride_points"]` apart;
- `scene_start` (scene + 1), `scene_split`, `scene_time` (scene): windows of a scene, and the time
  of its first step.

Splits are indices into `SPLITS`; a scene holds windows of one split, one a flight.
"""

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from flowsci.errors import FlowsciError

SPLITS = ("train", "validation", "test")
AXES = ("east", "north", "up")


class Scenes:
    """Some scenes of a record, by their numbers in it."""

    def __init__(self, arrays: xr.Dataset, numbers: np.ndarray) -> None:
        self.numbers = numbers
        self.bounds = arrays["scene_start"].values
        self.first_point = arrays["window_point"].values
        self.flight_start = arrays["flight_start"].values
        self.times = arrays["scene_time"].values
        self.positions = np.stack([arrays[axis].values for axis in AXES], -1)
        self.observed_steps = arrays.attrs["observed_steps"]
        steps = self.observed_steps + arrays.attrs["predicted_steps"]
        self.offsets = np.arange(steps) * arrays.attrs["stride_points"]

    @classmethod
    def of_split(cls, arrays: xr.Dataset, split: str) -> "Scenes":
        """Give the scenes of a split; raise `FlowsciError` where it has none."""
        numbers = np.flatnonzero(arrays["scene_split"].values == SPLITS.index(split))
        if not len(numbers):
            raise FlowsciError(
                f"The dataset has no scene in the split '{split}'. Use more data, or other shares "
                "under `splits` in the dataset file."
            )
        return cls(arrays, numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def windows(self, scene: int) -> np.ndarray:
        """Give the windows of scene `scene`, counted in `numbers`."""
        number = self.numbers[scene]
        return np.arange(self.bounds[number], self.bounds[number + 1])

    def all_windows(self) -> np.ndarray:
        """Give the windows of all these scenes, scene by scene."""
        return np.concatenate([self.windows(scene) for scene in range(len(self))])

    def positions_of(self, windows: np.ndarray) -> Tensor:
        """Give the positions (windows, steps, 3) in km, observed and future."""
        points = self.first_point[windows][:, None] + self.offsets
        return torch.from_numpy(self.positions[points])

    def flights_of(self, windows: np.ndarray) -> Tensor:
        """Give the flight (windows,) of each window."""
        points = self.first_point[windows]
        return torch.from_numpy(np.searchsorted(self.flight_start, points, side="right") - 1)
