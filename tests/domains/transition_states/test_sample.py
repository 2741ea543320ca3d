"""The reactions that the package carries: form and distinctness of all, a sample computed again."""

import io
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from flowsci.domains.transition_states.chemistry.bonds import adjacency
from flowsci.domains.transition_states.chemistry.calculator import Gfn2
from flowsci.domains.transition_states.chemistry.distinct import Distinct
from flowsci.domains.transition_states.chemistry.frequencies import hessian, vibrations
from flowsci.domains.transition_states.chemistry.minimum import largest_force
from flowsci.runs import load_data
from flowsci.store.acquire import acquire

DATA = Path(__file__).parents[3] / "config/data/transition_states/gfn2.yaml"
ROLES = ["reactant", "transition_state", "product"]


@pytest.fixture(scope="module")
def reactions(tmp_path_factory):
    """All triplets of frames, through the source that the dataset file names."""
    import gzip

    (path,) = acquire(load_data(DATA).settings.source, tmp_path_factory.mktemp("cache"))
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        frames = read(io.StringIO(stream.read()), ":", format="extxyz")
    return [frames[first : first + 3] for first in range(0, len(frames), 3)]


def test_every_reaction_is_whole_and_its_ends_differ(reactions):
    names = set()
    for frames in reactions:
        assert [frame.info["role"] for frame in frames] == ROLES
        assert len({frame.info["reaction"] for frame in frames}) == 1
        names.add(frames[0].info["reaction"])
        numbers = frames[0].numbers
        assert all((frame.numbers == numbers).all() for frame in frames)
        first, last = (adjacency(numbers, frames[end].positions) for end in (0, 2))
        assert (first != last).any()
        energies = [frame.get_potential_energy() for frame in frames]
        assert energies[1] > max(energies[0], energies[2])
        assert all(float(frame.info["largest_force"]) <= 0.01 for frame in frames)
        assert float(frames[1].info["imaginary_frequency"]) > 50
    assert len(names) == len(reactions)


def test_no_reaction_stands_twice(reactions):
    known = Distinct()
    for reactant, saddle, product in reactions:
        graphs = tuple(adjacency(end.numbers, end.positions) for end in (reactant, product))
        energy, frequency = saddle.get_potential_energy(), saddle.info["imaginary_frequency"]
        assert known.add(saddle.numbers, graphs, energy, float(frequency))


def test_a_sample_is_what_it_says(reactions):
    for index in np.random.default_rng(0).choice(len(reactions), 5, replace=False):
        for frame in reactions[index]:
            energy, gradient = Gfn2(frame.numbers)(frame.positions)
            assert energy == pytest.approx(frame.get_potential_energy(), abs=1e-4)
            assert largest_force(gradient) < 0.0105
        saddle = reactions[index][1]
        found = vibrations(
            hessian(Gfn2(saddle.numbers), saddle.positions), saddle.positions, saddle.numbers
        )
        assert found.imaginary(15) == 1
        assert -found.wavenumbers[0] == pytest.approx(saddle.info["imaginary_frequency"], abs=3)
