"""Reactions as padded tensors: batches to train on, and conditions to draw samples for."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from flowsci.domains.contract import Batch
from flowsci.domains.transition_states.record import Reactions
from flowsci.domains.transition_states.settings import ReactionTraining
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from flowsci.flow.alignment import rotate
from flowsci.flow.masks import zero_padding

BATCHES_A_POOL = 16
"""Batches are cut from a pool of this many, sorted by size, so that padding is rare."""
SHIFT_ANGSTROM = 3.0


class TrainingBatches:
    """Batches of reactions by number, of similar sizes; every frame is turned and moved apart.

    Tensors as `Reactions.padded` gives them. Start and transition state share a frame; reactant and
    product have frames of their own, drawn anew in training, so that nothing can be read from them.
    A share of the training reactions is taken backwards, and a share as mirror images.
    """

    def __init__(self, arrays: xr.Dataset, split: str, settings: ReactionTraining) -> None:
        self.reactions = Reactions.of_split(arrays, split)
        self.training = split == "train"
        self.settings = settings
        _require_known(self.reactions, split)

    def __len__(self) -> int:
        return -(-len(self.reactions) // self.settings.batch_size)

    def __getitem__(self, index: int) -> Batch:
        number_of_pass, place = divmod(index, len(self))
        order, variation = sample_generators(
            self.settings.seed, [2 * number_of_pass, 2 * index + 1]
        )
        chosen = self._cut(order)[place]
        batch = self.reactions.padded(chosen.tolist())
        if not self.training:
            return batch
        swapped, reflected = torch.rand(2, len(chosen), generator=variation)
        batch = backwards(batch, swapped < self.settings.backwards)
        batch = mirrored(batch, reflected < self.settings.mirrored)
        batch = jitter(batch, self.settings.jitter_angstrom, variation)
        return move_apart(batch, variation)

    def _cut(self, order: torch.Generator) -> Sequence[Tensor]:
        """Cut one pass into batches of similar sizes, in random order when training."""
        size, count = self.settings.batch_size, len(self.reactions)
        sizes = torch.from_numpy(self.reactions.sizes)
        if not self.training:
            return torch.argsort(sizes, stable=True).split(size)
        shuffled = torch.randperm(count, generator=order)
        pools = [pool[torch.argsort(sizes[pool])] for pool in shuffled.split(size * BATCHES_A_POOL)]
        batches = [batch for pool in pools for batch in pool.split(size)]
        return [batches[i] for i in torch.randperm(len(batches), generator=order)]


class ReactionConditions:
    """The reactions of a split, in the dataset's order; tensors without transition states."""

    def __init__(self, arrays: xr.Dataset, split: str) -> None:
        self.reactions = Reactions.of_split(arrays, split)

    def __len__(self) -> int:
        return len(self.reactions)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Give the reactions with these indices as one batch."""
        batch = self.reactions.padded(indices)
        del batch["transition_state"]
        return batch


def backwards(batch: Batch, swapped: Tensor) -> Batch:
    """Swap reactant and product of the rows where `swapped` (batch,) is True."""
    one, other = batch["reactant"], batch["product"]
    where = swapped[:, None, None]
    orders = torch.where(where[..., None], batch["orders"].flip(1), batch["orders"])
    ends = {
        "reactant": torch.where(where, other, one),
        "product": torch.where(where, one, other),
    }
    return {**batch, **ends, "orders": orders}


def mirrored(batch: Batch, reflected: Tensor) -> Batch:
    """Reflect all geometries of the rows where `reflected` (batch,) is True, in the plane x = 0."""
    signs = torch.ones(len(reflected), 1, 3)
    signs[reflected, :, 0] = -1
    names = ("reactant", "product", "start", "transition_state")
    return {**batch, **{name: batch[name] * signs.to(batch[name]) for name in names}}


def jitter(batch: Batch, deviation: float, generator: torch.Generator) -> Batch:
    """Displace the atoms of reactant and product at random, `deviation` Å a coordinate."""
    if not deviation:
        return batch
    moved = dict(batch)
    for name in ("reactant", "product"):
        noise = deviation * torch.randn(batch[name].shape, generator=generator)
        moved[name] = zero_padding(batch[name] + noise, batch["mask"])
    return moved


def move_apart(batch: Batch, generator: torch.Generator) -> Batch:
    """Turn and shift reactant, product, and start with transition state, each at random."""
    moved = dict(batch)
    for names in (("reactant",), ("product",), ("start", "transition_state")):
        turn = random_rotations(len(batch["mask"]), generator)
        shift = SHIFT_ANGSTROM * torch.randn(len(turn), 1, 3, generator=generator)
        for name in names:
            moved[name] = zero_padding(rotate(batch[name], turn) + shift, batch["mask"])
    return moved


def random_rotations(count: int, generator: torch.Generator) -> Tensor:
    """Draw proper rotations (count, 3, 3), uniformly, from normal quaternions."""
    q = torch.nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=1)
    w, x, y, z = q.unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _require_known(reactions: Reactions, split: str) -> None:
    known = np.isfinite(reactions.positions["transition_state"]).all(axis=1)
    missing = [
        reactions.names[reactions.numbers[index]]
        for index in range(len(reactions))
        if not known[reactions.atoms(index)].all()
    ]
    if missing:
        raise FlowsciError(
            f"{len(missing)} reactions of the split '{split}' have no transition state, such as "
            f"{missing[0]}: they can be sampled, not trained on. Leave them out of this split."
        )
