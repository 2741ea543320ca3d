"""The density of futures in closed form: Gaussian mixtures of agents that share a scene's style.

p(scene) = sum_m w_m prod_a sum_k pi_{a,k|m} N(c_a; mean_{a,k}, diag scale_{a,k}^2)

with the coefficients c_a of an agent's future in its `OffsetBasis`. Components that no mode
describes, small ones, are independent and centred, each as wide as it is for this agent. So the
density is one of positions: it has no term that is estimated, and integrates to one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from flowsci.domains.trajectories.basis import OffsetBasis
from flowsci.domains.trajectories.frames import Frames
from flowsci.flow.generators import Generators, normal, uniform

LOG_TWO_PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class FutureDensity:
    """The futures of agents (rows), each of a scene; K modes an agent, S styles a scene.

    `scene` (rows,) numbers the scene of each row; `style_weight` (rows, S), equal in all rows of a
    scene; `mode_weight` (rows, K, S) sums to one over the modes; `mean` and `scale` (rows, K, C) in
    whitened coefficients, `rest_scale` (rows, F - C) of the other ones; `frames` of the rows.
    Logarithms of densities are in nats, of a density in the unit of length to the power
    -(steps * axes).
    """

    scene: Tensor
    style_weight: Tensor
    mode_weight: Tensor
    mean: Tensor
    scale: Tensor
    rest_scale: Tensor
    frames: Frames
    basis: OffsetBasis

    def __len__(self) -> int:
        return len(self.scene)

    def select(self, rows: Tensor) -> "FutureDensity":
        """Give the density of some rows (indices or a mask)."""
        parts = {f.name: getattr(self, f.name)[rows] for f in fields(self)[:6]}
        return replace(self, **parts, frames=self.frames[rows])

    def log_density(self, positions: Tensor) -> Tensor:
        """Give each agent's log-density (rows, n) at its futures (rows, n, steps, axes)."""
        return self._alone(*self._log_modes(positions))

    def joint_log_density(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Give the scenes' numbers (scenes,) and log-densities (scenes, n) of joint futures.

        `positions` is (rows, n, steps, axes); future i of a scene is that of all of its rows.
        """
        return self._together(*self._log_modes(positions))

    def _alone(self, modes: Tensor, rest: Tensor) -> Tensor:
        weight = (self.mode_weight * self.style_weight.unsqueeze(1)).sum(-1)
        return (modes + weight.log().unsqueeze(1)).logsumexp(-1) + rest

    def _together(self, modes: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        largest = modes.amax(-1, keepdim=True)
        of_style = ((modes - largest).exp() @ self.mode_weight).log() + largest + rest.unsqueeze(-1)
        numbers, place = torch.unique(self.scene, return_inverse=True)
        sums = of_style.new_zeros(len(numbers), *of_style.shape[1:]).index_add_(0, place, of_style)
        weight = self.style_weight[_first(place, len(numbers))]
        return numbers, (sums + weight.log().unsqueeze(1)).logsumexp(-1)

    def marginals(self) -> tuple[Tensor, Tensor, Tensor]:
        """Give the mixture of an agent's position at each lead time.

        Weights (rows, K), means (rows, K, steps, axes) and covariances (rows, K, steps, axes,
        axes).
        """
        weight = (self.mode_weight * self.style_weight.unsqueeze(1)).sum(-1)
        frames = self.frames.unsqueeze(1)
        basis = self.basis.to(self.mean)
        rest = self.rest_scale.unsqueeze(1).expand(-1, self.scale.shape[1], -1)
        spread = torch.cat([self.scale, rest], dim=-1) * basis.scale
        spread = spread * basis.unit(frames).unsqueeze(-1)
        factors = torch.einsum("akf,fsd->aksfd", spread, basis.components)
        factors = frames.unsqueeze(1).turn_out(factors)
        return weight, basis.decode(frames, self.mean), factors.mT @ factors

    def step_log_density(self, positions: Tensor) -> Tensor:
        """Give the log-density (rows, n, steps) of the position at each lead time alone."""
        weight, mean, covariance = self.marginals()
        lower = torch.linalg.cholesky(covariance)
        away = (positions.unsqueeze(1) - mean.unsqueeze(2)).transpose(2, 3)
        scaled = torch.linalg.solve_triangular(lower, away.mT, upper=False)
        log_volume = lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        axes = positions.shape[-1]
        constant = log_volume + axes * LOG_TWO_PI / 2 - weight.log().unsqueeze(-1)
        return (-scaled.square().sum(-2) / 2 - constant.unsqueeze(-1)).logsumexp(1).mT

    def draw(self, count: int, generators: Sequence[Generators]) -> tuple[Tensor, Tensor, Tensor]:
        """Draw joint futures, in the order of the scenes' numbers.

        Each scene has a generator, or one for each of its `count` futures. Gives positions (rows,
        count, steps, axes), each agent's log-density (rows, count) and the scenes' joint
        log-density (scenes, count).
        """
        numbers, place = torch.unique(self.scene, return_inverse=True)
        positions = self.mean.new_empty(len(self), count, *self.basis.mean.shape)
        for number, own in zip(range(len(numbers)), generators, strict=True):
            rows = (place == number).nonzero().squeeze(1)
            positions[rows] = self.select(rows)._draw_scene(count, own)
        logs = self._log_modes(positions)
        return positions, self._alone(*logs), self._together(*logs)[1]

    def _draw_scene(self, count: int, generators: Generators) -> Tensor:
        level = uniform((count, len(self) + 1), generators, like=self.mean).T.contiguous()
        style = _pick(self.style_weight[0], level[0])
        chances = self.mode_weight[..., style].transpose(1, 2).cumsum(-1)
        mode = (level[1:].unsqueeze(-1) > chances / chances[..., -1:]).sum(-1)
        mode = mode.clamp_max(self.mean.shape[1] - 1).unsqueeze(-1).expand(-1, -1, self._count)
        shape = (count, len(self), len(self.basis.scale))
        noise = normal(shape, generators, like=self.mean).transpose(0, 1)
        described = (
            self.mean.gather(1, mode) + self.scale.gather(1, mode) * noise[..., : self._count]
        )
        rest = self.rest_scale.unsqueeze(1) * noise[..., self._count :]
        every = torch.cat([described, rest], dim=-1)
        return self.basis.decode(self.frames.unsqueeze(1), every)

    @property
    def _count(self) -> int:
        return self.mean.shape[-1]

    def _log_modes(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Give log N of each mode (rows, n, K), and what all modes share (rows, n)."""
        every = len(self.basis.scale)
        coefficients = self.basis.encode(self.frames.unsqueeze(1), positions, every)
        described, left = coefficients.split([self._count, every - self._count], dim=-1)
        square = described.new_zeros(len(self), self.mean.shape[1], described.shape[1])
        # scaled before squared, so that narrow modes keep their digits; in a memory that fits
        for mean, scale, value in zip(
            self.mean.unbind(-1), self.scale.unbind(-1), described.unbind(-1), strict=True
        ):
            square += ((value.unsqueeze(1) - mean.unsqueeze(2)) / scale.unsqueeze(2)).square()
        modes = square.mT / -2 - self.scale.log().sum(-1).unsqueeze(1)
        left = (left / self.rest_scale.unsqueeze(1)).square().sum(-1) / -2
        unit = self.basis.unit(self.frames).log() + LOG_TWO_PI / 2
        volume = self.basis.scale.log().sum() + self.rest_scale.log().sum(-1) + every * unit
        return modes, left - volume.unsqueeze(1)


def _pick(weight: Tensor, level: Tensor) -> Tensor:
    """Pick an index a level in [0, 1) in proportion to weights."""
    edges = weight.cumsum(0)
    return torch.searchsorted(edges / edges[-1], level, right=True).clamp_max(len(weight) - 1)


def _first(place: Tensor, groups: int) -> Tensor:
    """Give the first row of each group."""
    rows = torch.arange(len(place), device=place.device)
    return rows.new_full((groups,), len(place)).scatter_reduce(0, place, rows, "amin")
