"""Scenes as padded tensors: batches to train on, and the conditions that samples continue."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from flowsci.domains.contract import Batch
from flowsci.domains.trajectories.record import Scenes
from flowsci.domains.trajectories.settings import SceneTraining
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from flowsci.flow.masks import zero_padding


class TrainingBatches:
    """Batches of scenes by number; training scenes are varied at random.

    Scenes of the training split are the more crowded ones, and few: a model that has seen them
    whole knows their hours by heart, and no scene of few agents. So they are thinned, shifted and
    stretched; the place of some is hidden (`place` -1), and these may be mirrored, scaled and
    reversed. Tensors: id (batch,), observed (batch, agents, steps, axes) and future (batch, agents,
    steps, axes) in the dataset's unit, mask (batch, agents), place (batch,), where the dataset
    knows the wind that of `Scenes.wind_of` (batch, agents, 3), hidden with the place, and where the
    settings ask for it `alone` (batch,), of scenes whose agents do not see each other.
    """

    def __init__(self, arrays: xr.Dataset, split: str, settings: SceneTraining) -> None:
        self.scenes = Scenes.of_split(arrays, split)
        self.training = split == "train"
        self.settings = settings
        if "climb" in arrays.attrs:
            _refuse_to_sink(settings)
        self.shown = torch.arange(len(self.scenes))
        if self.training and settings.neighbours:
            agents = torch.from_numpy(np.diff(self.scenes.bounds)[self.scenes.numbers])
            self.shown = self.shown.repeat_interleave(-(-agents // settings.most_agents))

    def __len__(self) -> int:
        return -(-len(self.shown) // self.settings.batch_size)

    def __getitem__(self, index: int) -> Batch:
        size, seed = self.settings.batch_size, self.settings.seed
        number_of_pass, place = divmod(index, len(self))
        order, variation = sample_generators(seed, [2 * number_of_pass, 2 * index + 1])
        chosen = self.shown
        if self.training:
            chosen = chosen[torch.randperm(len(chosen), generator=order)]
        chosen = chosen[place * size : (place + 1) * size]
        windows = [self.scenes.windows(int(scene)) for scene in chosen]
        if self.training:
            windows = [self._thin(members, variation) for members in windows]
        positions, mask = pad([self.scenes.positions_of(members) for members in windows])
        located = torch.ones(len(chosen), dtype=torch.bool)
        scene = self.scenes.numbers[chosen.numpy()]
        observed = self.scenes.observed_steps
        seen = positions[:, :, :observed]
        if self.training:
            located = torch.rand(len(chosen), generator=variation) >= self.settings.unlocated
            positions = self._vary(positions, located, variation)
            noisy = jitter(positions, self.settings.jitter, variation)
            seen = noisy[:, :, :observed]
            positions = noisy if self.settings.jitter_future else positions
        hidden = {}
        if self.training and self.settings.alone:
            alone = torch.rand(len(chosen), generator=variation) < self.settings.alone
            hidden = {"alone": alone}
        return {
            "id": torch.from_numpy(scene),
            "observed": zero_padding(seen, mask),
            "future": zero_padding(positions[:, :, observed:], mask),
            "mask": mask,
            "place": torch.where(located, self.scenes.places_of(scene), -1),
            **winds(self.scenes, windows, located),
            **hidden,
        }

    def _thin(self, members: np.ndarray, generator: torch.Generator) -> np.ndarray:
        most, now = self.settings.most_agents, self.scenes.observed_steps - 1
        if not self.settings.neighbours:
            return members[some(len(members), most, generator).numpy()]
        present = self.scenes.positions_of(members)[:, now]
        return members[nearest(present, most, generator).numpy()]

    def _vary(self, positions: Tensor, located: Tensor, generator: torch.Generator) -> Tensor:
        settings, now = self.settings, self.scenes.observed_steps - 1
        positions = shift(positions, settings.shift, settings.shift_up, generator)
        positions = mirror(positions, ~located, generator)
        positions = stretch(positions, now, settings.stretch, generator)
        positions = scale(positions, ~located, settings.scale, generator)
        if settings.sway > 1:
            positions = sway(positions, now, ~located, settings.sway, generator)
        return reverse(positions, ~located, settings.reversed, generator)


def _refuse_to_sink(settings: SceneTraining) -> None:
    if settings.reversed:
        raise FlowsciError("training.reversed: climbs that run backwards sink; set it to 0.")
    if settings.sway > 1 or settings.jitter_future:
        raise FlowsciError(
            "training: climbs that sway or have noise sink; set sway to 1 and jitter_future to "
            "false."
        )


class SceneConditions:
    """The observed part of each scene of a split, in order of recordings and time; no future.

    Tensors: id (batch,) numbers the scene in the dataset, time (batch,) float64 of the last
    observed step in s, track (batch, agents) or -1, observed (batch, agents, steps, axes) in the
    dataset's unit, mask (batch, agents), place (batch,) or -1, and where the dataset knows the wind
    that of `Scenes.wind_of` (batch, agents, 3).
    """

    def __init__(self, arrays: xr.Dataset, split: str) -> None:
        self.scenes = Scenes.of_split(arrays, split)

    def __len__(self) -> int:
        return len(self.scenes)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Give the scenes with these indices as one batch."""
        windows = [self.scenes.windows(index) for index in indices]
        steps = self.scenes.observed_steps
        observed, mask = pad([self.scenes.positions_of(w)[:, :steps] for w in windows])
        tracks, _ = pad([self.scenes.tracks_of(members) for members in windows])
        numbers = self.scenes.numbers[list(indices)]
        return {
            "id": torch.from_numpy(numbers),
            # whole numbers: not every device has double precision
            "microseconds": torch.from_numpy(np.rint(1e6 * self.scenes.seconds_of(numbers))).long(),
            "track": torch.where(mask, tracks, -1),
            "observed": observed,
            "mask": mask,
            "place": self.scenes.places_of(numbers),
            **winds(self.scenes, windows, torch.ones(len(mask), dtype=torch.bool)),
        }


