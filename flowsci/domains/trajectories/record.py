"""The flat, ragged record of tracks and scenes: fit for anything that moves.

- a variable for each name in `attrs["axes"]` (point): positions in `attrs["length_unit"]`;
- `tick` (point): time in `attrs["clock_seconds"]`, since 1970 where `attrs` has a `time_origin`,
  otherwise since the recording's own zero;
- `wind_east`, `wind_north` (point), where a dataset knows the wind: where the air goes along the
  first two axes, in m/s, NaN where it is not known;
- `track_start` (track + 1): points of a track; `track_name`, `track_label`, `track_recording`
  (track), the last an index into `attrs["recordings"]`;
- `window_point` (window): first point of a window; its steps are `attrs["stride_points"]` apart;
- `scene_start` (scene + 1), `scene_split`, `scene_tick`, `scene_recording` (scene): windows of a
  scene, and the tick of its first step;
- `scene_place` (scene): an index into `attrs["places"]`, those that training scenes show, or -1.

Splits are indices into `SPLITS`; a scene holds windows of one recording and split, one a track.
"""

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from flowsci.errors import FlowsciError

SPLITS = ("train", "validation", "test")
METRES = {"km": 1000.0, "m": 1.0, "foot": 0.3048}


class Scenes:
    """Some scenes of a record, by their numbers in it."""

    def __init__(self, arrays: xr.Dataset, numbers: np.ndarray) -> None:
        attributes = arrays.attrs
        self.numbers = numbers
        self.bounds = arrays["scene_start"].values
        self.first_point = arrays["window_point"].values
        self.track_start = arrays["track_start"].values
        self.ticks = arrays["scene_tick"].values
        self.places = arrays["scene_place"].values
        self.positions = np.stack([arrays[axis].values for axis in attributes["axes"]], -1)
        self.wind = None
        if "wind_east" in arrays:
            self.wind = np.stack([arrays["wind_east"].values, arrays["wind_north"].values], -1)
            unit = attributes["length_unit"]
            if unit not in METRES:
                raise FlowsciError(
                    f"The wind is in m/s, but positions in {unit} have no metres. Leave out the "
                    "columns wind_east and wind_north."
                )
            self.lengths_a_step = attributes["step_seconds"] / METRES[unit]
        self.observed_steps = attributes["observed_steps"]
        self.clock_seconds = attributes["clock_seconds"]
        self.stride = attributes["stride_points"]
        steps = self.observed_steps + attributes["predicted_steps"]
        self.offsets = np.arange(steps) * self.stride

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
        """Give the positions (windows, steps, axes), observed and future."""
        points = self.first_point[windows][:, None] + self.offsets
        return torch.from_numpy(self.positions[points])

    def wind_of(self, windows: np.ndarray) -> Tensor | None:
        """Give the wind (windows, 3) at the last observed step; None where the dataset has none.

        Along the first two axes as a length a step, and 1 where it is known; zero where it is not.
        """
        if self.wind is None:
            return None
        wind = self.wind[self.first_point[windows] + self.offsets[self.observed_steps - 1]]
        known = np.isfinite(wind).all(axis=1, keepdims=True)
        values = np.where(known, wind, 0.0) * self.lengths_a_step
        return torch.from_numpy(np.concatenate([values, known], axis=1).astype(np.float32))

    def places_of(self, numbers: np.ndarray) -> Tensor:
        """Give the place (scenes,) of scenes by their numbers, -1 where training has not been."""
        return torch.from_numpy(self.places[numbers].astype(np.int64))

    def tracks_of(self, windows: np.ndarray) -> Tensor:
        """Give the track (windows,) of each window."""
        points = self.first_point[windows]
        return torch.from_numpy(np.searchsorted(self.track_start, points, side="right") - 1)

    def seconds_of(self, numbers: np.ndarray) -> np.ndarray:
        """Give the time (scenes,) in s of the last observed step of scenes, by their numbers."""
        present = (self.observed_steps - 1) * self.stride
        return (self.ticks[numbers] + present) * self.clock_seconds
