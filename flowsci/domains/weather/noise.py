"""Sources of fields: white, isotropic on a sphere or in a box, or with heavy tails."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.flow import Gaussian, Source
from flowsci.flow.generators import Generators, normal, uniform

LEAST_DEGREES = 4.5
"""Fewer degrees of freedom have no fourth moment, from which they are fitted."""


class Transform(Protocol):
    """What makes isotropic fields: `SphericalTransform` or `PlaneTransform`."""

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]: ...

    def isotropic(self, latent: Tensor, power: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class IsotropicGaussian(Source):
    """Gaussian fields on a sphere or in a box, alike in every place, of deviation `std`.

    Every harmonic or wave of the transform's band has the same variance, unless `power` (batch or
    1, channel, degree), positive and summing to 1, says what share each degree has; there is none
    above. For states (batch, channel, rows, columns), whose channels are independent.
    """

    transform: Transform
    std: float = 1.0
    power: Tensor | None = None

    def sample(
        self,
        like: Tensor,
        generators: Generators,
        mask: Tensor | None = None,
        condition: Any = None,
    ) -> Tensor:
        return self.place(normal(self.latent_shape(like.shape), generators, like=like))

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Give the shape of the normal numbers that fields of this shape are made of."""
        return self.transform.latent_shape(shape)

    def place(self, latent: Tensor) -> Tensor:
        """Make fields of normal numbers; linear."""
        return self.std * self.transform.isotropic(latent, self.power)


@dataclass(frozen=True)
class White(Gaussian):
    """Independent normal values in every cell, of deviation `std`."""

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Give the shape of the normal numbers that fields of this shape are made of."""
        return tuple(shape)

    def place(self, latent: Tensor) -> Tensor:
        """Make fields of normal numbers; linear."""
        return self.std * latent


@dataclass(frozen=True, eq=False)
class ChannelStudentT(Source):
    """Student-t fields: for each channel Gaussian over the root of one chi^2 / degrees a sample.

    `degrees` (batch or 1, channel); every channel has the deviation `std` (t-Flow, Pandey et al.,
    2024).
    """

    degrees: Tensor
    std: float = 1.0

    @classmethod
    def of_moments(cls, variance: Tensor, fourth: Tensor, std: float = 1.0) -> "ChannelStudentT":
        """Fit the degrees to mean squares and fourth powers: kurtosis 3 + 6 / (degrees - 4)."""
        excess = (fourth / variance.square() - 3).clamp(min=1e-2)
        return cls((4 + 6 / excess).clamp(min=LEAST_DEGREES), std)

    def sample(
        self,
        like: Tensor,
        generators: Generators,
        mask: Tensor | None = None,
        condition: Any = None,
    ) -> Tensor:
        from scipy.special import chdtri

        values = normal(like.shape, generators, like=like)
        u = uniform(like.shape[:2], generators, dtype=torch.float64)
        degrees = self.degrees.double().cpu()
        # the share above: u is never one, so that no chi^2 is zero
        chi = torch.from_numpy(chdtri(degrees.numpy(), u.numpy()))
        scale = self.std * ((degrees - 2) / chi).sqrt()
        return values * scale.to(values)[..., None, None]


class Moments(Protocol):
    """What noise is fitted to, for each task; see `network.residuals`."""

    variance: Tensor
    fourth: Tensor
    power: Tensor


def source_of(
    kind: str,
    std: float,
    transform: Transform | None,
    moments: Moments,
    tasks: Tensor | slice = slice(None),
) -> Source:
    """Give the source that the settings name, for rows of these tasks (rows,).

    Raises `FlowsciError` for isotropic noise without a sphere or a box.
    """
    if kind == "student_t":
        return ChannelStudentT.of_moments(moments.variance[tasks], moments.fourth[tasks], std)
    if kind == "white":
        return White(std)
    if transform is None:
        raise FlowsciError(
            f"flow.noise: '{kind}' needs a global grid or a periodic box of known truncation; "
            "choose 'white', or say fields.truncation in the dataset file of a global store."
        )
    return IsotropicGaussian(transform, std, moments.power[tasks] if kind == "matched" else None)
