"""What the parts of a molecule learn, together: clean positions, and labels."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from flowsci.domains.molecules.labels import Labels
from flowsci.domains.molecules.settings import FlowSettings
from flowsci.domains.molecules.triangle import triangle
from flowsci.flow import (
    CentredGaussian,
    CleanPrediction,
    FlowMatching,
    LogitNormal,
    MixedMatching,
    Path,
    Uniform,
)

SMALLEST_ALPHA = 1e-4
TIMES = {"uniform": Uniform(), "middle": LogitNormal(0.2, 0.8)}


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


def objective_of(
    flow: FlowSettings, labels: Labels, counts: Mapping[str, int], positions: bool
) -> MixedMatching:
    """Give the objective of all parts of a molecule, at one time; of graphs without `positions`."""
    parts = {name: labels.component(count) for name, count in counts.items()}
    if positions:
        # first: the time of a solve has the type of its first continuous part
        parts = {"positions": position_matching(flow), **parts}
    weights = {name: getattr(flow, f"{name}_weight") for name in parts}
    return MixedMatching(parts, weights, TIMES[flow.times])


def position_matching(flow: FlowSettings) -> FlowMatching:
    """Give what positions learn: where they are in the data."""
    return FlowMatching(
        source=CentredGaussian(flow.scale_angstrom),
        said=CleanPrediction,
        weighting=Sharpened(flow.scale_angstrom, flow.sharpness),
    )


def masks_of(mask: Tensor) -> dict[str, Tensor]:
    """Give the real entries of each part for a mask (batch, n) of atoms.

    An atom alone has no real pair: all its pairs count, and are no bonds.
    """
    both = triangle(mask.shape[1], mask.device).both(mask)
    both = both | (mask.sum(1, keepdim=True) == 1)
    return {"positions": mask, "atoms": mask, "charges": mask, "bonds": both}
