"""What is asked for, as features: number of atoms, properties, composition; a flag says whether."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flowsci.domains.molecules.settings import NetworkSettings
from flowsci.errors import FlowsciError

TYPICAL_ATOMS = 20.0
TYPICAL_COUNT = 5.0


class Wishes(nn.Module):
    """Features (batch, width) of the conditions that a network knows; the others are refused.

    Properties are in units of their deviation from the training molecules' mean. What is not asked
    for (NaN) is zero, and so is its flag: the null token.
    """

    def __init__(
        self, settings: NetworkSettings, statistics: Mapping[str, Any], width: int
    ) -> None:
        super().__init__()
        self.names, self.every = list(settings.properties), list(statistics.get("properties", {}))
        mean, deviation = scales_of(self.names, statistics)
        self.columns = [self.every.index(name) for name in self.names]
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)
        real = [number for number in statistics["atomic_numbers"] if number > 0]
        self.elements = len(real) if settings.composition else 0
        size = 1 + 2 * len(self.names) + 2 * self.elements
        self.map = nn.Sequential(nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width))

    def forward(
        self, count: Tensor, properties: Tensor | None, composition: Tensor | None
    ) -> Tensor:
        """Give features for counts (batch,), properties and composition as batches hold them."""
        parts = [count.unsqueeze(1) / TYPICAL_ATOMS - 1]
        parts += self._properties(properties, count)
        parts += self._composition(composition, count)
        return self.map(torch.cat(parts, dim=1))

    def _properties(self, properties: Tensor | None, count: Tensor) -> list[Tensor]:
        if properties is None:
            return [count.new_zeros(len(count), 2 * len(self.names))]
        others = [i for i in range(properties.shape[1]) if i not in self.columns]
        self._refuse([self.every[i] for i in others if not bool(properties[:, i].isnan().all())])
        asked = properties[:, self.columns]
        return _flagged((asked - self.mean) / self.deviation)

    def _composition(self, composition: Tensor | None, count: Tensor) -> list[Tensor]:
        if composition is None or not self.elements:
            self._refuse(["composition"] if _asks(composition) else [])
            return [count.new_zeros(len(count), 2 * self.elements)]
        return _flagged(composition / TYPICAL_COUNT)

    def _refuse(self, asked: list[str]) -> None:
        if asked:
            raise FlowsciError(
                f"This model was not trained to be asked for {', '.join(asked)}; it knows "
                f"{', '.join(self.names) or 'no property'}"
                f"{' and composition' if self.elements else ''}. Name it in `network` and train."
            )


def scales_of(names: Sequence[str], statistics: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Give mean and deviation (names,) of properties of the training molecules.

    Raises `FlowsciError` for a property that the dataset has not, or that is the same for all.
    """
    known = statistics.get("properties", {})
    for name in names:
        if name not in known:
            raise FlowsciError(
                f"network.properties names {name}, which the dataset has not; it has "
                f"{', '.join(known) or 'none'}."
            )
        if not known[name]["deviation"] > 0:
            raise FlowsciError(
                f"network.properties names {name}, which is {known[name]['mean']:g} for all "
                "training molecules: nothing can be learned of it. Leave it out."
            )
    scales = [[known[name]["mean"], known[name]["deviation"]] for name in names]
    mean, deviation = torch.tensor(scales, dtype=torch.float32).view(-1, 2).unbind(1)
    return mean, deviation


def _asks(values: Tensor | None) -> bool:
    return values is not None and not bool(values.isnan().all())


def _flagged(values: Tensor) -> list[Tensor]:
    return [values.nan_to_num(nan=0.0), (~values.isnan()).to(values.dtype)]
