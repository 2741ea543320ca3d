"""States of conformers to train on, and the sets that are asked for."""

from collections.abc import Sequence

import numpy as np
import torch

from flowsci.domains.contract import Batch
from flowsci.domains.molecules.equilibrium.flow import chart_of
from flowsci.domains.molecules.record import SPLITS
from flowsci.flow import sample_generators
from flowsci.settings import TrainingSettings
from flowsci.store.prepared import Prepared


class StateBatches:
    """Batches of `states` (batch, dimensions) by number, in a new order at every pass."""

    def __init__(self, prepared: Prepared, split: str, training: TrainingSettings) -> None:
        chosen = np.flatnonzero(prepared.arrays["split"].values == SPLITS.index(split))
        positions = torch.from_numpy(prepared.arrays["positions"].values[chosen])
        self.numbers = torch.from_numpy(chosen)
        self.states = chart_of(prepared.statistics).encode(positions)[0].float()
        self.size, self.seed = min(training.batch_size, len(chosen)), training.seed
        self.shuffled = split == "train"
        self._kept: tuple[int, torch.Tensor] | None = None

    def __len__(self) -> int:
        # every case is judged; a pass of training leaves a rest for the next one's order
        whole = len(self.states) // self.size
        return whole if self.shuffled else -(-len(self.states) // self.size)

    def __getitem__(self, index: int) -> Batch:
        number_of_pass, place = divmod(index, len(self))
        chosen = self._order(number_of_pass)[place * self.size : (place + 1) * self.size]
        return {"id": self.numbers[chosen], "states": self.states[chosen]}

    def _order(self, number: int) -> torch.Tensor:
        if not self.shuffled:
            return torch.arange(len(self.states))
        if self._kept is None or self._kept[0] != number:
            (generator,) = sample_generators(self.seed, [number])
            self._kept = number, torch.randperm(len(self.states), generator=generator)
        return self._kept[1]


class Sets:
    """Sets of conformers of the one molecule: each a condition that asks for nothing."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int]) -> Batch:
        """Give the numbers of the sets."""
        return {"id": torch.tensor(list(indices))}
