"""What a chemist asks first of a molecule: stable, sanitisable, in one piece, and which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem, rdBase

from flowsci.domains.molecules.graphs import canonical_smiles, count_pieces
from flowsci.domains.molecules.measures.stability import stable_atoms
from flowsci.domains.molecules.parallel import each, in_lists
from flowsci.domains.molecules.record import Graph

MOLECULES_AT_ONCE = 500


@dataclass(frozen=True)
class Soundness:
    """Verdicts on molecules, one after the other (molecules,).

    `atoms`, `stable_atoms` count; `sanitised` by RDKit without help; `connected` in one piece;
    `closed_shell` without unpaired electrons; `charge` in e. `smiles` are canonical, without
    stereo marks, and empty where a molecule cannot be sanitised.
    """

    atoms: np.ndarray
    stable_atoms: np.ndarray
    sanitised: np.ndarray
    connected: np.ndarray
    closed_shell: np.ndarray
    charge: np.ndarray
    smiles: np.ndarray

    @property
    def stable(self) -> np.ndarray:
        """Molecules all of whose atoms are stable; one without atoms is not."""
        return (self.stable_atoms == self.atoms) & (self.atoms > 0)

    @property
    def valid(self) -> np.ndarray:
        """Molecules that are sanitised and in one piece."""
        return self.sanitised & self.connected

    def first_of_its_kind(self) -> np.ndarray:
        """Tell whether a molecule is valid and no one before it has its SMILES."""
        seen: set[str] = set()
        first = np.zeros(len(self.atoms), dtype=bool)
        for index in np.flatnonzero(self.valid):
            first[index] = self.smiles[index] not in seen
            seen.add(self.smiles[index])
        return first


def soundness(graphs: Sequence[Graph], processes: int = 1) -> Soundness:
    """Judge molecules by their atoms, bonds and charges alone."""
    jobs = in_lists(graphs, MOLECULES_AT_ONCE)
    rows = [row for part in each(_judge_all, jobs, processes) for row in part]
    columns = list(zip(*rows, strict=True)) or [()] * 7
    return Soundness(
        atoms=np.array(columns[0], dtype=np.int64),
        stable_atoms=np.array(columns[1], dtype=np.int64),
        sanitised=np.array(columns[2], dtype=bool),
        connected=np.array(columns[3], dtype=bool),
        closed_shell=np.array(columns[4], dtype=bool),
        charge=np.array(columns[5], dtype=np.int64),
        smiles=np.array(columns[6], dtype=object),
    )


def _judge_all(graphs: Sequence[Graph]) -> list[tuple]:
    return [_judge(graph) for graph in graphs]


def _judge(graph: Graph) -> tuple[int, int, bool, bool, bool, int, str]:
    atoms = len(graph.atomic_numbers)
    pieces = count_pieces(atoms, np.argwhere(np.triu(graph.bonds, 1)))
    molecule = sanitised(graph)
    radicals = molecule is None or any(a.GetNumRadicalElectrons() for a in molecule.GetAtoms())
    return (
        atoms,
        int(stable_atoms(graph).sum()),
        molecule is not None,
        pieces == 1,
        not radicals,
        int(graph.charges.sum()),
        "" if molecule is None else canonical_smiles(molecule),
    )


def sanitised(graph: Graph) -> Chem.Mol | None:
    """Give RDKit's molecule, or None where it cannot be sanitised or has no atom."""
    if not len(graph.atomic_numbers) or not graph.atomic_numbers.all():
        return None
    molecule = graph.to_rdkit()
    try:
        with rdBase.BlockLogs():
            Chem.SanitizeMol(molecule)
    except (Chem.MolSanitizeException, ValueError, RuntimeError):
        return None
    return molecule
