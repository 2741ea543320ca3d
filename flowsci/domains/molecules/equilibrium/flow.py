"""The flow of one molecule's conformers, with the exact density of every sample."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch, Batches, Model
from flowsci.domains.molecules.equilibrium.chart import Chart
from flowsci.domains.molecules.equilibrium.network import InternalVelocity
from flowsci.domains.molecules.equilibrium.settings import InternalNetwork
from flowsci.domains.molecules.equilibrium.zmatrix import z_matrix
from flowsci.errors import FlowsciError
from flowsci.flow import (
    GRIDS,
    METHODS,
    Density,
    FlowMatching,
    Likelihood,
    Linear,
    Loss,
    NetworkField,
)
from flowsci.flow.torus import Circular, nearest
from flowsci.settings import SamplingSettings

ROWS = 1000
"""Conformers that are solved for together; changes no sample."""


class ConformerFlow:
    """A flow on the chart of one molecule: angles on circles, the rest about normal."""

    def __init__(self, network: InternalNetwork, statistics: Mapping[str, Any]) -> None:
        self.chart = chart_of(statistics)
        self.source = Circular(self.chart.circles)
        self.objective = FlowMatching(path=Linear(), source=self.source)
        self.network = InternalVelocity(network, self.chart.circles, self.chart.dimensions)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Give the loss of a batch of `states` (batch, dimensions)."""
        states = batch["states"]
        x0 = self.source.sample(states, generator)
        aim = nearest(x0, states, self.chart.circles)
        return self.objective(network, aim, generator, x0=x0)

    def likelihood(self, network: nn.Module, settings: SamplingSettings) -> Likelihood:
        """Give the density of states, over the chart."""
        return Likelihood(
            NetworkField(network, self.objective.path),
            self.source,
            method=METHODS[settings.method](),
            grid=GRIDS[settings.grid](settings.steps),
        )

    def sample(
        self,
        network: nn.Module,
        batch: Batch,
        generators: Sequence[torch.Generator],
        settings: SamplingSettings,
    ) -> dict[str, Tensor]:
        """Draw positions (sets, samples, n, 3) in Å with their `log_density` (sets, samples).

        In nats over positions in Å up to rigid motion and the labels of rotors. `sound` (sets,
        samples) is false where coordinates are out of their range: no conformer, of density zero
        under any energy.
        """
        likelihood = self.likelihood(network, settings)
        like = next(network.parameters()).new_zeros(1, self.chart.dimensions)
        parts = []
        for first in range(0, len(generators), ROWS):
            own = generators[first : first + ROWS]
            parts.append(self._drawn(likelihood.sample(like.expand(len(own), -1), own)))
        joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        shape = (len(batch["id"]), settings.samples)
        return {name: values.unflatten(0, shape) for name, values in joined.items()}

    def calibrate(self, network: nn.Module, validation: Batches) -> None:
        """Fit nothing: the flow is as training left it."""

    def learn_from(self, teacher: Model) -> None:
        """Refuse: the flow learns from conformers alone."""
        raise FlowsciError(
            "teacher: a flow of the kind 'equilibrium' learns from conformers alone; remove it."
        )

    def _drawn(self, density: Density) -> dict[str, Tensor]:
        positions, log_volume, sound = self.chart.decode(density.state.cpu())
        log_density = density.log_density.cpu().double() + log_volume
        log_density = torch.where(sound, log_density, torch.nan)
        return {"positions": positions, "log_density": log_density, "sound": sound}


def chart_of(statistics: Mapping[str, Any]) -> Chart:
    """Make the chart of a dataset's molecule from its statistics."""
    molecule = statistics["molecule"]
    numbers, bonds = np.array(molecule["atomic_numbers"]), np.array(molecule["bonds"])
    return Chart(z_matrix(numbers, bonds), statistics["chart"])
