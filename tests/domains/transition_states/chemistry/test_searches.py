"""Searches on surfaces whose stationary points are known."""

import numpy as np
import pytest

from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.domains.transition_states.chemistry.frequencies import internal_basis
from flowsci.domains.transition_states.chemistry.minimum import bfgs, relax
from flowsci.domains.transition_states.chemistry.path import fire, interpolate, superpose
from flowsci.domains.transition_states.chemistry.saddle import bofill, find_saddle


def double_well(positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Two atoms: minima at 1 Å and 3 Å, a saddle at 2 Å of height 1 eV."""
    apart = positions[1] - positions[0]
    distance = float(np.linalg.norm(apart))
    slope = 4 * (distance - 2) * ((distance - 2) ** 2 - 1)
    push = slope * apart / distance
    return ((distance - 2) ** 2 - 1) ** 2, np.array([-push, push])


def pair(distance: float) -> np.ndarray:
    return np.array([[0.0, 0.0, 0.0], [0.6, 0.0, 0.8]]) * distance


def distance(positions: np.ndarray) -> float:
    return float(np.linalg.norm(positions[1] - positions[0]))


@pytest.mark.parametrize(("start", "end"), [(1.4, 1.0), (2.7, 3.0), (1.9, 1.0)])
def test_minima_are_found(start: float, end: float):
    found = relax(double_well, pair(start))
    assert distance(found.positions) == pytest.approx(end, abs=2e-3)
    assert found.energy == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("start", [1.7, 2.2])
def test_the_saddle_is_found(start: float):
    found = find_saddle(double_well, pair(start))
    assert distance(found.positions) == pytest.approx(2, abs=4e-3)
    assert found.energy == pytest.approx(1, abs=1e-4)


def test_a_slope_without_a_saddle_is_a_named_failure():
    def slope(positions: np.ndarray) -> tuple[float, np.ndarray]:
        apart = positions[1] - positions[0]
        length = float(np.linalg.norm(apart))
        return length, np.array([-apart, apart]) / length

    with pytest.raises(Failure, match="saddle"):
        find_saddle(slope, pair(1.0))


def test_updates_explain_what_was_seen():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(6, 6))
    true = true @ true.T + np.eye(6)
    move = rng.normal(size=6)
    for update in (bofill, bfgs):
        updated = update(np.eye(6) * 3, move, true @ move)
        assert updated == pytest.approx(updated.T)
        assert updated @ move == pytest.approx(true @ move)


@pytest.mark.parametrize(("atoms", "linear", "rigid"), [(4, False, 6), (3, True, 5), (2, True, 5)])
def test_displacements_without_shift_and_turn(atoms: int, linear: bool, rigid: int):
    positions = np.random.default_rng(0).normal(size=(atoms, 3))
    if linear:
        positions = np.outer(np.arange(atoms), [0.3, 0.5, 0.7])
    basis = internal_basis(positions)
    assert basis.shape == (3 * atoms, 3 * atoms - rigid)
    shift = np.tile([1.0, 0.0, 0.0], atoms)
    assert shift @ basis == pytest.approx(0, abs=1e-12)


def test_superposition_is_proper_and_exact():
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(5, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.linalg.det(turn)
    assert superpose(positions @ turn + 3, positions) == pytest.approx(positions)
    mirrored = positions * [1, 1, -1]
    assert np.abs(superpose(mirrored, positions) - positions).max() > 0.1


def test_interpolation_keeps_atoms_apart():
    first = np.array([[0.0, 0, 0], [1.0, 0, 0], [2.0, 0.05, 0]])
    last = first[[2, 1, 0]] + [[0.0, 0.02, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.02]]
    images = interpolate(first, last, 5)
    straight = first + 0.5 * (last - first)
    apart = [np.linalg.norm(image[0] - image[2]) for image in images]
    assert np.linalg.norm(straight[0] - straight[2]) < 0.1
    assert min(apart) > 0.8


def test_inertia_ends_in_the_minimum():
    moved, steps = fire(np.ones((1, 2, 3)), lambda x: -x, steps=300, force=1e-4, largest=0.2)
    assert np.abs(moved).max() < 1e-4
    assert steps < 300
