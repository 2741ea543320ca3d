"""A net that judges properties of molecules, trained on the half that no generator sees."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flowsci.domains.contract import Batch, Batches, Model
from flowsci.domains.molecules.settings import MoleculesSampling, NetworkSettings, PropertySettings
from flowsci.domains.molecules.states import Vocabulary
from flowsci.domains.molecules.trunk import Context, MoleculeTrunk, Parts
from flowsci.domains.molecules.wishes import scales_of
from flowsci.errors import FlowsciError
from flowsci.flow import Loss
from flowsci.store.models import misfits

TYPICAL_ATOMS = 20.0
UNIT_ANGSTROM = 1.5


class PropertyNet(nn.Module):
    """Properties (batch, names) in the dataset's units: sums and means of what atoms contribute."""

    def __init__(self, settings: NetworkSettings, statistics: Mapping[str, Any]) -> None:
        super().__init__()
        self.names, every = list(settings.properties), list(statistics.get("properties", {}))
        if not self.names:
            raise FlowsciError(
                f"network.properties: a net that judges needs properties of the dataset, which has "
                f"{', '.join(every) or 'none'}; none is named."
            )
        mean, deviation = scales_of(self.names, statistics)
        self.columns = [every.index(name) for name in self.names]
        # told of nothing: what it judges must be seen in the molecule
        plain = settings.model_copy(update={"properties": [], "composition": False})
        self.trunk = MoleculeTrunk(plain, statistics, UNIT_ANGSTROM)
        width = self.trunk.from_pairs.out_features
        self.contribution = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2 * len(self.names))
        )
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)

    def forward(self, states: Parts, context: Context) -> Tensor:
        """Judge clean states: positions in Å, and labels or their probabilities."""
        t = torch.ones_like(context.count)
        parts = self.contribution(self.trunk.features(states, t, context).points)
        if context.mask is not None:
            parts = parts * context.mask.unsqueeze(-1)
        total, share = parts.sum(1).chunk(2, dim=-1)
        scaled = total / TYPICAL_ATOMS + share / context.count.unsqueeze(1)
        return self.mean + self.deviation * scaled

    def error(self, judged: Tensor, properties: Tensor) -> Tensor:
        """Give the error (batch, names) in deviations, zero where a property is not known.

        `properties` (batch, all) are in the statistics' order, NaN where they are not known.
        """
        wanted = properties[:, self.columns]
        # no NaN may enter: its gradient is none, even where its value is left out
        return (judged - torch.where(wanted.isfinite(), wanted, judged.detach())) / self.deviation

    def errors(self, judged: Tensor, properties: Tensor) -> Tensor:
        """Give absolute errors (batch, names) in deviations, whose mean is that of known values.

        Zero where a property is not known; the others weigh more by as much.
        """
        known = properties[:, self.columns].isfinite().float().mean(0)
        return self.error(judged, properties).abs() / known.clamp(min=1 / len(properties))


def net_of(settings: NetworkSettings, size: str, statistics: Mapping[str, Any]) -> PropertyNet:
    """Build a net of the properties that a generator is asked for, of a size of its own."""
    own = {"size": size, "mode": settings.mode, "properties": settings.properties}
    return PropertyNet(NetworkSettings(**own), statistics)


class Judge(nn.Module):
    """A trained net that is kept with a generator, which it is no part of."""

    def __init__(self, net: PropertyNet, width: int) -> None:
        super().__init__()
        self.net, self.width = net.requires_grad_(False), width

    def learn_from(self, teacher: nn.Module) -> None:
        """Take the weights of a trained net; raise `FlowsciError` where it is another one."""
        if not isinstance(teacher, PropertyNet) or teacher.names != self.net.names:
            raise FlowsciError(
                "molecules: the teacher of a run that is judged is a run with flow.kind "
                f"'property' for network.properties {self.net.names}."
            )
        wrong = misfits(self.net, teacher.state_dict())
        if wrong:
            raise FlowsciError(
                f"molecules: network.judge is not the teacher's network: {len(wrong)} weights "
                f"differ in shape, such as {wrong[0]}. Give its `size` there, and no width."
            )
        self.net.load_state_dict(teacher.state_dict())

    def forward(self, states: Parts, context: Context) -> Tensor:
        """Judge clean states: (batch, properties) in the statistics' order, NaN if not judged."""
        every = context.count.new_full((len(context.count), self.width), torch.nan)
        every[:, self.net.columns] = self.net(states, context)
        return every


class PropertyModel:
    """The net of a run with its loss; it draws nothing."""

    def __init__(
        self, network: NetworkSettings, flow: PropertySettings, statistics: Mapping[str, Any]
    ) -> None:
        self.vocabulary, self.spatial = Vocabulary(statistics), network.mode == "3d"
        self.network = PropertyNet(network, statistics)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Give the mean absolute error of known values in units of each property's deviation."""
        states = self.vocabulary.labels(batch)
        if self.spatial:
            states["positions"] = batch["positions"]
        judged = network(states, Context.of({"mask": batch["mask"]}))
        error = self.network.errors(judged, batch["properties"])
        per_sample = error.mean(1)
        terms = {
            name: error[:, i] * self.network.deviation[i]
            for i, name in enumerate(self.network.names)
        }
        return Loss(per_sample.mean(), per_sample, terms)

    def sample(
        self,
        network: nn.Module,
        batch: Batch,
        generators: Sequence[torch.Generator],
        settings: MoleculesSampling,
    ) -> dict[str, Tensor]:
        """Refuse: a net that judges draws no molecules."""
        raise FlowsciError("molecules: a run with flow.kind 'property' judges and draws nothing.")

    def calibrate(self, network: nn.Module, validation: Batches) -> None:
        """Fit nothing."""

    def learn_from(self, teacher: Model) -> None:
        """Refuse: the net learns from data alone."""
        raise FlowsciError("molecules: a net that judges has no use for a teacher.")
