"""Scenes as padded tensors: batches to train on, and the conditions that samples continue."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from flowsci.domains.contract import Batch
from flowsci.domains.trajectories.record import Scenes
from flowsci.flow import sample_generators


class TrainingBatches:
    """Batches of scenes by number; in training, agents of a scene are left out at random.

    Half of the training scenes keep a random number of their agents, in a random order: a scene of
    few agents must be as familiar as a crowded one. Tensors: id (batch,), observed (batch, agents,
    steps, 3) and future (batch, agents, steps, 3) in km, mask (batch, agents).
    """

    def __init__(self, arrays: xr.Dataset, split: str, batch_size: int, seed: int) -> None:
        self.scenes = Scenes.of_split(arrays, split)
        self.training = split == "train"
        self.batch_size = batch_size
        self.seed = seed

    def __len__(self) -> int:
        return -(-len(self.scenes) // self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        number_of_pass, place = divmod(index, len(self))
        chosen = torch.arange(len(self.scenes))
        order, thinning = sample_generators(self.seed, [2 * number_of_pass, 2 * index + 1])
        if self.training:
            chosen = chosen[torch.randperm(len(chosen), generator=order)]
        chosen = chosen[place * self.batch_size : (place + 1) * self.batch_size]
        windows = [self.scenes.windows(int(scene)) for scene in chosen]
        if self.training:
            windows = [thin(members, thinning) for members in windows]
        positions, mask = pad([self.scenes.positions_of(members) for members in windows])
        observed = self.scenes.observed_steps
        return {
            "id": torch.from_numpy(self.scenes.numbers)[chosen],
            "observed": positions[:, :, :observed],
            "future": positions[:, :, observed:],
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


def thin(members: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Keep all members, or as often a random part of them."""
    keep_all, share = torch.rand(2, generator=generator).tolist()
    if keep_all < 0.5:
        return members
    count = 1 + int(share * len(members))
    return members[torch.randperm(len(members), generator=generator)[:count].numpy()]


def pad(ragged: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack tensors (agents, ...) with zeros behind: (batch, most agents, ...) and a mask."""
    longest = max(len(part) for part in ragged)
    padded = ragged[0].new_zeros((len(ragged), longest, *ragged[0].shape[1:]))
    mask = torch.zeros(len(ragged), longest, dtype=torch.bool)
    for row, part in enumerate(ragged):
        padded[row, : len(part)] = part
        mask[row, : len(part)] = True
    return padded, mask
