import numpy as np
import pytest
from scipy.special import i0, i1

from flowsci.domains.molecules.equilibrium.chains import Chain, Turn, turned


class Spring:
    """A spring between two atoms."""

    def __init__(self, stiffness: float, length: float) -> None:
        self.stiffness, self.length = stiffness, length

    def energy(self, positions: np.ndarray) -> float:
        return 0.5 * self.stiffness * (self._distance(positions) - self.length) ** 2

    def gradient(self, positions: np.ndarray) -> np.ndarray:
        arm = positions[1] - positions[0]
        distance = self._distance(positions)
        force = self.stiffness * (distance - self.length) * arm / distance
        return np.stack([-force, force])

    def _distance(self, positions: np.ndarray) -> float:
        return float(np.linalg.norm(positions[1] - positions[0]))


class Torsion:
    """kappa cos(torsion) of four atoms."""

    kappa = 1.5

    def energy(self, positions: np.ndarray) -> float:
        return self.kappa * np.cos(torsion(positions))


def torsion(positions: np.ndarray) -> float:
    first, axis, last = np.diff(positions, axis=0)
    n, m = np.cross(first, axis), np.cross(axis, last)
    sine = np.linalg.norm(axis) * (first @ m)
    return float(np.arctan2(sine, n @ m))


CHAIN_OF_FOUR = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [2.0, 1.0, 0.3]])


def test_trajectories_keep_the_law_of_positions_not_of_the_length():
    kt, stiffness, length = 0.5, 20.0, 1.0
    start = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    chain = Chain(Spring(stiffness, length), kt, start, [], np.random.default_rng(0))
    found = np.array(list(chain.run(300, 2000, 1)))
    distances = np.linalg.norm(found[:, 1] - found[:, 0], axis=1)
    grid = np.linspace(1e-3, 3, 4000)
    law = grid**2 * np.exp(-0.5 * stiffness * (grid - length) ** 2 / kt)
    mean = (law * grid).sum() / law.sum()
    # without the factor of the volume the mean would be 1.0
    assert mean > 1.045
    assert distances.mean() == pytest.approx(mean, abs=0.02)
    assert 0.6 < chain.accepted["trajectories"] / chain.tried["trajectories"] < 0.95


def test_jumps_keep_the_law_of_a_torsion():
    turn = Turn((1, 2), np.array([3]))
    chain = Chain(Torsion(), 1.0, CHAIN_OF_FOUR, [turn], np.random.default_rng(0))
    angles = []
    for _ in range(2500):
        chain._test("jumps", chain._turned(turn))
        angles.append(torsion(chain.positions))
    expected = -i1(Torsion.kappa) / i0(Torsion.kappa)
    assert np.cos(angles).mean() == pytest.approx(expected, abs=0.06)
    assert np.sin(angles).mean() == pytest.approx(0, abs=0.08)


def test_a_turn_adds_its_angle_to_the_torsion_and_keeps_the_rest():
    after = turned(CHAIN_OF_FOUR, Turn((1, 2), np.array([3])), 0.7)
    assert torsion(after) - torsion(CHAIN_OF_FOUR) == pytest.approx(0.7)
    assert np.array_equal(after[:3], CHAIN_OF_FOUR[:3])
    lengths = [np.linalg.norm(x[3] - x[2]) for x in (after, CHAIN_OF_FOUR)]
    assert lengths[0] == pytest.approx(lengths[1])
