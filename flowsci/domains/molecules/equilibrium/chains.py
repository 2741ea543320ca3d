"""Markov chains of one molecule's positions: Hamiltonian steps, and jumps of torsions between.

Both keep exp(-energy / kT) over positions exactly: trajectories end in a Metropolis test (Duane et
al., 1987), and turning one side of a bond keeps volumes, so its test is of the energies alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flowsci.domains.molecules.equilibrium.energies import Energy

JUMP_DEGREES, SPREAD_DEGREES = 120.0, 15.0
ACCEPTANCE = 0.8
LEAPFROGS = (6, 18)
JUMPS = 2
"""Tries at each torsion between two trajectories; most are refused, and cost little."""


@dataclass(frozen=True)
class Turn:
    """A bond (from, to) with the atoms on the side of `to`, which turn about it."""

    bond: tuple[int, int]
    moving: np.ndarray


class Chain:
    """A chain at positions (n, 3) in Å; all masses are one, momenta in units of kT."""

    def __init__(
        self,
        energy: Energy,
        kt: float,
        positions: np.ndarray,
        turns: Sequence[Turn],
        generator: np.random.Generator,
    ) -> None:
        self.energy, self.kt, self.turns, self.draw = energy, kt, turns, generator
        self.positions = positions - positions.mean(0)
        self.potential = energy.energy(self.positions) / kt
        self.step = 0.02
        self.accepted = {"trajectories": 0, "jumps": 0}
        self.tried = {"trajectories": 0, "jumps": 0}

    def run(self, burn_in: int, count: int, stride: int) -> Iterator[np.ndarray]:
        """Give `count` positions, `stride` iterations apart; the step is tuned in the burn-in."""
        for number in range(burn_in):
            moved = self._iterate()
            # Robbins and Monro, frozen afterwards: a step that adapts keeps no distribution
            self.step *= np.exp((moved - ACCEPTANCE) / np.sqrt(number + 1.0))
        for name in self.tried:
            self.tried[name] = self.accepted[name] = 0
        for _ in range(count):
            for _ in range(stride):
                self._iterate()
            self.positions -= self.positions.mean(0)
            yield self.positions.copy()

    def _iterate(self) -> bool:
        for _ in range(JUMPS):
            for turn in self.turns:
                self._test("jumps", self._turned(turn))
        return self._trajectory()

    def _trajectory(self) -> bool:
        momenta = self.draw.standard_normal(self.positions.shape)
        kinetic = 0.5 * (momenta**2).sum()
        positions, steps = self.positions.copy(), self.draw.integers(*LEAPFROGS)
        momenta = momenta - 0.5 * self.step * self._slope(positions)
        for number in range(steps):
            positions += self.step * momenta
            share = 0.5 if number == steps - 1 else 1.0
            momenta -= share * self.step * self._slope(positions)
        return self._test("trajectories", positions, 0.5 * (momenta**2).sum() - kinetic)

    def _slope(self, positions: np.ndarray) -> np.ndarray:
        return self.energy.gradient(positions) / self.kt

    def _turned(self, turn: Turn) -> np.ndarray:
        angle = self.draw.choice((-1, 1)) * JUMP_DEGREES
        angle += SPREAD_DEGREES * self.draw.standard_normal()
        return turned(self.positions, turn, np.deg2rad(angle))

    def _test(self, kind: str, positions: np.ndarray, growth: float = 0.0) -> bool:
        """Go to the positions with probability min(1, exp(-change of energy - growth))."""
        potential = self.energy.energy(positions) / self.kt
        accepted = np.log(self.draw.random()) < self.potential - potential - growth
        self.tried[kind] += 1
        self.accepted[kind] += accepted
        if accepted:
            self.positions, self.potential = positions, potential
        return bool(accepted)


def turned(positions: np.ndarray, turn: Turn, angle: float) -> np.ndarray:
    """Turn one side of a bond by an angle in radians, positive as a torsion about it grows."""
    start, end = positions[list(turn.bond)]
    x, y, z = (end - start) / np.linalg.norm(end - start)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    # Rodrigues' formula; rows are vectors
    rotation = np.eye(3) - np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    result = positions.copy()
    result[turn.moving] = end + (positions[turn.moving] - end) @ rotation
    return result
