"""How labels flow: by jumps from a mask token, or as noised one-hots (CatFlow)."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from flowsci.domains.molecules.settings import FlowSettings, MoleculesSampling
from flowsci.flow import (
    ConditionalLeap,
    ConfidentLeap,
    DiscreteFlowMatching,
    Euler,
    ExponentialRenoising,
    FlowMatching,
    Gaussian,
    MaskedPath,
    OneCall,
    Polynomial,
    Source,
    VariationalPrediction,
    one_hot,
)
from flowsci.flow.mixed import Component


class Labels(Protocol):
    """A kind of flow for labels of `count` categories."""

    def component(self, count: int) -> Component:
        """Give what labels of `count` categories learn."""

    def source(self, count: int) -> Source:
        """Give the law of the labels' x0."""

    def state(self, labels: Tensor, count: int) -> Tensor:
        """Give the state at t = 1 of labels (batch, ...)."""

    def blank(self, shape: Sequence[int], count: int, device: torch.device) -> Tensor:
        """Give a state of labels of a shape, for its shape and type."""

    def method(self, settings: MoleculesSampling) -> OneCall:
        """Give the step of a solve."""

    def read(self, state: Tensor) -> Tensor:
        """Give the labels of a state at t = 1."""


class MaskedLabels:
    """Every label appears at a time of its own (Campbell et al., 2024); it may be taken back."""

    def __init__(self, power: float) -> None:
        self.schedule = Polynomial(power)

    def component(self, count: int) -> Component:
        return DiscreteFlowMatching(self._path(count))

    def source(self, count: int) -> Source:
        return self._path(count).source

    def state(self, labels: Tensor, count: int) -> Tensor:
        return labels

    def blank(self, shape: Sequence[int], count: int, device: torch.device) -> Tensor:
        return torch.zeros(*shape, dtype=torch.int64, device=device)

    def method(self, settings: MoleculesSampling) -> OneCall:
        leap = ConfidentLeap if settings.order == "confident" else ConditionalLeap
        return leap(settings.stochasticity)

    def read(self, state: Tensor) -> Tensor:
        return state

    def _path(self, count: int) -> MaskedPath:
        return MaskedPath(count, schedule=self.schedule)


class CatFlowLabels:
    """One-hots come out of Gaussian noise, all at once (Eijkelboom et al., 2024)."""

    def component(self, count: int) -> Component:
        return FlowMatching(source=Gaussian(), said=VariationalPrediction)

    def source(self, count: int) -> Source:
        return Gaussian()

    def state(self, labels: Tensor, count: int) -> Tensor:
        return one_hot(labels, count)

    def blank(self, shape: Sequence[int], count: int, device: torch.device) -> Tensor:
        return torch.zeros(*shape, count, device=device)

    def method(self, settings: MoleculesSampling) -> OneCall:
        rate = settings.stochasticity
        return ExponentialRenoising(rate) if rate else Euler()

    def read(self, state: Tensor) -> Tensor:
        return state.argmax(-1)


def labels_of(flow: FlowSettings) -> Labels:
    """Give the kind of flow that the settings name."""
    return CatFlowLabels() if flow.types == "catflow" else MaskedLabels(flow.label_power)
