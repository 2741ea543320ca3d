"""The reactions that the package carries: enough of them, distinct, and true at GFN2-xTB."""

import gzip
import re
from importlib.resources import as_file, files

import numpy as np
import pytest

from flowsci.domains.transition_states.chemistry.bonds import adjacency
from flowsci.domains.transition_states.chemistry.calculator import Gfn2
from flowsci.domains.transition_states.chemistry.distinct import Distinct
from flowsci.domains.transition_states.chemistry.frequencies import hessian, vibrations
from flowsci.domains.transition_states.chemistry.reactions import IMAGINARY, check_saddle
from flowsci.domains.transition_states.graphs import orders_of
from flowsci.domains.transition_states.record import ENDS
from flowsci.domains.transition_states.sources import read_reactions

CARRIED = files("flowsci") / "domains" / "transition_states" / "data" / "gfn2.extxyz.gz"
CHECKED = 4


@pytest.fixture(scope="module")
def carried():
    with as_file(CARRIED) as path:
        return list(read_reactions([path]))


def test_there_are_a_thousand_and_each_changes_bonds(carried):
    assert len(carried) >= 1000
    assert len({reaction.name for reaction in carried}) == len(carried)
    for reaction in carried:
        before, after = orders_of(reaction) > 0
        assert (before != after).any()
        assert (before == adjacency(reaction.atomic_numbers, reaction.reactant)).all()
        assert (after == adjacency(reaction.atomic_numbers, reaction.product)).all()
        energy = reaction.energies
        assert energy["transition_state"] > max(energy["reactant"], energy["product"])


def test_no_reaction_is_carried_twice(carried):
    text = gzip.decompress(CARRIED.read_bytes()).decode()
    said = dict(
        re.findall(r"reaction=(\S+) role=transition_state .*imaginary_frequency=(\S+)", text)
    )
    known = Distinct()
    for reaction in carried:
        graphs = tuple(orders > 0 for orders in orders_of(reaction))
        saddle = (reaction.energies["transition_state"], float(said[reaction.name]))
        assert known.add(reaction.atomic_numbers, graphs, *saddle), reaction.name


def test_a_sample_is_what_it_says_at_gfn2(carried):
    small = [reaction for reaction in carried if len(reaction.atomic_numbers) <= 9]
    for reaction in small[:: len(small) // CHECKED][:CHECKED]:
        numbers = reaction.atomic_numbers
        for name in ENDS:
            positions = getattr(reaction, name)
            energy, gradient = Gfn2(numbers)(positions)
            assert energy == pytest.approx(reaction.energies[name], abs=1e-4)
            assert np.linalg.norm(gradient, axis=1).max() < 0.02
            found = vibrations(hessian(Gfn2(numbers), positions), positions, numbers)
            if name == "transition_state":
                check_saddle(found)
            else:
                assert found.imaginary(IMAGINARY) == 0
