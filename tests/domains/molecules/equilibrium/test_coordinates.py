import math

import numpy as np
import pytest
import torch
from rdkit.Chem import rdMolTransforms

from flowsci.domains.molecules.equilibrium.coordinates import (
    THIRD,
    Internal,
    folded,
    rotor_turns,
    to_internal,
    to_positions,
)
from flowsci.domains.molecules.equilibrium.energies import molecule_of
from flowsci.domains.molecules.equilibrium.simulate import graph_of
from flowsci.domains.molecules.equilibrium.zmatrix import z_matrix
from flowsci.errors import FlowsciError
from flowsci.flow.torus import wound

from .made import SMILES, rotation, shaken


def flat(internal: Internal) -> torch.Tensor:
    return torch.cat([internal.lengths, internal.angles, internal.torsions], 1)


def of_flat(values: torch.Tensor, atoms: int) -> Internal:
    return Internal(*values.split([atoms - 1, atoms - 2, atoms - 3], 1))


@pytest.mark.parametrize("smiles", SMILES)
def test_placing_is_the_inverse_of_measuring_and_knows_no_rigid_motion(smiles):
    positions, matrix = shaken(smiles)
    internal = to_internal(positions, matrix)
    back = to_positions(internal, matrix)
    torch.testing.assert_close(torch.cdist(back, back), torch.cdist(positions, positions))
    torch.testing.assert_close(flat(to_internal(back, matrix)), flat(internal))
    moved = positions @ torch.from_numpy(rotation()) + 3
    torch.testing.assert_close(flat(to_internal(moved, matrix)), flat(internal))


def test_coordinates_are_those_of_rdkit():
    molecule = molecule_of("CC(=O)NC")
    matrix = z_matrix(*graph_of(molecule))
    conformer = molecule.GetConformer()
    internal = to_internal(torch.from_numpy(conformer.GetPositions())[None], matrix)
    for row, (atom, near, far, reference) in enumerate(matrix.rows.tolist()):
        if row > 0:
            length = rdMolTransforms.GetBondLength(conformer, atom, near)
            assert float(internal.lengths[0, row - 1]) == pytest.approx(length)
        if row > 1:
            angle = rdMolTransforms.GetAngleRad(conformer, atom, near, far)
            assert float(internal.angles[0, row - 2]) == pytest.approx(angle)
        if row in matrix.free:
            torsion = rdMolTransforms.GetDihedralRad(conformer, atom, near, far, reference)
            assert float(wound(internal.torsions[0, row - 3] - torsion)) == pytest.approx(0)


@pytest.mark.parametrize("smiles", ["CCO", "CC(C)N"])
def test_the_volume_is_that_of_finite_motions(smiles):
    """The six rigid motions complete the coordinates: their volume is that of unit screws."""
    positions, matrix = shaken(smiles, 1)
    internal, atoms = flat(to_internal(positions, matrix)), positions.shape[1]
    size = internal.shape[1]

    def placed(values: torch.Tensor) -> torch.Tensor:
        """Place atoms, the first at rest, then move them all by a screw."""
        inner = to_positions(of_flat(values[None, :size], atoms), matrix)[0]
        inner = inner - inner[int(matrix.rows[0, 0])]
        turn = torch.linalg.matrix_exp(_cross(values[size : size + 3]))
        return (inner @ turn.T + values[size + 3 :]).flatten()

    values = torch.cat([internal[0], torch.zeros(6, dtype=torch.float64)])
    step = 1e-6
    columns = [
        (placed(values + step * unit) - placed(values - step * unit)) / (2 * step)
        for unit in torch.eye(len(values), dtype=torch.float64)
    ]
    _, logarithm = torch.linalg.slogdet(torch.stack(columns, 1))
    assert float(logarithm) == pytest.approx(
        float(to_internal(positions, matrix).log_volume), abs=1e-6
    )


def _cross(v: torch.Tensor) -> torch.Tensor:
    zero = torch.zeros_like(v[0])
    return torch.stack([zero, -v[2], v[1], v[2], zero, -v[0], -v[1], v[0], zero]).view(3, 3)


def test_every_molecule_has_its_free_torsions_and_rotors():
    expected = {
        "CCCCC": (4, 2),
        "CCO": (2, 1),
        "COCO": (3, 1),
        "CC(C)N": (3, 2),
        "CCC(C)(C)C": (5, 4),
    }
    for smiles, (free, rotors) in expected.items():
        matrix = z_matrix(*graph_of(molecule_of(smiles)))
        assert (len(matrix.free), len(matrix.rotors)) == (free, rotors), smiles
        assert len(matrix.free) + len(matrix.relative) == len(matrix.rows) - 3
        assert sorted(matrix.rows[:, 0].tolist()) == list(range(len(matrix.rows)))


@pytest.mark.parametrize(
    ("smiles", "message"), [("C1CC1C", "rings"), ("C", "no torsion"), ("CCC.C", "pieces")]
)
def test_molecules_without_a_chart_are_refused(smiles, message):
    with pytest.raises(FlowsciError, match=message):
        z_matrix(*graph_of(molecule_of(smiles)))


@pytest.mark.parametrize("smiles", ["CCCCC", "CC(C)N"])
def test_other_labels_of_a_rotor_turn_it_by_exactly_a_third_and_are_folded_away(smiles):
    positions, matrix = shaken(smiles)
    internal = to_internal(positions, matrix)
    centres = [float(rotor_turns(internal.torsions, rotor).mean()) for rotor in matrix.rotors]
    home = folded(positions, matrix, centres)
    for rotor in matrix.rotors:
        atoms = matrix.rows[list(rotor), 0].tolist()
        turn = rotor_turns(internal.torsions, rotor)
        for shift in (1, 2):
            other = positions.clone()
            other[:, atoms] = positions[:, np.roll(atoms, -shift).tolist()]
            change = wound(rotor_turns(to_internal(other, matrix).torsions, rotor) - turn)
            torch.testing.assert_close(change.abs(), torch.full_like(change, THIRD))
            # the same molecule: one density, whichever labels it came with
            torch.testing.assert_close(folded(other, matrix, centres), home)
        # a turn by half of a third goes over the edge: it is labelled anew
        turned = rotor_turns(to_internal(home, matrix).torsions, rotor)
        assert (wound(turned - centres[matrix.rotors.index(rotor)]).abs() <= math.pi / 3).all()


def test_swapped_hydrogens_are_another_handedness():
    positions, matrix = shaken("CCCCC", 2, 0.01)
    _, centre, _, _ = matrix.rows[6].tolist()
    hydrogens = [row for row in (6, 7) if matrix.rows[row, 1] == centre]
    a, b = matrix.rows[hydrogens, 0].tolist()
    swapped = positions.clone()
    swapped[:, [a, b]] = positions[:, [b, a]]
    before, after = (to_internal(x, matrix).torsions[:, 3] for x in (positions, swapped))
    assert (before.sign() != after.sign()).all()


@pytest.mark.parametrize("smiles", ["CCC", "COC", "CC(C)C"])
def test_a_molecule_whose_ends_alone_turn_is_refused(smiles):
    with pytest.raises(FlowsciError, match=r"no torsion but of equal ends.*four heavy atoms"):
        z_matrix(*graph_of(molecule_of(smiles)))
