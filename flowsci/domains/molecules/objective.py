"""What the parts of a molecule learn: clean positions, and labels by a discrete flow or CatFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from flowsci.domains.molecules.settings import FlowSettings
from flowsci.domains.molecules.states import LABELS, categories
from flowsci.flow import (
    CentredGaussian,
    CleanPrediction,
    DiscreteFlowMatching,
    FlowMatching,
    MaskedPath,
    MixedMatching,
    Path,
    Polynomial,
)
from flowsci.flow.sources import Source
from flowsci.nets.triangle import triangle

SMALLEST_ALPHA = 1e-4


@dataclass(frozen=True)
class Sharpened:
    """Weights min(bound, 1 / c_out^2) of squared errors, in units of scale^2.

    With the network's preconditioning (Karras et al., 2022) what its layers say then counts alike
    at every time.
    """

    scale: float
    bound: float

    def __call__(self, path: Path, t: Tensor) -> Tensor:
        c = path(t)
        weight = (c.alpha**2 + c.beta**2) / c.alpha.clamp(min=SMALLEST_ALPHA) ** 2
        return weight.clamp(max=self.bound) / self.scale**2


def objective_of(flow: FlowSettings, statistics: Mapping[str, Any]) -> MixedMatching:
    """Give the objective of all parts of a molecule, at one time."""
    schedule = Polynomial(flow.label_power)
    labels = {
        name: DiscreteFlowMatching(MaskedPath(count, schedule=schedule))
        for name, count in categories(statistics).items()
    }
    positions = FlowMatching(
        source=CentredGaussian(flow.scale_angstrom),
        said=CleanPrediction,
        weighting=Sharpened(flow.scale_angstrom, flow.sharpness),
    )
    weights = {name: getattr(flow, f"{name}_weight") for name in ("positions", *LABELS)}
    return MixedMatching({"positions": positions, **labels}, weights)


def source_of(component: Any) -> Source:
    """Give the law of a component's x0."""
    return component.source if isinstance(component, FlowMatching) else component.path.source


def masks_of(mask: Tensor | None) -> dict[str, Tensor]:
    """Give the real entries of each part for a mask (batch, n) of atoms."""
    if mask is None:
        return {}
    both = triangle(mask.shape[1], mask.device).both(mask)
    return {"positions": mask, "atoms": mask, "charges": mask, "bonds": both}
