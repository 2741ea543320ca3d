"""The potential: units, refusals, gradients, the same numbers in every process."""

import subprocess
import sys

import numpy as np
import pytest
from ase.build import molecule

from flowsci.domains.transition_states.chemistry.calculator import Gfn2
from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.errors import FlowsciError

WATER = molecule("H2O")
PRINT = """
from ase.build import molecule
from flowsci.domains.transition_states.chemistry.calculator import Gfn2
water = molecule("CH3CHO")
energy, gradient = Gfn2(water.numbers)(water.positions)
print(energy.hex(), gradient.tobytes().hex())
"""


def test_energies_are_those_of_the_method():
    # -5.070 hartree: the published energy of water at GFN2-xTB
    energy, _ = Gfn2(WATER.numbers)(WATER.positions)
    assert energy == pytest.approx(-5.070 * 27.2114, abs=0.02)


def test_gradients_are_the_slope_of_the_energy():
    potential = Gfn2(WATER.numbers)
    _, gradient = potential(WATER.positions)
    direction = np.random.default_rng(0).normal(size=WATER.positions.shape)
    ahead, behind = (potential(WATER.positions + s * 1e-3 * direction)[0] for s in (1, -1))
    assert (ahead - behind) / 2e-3 == pytest.approx(float((gradient * direction).sum()), abs=1e-3)


@pytest.mark.parametrize(
    ("numbers", "charge", "reason"),
    [
        ([8, 1], 0, "radicals"),
        ([8, 1, 1], 1, "charge"),
        ([8, 1, 1, 99], 0, "99"),
        ([], 0, "no atoms"),
    ],
)
def test_what_it_is_not_made_for_is_refused_with_the_reason(numbers, charge, reason):
    with pytest.raises(FlowsciError, match=reason):
        Gfn2(numbers, charge)


def test_a_field_that_does_not_converge_is_tried_once_more_and_counted(monkeypatch):
    from tblite.exceptions import TBLiteRuntimeError

    potential = Gfn2(WATER.numbers)
    starts = []

    def fail(positions, start):
        starts.append(start)
        raise TBLiteRuntimeError("SCF not converged")

    monkeypatch.setattr(potential, "_single_point", fail)
    with pytest.raises(Failure, match="scf_not_converged"):
        potential(WATER.positions)
    assert (potential.retries, starts[1:]) == (1, [None])


def test_a_second_start_may_succeed(monkeypatch):
    from tblite.exceptions import TBLiteRuntimeError

    potential = Gfn2(WATER.numbers)
    expected, _ = potential(WATER.positions)
    honest = potential._single_point

    def fail_when_warm(positions, start):
        if start is not None:
            raise TBLiteRuntimeError("SCF not converged")
        return honest(positions, start)

    monkeypatch.setattr(potential, "_single_point", fail_when_warm)
    energy, _ = potential(WATER.positions)
    assert energy == pytest.approx(expected, abs=1e-5)
    assert potential.retries == 1


def test_positions_that_are_no_numbers_are_named():
    with pytest.raises(Failure, match="positions_not_finite"):
        Gfn2(WATER.numbers)(np.full((3, 3), np.nan))


def test_processes_agree_to_the_bit():
    runs = [
        subprocess.run(
            [sys.executable, "-c", PRINT], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert runs[0].strip()
