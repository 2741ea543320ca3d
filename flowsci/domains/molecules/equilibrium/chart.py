"""The chart that a flow sees: every coordinate brought to its own spread, exactly undone.

Free torsions become angles whose marginal law is uniform (by their distribution function), those of
a rotor over a third of the circle; all other coordinates are centred and whitened together. A flow
that does nothing is then a Gaussian beside independent torsions, and one that is trained has only
what is left to learn: couplings and anharmonicity.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowsci.domains.molecules.equilibrium.coordinates import (
    Internal,
    folded,
    rotor_turns,
    to_internal,
    to_positions,
)
from flowsci.domains.molecules.equilibrium.zmatrix import ZMatrix
from flowsci.flow.torus import TURN, wound

BINS = 720
SMOOTHING_DEGREES = 2.0
FLOOR = 1e-3
"""Share of a torsion's marginal that is uniform: no angle is out of reach."""
FARTHEST = math.pi / 2
"""A relative torsion further than this from its mean is of another handedness."""


class Chart:
    """Between positions (conformers, n, 3) and states (conformers, 3 n - 6), angles first.

    Everything is in double precision. `statistics` are those of `fit`, as plain values.
    """

    def __init__(self, matrix: ZMatrix, statistics: Mapping[str, Any]) -> None:
        self.matrix = matrix
        self.centres: list[float] = list(statistics["centres"])
        self.relative_means = _tensor(statistics["relative_means"])
        self.mean, self.factor = _tensor(statistics["mean"]), _tensor(statistics["factor"])
        self.marginals = _tensor(statistics["marginals"])
        self.circles, self.dimensions = len(matrix.free), 3 * len(matrix.rows) - 6

    @property
    def angles(self) -> slice:
        """Where the angles stand in `mean`."""
        atoms = len(self.matrix.rows)
        return slice(atoms - 1, 2 * atoms - 3)

    def encode(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Give states, and the log-volume (conformers,) of a state over that of positions."""
        positions = folded(positions.double(), self.matrix, self._rotor_centres)
        internal = to_internal(positions, self.matrix)
        turns = free_turns(internal, self.matrix, self.centres)
        angles, log_slopes = self._equalised(turns)
        stiff = stiff_of(internal, self.matrix, self.relative_means) - self.mean
        white = torch.linalg.solve_triangular(self.factor, stiff.T, upper=False).T
        log_volume = log_slopes.sum(1) + self._log_scale - internal.log_volume
        return torch.cat([angles, white], 1), log_volume

    def decode(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give positions, the same log-volume, and whether the conformer is one.

        It is none where a length or an angle is out of its range, or a handedness is another; its
        positions are then NaN.
        """
        states = states.double()
        turns, log_slopes = self._unequalised(wound(states[:, : self.circles]))
        stiff = states[:, self.circles :] @ self.factor.T + self.mean
        internal, sound = self._internal(turns, stiff)
        log_volume = log_slopes.sum(1) + self._log_scale - internal.log_volume
        positions = to_positions(internal, self.matrix)
        return torch.where(sound[:, None, None], positions, torch.nan), log_volume, sound

    @property
    def _log_scale(self) -> Tensor:
        rotors = len(self.matrix.rotors) * math.log(3)
        return rotors - self.factor.diagonal().log().sum()

    @property
    def _rotor_centres(self) -> list[float]:
        free = list(self.matrix.free)
        return [self.centres[free.index(rotor[0])] for rotor in self.matrix.rotors]

    def _internal(self, turns: Tensor, stiff: Tensor) -> tuple[Internal, Tensor]:
        """Put coordinates together; those of no conformer give way to the mean, and are told."""
        atoms, matrix = len(self.matrix.rows), self.matrix
        lengths, angles, away = stiff.split([atoms - 1, atoms - 2, len(matrix.relative)], 1)
        sound = (lengths > 0).all(1) & (angles > 0).all(1) & (angles < math.pi).all(1)
        sound &= (away.abs() < FARTHEST).all(1)
        stiff = torch.where(sound[:, None], stiff, self.mean)
        lengths, angles, away = stiff.split([atoms - 1, atoms - 2, len(matrix.relative)], 1)
        torsions = turns.new_zeros(len(turns), atoms - 3)
        torsions[:, _places(matrix.relative)] = wound(away + self.relative_means)
        rotors = {rotor[0]: rotor for rotor in matrix.rotors}
        for number, row in enumerate(matrix.free):
            turn = turns[:, number] / (3 if row in rotors else 1) + self.centres[number]
            for other in rotors.get(row, ())[1:]:
                turn = turn - wound(torsions[:, other - 3]) / 3
            torsions[:, row - 3] = wound(turn)
        return Internal(lengths, angles, torsions), sound

    def _equalised(self, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Give uniform angles of turns (conformers, circles) in [-pi, pi), and log-slopes."""
        place = (turns + math.pi) / TURN * BINS
        bins = place.floor().long().clamp(0, BINS - 1)
        heights = self.marginals.T.gather(0, bins)
        below = _cumulated(self.marginals).T.gather(0, bins)
        return TURN * (below + heights * (place - bins)) - math.pi, (heights * BINS).log()

    def _unequalised(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        share = ((angles + math.pi) / TURN).clamp(0, 1)
        edges = _cumulated(self.marginals)
        found = torch.searchsorted(edges, share.T.contiguous(), right=True) - 1
        bins = found.clamp(0, BINS - 1).T
        heights = self.marginals.T.gather(0, bins)
        place = bins + (share - edges.T.gather(0, bins)) / heights
        return place / BINS * TURN - math.pi, (heights * BINS).log()


def fit(positions: Tensor, matrix: ZMatrix) -> dict[str, Any]:
    """Measure what a chart needs on conformers (conformers, n, 3), as plain values."""
    positions = positions.double()
    internal = to_internal(positions, matrix)
    centres = [_centre(internal, matrix, row) for row in matrix.free]
    rotors = [centres[matrix.free.index(rotor[0])] for rotor in matrix.rotors]
    internal = to_internal(folded(positions, matrix, rotors), matrix)
    relative = internal.torsions[:, _places(matrix.relative)]
    means = torch.atan2(relative.sin().mean(0), relative.cos().mean(0))
    stiff = stiff_of(internal, matrix, means)
    turns = free_turns(internal, matrix, centres)
    return {
        "centres": centres,
        "relative_means": means.tolist(),
        "mean": stiff.mean(0).tolist(),
        "factor": torch.linalg.cholesky(stiff.T.cov()).tolist(),
        "marginals": [_marginal(turn) for turn in turns.T.numpy()],
    }


def free_turns(internal: Internal, matrix: ZMatrix, centres: list[float]) -> Tensor:
    """Give free torsions (conformers, circles) about their centres, in [-pi, pi).

    A rotor's is its turn times three, so that a third of its circle is the whole of this one.
    """
    rotors = {rotor[0]: rotor for rotor in matrix.rotors}
    turns = []
    for centre, row in zip(centres, matrix.free, strict=True):
        if row in rotors:
            turns.append(wound(3 * (rotor_turns(internal.torsions, rotors[row]) - centre)))
        else:
            turns.append(wound(internal.torsions[:, row - 3] - centre))
    return torch.stack(turns, 1)


def stiff_of(internal: Internal, matrix: ZMatrix, means: Tensor) -> Tensor:
    """Give lengths, angles and relative torsions about `means`, (conformers, stiff)."""
    relative = wound(internal.torsions[:, _places(matrix.relative)] - means)
    return torch.cat([internal.lengths, internal.angles, relative], 1)


def _centre(internal: Internal, matrix: ZMatrix, row: int) -> float:
    """Give the circular mean of a rotor's turn within its third; zero for other torsions."""
    rotors = {rotor[0]: rotor for rotor in matrix.rotors}
    if row not in rotors:
        return 0.0
    turns = 3 * rotor_turns(internal.torsions, rotors[row])
    mean = torch.atan2(turns.sin().mean(), turns.cos().mean())
    return float(mean) / 3


def _marginal(turns: np.ndarray) -> list[float]:
    """Give the probability of each of `BINS` bins, smoothed around the circle."""
    counts, _ = np.histogram(turns, BINS, (-math.pi, math.pi))
    waves = np.fft.rfftfreq(BINS)
    kernel = np.exp(-2 * (math.pi * SMOOTHING_DEGREES * BINS / 360 * waves) ** 2)
    smooth = np.maximum(np.fft.irfft(np.fft.rfft(counts) * kernel, BINS), 0)
    return ((1 - FLOOR) * smooth / smooth.sum() + FLOOR / BINS).tolist()


def _cumulated(marginals: Tensor) -> Tensor:
    """Give the distribution function (circles, BINS + 1) at the edges of the bins."""
    edges = torch.nn.functional.pad(marginals.cumsum(1), (1, 0))
    return edges / edges[:, -1:]


def _places(rows: tuple[int, ...]) -> list[int]:
    return [row - 3 for row in rows]


def _tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
