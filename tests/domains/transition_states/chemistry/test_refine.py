"""Verdicts on guesses for the saddle between hydrogen cyanide and isocyanide."""

import numpy as np
import pytest

from flowsci.domains.transition_states.chemistry.refine import refine
from flowsci.domains.transition_states.chemistry.settings import RefineSettings
from flowsci.errors import FlowsciError

NUMBERS = np.array([6, 7, 1])
CYANIDE = np.array([[0.0, 0.0, 0.0], [1.14, 0.0, 0.0], [-1.07, 0.0, 0.0]])
ISOCYANIDE = np.array([[0.0, 0.0, 0.0], [1.16, 0.0, 0.0], [2.16, 0.0, 0.0]])
GUESS = np.array([[0.0, 0.0, 0.0], [1.2, 0.0, 0.0], [0.4, 1.1, 0.1]])


def test_a_good_guess_is_verified_and_connects_what_was_asked():
    verdict = refine(
        NUMBERS, CYANIDE, ISOCYANIDE, GUESS, settings=RefineSettings(intrinsic_path=True)
    )
    assert verdict.verified
    assert verdict.connects
    assert verdict.imaginary_modes == 1
    assert verdict.imaginary_frequency == pytest.approx(1426, abs=10)
    assert verdict.barrier == pytest.approx(3.18, abs=0.02)
    assert verdict.largest_force < 0.01
    assert verdict.overlap > 0.5
    assert 0 < verdict.steps < 20


def test_a_saddle_of_another_reaction_is_told():
    """Both ends are asked to be the same molecule, so no bond changes along the mode."""
    verdict = refine(NUMBERS, CYANIDE, CYANIDE, GUESS)
    assert verdict.converged
    assert not verdict.verified
    assert verdict.reason == "mode_of_another_change"


def test_a_hopeless_guess_is_a_verdict_not_an_error():
    apart = np.array([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
    verdict = refine(NUMBERS, CYANIDE, ISOCYANIDE, apart)
    assert not verdict.verified
    assert verdict.reason
    assert np.isnan(verdict.barrier)


def test_radicals_and_other_numbers_of_atoms_are_refused():
    with pytest.raises(FlowsciError, match="radicals"):
        refine(np.array([6, 7, 8]), CYANIDE, ISOCYANIDE, GUESS)
    with pytest.raises(FlowsciError, match="guess"):
        refine(NUMBERS, CYANIDE, ISOCYANIDE, GUESS[:2])
