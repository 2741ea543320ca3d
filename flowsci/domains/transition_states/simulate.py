"""Reactions made at GFN2-xTB, from every molecule of a chunk to every product within reach.

A molecule is worked on independently of all others and its outcome kept at once, so the result
depends on no chunk and an interrupted chunk goes on with the next molecule.
"""

import collections
import gzip
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flowsci.domains.contract import Simulated
from flowsci.domains.transition_states.chemistry.distinct import Distinct
from flowsci.domains.transition_states.chemistry.enumerate import products
from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.domains.transition_states.chemistry.molecules import Molecule, read_molecules
from flowsci.domains.transition_states.chemistry.reactions import find_end, find_reaction
from flowsci.domains.transition_states.chemistry.settings import SimulationSettings
from flowsci.domains.transition_states.chemistry.triplets import triplet
from flowsci.errors import FlowsciError
from flowsci.progress import progress

if TYPE_CHECKING:
    from flowsci.domains.transition_states.settings import TransitionStatesData

FILE = "reactions.extxyz.gz"
DESCRIPTION = "reactions as extended XYZ: reactant, transition state, product; GFN2-xTB"
OUTCOMES = "outcomes.json"
KEPT = "molecules"


def simulate(
    settings: "TransitionStatesData", chunk: int, files: Sequence[Path], folder: Path
) -> Simulated:
    """Make the reactions of chunk number `chunk` (0-based), keeping each molecule's in `folder`."""
    if settings.simulation is None:
        raise FlowsciError("The dataset file lacks `simulation`: which reactions to look for.")
    wanted = chunk_molecules(settings.simulation, files, chunk, settings.source.chunks)
    (folder / KEPT).mkdir(parents=True, exist_ok=True)
    outcomes = []
    with progress("simulating", len(wanted), "molecules") as bar:
        for molecule in wanted:
            path = folder / KEPT / f"{molecule.name}.json"
            if not path.is_file():
                _keep(path, explore(molecule, settings.simulation, settings.seed))
            outcomes.append(json.loads(path.read_text(encoding="utf-8")))
            bar.advance(reactions=sum(len(outcome["reactions"]) for outcome in outcomes))
    causes: collections.Counter[str] = collections.Counter()
    for outcome in outcomes:
        causes.update(outcome["causes"])
    (folder / OUTCOMES).write_text(json.dumps(outcomes), encoding="utf-8")
    reactions = sum(len(outcome["reactions"]) for outcome in outcomes)
    files = {OUTCOMES: "reactions and failures of each molecule, as JSON"}
    return Simulated(files, _counts(outcomes, reactions, causes))


def chunk_molecules(
    simulation: SimulationSettings, files: Sequence[Path], chunk: int, chunks: int
) -> list[Molecule]:
    """List the molecules of a chunk: every `chunks`-th, so that chunks take about equally long."""
    molecules = read_molecules(files, simulation.elements, simulation.most_heavy_atoms)
    return molecules[: simulation.molecules][chunk::chunks]


def explore(molecule: Molecule, simulation: SimulationSettings, seed: int) -> Mapping[str, Any]:
    """Try the products of a molecule; give its distinct reactions, and what became of each."""
    numbers = molecule.atomic_numbers
    causes: collections.Counter[str] = collections.Counter()
    reactions = []
    try:
        start = find_end(numbers, molecule.positions)
    except Failure as failure:
        cause = f"molecule_{failure.cause}"
        return {"molecule": molecule.name, "reactions": [], "attempts": 0, "causes": {cause: 1}}
    known = Distinct()
    tried = list(_drawn(molecule, start.orders, simulation, seed))
    for number, orders in tried:
        name = f"{molecule.name}_{number:03d}"
        try:
            reaction = find_reaction(numbers, start, orders)
            frames = triplet(name, molecule.name, reaction)
        except Failure as failure:
            causes[failure.cause] += 1
            continue
        graphs = (reaction.reactant.bonded, reaction.product.bonded)
        if not known.add(numbers, graphs, reaction.energy, reaction.imaginary_frequency):
            causes["found_before"] += 1
            continue
        reactions.append(
            {
                "frames": frames,
                "atomic_numbers": numbers.tolist(),
                "bonds": [np.argwhere(np.triu(graph)).tolist() for graph in graphs],
                "energy": reaction.energy,
                "imaginary_frequency": reaction.imaginary_frequency,
            }
        )
    return {
        "molecule": molecule.name,
        "reactions": reactions,
        "attempts": len(tried),
        "causes": dict(causes),
    }


def join(chunks: Sequence[Path], folder: Path) -> Simulated:
    """Write the distinct reactions of all chunks as one file, in the order of their names."""
    outcomes = [outcome for chunk in chunks for outcome in json.loads(_read(chunk / OUTCOMES))]
    return gather(sorted(outcomes, key=lambda outcome: outcome["molecule"]), folder)


def gather(outcomes: Sequence[Mapping[str, Any]], folder: Path) -> Simulated:
    """Write the distinct reactions of all outcomes, in order, as one file in `folder`."""
    known = Distinct()
    causes: collections.Counter[str] = collections.Counter()
    frames = []
    for outcome in outcomes:
        causes.update(outcome["causes"])
        for reaction in outcome["reactions"]:
            numbers = np.array(reaction["atomic_numbers"])
            graphs = tuple(_graph(len(numbers), pairs) for pairs in reaction["bonds"])
            saddle = (reaction["energy"], reaction["imaginary_frequency"])
            if known.add(numbers, graphs, *saddle):
                frames.append(reaction["frames"])
            else:
                causes["found_before"] += 1
    # no file name and no time: the same reactions are the same file
    with (folder / FILE).open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as stream:
        stream.write("".join(frames).encode())
    return Simulated({FILE: DESCRIPTION}, _counts(outcomes, len(frames), causes))


def _counts(
    outcomes: Sequence[Mapping[str, Any]], reactions: int, causes: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "molecules": len(outcomes),
        "attempts": sum(outcome["attempts"] for outcome in outcomes),
        "reactions": reactions,
        "failures": dict(sorted(causes.items())),
    }


def _drawn(
    molecule: Molecule, orders: np.ndarray, simulation: SimulationSettings, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Give the products to try with their numbers: those that tear the fewest atoms apart."""
    found = list(products(molecule.atomic_numbers, orders, furthest=simulation.furthest_bonds))
    torn = [int(((orders > 0) & (product == 0)).sum()) for product in found]
    number = int(re.sub(r"\D", "", molecule.name.removeprefix("qm9")))
    draws = np.random.default_rng([seed, number]).permutation(len(found))
    chosen = np.lexsort([draws, torn])[: simulation.products]
    for index in sorted(chosen.tolist()):
        yield index, found[index]


def _graph(atoms: int, pairs: Sequence[Sequence[int]]) -> np.ndarray:
    bonded = np.zeros((atoms, atoms), dtype=bool)
    for i, j in pairs:
        bonded[i, j] = bonded[j, i] = True
    return bonded


def _keep(path: Path, outcome: Mapping[str, Any]) -> None:
    """Write an outcome, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(outcome), encoding="utf-8")
    partial.replace(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FlowsciError(f"{path}: cannot be read: {error}; simulate the chunk again.") from None