def winds(scenes: Scenes, windows: Sequence[np.ndarray], located: Tensor) -> dict[str, Tensor]:
    """Give the wind of scenes as `wind` (batch, agents, 3); nothing where the dataset has none."""
    if scenes.wind is None:
        return {}
    wind, _ = pad([scenes.wind_of(members) for members in windows])
    return {"wind": wind * located[:, None, None]}


def some(agents: int, most: int, generator: torch.Generator) -> Tensor:
    """Choose a random number of agents, at most `most`, in random order."""
    order = torch.randperm(agents, generator=generator)
    return order[: torch.randint(min(most, agents), (1,), generator=generator).item() + 1]


def nearest(positions: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Choose an agent at random and who is nearest to it, at most `most`; positions (n, axes)."""
    one = torch.randint(len(positions), (1,), generator=generator)
    return (positions - positions[one]).norm(dim=-1).argsort()[:most]


def shift(positions: Tensor, along: float, upwards: float, generator: torch.Generator) -> Tensor:
    """Move each scene of positions (batch, agents, steps, axes) as a whole."""
    sizes = torch.tensor([along, along, upwards])[: positions.shape[-1]]
    noise = torch.randn(len(positions), 1, 1, len(sizes), generator=generator)
    return positions + sizes * noise


def mirror(positions: Tensor, allowed: Tensor, generator: torch.Generator) -> Tensor:
    """Turn round the first axis of half of the scenes (batch,) where that is allowed."""
    chosen = allowed & (torch.rand(len(positions), generator=generator) < 0.5)
    sign = torch.ones(len(positions), 1, 1, positions.shape[-1])
    sign[chosen, ..., 0] = -1.0
    return positions * sign


def scale(positions: Tensor, allowed: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Scale scenes (batch,) by a log-uniform factor from 1 / most to most, where allowed."""
    power = 2 * torch.rand(len(positions), 1, 1, 1, generator=generator) - 1
    return torch.where(allowed[:, None, None, None], positions * most**power, positions)


def reverse(positions: Tensor, allowed: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Let a share of the scenes (batch,) run backwards in time, where allowed."""
    chosen = allowed & (torch.rand(len(positions), generator=generator) < share)
    return torch.where(chosen[:, None, None, None], positions.flip(2), positions)


def sway(
    positions: Tensor, now: int, allowed: Tensor, most: float, generator: torch.Generator
) -> Tensor:
    """Scale how far the agents of half of the scenes (batch,) stray from straight lines.

    Where that is allowed, by a log-uniform factor from 1 / most to most. The line of an agent is
    fitted to its steps up to `now`, so that who walks unevenly goes on to: how wide a future is can
    be read off the history.
    """
    chosen = allowed & (torch.rand(len(positions), generator=generator) < 0.5)
    time = torch.arange(positions.shape[2], dtype=positions.dtype)[:, None] - now / 2
    seen = positions[:, :, : now + 1]
    mean = seen.mean(dim=2, keepdim=True)
    past = time[: now + 1]
    slope = (past * (seen - mean)).sum(dim=2, keepdim=True) / past.square().sum()
    away = positions - mean - time * slope
    return positions + (scale(away, chosen, most, generator) - away)


def jitter(positions: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Add noise of a standard deviation of its own, at most `most`, to each agent's positions."""
    size = most * torch.rand(*positions.shape[:2], 1, 1, generator=generator) ** 4
    return positions + size * torch.randn(positions.shape, generator=generator)


def stretch(positions: Tensor, now: int, size: float, generator: torch.Generator) -> Tensor:
    """Scale the ground speed of each agent by exp(size n), about its position at step `now`."""
    factor = torch.exp(size * torch.randn(*positions.shape[:2], 1, 1, generator=generator))
    about = positions[:, :, now : now + 1]
    scaled = about + (positions - about) * factor
    return torch.cat([scaled[..., :2], positions[..., 2:]], dim=-1)


def pad(ragged: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack tensors (agents, ...) with zeros behind: (batch, most agents, ...) and a mask."""
    longest = max(len(part) for part in ragged)
    padded = ragged[0].new_zeros((len(ragged), longest, *ragged[0].shape[1:]))
    mask = torch.zeros(len(ragged), longest, dtype=torch.bool)
    for row, part in enumerate(ragged):
        padded[row, : len(part)] = part
        mask[row, : len(part)] = True
    return padded, mask
