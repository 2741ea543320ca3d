import numpy as np
import pytest
from rdkit import Chem

from flowsci.domains.molecules.equilibrium.energies import ENERGIES, Mmff94, molecule_of
from flowsci.errors import FlowsciError


@pytest.mark.parametrize("kind", ENERGIES)
def test_a_gradient_is_that_of_the_energy_wherever_it_was_asked_before(kind):
    molecule = molecule_of("CO")
    energy, generator = ENERGIES[kind](molecule), np.random.default_rng(0)
    start = molecule.GetConformer().GetPositions()
    for _ in range(2):
        positions = start + 0.05 * generator.standard_normal(start.shape)
        move = generator.standard_normal(start.shape)
        slope = (energy.gradient(positions) * move).sum()
        step = 1e-4
        change = energy.energy(positions + step * move) - energy.energy(positions - step * move)
        assert slope == pytest.approx(change / (2 * step), rel=1e-4)


def test_energies_are_those_of_rdkit_and_know_no_rigid_motion():
    molecule = molecule_of("CCCO")
    energy, positions = Mmff94(molecule), molecule.GetConformer().GetPositions()
    assert energy.energy(positions) == pytest.approx(energy.field.CalcEnergy())
    assert energy.energy(positions[:, [1, 2, 0]] + 5) == pytest.approx(energy.energy(positions))


def test_a_molecule_is_always_the_same_conformer():
    first, second = (molecule_of("CCCCC").GetConformer().GetPositions() for _ in range(2))
    assert np.array_equal(first, second)


def test_what_cannot_be_computed_is_refused():
    with pytest.raises(FlowsciError, match="cannot read"):
        molecule_of("C(C")
    with pytest.raises(FlowsciError, match="gfn2"):
        Mmff94(Chem.AddHs(Chem.MolFromSmiles("C[Pt]C")))
