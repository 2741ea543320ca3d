"""Scenes as padded tensors: batches to train on, and the conditions that samples continue."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from flowsci.domains.contract import Batch
from flowsci.domains.trajectories.record import Scenes
from flowsci.domains.trajectories.settings import SceneTraining
from flowsci.flow import sample_generators


class TrainingBatches:
    """Batches of scenes by number; training scenes are thinned and shifted at random.

    Scenes of the training split are the more crowded ones, and few: a model that has seen them
    whole knows their hours by heart, and no scene of few agents. Tensors: id (batch,), observed
    (batch, agents, steps, 3) and future (batch, agents, steps, 3) in km, mask (batch, agents).
    """

    def __init__(self, arrays: xr.Dataset, split: str, settings: SceneTraining) -> None:
        self.scenes = Scenes.of_split(arrays, split)
        self.training = split == "train"
        self.settings = settings

    def __len__(self) -> int:
        return -(-len(self.scenes) // self.settings.batch_size)

    def __getitem__(self, index: int) -> Batch:
        size, seed = self.settings.batch_size, self.settings.seed
        number_of_pass, place = divmod(index, len(self))
        order, variation = sample_generators(seed, [2 * number_of_pass, 2 * index + 1])
        chosen = torch.arange(len(self.scenes))
        if self.training:
            chosen = chosen[torch.randperm(len(chosen), generator=order)]
        chosen = chosen[place * size : (place + 1) * size]
        windows = [self.scenes.windows(int(scene)) for scene in chosen]
        if self.training:
            windows = [thin(members, self.settings.most_agents, variation) for members in windows]
        positions = [self.scenes.positions_of(members) for members in windows]
        if self.training:
            positions = [shift(part, self.settings.shift_km, variation) for part in positions]
        padded, mask = pad(positions)
        observed = self.scenes.observed_steps
        return {
            "id": torch.from_numpy(self.scenes.numbers)[chosen],
            "observed": padded[:, :, :observed],
            "future": padded[:, :, observed:],
            "mask": mask,
        }


class SceneConditions:
    """The observed part of each scene of a split, in order of time; holds no future.

    Tensors: id (batch,) numbers the scene in the dataset, time (batch,) of the last observed step
    in s since 1970, flight (batch, agents) or -1, observed (batch, agents, steps, 3) in km, mask
    (batch, agents).
    """

    def __init__(self, arrays: xr.Dataset, split: str) -> None:
        self.scenes = Scenes.of_split(arrays, split)
        self.seconds = (self.scenes.observed_steps - 1) * arrays.attrs["step_seconds"]

    def __len__(self) -> int:
        return len(self.scenes)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Give the scenes with these indices as one batch."""
        windows = [self.scenes.windows(index) for index in indices]
        steps = self.scenes.observed_steps
        observed, mask = pad([self.scenes.positions_of(w)[:, :steps] for w in windows])
        flights, _ = pad([self.scenes.flights_of(members) for members in windows])
        numbers = self.scenes.numbers[list(indices)]
        return {
            "id": torch.from_numpy(numbers),
            "time": torch.from_numpy(self.scenes.times[numbers] + self.seconds),
            "flight": torch.where(mask, flights, -1),
            "observed": observed,
            "mask": mask,
        }


def thin(members: np.ndarray, most: int, generator: torch.Generator) -> np.ndarray:
    """Keep a random number of members, at most `most`, in random order."""
    order = torch.randperm(len(members), generator=generator).numpy()
    count = torch.randint(min(most, len(members)), (1,), generator=generator).item() + 1
    return members[order[:count]]


def shift(positions: Tensor, shift_km: float, generator: torch.Generator) -> Tensor:
    """Move all positions (agents, steps, 3) by one random vector, east and north."""
    vector = torch.zeros(3)
    vector[:2] = shift_km * torch.randn(2, generator=generator)
    return positions + vector


def pad(ragged: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack tensors (agents, ...) with zeros behind: (batch, most agents, ...) and a mask."""
    longest = max(len(part) for part in ragged)
    padded = ragged[0].new_zeros((len(ragged), longest, *ragged[0].shape[1:]))
    mask = torch.zeros(len(ragged), longest, dtype=torch.bool)
    for row, part in enumerate(ragged):
        padded[row, : len(part)] = part
        mask[row, : len(part)] = True
    return padded, mask
