"""Between positions and internal coordinates, with the volume that a change of both has.

The volume of positions up to rigid motion is that of bond lengths, angles and torsions times
r_1^2 (r_2^2 sin a_2) prod_i (r_i^2 sin a_i), r and a the length and the angle by which an atom is
placed (Parsons et al., J. Comput. Chem. 26, 1063, 2005, for the placing).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flowsci.domains.molecules.equilibrium.zmatrix import ZMatrix
from flowsci.flow.torus import wound

THIRD = 2 * math.pi / 3


@dataclass(frozen=True)
class Internal:
    """Internal coordinates of conformers.

    `lengths` (conformers, n - 1) in Å; `angles` (conformers, n - 2) and `torsions`
    (conformers, n - 3) in radians, in the order of the Z-matrix.
    """

    lengths: Tensor
    angles: Tensor
    torsions: Tensor

    @property
    def log_volume(self) -> Tensor:
        """Logarithm of the volume of positions over that of these coordinates, (conformers,)."""
        return 2 * self.lengths.log().sum(1) + self.angles.sin().log().sum(1)


def to_internal(positions: Tensor, matrix: ZMatrix) -> Internal:
    """Measure positions (conformers, n, 3)."""
    atoms = torch.from_numpy(matrix.rows.astype(np.int64))
    lengths = _arms(positions, atoms[1:, 1], atoms[1:, 0]).norm(dim=-1)
    first, second = (_arms(positions, atoms[2:, 1], atoms[2:, end]) for end in (0, 2))
    # of the sum and the difference of unit vectors: exact also for small angles
    a, b = (arm / arm.norm(dim=-1, keepdim=True) for arm in (first, second))
    angles = 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))
    return Internal(lengths, angles, torsions(positions, atoms[3:]))


def torsions(positions: Tensor, atoms: Tensor) -> Tensor:
    """Measure the torsions (conformers, rows) of the first atom of each row about the axis.

    `atoms` (rows, 4): atom, near and far end of the axis, and what it is measured from; in
    (-pi, pi], of the sign that IUPAC gives.
    """
    axis = _arms(positions, atoms[:, 1], atoms[:, 2])
    axis = axis / axis.norm(dim=-1, keepdim=True)
    arm = _arms(positions, atoms[:, 1], atoms[:, 0])
    other = _arms(positions, atoms[:, 2], atoms[:, 3])
    arm, other = (v - (v * axis).sum(-1, keepdim=True) * axis for v in (arm, other))
    sine = (torch.linalg.cross(axis, arm) * other).sum(-1)
    return torch.atan2(sine, (arm * other).sum(-1))


def to_positions(internal: Internal, matrix: ZMatrix) -> Tensor:
    """Place atoms (conformers, n, 3) about their mean; the inverse of `to_internal`."""
    lengths, angles, turns = internal.lengths, internal.angles, internal.torsions
    places: dict[int, Tensor] = {}
    for row, (atom, near, far, ref) in enumerate(matrix.rows.tolist()):
        if row == 0:
            places[atom] = lengths.new_zeros(len(lengths), 3)
        elif row == 1:
            places[atom] = _along(lengths[:, 0], 1.0, 0.0)
        elif row == 2:
            axis = places[far] - places[near]
            sign = axis[:, 0].sign()
            offset = _along(lengths[:, 1], sign * angles[:, 0].cos(), angles[:, 0].sin())
            places[atom] = places[near] + offset
        else:
            polar = (lengths[:, row - 1], angles[:, row - 2], turns[:, row - 3])
            places[atom] = _placed(places[near], places[far], places[ref], *polar)
    positions = torch.stack([places[atom] for atom in range(len(places))], dim=1)
    return positions - positions.mean(1, keepdim=True)


def _placed(
    near: Tensor, far: Tensor, reference: Tensor, length: Tensor, angle: Tensor, torsion: Tensor
) -> Tensor:
    axis = far - near
    axis = axis / axis.norm(dim=-1, keepdim=True)
    across = reference - far
    across = across - (across * axis).sum(-1, keepdim=True) * axis
    across = across / across.norm(dim=-1, keepdim=True)
    # the torsion's sign is that of the reference as seen from the atom
    beyond = -torch.linalg.cross(axis, across)
    out = torsion.cos()[:, None] * across + torsion.sin()[:, None] * beyond
    return near + length[:, None] * (angle.cos()[:, None] * axis + angle.sin()[:, None] * out)


def rotor_turns(torsions: Tensor, rotor: Sequence[int]) -> Tensor:
    """Give the turn (conformers,) of a rotor: the mean of its three torsions, on the circle.

    `torsions` are those of the Z-matrix. Other labels of the three atoms in their order around the
    axis add exactly a third of a circle.
    """
    first, *others = (torsions[:, row - 3] for row in rotor)
    return wound(first + sum(wound(other) for other in others) / 3)


def folded(positions: Tensor, matrix: ZMatrix, centres: Sequence[float]) -> Tensor:
    """Label the atoms of each rotor so that its turn lies within a sixth of a circle of its centre.

    Of the three labellings that keep the handedness, one does; the molecule stays the same.
    """
    for rotor, centre in zip(matrix.rotors, centres, strict=True):
        atoms = torch.from_numpy(matrix.rows[list(rotor), 0].astype(np.int64))
        labelled = [_relabelled(positions, atoms, shift) for shift in range(3)]
        turns = [rotor_turns(to_internal(one, matrix).torsions, rotor) for one in labelled]
        away = torch.stack([wound(turn - centre).abs() for turn in turns])
        best = away.argmin(0)
        positions = torch.stack(labelled)[best, torch.arange(len(best))]
    return positions


def _relabelled(positions: Tensor, atoms: Tensor, shift: int) -> Tensor:
    result = positions.clone()
    result[:, atoms] = positions[:, atoms.roll(-shift)]
    return result


def _arms(positions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    return positions[:, end] - positions[:, start]


def _along(length: Tensor, x: Tensor | float, y: Tensor | float) -> Tensor:
    return torch.stack([length * x, length * y, torch.zeros_like(length)], dim=1)
