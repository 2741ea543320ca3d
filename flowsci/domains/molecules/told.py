"""Graphs and fragments that samples are drawn for: of SMILES, of an SD file, or of a split."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rdkit import Chem

from flowsci.domains.molecules.condition_settings import ScaffoldConditions, SmilesConditions
from flowsci.domains.molecules.graphs import ORDERS, bond_matrix, from_rdkit, sanitized
from flowsci.domains.molecules.molecule import Fault
from flowsci.domains.molecules.record import Graph, Molecules
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared

logger = logging.getLogger("flowsci")


def graphs_of(prepared: Prepared, wanted: SmilesConditions) -> Iterator[tuple[Graph, int]]:
    """Give the graphs, without positions, whose conformers are wanted, and their rows or -1."""
    if wanted.split is None:
        for smiles in wanted.smiles:
            yield graph_of_smiles(smiles), -1
        return
    molecules = _of_split(prepared, wanted.split, wanted.molecules)
    for index, number in enumerate(molecules.numbers):
        yield replace(molecules[index], positions=None), int(number)


def graph_of_smiles(smiles: str) -> Graph:
    """Give the graph of a SMILES with all its hydrogens; raise `FlowsciError` for what is none."""
    parsed = Chem.MolFromSmiles(smiles, sanitize=False)
    if parsed is None:
        raise FlowsciError(
            f"sampling.conditions.smiles: '{smiles}' is no SMILES. Correct it, or leave it out."
        )
    try:
        whole = Chem.AddHs(sanitized(parsed, smiles))
        molecule = from_rdkit(whole, smiles, {}, positions=False)
    except Fault as fault:
        raise FlowsciError(
            f"sampling.conditions.smiles: {fault} Correct it, or leave it out."
        ) from None
    bonds = np.zeros((len(molecule.charges),) * 2, dtype=np.int64)
    i, j = molecule.bond_atoms.T
    bonds[i, j] = bonds[j, i] = molecule.bond_orders
    return Graph(molecule.atomic_numbers, molecule.charges, bonds, None)


def scaffolds_of(
    prepared: Prepared, wanted: ScaffoldConditions
) -> Iterator[tuple[Graph, int | None, int]]:
    """Give fragments with positions, the whole molecule's number of atoms, and its row or -1.

    Of a split, the ring systems of its molecules: all atoms of rings, without hydrogens; molecules
    without a ring are passed over.
    """
    if wanted.fragments is not None:
        for graph in read_fragments(wanted.fragments):
            yield graph, None, -1
        return
    split = wanted.split or "test"
    molecules = Molecules.of_split(prepared.arrays, split)
    numbers = (n for n in range(len(molecules)) if len(ring_atoms(molecules[n])) > 0)
    whole = list(numbers)
    most = at_most(wanted.molecules, len(whole), f"molecules with a ring of the split '{split}'")
    if not most:
        raise FlowsciError(
            f"sampling.conditions: no molecule of the split '{split}' has a ring. Name another "
            "split, or give `fragments`."
        )
    for place in np.linspace(0, len(whole) - 1, most).round().astype(int):
        graph = molecules[whole[place]]
        number = int(molecules.numbers[whole[place]])
        yield part_of(graph, ring_atoms(graph)), len(graph.charges), number


def ring_atoms(graph: Graph) -> np.ndarray:
    """Number the atoms that stand in a ring of one connected ring system, the largest."""
    ring_bonds = _ring_bonds(graph.bonds > 0)
    atoms = np.flatnonzero(ring_bonds.any(0))
    if not len(atoms):
        return atoms
    pieces = _pieces(graph.bonds[np.ix_(atoms, atoms)] > 0)
    return atoms[pieces == np.bincount(pieces).argmax()]


def part_of(graph: Graph, atoms: np.ndarray) -> Graph:
    """Give the fragment of some atoms, with the bonds between them."""
    positions = None if graph.positions is None else graph.positions[atoms]
    bonds = graph.bonds[np.ix_(atoms, atoms)]
    return replace(
        graph,
        atomic_numbers=graph.atomic_numbers[atoms],
        charges=graph.charges[atoms],
        bonds=bonds,
        positions=positions,
    )


def read_fragments(path: Path) -> list[Graph]:
    """Read fragments from an SD file as they stand: atoms, bonds, charges and positions.

    Open valences are what is to be completed, so that nothing is sanitised; aromatic bonds are
    refused, as no Kekulé structure of a fragment is the only one.
    """
    if not path.is_file():
        raise FlowsciError(
            f"sampling.conditions.fragments: there is no file {path}. Give the path of an SD file, "
            "as seen from the working directory."
        )
    try:
        supplier = Chem.SDMolSupplier(str(path), sanitize=False, removeHs=False)
    except OSError:
        # how RDKit says that a file is empty, or cannot be read
        supplier = []
    found = [_fragment(part, f"{path}, record {n}") for n, part in enumerate(supplier, 1)]
    if not found:
        raise FlowsciError(
            f"sampling.conditions.fragments: {path} holds no record that can be read. Write the "
            "fragments as an SD file."
        )
    return found


def _fragment(part: Chem.Mol | None, name: str) -> Graph:
    if part is None or not part.GetNumConformers() or not part.GetConformer().Is3D():
        raise FlowsciError(
            f"sampling.conditions.fragments: {name}: RDKit cannot read it, or it has no positions "
            "in space. Write it anew with three coordinates an atom, marked as 3D."
        )
    for bond in part.GetBonds():
        if bond.GetBondType() not in ORDERS:
            raise FlowsciError(
                f"sampling.conditions.fragments: {name}: has a bond of the kind "
                f"{bond.GetBondType()}. Give single, double and triple bonds (Kekulé)."
            )
    atoms = list(part.GetAtoms())
    return Graph(
        np.array([atom.GetAtomicNum() for atom in atoms]),
        np.array([atom.GetFormalCharge() for atom in atoms]),
        bond_matrix(part),
        part.GetConformer().GetPositions().astype(np.float32),
    )


def _of_split(prepared: Prepared, split: str, most: int | None) -> Molecules:
    molecules = Molecules.of_split(prepared.arrays, split)
    return molecules.spaced(at_most(most, len(molecules), f"molecules of the split '{split}'"))


def at_most(asked: int | None, there: int, what: str) -> int:
    """Give how many of `what` are taken: all where nothing is asked, or more than there are.

    Fewer than asked for is told in the log.
    """
    if asked is not None and asked > there:
        logger.warning(
            "sampling.conditions.molecules: %d are asked for, of the %d %s; all are taken, once.",
            asked,
            there,
            what,
        )
    return there if asked is None else min(asked, there)


def _ring_bonds(bonded: np.ndarray) -> np.ndarray:
    """Tell which bonds stand in a ring: those whose loss leaves their atoms connected."""
    core = bonded.copy()
    while (ends := core.sum(0) == 1).any():
        core[ends] = core[:, ends] = False
    for i, j in zip(*np.nonzero(np.triu(core)), strict=True):
        core[i, j] = core[j, i] = False
        reached = _pieces(core)
        core[i, j] = core[j, i] = reached[i] == reached[j]
    return core


def _pieces(bonded: np.ndarray) -> np.ndarray:
    """Number the connected piece of each atom."""
    from scipy.sparse.csgraph import connected_components

    return np.asarray(connected_components(bonded, directed=False)[1])
